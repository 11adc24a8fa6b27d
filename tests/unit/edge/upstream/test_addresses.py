"""The corpus of addresses by which servers are tricked into calling their own network."""

from __future__ import annotations

import pytest

from edge.upstream.addresses import is_any_address, is_public_address


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "2001:4860:4860::8888"],
)
def test_public_addresses_are_allowed(address: str) -> None:
    """Providers live on the public internet."""
    assert is_public_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104 - an address to refuse
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "127.8.8.8",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001:db8::1",
        "2001:0:a00:1::1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%eth0",
        "ff02::1",
        "0177.0.0.1",
        "0x7f000001",
        "2130706433",
        "127.1",
        "localhost",
        "",
    ],
)
def test_all_else_is_refused(address: str) -> None:
    """Loopback, private, link-local, shared, translated, multicast, and no address."""
    assert not is_public_address(address)


def test_the_open_rule_allows_all() -> None:
    """Operators with upstreams in their own network choose it."""
    assert is_any_address("10.0.0.1")
