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
_HIGHEST_PORT: Final = 65_535
_ROOM: Final = 1_000
"""So many ports are enough to choose from."""
TRIES_MAX: Final = 1_000
_OUTGOING: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_OUTGOING_PORTS: Final = (32_768, 60_999)
"""The kernel's default, for systems that do not say (ip-sysctl, `ip_local_port_range`)."""


def listen(port: int, setting: str) -> socket.socket:
    """Bind and hold a listening socket, so that clients wait while a worker is started again."""
    held = _bound(port, setting)
    held.listen(_BACKLOG)
    held.set_inheritable(True)
    return held


def check_free(port: int, setting: str, besides: Collection[int] = ()) -> int:
    """Return `port` if a child will be able to bind it, or a free one for 0.

    A free one lies below those that the kernel gives to outgoing connections, or above them: a
    child that binds it seconds later, or again after its death, must still find it free. Only where
    the kernel gives nearly all of them it is any. It is none of `besides`.

    Raises:
        CommandFailed: it is in use, or none was found free.
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
    ports = [port for port in _quiet_ports() if port not in besides]
    failure = CommandFailed("No port is left to choose.", reason="PORT_IN_USE")
    for port in random.sample(ports, min(TRIES_MAX, len(ports))):
        try:
            return check_free(port, "another port")
        except CommandFailed as error:
            failure = error
    raise failure


def _quiet_ports() -> range:
    first, last = _outgoing_ports()
    below = range(_LOWEST_PORT, first)
    above = range(max(last + 1, _LOWEST_PORT), _HIGHEST_PORT + 1)
    for ports in (below, above):
        if len(ports) >= _ROOM:
            return ports
    return range(_LOWEST_PORT, _HIGHEST_PORT + 1)


def _outgoing_ports() -> tuple[int, int]:
    with suppress(OSError, ValueError):
        first, last = map(int, _OUTGOING.read_text().split())
        return first, last
    return _OUTGOING_PORTS


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
