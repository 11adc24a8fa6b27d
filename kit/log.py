"""Logs by allow-list: an event's name and fields that cannot hold content.

A field is an integer, a boolean, an enum or a short id-like word. Anything else is replaced by `?`
and counted, so that a mistake loses a field and never leaks one (P1).
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from enum import Enum
from pathlib import Path
from typing import Final, TextIO

from kit.clock import Clock, SystemClock, now

_WORD = re.compile(r"^[A-Za-z0-9_.:/-]{1,64}$", re.ASCII)
_NAME = re.compile(r"^[a-z][a-z0-9_]{1,63}$", re.ASCII)
_FRAMES: Final = 6

Field = int | bool | str | Enum | None


class EventLog:
    """Writes one JSON line an event."""

    def __init__(
        self, service: str, *, stream: TextIO | None = None, clock: Clock | None = None
    ) -> None:
        """Write to the stream (standard error by default) as the named service."""
        self._service = service
        self._stream = stream or sys.stderr
        self._clock = clock or SystemClock()
        self.dropped_fields = 0
        self.lost_lines = 0

    def event(self, name: str, **fields: Field) -> None:
        """Write an event with its fields; a line that cannot be written is lost and counted.

        A full disk must not end the work that the line tells of, least of all its own handling.
        """
        line: dict[str, object] = {
            "time": now(self._clock).isoformat(timespec="milliseconds"),
            "service": self._service,
            "event": name if _NAME.fullmatch(name) else "?",
        }
        line.update({key: self._allowed(value) for key, value in fields.items()})
        try:
            self._stream.write(json.dumps(line, separators=(",", ":")) + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # no room, nobody reads, or the stream is closed
            self.lost_lines += 1

    def fault(self, name: str, exception: BaseException, **fields: Field) -> None:
        """Write an exception by its type and the places it passed, never by its text."""
        frames = traceback.extract_tb(exception.__traceback__)[-_FRAMES:]
        places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames]
        self.event(
            name,
            exception=type(exception).__name__,
            **{f"at{index}": place for index, place in enumerate(reversed(places))},
            **fields,
        )

    def _allowed(self, value: object) -> object:
        # Whatever the types say: a caller that ignored them must still not leak.
        if isinstance(value, Enum):
            value = value.name
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, str) and _WORD.fullmatch(value):
            return value
        self.dropped_fields += 1
        return "?"


def silence_libraries() -> None:
    """Stop libraries from writing logs of their own: their texts may hold content."""
    root = logging.getLogger()
    root.handlers[:] = [logging.NullHandler()]
    root.setLevel(logging.CRITICAL + 1)
    logging.lastResort = None
    # A library that configures its own logger is silenced as well.
    logging.disable(logging.CRITICAL)
