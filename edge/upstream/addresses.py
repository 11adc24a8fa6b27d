"""Which IP addresses an edge may talk to: the last fence against server-side request forgery.

Names are resolved by the network, so the address is judged after the connection is made: a name
that changes its address between a check and the connection gains nothing.
"""

from __future__ import annotations

import ipaddress
from typing import Final

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
# RFC 8215; Python 3.11's tables take it for global.
_LOCAL_NAT64: Final = ipaddress.IPv6Network("64:ff9b:1::/48")
_LOW_32_BITS: Final = 0xFFFF_FFFF


def is_any_address(address: str) -> bool:  # noqa: ARG001 - the rule's signature
    """Allow every address: for upstreams in one's own network, and for development."""
    return True


def is_public_address(address: str) -> bool:
    """Allow what is reachable on the public internet, and nothing behind a translation of it."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv4Address):
        return _is_public(parsed)
    if parsed in _LOCAL_NAT64:
        return False
    return _is_public(parsed) and all(map(_is_public, _embedded(parsed)))


def _is_public(parsed: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return parsed.is_global and not parsed.is_multicast


def _embedded(parsed: ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """Return the IPv4 addresses that an IPv6 address leads to."""
    found = [parsed.ipv4_mapped, parsed.sixtofour, *(parsed.teredo or ())]
    if parsed in _NAT64:
        found.append(ipaddress.IPv4Address(int(parsed) & _LOW_32_BITS))
    return [each for each in found if each is not None]
