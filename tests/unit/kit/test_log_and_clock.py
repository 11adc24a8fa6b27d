"""Logs cannot hold content; time is UTC and exact."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.clock import FileClock, SystemClock, clock_for, from_micros, now_micros, to_micros
from kit.log import EventLog

CANARY = "my secret prompt: 4711!"


def test_a_field_that_is_not_a_word_is_dropped_and_counted() -> None:
    """A mistake loses a field and never leaks one."""
    stream = io.StringIO()
    log = EventLog("edge", stream=stream)
    log.event("request_done", prompt=CANARY, status=200, request_id="req_00ff")
    line = json.loads(stream.getvalue())
    assert line["prompt"] == "?"
    assert (line["status"], line["request_id"]) == (200, "req_00ff")
    assert log.dropped_fields == 1


def test_a_fault_is_written_by_type_and_place() -> None:
    """The text of an exception stays out of the log, the line that raised is in it."""
    stream = io.StringIO()
    try:
        int(CANARY)
    except ValueError as error:
        EventLog("edge", stream=stream).fault("oops", error, error_id="err_1")
    assert "ValueError" in stream.getvalue()
    assert "test_log_and_clock.py" in stream.getvalue()
    assert "prompt" not in stream.getvalue()


def test_a_line_that_finds_no_room_is_lost_and_ends_nothing() -> None:
    """A full disk is told of by what writes logs: that must go on, and later lines are written."""
    with suppress(OSError), Path("/dev/full").open("w") as full:  # what is buffered stays unwritten
        log = EventLog("edge", stream=full)
        log.event("spool_failed", edge_id=1)
        log.fault("oops", OSError())
        assert log.lost_lines == 2
    log.event("closed")
    assert log.lost_lines == 3


@given(st.integers(-(10**15), 10**15))
def test_micros_and_datetimes_convert_exactly(micros: int) -> None:
    """No microsecond is lost, which a float would."""
    assert to_micros(from_micros(micros)) == micros


def test_a_moved_clock_follows_its_file(tmp_path: Path) -> None:
    """A drill moves all processes by one file; a half-written file changes nothing."""
    file = tmp_path / "clock"
    file.write_text("86400")
    clock = FileClock(file)
    moved = now_micros(clock) - now_micros(SystemClock())
    assert abs(moved - 86_400_000_000) < 5_000_000
    file.unlink()
    assert now_micros(clock) - now_micros(SystemClock()) > 86_000_000_000


def test_production_refuses_a_moved_clock(tmp_path: Path) -> None:
    """Nobody moves the time of a service that takes money."""
    with pytest.raises(ValueError, match=r"^$"):
        clock_for(tmp_path / "clock", "production")
    assert isinstance(clock_for(None, "production"), SystemClock)


def test_times_are_aware_and_utc() -> None:
    """Every time that leaves the clock says its zone."""
    assert from_micros(0) == datetime(1970, 1, 1, tzinfo=UTC)
