"""Ports of a run: the listening sockets that the supervisor holds, and free ports for the rest."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

from core.up.settings import HOST
from kit.cli import CommandFailed

_BACKLOG: Final = 1024
_LOWEST_PORT: Final = 15_000
_OUTGOING: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST_OUTGOING_PORT: Final = 32_768
"""The kernel's default, for systems that do not say (ip-sysctl, `ip_local_port_range`)."""


def listen(port: int, setting: str) -> socket.socket:
    """Bind and hold a listening socket, so that clients wait while a worker is started again."""
    held = _bound(port, setting)
    held.listen(_BACKLOG)
    held.set_inheritable(True)
    return held


def check_free(port: int, setting: str, besides: Collection[int] = ()) -> int:
    """Return `port` if a child will be able to bind it, or a free one for 0.

    A free one lies below those that the kernel gives to outgoing connections: a child that binds
    it seconds later, or again after its death, must still find it free. It is none of `besides`.
    """
    if port == 0:
        return _free(besides)
    _bound(port, setting).close()
    return port


def port_of(held: socket.socket) -> int:
    """Return the port of a listening socket."""
    number: int = held.getsockname()[1]
    return number


def _free(besides: Collection[int]) -> int:
    ports = range(_LOWEST_PORT, max(_first_outgoing_port(), _LOWEST_PORT + 1_000))
    while True:
        port = random.choice(ports)  # noqa: S311 - nobody must be kept from guessing it
        if port in besides:
            continue
        with suppress(CommandFailed):
            return check_free(port, "a free port")


def _first_outgoing_port() -> int:
    with suppress(OSError, ValueError, IndexError):
        return int(_OUTGOING.read_text().split()[0])
    return _FIRST_OUTGOING_PORT


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
