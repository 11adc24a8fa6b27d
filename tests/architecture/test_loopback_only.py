"""No test can reach beyond this machine."""

from __future__ import annotations

import socket

import pytest


@pytest.mark.parametrize("address", [("192.0.2.1", 9), ("example.invalid", 9)])
def test_a_connection_to_elsewhere_is_refused(address: tuple[str, int]) -> None:
    """Control: before a packet leaves."""
    with pytest.raises(AssertionError, match="only connect to this machine"):
        socket.create_connection(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_connection_to_this_machine_is_not(host: str) -> None:
    """Control: loopback works."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection((host, server.getsockname()[1])).close()
