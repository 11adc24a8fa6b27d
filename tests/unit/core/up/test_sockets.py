"""Ports of a run: a free one stays free until a child binds it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from core.up import sockets
from kit.cli import CommandFailed

_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")


def outgoing(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    """Let the kernel say which ports it gives to outgoing connections."""
    path = folder / "ip_local_port_range"
    path.write_text(text)
    monkeypatch.setattr(sockets, "_OUTGOING", path)


def test_a_free_port_is_not_one_that_an_outgoing_connection_may_be_given() -> None:
    """Core binds it seconds later; by then such a connection may hold it."""
    first, last = map(int, _OUTGOING.read_text().split())
    has_room = first >= 16_000 or last <= 64_535
    chosen = [sockets.check_free(0, "any") for _ in range(100)]

    assert not has_room or [port for port in chosen if first <= port <= last] == []


@pytest.mark.parametrize(
    ("given", "lowest", "highest"),
    [
        ("32768\t60999\n", 15_000, 32_767),
        ("1024\t60999\n", 61_000, 65_535),
        ("15500\t60999\n", 61_000, 65_535),
        ("1024\t65000\n", 15_000, 65_535),
        ("1024\t9000\n", 15_000, 65_535),
        ("no range\n", 15_000, 32_767),
    ],
)
def test_a_free_port_is_where_there_is_room(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str, lowest: int, highest: int
) -> None:
    """Below, else above, else anywhere."""
    outgoing(monkeypatch, tmp_path, given)

    assert all(lowest <= sockets.check_free(0, "any") <= highest for _ in range(20))


def test_a_free_port_is_none_of_those_that_were_chosen_already(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Core and the archiver get two."""
    outgoing(monkeypatch, tmp_path, "16000 65535")
    chosen = set(range(15_000, 15_990))

    assert sockets.check_free(0, "any", chosen) in range(15_990, 16_000)


def test_a_kernel_that_does_not_say_has_the_usual_range(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No /proc: the range is a default of the kernel's."""
    monkeypatch.setattr(sockets, "_OUTGOING", tmp_path / "absent")

    assert sockets.check_free(0, "any") < 32_768


def test_where_nothing_can_be_bound_the_search_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without that address: it says so, soon."""
    monkeypatch.setattr(sockets, "HOST", "192.0.2.1")

    with pytest.raises(CommandFailed, match=r"on 192\.0\.2\.1 cannot be used"):
        sockets.check_free(0, "any")


def test_a_port_that_is_taken_is_refused_with_the_setting_to_change() -> None:
    """Whoever starts it a second time reads what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(CommandFailed, match=f"Port {port} .*; set ONEAPI_CORE_PORT"):
            sockets.check_free(port, "ONEAPI_CORE_PORT")
