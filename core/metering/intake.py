"""The intake: batches of an edge's stream in, acknowledgements out, in order.

A record is classified before anything is written; refused ones never hold the others up. A batch is
acknowledged when every writer has committed its part and the spool's progress is written, so the
edge may forget it then.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final

from core.db.database import Pool
from core.metering import spool_progress, store
from core.metering.batches import Batch, SpoolRange
from core.metering.messages import record_of
from core.metering.model import figure_of, refusal_of
from core.metering.prices import PriceBook
from core.metering.settle import Reported, Verdict
from core.metering.writers import Work, Writers
from kit.clock import Clock, now, now_micros
from kit.ids import IdSource
from kit.log import EventLog
from kit.money import InvalidAmountError
from kit.reasons import Unavailable
from oneapi.common.v1.error_reason_pb2 import ErrorReason
from oneapi.metering.v1 import metering_service_pb2 as pb

BATCHES_IN_FLIGHT_MAX: Final = 16
"""Of one stream; further ones wait in the network."""


class Intake:
    """Takes the usage records of all edges that report to this core."""

    def __init__(self, pool: Pool, clock: Clock, ids: IdSource, log: EventLog) -> None:
        """Write through the pool; `start` comes first."""
        self._pool = pool
        self._clock = clock
        self._ids = ids
        self._prices = PriceBook()
        self._writers = Writers(pool, clock, ids, log)
        self._readers: set[asyncio.Task[None]] = set()
        self._retired = False

    def start(self) -> None:
        """Start the writers."""
        self._writers.start()

    def retire(self) -> None:
        """Take no more batches: acknowledge those that are here, then end the streams.

        Edges open the next stream to whoever serves then.
        """
        self._retired = True
        for reader in self._readers:
            reader.cancel()

    async def stop(self) -> None:
        """Stop the writers; what was not acknowledged comes again."""
        await self._writers.stop()

    async def take(
        self, requests: AsyncIterator[pb.RecordUsageRequest]
    ) -> AsyncIterator[pb.RecordUsageResponse]:
        """Take the batches of one stream and acknowledge each, in order.

        Raises:
            InvalidArgument: a message breaks its contract.
            Unavailable: the database is away, or this core stops; what was not acknowledged is
                to be sent again.
        """
        if self._retired:
            raise Unavailable(cause="stopping")
        stream = _InFlight()
        reader = asyncio.create_task(self._read(requests, stream))
        self._readers.add(reader)
        reader.add_done_callback(self._readers.discard)
        unknown: set[tuple[int, int]] = set()
        try:
            while batches := await stream.next_done():
                await self._advance(batches, unknown)
                for batch in batches:
                    yield self._response(batch)
                    stream.answered()
            await asyncio.wait([reader])
            if not reader.cancelled():
                reader.result()
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _read(
        self, requests: AsyncIterator[pb.RecordUsageRequest], stream: _InFlight
    ) -> None:
        position = 0
        try:
            async for request in requests:
                position = _next_position(position, request.stream_position)
                batch = Batch.of(request)
                await stream.wait_for_room()
                await self._distribute(batch, request)
                stream.put(batch)
        finally:
            stream.put(None)

    async def _distribute(self, batch: Batch, request: pb.RecordUsageRequest) -> None:
        verdict = Verdict()
        await self._load_prices(request)
        accepted = self._classify(batch, request, verdict)
        if verdict.refused:
            await self._write_alarms(verdict)
            for reported, reason in verdict.refused:
                batch.refuse(reported, reason)
        batch.expect(len(accepted))
        self._writers.submit([Work(reported, batch) for reported in accepted])

    def _classify(
        self, batch: Batch, request: pb.RecordUsageRequest, verdict: Verdict
    ) -> list[Reported]:
        now_ms = self._clock.now_ns() // 1_000_000
        accepted = []
        for each in request.records:
            record = record_of(each.record)
            figure = None
            reason = refusal_of(record, now_ms)
            if reason is None:
                with contextlib.suppress(InvalidAmountError):
                    figure = figure_of(record, self._prices.get(record.price_version))
            reported = Reported(
                record=record,
                edge_id=batch.edge_id,
                epoch=batch.epoch,
                sequence=each.sequence,
                edge_figure=each.record.charge_nanos,
                figure=figure or 0,
            )
            if figure is None:
                verdict.refuse(reported, reason or ErrorReason.ERROR_REASON_RECORD_INVALID)
            else:
                accepted.append(reported)
        return accepted

    async def _load_prices(self, request: pb.RecordUsageRequest) -> None:
        numbers = {each.record.price_version for each in request.records}
        missing = self._prices.missing(number for number in numbers if number < 2**31)
        if missing:
            async with self._pool.transaction("system") as tx:
                await self._prices.load(tx, missing)

    async def _write_alarms(self, verdict: Verdict) -> None:
        async with self._pool.transaction("system") as tx:
            await store.insert_alarms(tx, verdict.alarms, self._ids, now(self._clock))
            await tx.commit()

    async def _advance(self, batches: Sequence[Batch], unknown: set[tuple[int, int]]) -> None:
        for process, ranges in _ranges(batches).items():
            if process in unknown:
                continue
            async with self._pool.transaction("system") as tx:
                known = await spool_progress.advance(
                    tx, *process, ranges, ids=self._ids, now=now(self._clock)
                )
                await tx.commit()
            if not known:
                unknown.add(process)

    def _response(self, batch: Batch) -> pb.RecordUsageResponse:
        return pb.RecordUsageResponse(
            through_sequence=batch.spool_range.through,
            rejected=batch.refused,
            server_time_micros=now_micros(self._clock),
        )


class _InFlight:
    """The batches of one stream that were not answered yet, in order."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Batch | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(BATCHES_IN_FLIGHT_MAX)
        self._next: Batch | None = None
        self._ended = False

    async def wait_for_room(self) -> None:
        await self._room.acquire()

    def put(self, batch: Batch | None) -> None:
        self._queue.put_nowait(batch)

    def answered(self) -> None:
        self._room.release()

    async def next_done(self) -> list[Batch]:
        """Wait for the next batch; return it with those behind it that are done; [] at the end.

        Raises:
            Unavailable: the batch could not be written now.
        """
        if self._next is None:
            await self._take()
        done: list[Batch] = []
        while self._next is not None and (not done or self._next.done.is_set()):
            await self._next.done.wait()
            if self._next.failure is not None:
                raise self._next.failure
            done.append(self._next)
            self._next = None
            if not self._queue.empty():
                await self._take()
        return done

    async def _take(self) -> None:
        if not self._ended:
            self._next = await self._queue.get()
            self._ended = self._next is None


def _next_position(position: int, found: int) -> int:
    """Return how far a stream is after a batch; one that comes twice changes nothing.

    Raises:
        Unavailable: a batch is missing or was overtaken. An acknowledgement of this one would cover
            that one as well, and the edge would forget it.
    """
    if found > position + 1:
        raise Unavailable(cause="batch_order")
    return max(position, found)


def _ranges(
    batches: Iterable[Batch],
) -> dict[tuple[int, int], list[SpoolRange]]:
    found: dict[tuple[int, int], list[SpoolRange]] = defaultdict(list)
    for batch in batches:
        if not batch.spool_range.is_empty:
            found[batch.edge_id, batch.epoch].append(batch.spool_range)
    return found
