"""The process clock: the only source of time. Wall time is UTC; intervals are monotonic."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

_REREAD_SECONDS: Final = 0.05
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """What code that needs the time is given."""

    def now_ns(self) -> int:
        """Return nanoseconds since 1970 (UTC)."""

    def monotonic(self) -> float:
        """Return seconds that never go backwards; only differences mean something."""


class SystemClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        """Return nanoseconds since 1970 (UTC)."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Return monotonic seconds."""
        return time.monotonic()


class FileClock:
    """The machine's clock moved by the seconds in a file, so that drills move all processes."""

    def __init__(self, path: Path) -> None:
        """Read the offset from the file again at most every 50 ms."""
        self._path = path
        self._offset_ns = 0
        self._read_at = float("-inf")

    def now_ns(self) -> int:
        """Return the moved time in nanoseconds since 1970 (UTC)."""
        return time.time_ns() + self._offset()

    def monotonic(self) -> float:
        """Return monotonic seconds, moved as well."""
        return time.monotonic() + self._offset() / 1e9

    def _offset(self) -> int:
        if time.monotonic() - self._read_at > _REREAD_SECONDS:
            self._read_at = time.monotonic()
            # A file that is being replaced keeps the offset before.
            with suppress(OSError, ValueError):
                self._offset_ns = int(float(self._path.read_text()) * 1e9)
        return self._offset_ns


def now(clock: Clock) -> datetime:
    """Return the clock's time as an aware UTC datetime, to the microsecond."""
    return from_micros(now_micros(clock))


def now_micros(clock: Clock) -> int:
    """Return the clock's microseconds since 1970 (UTC)."""
    return clock.now_ns() // 1_000


def from_micros(micros: int) -> datetime:
    """Return the UTC datetime of microseconds since 1970, exactly."""
    return EPOCH + timedelta(microseconds=micros)


def to_micros(moment: datetime) -> int:
    """Return the microseconds since 1970 (UTC) of an aware datetime, exactly."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def clock_for(test_clock: Path | None, profile: str) -> Clock:
    """Return the machine's clock, or in drills the moved one.

    Raises:
        ValueError: a test clock is set in the production profile.
    """
    if test_clock is None:
        return SystemClock()
    if profile == "production":
        raise ValueError
    return FileClock(test_clock)
