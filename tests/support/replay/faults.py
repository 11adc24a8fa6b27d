"""What can go wrong with a replayed answer, and for how many calls it shall."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, fields
from typing import Any

ANY = "*"


class UnknownFaultError(Exception):
    """The control request names an unknown fault, or gives one a value of another type."""


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults of one answer; events and bytes are counted in the body, before any framing."""

    times: int | None = None
    """Apply to so many calls, then answer well; None: to all."""
    slow_headers_ms: int = 0
    pace_ms: int = 0
    """Pause between two events."""
    status: int | None = None
    """Answer with this error status instead."""
    retry_after_seconds: int | None = None
    reset: bool = False
    """RST as soon as the request is read."""
    stall_at_event: int | None = None
    """Send so many events, then nothing more on an open connection."""
    cut_at_event: int | None = None
    cut_at_byte: int | None = None
    cut_reset: bool = False
    """A cut is an RST rather than a FIN."""
    garbage_at_event: int | None = None
    """Put an event of broken JSON and invalid UTF-8 before this one; a whole body becomes that."""
    broken_chunk_at_event: int | None = None
    """Break HTTP's chunk framing before this event."""
    omit_usage: bool = False
    usage_beside_choice: bool = False
    """Usage comes in a chunk that still has a choice."""
    omit_last_event: bool = False
    """Leave out `[DONE]`, or what else ends the stream, but end the body properly."""
    duplicate_last_event: bool = False
    endless: bool = False
    """Repeat the second event until the client leaves."""
    gzip: bool = False
    one_byte_chunks: bool = False
    usage_json: str | None = None
    """Put this JSON, valid or not so very, in the place of every usage object."""
    raw_answer: str | None = None
    """Send these bytes (as latin-1), head and all, instead of the answer; then hang up."""
    raw_repeat: str | None = None
    """After the raw answer, send these again and again until the client leaves."""
    content_type: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    """More headers for the answer."""

    @classmethod
    def from_json(cls, value: Any) -> Faults:
        """Read a control request's object; raises UnknownFaultError."""
        defaults = cls()
        names = {one.name for one in fields(cls)}
        if not isinstance(value, dict) or not value.keys() <= names:
            raise UnknownFaultError
        for name, given in value.items():
            default = getattr(defaults, name)
            expected = _EXPECTED.get(name) or type(default)
            if type(given) is not expected:
                raise UnknownFaultError
        return cls(**value)


_EXPECTED: dict[str, type] = {
    "times": int,
    "status": int,
    "retry_after_seconds": int,
    "stall_at_event": int,
    "cut_at_event": int,
    "cut_at_byte": int,
    "garbage_at_event": int,
    "broken_chunk_at_event": int,
    "content_type": str,
    "usage_json": str,
    "raw_answer": str,
    "raw_repeat": str,
}

NONE = Faults()


class FaultBook:
    """The faults in force, by recording or for any."""

    def __init__(self) -> None:
        """Begin without faults."""
        self._faults: dict[str, deque[Faults]] = {}
        self._left: dict[str, int | None] = {}

    def set(self, entries: Any) -> None:
        """Replace the faults of the named recordings; null takes them away.

        A list gives one answer's faults after the other; the last of them stays in force.
        """
        if not isinstance(entries, dict):
            raise UnknownFaultError
        read = {stem: _sequence(value) for stem, value in entries.items()}
        for stem, faults in read.items():
            self._faults.pop(stem, None)
            if faults:
                self._faults[stem] = faults
                self._left[stem] = faults[0].times

    def clear(self) -> None:
        """Take all faults away."""
        self._faults.clear()

    def take(self, stem: str) -> Faults:
        """Give the faults of one call, those of its recording before those of any."""
        for name in (stem, ANY):
            faults = self._faults.get(name)
            if faults is None:
                continue
            if len(faults) > 1:
                return faults.popleft()
            left = self._left[name]
            if left is None:
                return faults[0]
            if left > 0:
                self._left[name] = left - 1
                return faults[0]
        return NONE


def _sequence(value: Any) -> deque[Faults]:
    if value is None:
        return deque()
    each = value if isinstance(value, list) else [value]
    return deque(Faults.from_json(one) for one in each)
