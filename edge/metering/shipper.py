"""Ships durable outcomes to core: batches up, acknowledgements down, again until acknowledged."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

import grpc

from edge.metering.batches import MAX_BATCH_RECORDS, Source, cut_batch
from edge.metering.quarantine import Origin, Quarantine, QuarantineEntry
from kit.log import EventLog
from oneapi.metering.v1.metering_service_pb2 import (
    RecordUsageRequest,
    RecordUsageResponse,
    RejectedRecord,
)

if TYPE_CHECKING:
    from oneapi.metering.v1.metering_service_pb2_grpc import MeteringServiceAsyncStub

    Call = grpc.aio.StreamStreamCall[RecordUsageRequest, RecordUsageResponse]

GATHER_SECONDS: Final = 0.05
"""A batch costs edge and core more than its records: few large ones, well within a second."""
MAX_BATCHES_IN_FLIGHT: Final = 8
ACK_SECONDS: Final = 10.0
BACKOFF_FIRST_SECONDS: Final = 0.05
BACKOFF_MAX_SECONDS: Final = 5.0
FRAMES_PER_REQUEST: Final = 2
"""The least: an intent and an outcome."""


class _Flight(NamedTuple):
    """A batch that core has not acknowledged yet."""

    through: int
    records: int
    lost: int
    sent_at: float


class Shipper:
    """Keeps one stream to core for one edge and epoch."""

    def __init__(
        self,
        source: Source,
        stub: MeteringServiceAsyncStub,
        quarantine: Quarantine,
        *,
        log: EventLog,
        ack_seconds: float = ACK_SECONDS,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Ship what the source has durable; `jitter` gives numbers from 0 to 1."""
        self._log = log
        self._source = source
        self._stub = stub
        self._quarantine = quarantine
        self._ack_seconds = ack_seconds
        self._jitter = jitter
        self._flights: deque[_Flight] = deque()
        self._sent = 0
        self._failures = 0
        self._acknowledged = asyncio.Event()

    async def run(self) -> None:
        """Ship until cancelled; whatever breaks the stream, it starts again where core stands."""
        while True:
            try:
                await self._stream()
            except (grpc.RpcError, asyncio.InvalidStateError):
                pass  # core is away, which the backlog shows
            except Exception as error:  # noqa: BLE001  whatever it was, what is left must be shipped
                self._log.fault("shipping_fault", error, **self._place)
            self._source.counters.streams_broken += 1
            await asyncio.sleep(self._backoff_seconds())

    async def drain(self) -> None:
        """Return when core has everything that is durable now."""
        target = self._source.durable
        while self._source.acked < target:
            self._acknowledged.clear()
            await self._acknowledged.wait()

    @property
    def _place(self) -> dict[str, int]:
        return {"edge_id": self._source.edge_id, "epoch": self._source.epoch}

    def _backoff_seconds(self) -> float:
        bound = min(BACKOFF_MAX_SECONDS, BACKOFF_FIRST_SECONDS * (1 << min(self._failures, 16)))
        self._failures += 1
        return bound * (0.5 + self._jitter() / 2)

    async def _stream(self) -> None:
        """Run one stream until one of its three parts ends."""
        self._flights.clear()
        self._sent = self._source.acked
        # There is nothing to open a stream for until something is durable.
        await self._source.wait_beyond(self._sent)
        call: Call = self._stub.RecordUsage()
        parts = [
            asyncio.create_task(part)
            for part in (self._send(call), self._receive(call), self._watch())
        ]
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            call.cancel()
            for part in parts:
                part.cancel()
            ended = await asyncio.gather(*parts, return_exceptions=True)
        for result in ended:
            if isinstance(result, Exception):
                raise result

    async def _send(self, call: Call) -> None:
        for position in itertools.count(1):
            await self._source.wait_beyond(self._sent)
            await self._gather()
            await self._window()
            batch = await cut_batch(self._source, self._sent + 1, self._quarantine)
            self._sent = batch.through
            request = batch.request
            request.stream_position = position
            self._flights.append(
                _Flight(batch.through, len(request.records), request.lost_frames, _now())
            )
            await call.write(request)

    async def _gather(self) -> None:
        """Let a batch fill for 50 ms, unless a full one is there already."""
        if self._source.durable - self._sent < FRAMES_PER_REQUEST * MAX_BATCH_RECORDS:
            await asyncio.sleep(GATHER_SECONDS)

    async def _window(self) -> None:
        while len(self._flights) >= MAX_BATCHES_IN_FLIGHT:
            self._acknowledged.clear()
            await self._acknowledged.wait()

    async def _receive(self, call: Call) -> None:
        while True:
            answer = await call.read()
            if not isinstance(answer, RecordUsageResponse):
                return  # the end of the stream
            for refused in answer.rejected:
                await self._set_aside(refused)
            self._take(answer.through_sequence)

    def _take(self, through: int) -> None:
        """Believe an acknowledgement as far as something was sent."""
        through = min(through, self._sent)
        while self._flights and self._flights[0].through <= through:
            landed = self._flights.popleft()
            self._source.counters.shipped += landed.records
            self._failures = 0
            if landed.lost:
                self._source.counters.lost += landed.lost
                self._log.event("frames_lost", frames=landed.lost, **self._place)
        self._source.acknowledge(through)
        self._acknowledged.set()

    async def _set_aside(self, refused: RejectedRecord) -> None:
        if not self._source.acked < refused.sequence <= self._sent:
            return
        self._source.counters.rejected += 1
        where = {"sequence": refused.sequence, **self._place}
        self._log.event("record_rejected", reason=refused.reason, **where)
        frame = self._source.read(refused.sequence, 1)
        entry = QuarantineEntry(Origin.CORE, refused.reason, frame)
        entries = [(refused.sequence, entry)]
        await asyncio.to_thread(self._quarantine.add, self._source.epoch, entries)

    async def _watch(self) -> None:
        """End the stream when core holds a batch for too long without a word."""
        while True:
            await asyncio.sleep(self._ack_seconds / 10)
            if self._is_stalled():
                return

    def _is_stalled(self) -> bool:
        return len(self._flights) > 0 and _now() - self._flights[0].sent_at > self._ack_seconds


def _now() -> float:
    return asyncio.get_running_loop().time()
