"""Deadlines of the same length for many requests, by one timer.

Nearly every request ends long before its deadline: a timer of its own would only be made and
cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

Alarm = Callable[[], None]


class Alarms:
    """Calls each alarm that is not called off, so many seconds after it was set."""

    def __init__(self, seconds: float) -> None:
        """Wait so long for each; needs a running loop."""
        self.seconds = seconds
        self._loop = asyncio.get_running_loop()
        # In the order in which they are due, as all wait equally long.
        self._due: dict[Alarm, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def set(self, alarm: Alarm) -> None:
        """Call the alarm once its time is up; it must not be set already."""
        self._due[alarm] = due = self._loop.time() + self.seconds
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._ring)

    def call_off(self, alarm: Alarm) -> None:
        """Do not call the alarm; nothing if it was called or never set."""
        self._due.pop(alarm, None)

    def _ring(self) -> None:
        now = self._loop.time()
        try:
            # Called here and not soon: what is called off in this turn of the loop stays silent.
            while (first := next(iter(self._due.items()), None)) and first[1] <= now:
                del self._due[first[0]]
                first[0]()
        finally:
            due = next(iter(self._due.values()), None)
            self._timer = None if due is None else self._loop.call_at(due, self._ring)
