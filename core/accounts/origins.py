"""Web origins as browsers send them (RFC 6454, section 6.2): scheme, host and, if unusual, port."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

from kit.reasons import InvalidArgument

ORIGINS_MAX: Final = 32
HOST_MAX: Final = 253
PORT_MAX: Final = 65_535
_ORIGIN: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]{0,31})://"
    r"(?P<host>[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?",
    re.ASCII,
)
_USUAL_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21}
"""Browsers leave them out, so an origin that names them would match no request."""


def checked_origins(origins: Sequence[str]) -> tuple[str, ...]:
    """Return the origins in order, each once.

    Only what a browser can send is taken: lower case, no path, no usual port, no wildcard.

    Raises:
        InvalidArgument: one is no such origin, or there are too many; the value is not named.
    """
    found = tuple(sorted(set(origins)))
    if len(found) > ORIGINS_MAX or not all(map(is_origin, found)):
        raise InvalidArgument(fields="cors_origins")
    return found


def is_origin(text: str) -> bool:
    """Say whether a text is the serialization of an origin."""
    match = _ORIGIN.fullmatch(text)
    if match is None:
        return False
    port = int(match["port"] or 0)
    usual = _USUAL_PORTS.get(match["scheme"])
    return port <= PORT_MAX and (not port or port != usual) and _is_host(match["host"])


def _is_host(host: str) -> bool:
    try:
        if host.startswith("["):
            return host == f"[{ipaddress.IPv6Address(host[1:-1])}]"
        if host.rpartition(".")[2].isdigit():
            # Browsers take it for an address of IPv4 and write that out.
            return host == str(ipaddress.IPv4Address(host))
    except ValueError:
        return False
    return len(host) <= HOST_MAX
