"""What the replay upstream saw: counts, ends and cancellations, and the last requests whole.

Times are CLOCK_MONOTONIC in nanoseconds, which all processes of a machine share, so a test may
subtract the moment of its own cut from the moment of the notice.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any

ENDED_CALLS_KEPT = 2000
REQUESTS_KEPT = 64

RUNNING = "running"
COMPLETE = "complete"
CUT = "cut"
CANCELLED = "cancelled"


@dataclass(slots=True)
class Call:
    """One request; `outcome` is running, complete, cut (by us) or cancelled (by the client)."""

    stem: str
    status: int
    request_bytes: int
    started_ns: int
    outcome: str = RUNNING
    events_sent: int = 0
    bytes_sent: int = 0
    last_write_ns: int = 0
    ended_ns: int = 0

    def sent(self, size_bytes: int) -> None:
        """Count a write of body bytes."""
        self.bytes_sent += size_bytes
        self.last_write_ns = time.monotonic_ns()


class CallLog:
    """The memory of one replay process, bounded."""

    def __init__(self) -> None:
        """Begin empty."""
        self.reset()

    def reset(self) -> None:
        """Forget everything; calls that still run are not forgotten when they end."""
        self._counts: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._unmatched = 0
        self._running: set[int] = set()
        self._ended: deque[Call] = deque(maxlen=ENDED_CALLS_KEPT)
        self._requests: deque[dict[str, Any]] = deque(maxlen=REQUESTS_KEPT)

    def request(self, stem: str | None, path: str, headers: dict[bytes, bytes], body: Any) -> None:
        """Keep a request as it came; `stem` is None where no recording answers it."""
        named = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
        self._requests.append({"stem": stem, "path": path, "headers": named, "body": body})
        if stem is None:
            self._unmatched += 1

    def begin(self, stem: str, status: int, request_bytes: int) -> Call:
        """Count a call that is about to be answered."""
        call = Call(stem, status, request_bytes, time.monotonic_ns())
        self._counts[stem] += 1
        self._running.add(id(call))
        return call

    def end(self, call: Call, outcome: str) -> None:
        """Record how the call ended, and when that was known."""
        call.outcome = outcome
        call.ended_ns = time.monotonic_ns()
        self._outcomes[outcome] += 1
        self._running.discard(id(call))
        self._ended.append(call)

    def as_json(self) -> dict[str, Any]:
        """Give everything for the control endpoint."""
        return {
            "counts": dict(self._counts),
            "outcomes": dict(self._outcomes),
            "unmatched": self._unmatched,
            "running": len(self._running),
            "ended": [asdict(call) for call in self._ended],
            "requests": list(self._requests),
        }
