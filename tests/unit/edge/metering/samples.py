"""Made-up requests, and a reporter that stands for core's direct line."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge.metering.errors import OutcomeNotDurable, SpoolFull
from edge.metering.frames import FRAME_BYTES, Fault, Frame, decode
from edge.metering.records import Attempt, Intent, Outcome
from edge.metering.segment import segment_paths
from edge.metering.spool import Spool, SpoolLimits
from edge.metering.ticket import Ticket
from kit.charge import Price, PriceTier, quantities
from kit.ids import new_request_id

SMALL = SpoolLimits(max_bytes=8 * 8 * FRAME_BYTES, segment_frames=8)
"""Eight segments of eight frames."""

PRICE = Price(1, 1, 1, 0, (PriceTier(0, (0, 0, 0, 0, 2_000_000, *(0,) * 7)),))
"""Two nano-dollars an output token."""


def an_intent(**values: Any) -> Intent:
    """Return a new request's intent."""
    fields: dict[str, Any] = {
        "request_id": new_request_id(),
        "workspace_id": b"w" * 16,
        "key_id": b"k" * 16,
        "started_at_micros": 1_764_000_000_000_000,
        "model_number": 3,
        "requested_lane": 1,
        "served_lane": 2,
        "endpoint": 1,
        "streamed": True,
        "price_version": 7,
        "hold_nanos": 10**9,
        "upstream_number": 4,
    }
    return Intent(**(fields | values))


def an_outcome(intent: Intent, **values: Any) -> Outcome:
    """Return a plausible outcome of a request."""
    fields: dict[str, Any] = {
        "outcome": 1,
        "quantities": quantities(input=11, output=22),
        "charge_nanos": 44,
        "usage_source": 1,
        "finish_reason": 1,
        "http_status": 200,
        "first_token_ms": 120,
        "total_ms": 900,
        "delivered_events": 22,
        "attempts": (Attempt(4, 200, 0, 1, 890),),
        "data_policy": 2,
    }
    return Outcome.of(intent, **(fields | values))


class DirectLine:
    """Takes outcomes as core would, or refuses them all."""

    def __init__(self, *, refuse: bool = False) -> None:
        self.refuse = refuse
        self.taken: list[Outcome] = []

    async def report(self, outcome: Outcome) -> None:
        """Take the outcome."""
        if self.refuse:
            raise OutcomeNotDurable
        self.taken.append(outcome)


class BrokenDisk:
    """An fdatasync that can be made to fail, and counts its calls."""

    def __init__(self) -> None:
        self.broken = False
        self.calls = 0

    def sync(self, descriptor: int) -> None:
        """Sync, or fail as a broken disk does."""
        self.calls += 1
        if self.broken:
            raise OSError(5, "input/output error")
        os.fdatasync(descriptor)


SpoolFactory = Callable[..., Spool]


def frames_in(folder: Path) -> list[Frame]:
    """Return the good frames of a spool folder in order."""
    found: list[Frame] = []
    for path in segment_paths(folder):
        raw = path.read_bytes()
        for offset in range(0, len(raw), FRAME_BYTES):
            frame = decode(raw[offset : offset + FRAME_BYTES])
            if not isinstance(frame, Fault):
                found.append(frame)
    return found


async def serve_requests(spool: Spool, count: int) -> list[Outcome]:
    """Run requests through a spool, one after another, and return their outcomes."""
    outcomes = []
    for _ in range(count):
        intent = an_intent()
        outcomes.append(an_outcome(intent))
        await spool.finish(spool.begin(intent), outcomes[-1])
    return outcomes


async def eventually(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; the test's time limit ends a wait in vain."""
    while True:
        if condition():
            return
        await asyncio.sleep(0.005)


def fill(spool: Spool) -> list[Ticket]:
    """Begin requests until the spool takes no more."""
    tickets = []
    with suppress(SpoolFull):
        while True:
            tickets.append(spool.begin(an_intent()))
    return tickets
