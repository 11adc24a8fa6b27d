"""Ports of a run: a free one stays free until a child binds it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from core.up import sockets
from kit.cli import CommandFailed

_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_a_free_port_is_not_one_that_an_outgoing_connection_may_be_given() -> None:
    """Core binds it seconds later; by then such a connection may hold it."""
    first = int(_OUTGOING.read_text().split()[0])

    assert all(sockets.check_free(0, "any") < first for _ in range(100))


def test_a_free_port_is_none_of_those_that_were_chosen_already(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Core and the archiver get two."""
    monkeypatch.setattr(sockets, "_LOWEST_PORT", 40_000)
    chosen = set(range(40_000, 40_998))

    assert sockets.check_free(0, "any", chosen) in {40_998, 40_999}


def test_a_kernel_that_does_not_say_has_the_usual_range(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No /proc: the range is a default of the kernel's."""
    monkeypatch.setattr(sockets, "_OUTGOING", tmp_path / "absent")

    assert sockets.check_free(0, "any") < 32_768


def test_a_port_that_is_taken_is_refused_with_the_setting_to_change() -> None:
    """Whoever starts it a second time reads what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(CommandFailed, match=f"Port {port} .*; set ONEAPI_CORE_PORT"):
            sockets.check_free(port, "ONEAPI_CORE_PORT")
