"""Ports of a run: the listening sockets that the supervisor holds, and free ports for the rest."""

from __future__ import annotations

import socket
from typing import Final

from core.up.settings import HOST
from kit.cli import CommandFailed

_BACKLOG: Final = 1024


def listen(port: int, setting: str) -> socket.socket:
    """Bind and hold a listening socket, so that clients wait while a worker is started again."""
    held = _bound(port, setting)
    held.listen(_BACKLOG)
    held.set_inheritable(True)
    return held


def check_free(port: int, setting: str) -> int:
    """Return `port` if a child will be able to bind it, or a free one for 0."""
    with _bound(port, setting) as probe:
        number: int = probe.getsockname()[1]
    return number


def port_of(held: socket.socket) -> int:
    """Return the port of a listening socket."""
    number: int = held.getsockname()[1]
    return number


def _bound(port: int, setting: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((HOST, port))
    except OSError:
        made.close()
        raise CommandFailed(
            f"Port {port} on {HOST} cannot be used; set {setting}.", reason="PORT_IN_USE"
        ) from None
    return made
