"""The simulator's time: the machine's or a drill's clock, moved on by `/_sim/clock`."""

from __future__ import annotations

from typing import Final

from kit.clock import Clock

DAY_SECONDS: Final = 86_400


class SimulatedClock:
    """Seconds since 1970 (UTC); it only ever goes forward by order."""

    def __init__(self, clock: Clock) -> None:
        """Start without an offset."""
        self._clock = clock
        self.offset_seconds = 0

    def now(self) -> int:
        """Return whole seconds since 1970 (UTC)."""
        return self._clock.now_ns() // 1_000_000_000 + self.offset_seconds

    def now_ms(self) -> int:
        """Return milliseconds since 1970 (UTC)."""
        return self._clock.now_ns() // 1_000_000 + self.offset_seconds * 1_000

    def advance(self, seconds: int) -> None:
        """Move on."""
        self.offset_seconds += seconds
