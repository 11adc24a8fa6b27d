"""The spool of one edge and epoch: each accepted request is here before its upstream is contacted,
and its outcome is durable here before the client gets the last byte.

`begin` reserves the frame of the outcome and its room on the disk, so that a running request can
always be recorded; when the cap leaves no room, new requests are refused instead. Segments go from
the front only: were a later one to go while an earlier one stays, a crash would find an intent
whose outcome was forgotten, and report it a second time.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from edge.metering.commit import GroupCommit, Job, Sync
from edge.metering.counters import Counters, SpoolState, SpoolStats
from edge.metering.direct import Reporter
from edge.metering.errors import (
    InvalidRecordError,
    OutcomeNotDurable,
    SpoolFull,
    SpoolUnavailable,
)
from edge.metering.frame_log import FrameLog
from edge.metering.frames import FRAME_BYTES
from edge.metering.records import Checkpoint, Intent, Outcome, Withdrawn
from edge.metering.segment import SEGMENT_FRAMES, Segment
from edge.metering.ticket import Ticket
from kit.charge import Price

MIN_SEGMENTS: Final = 2
CHECKPOINT_SECONDS: Final = 1.0
CARRY_AT_ONCE: Final = 256
CARRY_ABOVE: Final = 4
"""Intents are carried forward once more than a quarter of the cap is in use."""


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """How large the spool may become, and in what pieces."""

    max_bytes: int = 256 * 1024 * 1024
    segment_frames: int = SEGMENT_FRAMES

    @property
    def max_segments(self) -> int:
        """Return how many segments fit: one is written while another waits to be acknowledged."""
        return max(MIN_SEGMENTS, self.max_bytes // (self.segment_frames * FRAME_BYTES))


DEFAULT_LIMITS: Final = SpoolLimits()


class Spool:
    """Appends frames, makes outcomes durable and forgets what core has acknowledged."""

    def __init__(
        self,
        folder: Path,
        edge_id: int,
        epoch: int,
        *,
        reporter: Reporter,
        counters: Counters | None = None,
        limits: SpoolLimits = DEFAULT_LIMITS,
        sync: Sync = os.fdatasync,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start an empty spool in a new folder; needs a running loop.

        Raises:
            SpoolInUse: the folder exists: this epoch has had a spool.
            SpoolFull: the disk has no room for the first segment.
            OSError: the disk failed.
        """
        self.edge_id = edge_id
        self.epoch = epoch
        self.counters = counters or Counters()
        self._limits = limits
        self._log = FrameLog(
            folder,
            edge_id,
            epoch,
            segment_frames=limits.segment_frames,
            max_segments=limits.max_segments,
            monotonic=monotonic,
        )
        self.on_failed: Callable[[], None] = lambda: None
        """Called once, when the disk failed."""
        self._reporter = reporter
        self._monotonic = monotonic
        self._state = SpoolState.OPEN
        self._durable = 0
        self._acked = 0
        self._open: dict[bytes, Ticket] = {}
        self._advanced = asyncio.Event()
        self._reports: set[asyncio.Task[None]] = set()
        self._commit = GroupCommit(self._log.collect, self._committed, sync=sync)

    # --- the path of a request

    def begin(self, intent: Intent, price: Price | None = None) -> Ticket:
        """Write the INTENT and reserve the frame of its outcome. From here the request is accepted.

        The price turns checkpoints into a charge, should this process die.

        Raises:
            SpoolFull: there is no room for another request.
            SpoolUnavailable: the disk failed, or the spool is closed.
            InvalidRecordError: the intent does not fit its frame, or its request runs already.
        """
        if self._state is not SpoolState.OPEN:
            raise SpoolUnavailable
        if intent.request_id in self._open:
            raise InvalidRecordError
        self._append(intent, room=2)
        ticket = Ticket(intent, price, self._log.active)
        self._open[intent.request_id] = ticket
        return ticket

    def is_checkpoint_due(self, ticket: Ticket) -> bool:
        """Return whether `checkpoint` would note something now."""
        return self._monotonic() >= ticket.next_checkpoint

    def checkpoint(
        self, ticket: Ticket, output_tokens_estimate: int, delivered_events: int
    ) -> None:
        """Note what a stream has delivered, at most once a second; never fails a request."""
        now = self._monotonic()
        if ticket.finished or now < ticket.next_checkpoint or self._state is SpoolState.FAILED:
            return
        ticket.next_checkpoint = now + CHECKPOINT_SECONDS
        try:
            self._append(ticket.noted(output_tokens_estimate, delivered_events), room=1)
        except (SpoolFull, SpoolUnavailable, InvalidRecordError):
            self.counters.checkpoints_skipped += 1

    async def finish(self, ticket: Ticket, outcome: Outcome) -> None:
        """Return when the outcome is durable here or, if the disk failed, in core.

        The frame is written at once: a caller that is cancelled while it waits loses nothing.

        Raises:
            OutcomeNotDurable: neither took it; the request will be resolved as an edge crash.
            InvalidRecordError: the outcome is another request's, came before, or does not fit.
        """
        if ticket.finished or outcome.request_id != ticket.intent.request_id:
            raise InvalidRecordError
        sequence = self._append_outcome(ticket, outcome)
        if sequence is not None and await self._commit.durable():
            return
        report = asyncio.create_task(self._report(outcome, sequence))
        self._reports.add(report)
        report.add_done_callback(self._reported)
        await asyncio.shield(report)

    # --- what the shipper sees

    @property
    def durable(self) -> int:
        """Return the sequence up to which everything is durable."""
        return self._durable

    @property
    def acked(self) -> int:
        """Return the sequence up to which core has everything."""
        return self._acked

    async def wait_beyond(self, sequence: int) -> None:
        """Return when something after the sequence is durable."""
        while self._durable <= sequence:
            self._advanced.clear()
            await self._advanced.wait()

    def read(self, sequence: int, count: int) -> bytes:
        """Return between 1 and `count` frames from a sequence that is not acknowledged yet.

        Raises:
            OSError: the file cannot be read.
        """
        return self._log.read(sequence, count)

    def acknowledge(self, sequence: int) -> None:
        """Forget everything up to a sequence, which core has made durable."""
        self._acked = max(self._acked, min(sequence, self._durable))
        self._forget()

    # --- the rest of its life

    def stats(self) -> SpoolStats:
        """Return the spool's figures for metrics."""
        return SpoolStats(
            state=self._state,
            appended=self._log.last,
            durable=self._durable,
            acked=self._acked,
            open_intents=len(self._open),
            bytes=self._log.size,
            max_bytes=self._limits.max_bytes,
            quarantined=self.counters.quarantined,
            lost=self.counters.lost,
        )

    def refuse_requests(self) -> None:
        """Take no new requests; running ones still finish."""
        if self._state is SpoolState.OPEN:
            self._state = SpoolState.CLOSED

    async def flush(self) -> bool:
        """Make all that was written durable; False if the disk failed."""
        while self._durable < self._log.last:
            if not await self._commit.durable():
                return False
        return True

    def is_idle(self) -> bool:
        """Return whether no request runs and no report is under way."""
        return not self._open and not self._reports

    def is_settled(self) -> bool:
        """Return whether core has everything: nothing runs, the last frame is acknowledged."""
        return self.is_idle() and self._acked == self._log.last

    async def close(self) -> None:
        """Stop the sync thread and close the files; what core lacks is left to an adopter."""
        self.refuse_requests()
        await self._commit.close()
        if self._reports:
            await asyncio.wait(self._reports)
        self._log.close()

    # --- writing and durability

    def _append(self, body: Intent | Checkpoint, room: int) -> int:
        """Append a frame into room beside what running requests have reserved."""
        try:
            self._log.make_room(len(self._open) + room)
            return self._log.append(body)
        except OSError:
            self._fail()
            raise SpoolUnavailable from None

    def _append_outcome(self, ticket: Ticket, outcome: Outcome) -> int | None:
        """Append into the reserved frame; None if the disk failed."""
        sequence = None
        try:
            sequence = self._log.append(outcome)
        except OSError:
            self._fail()
        ticket.finished = True
        del self._open[ticket.intent.request_id]
        # A lost frame never becomes durable: the intent's segment then stays for an adopter.
        ticket.leave_segment(self._log.last + 1 if sequence is None else sequence)
        return sequence

    def _fail(self) -> None:
        """Trust this disk no more; what runs is reported to core."""
        if self._state is not SpoolState.FAILED:
            self._state = SpoolState.FAILED
            self.on_failed()

    def _committed(self, job: Job, durable: bool) -> None:  # noqa: FBT001  a callback's answer
        if not durable:
            self._fail()
            return
        self._durable = job.through
        self._advanced.set()
        self._forget()

    async def _report(self, outcome: Outcome, sequence: int | None) -> None:
        try:
            await self._reporter.report(outcome)
        except OutcomeNotDurable:
            self.counters.not_durable += 1
            self._withdraw(outcome.request_id, sequence)
            raise
        self.counters.reported_directly += 1

    def _withdraw(self, request_id: bytes, sequence: int | None) -> None:
        """Take back an outcome whose client was told of a failure: no adopter may charge it."""
        if sequence is None:
            return
        # If the disk refuses even this, what it shows later was never acknowledged to anybody.
        with suppress(OSError):
            self._log.replace(sequence, Withdrawn(request_id))

    def _reported(self, task: asyncio.Task[None]) -> None:
        self._reports.discard(task)
        if not task.cancelled():
            task.exception()  # noted as retrieved: the finisher may have been cancelled

    # --- forgetting

    def _forget(self) -> None:
        try:
            while self._may_forget(self._log.oldest):
                self._log.drop_oldest()
        except OSError:
            # A disk that cannot forget is not trusted with new requests either.
            self._fail()
        if self._is_pinned(self._log.oldest):
            self._carry(self._log.oldest)

    def _may_forget(self, segment: Segment) -> bool:
        return (
            self._state is not SpoolState.FAILED
            and segment is not self._log.active
            and segment.last <= self._acked
            and segment.open_intents == 0
            and segment.released_through <= self._durable
        )

    def _is_pinned(self, segment: Segment) -> bool:
        return (
            self._state is not SpoolState.FAILED
            and segment is not self._log.active
            and segment.last <= self._acked
            and segment.open_intents > 0
            and self._log.segments * CARRY_ABOVE > self._limits.max_segments
        )

    def _carry(self, oldest: Segment) -> None:
        """Write the intents that pin the oldest segment again, so that it can go."""
        pinning = [ticket for ticket in self._open.values() if ticket.segment is oldest]
        with suppress(SpoolFull, SpoolUnavailable):
            for ticket in islice(pinning, CARRY_AT_ONCE):
                self._carry_one(ticket)
                self._commit.request()

    def _carry_one(self, ticket: Ticket) -> None:
        sequence = self._append(ticket.intent, room=2)
        ticket.enter_segment(self._log.active, sequence)
        self.counters.intents_carried += 1
        if ticket.checkpoint is not None:
            self._append(ticket.checkpoint, room=1)
