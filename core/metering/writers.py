"""Writers: each wallet's records go to one of them, which writes them in small transactions.

More writers on one wallet make it slower, so a wallet always goes to the same one. A writer takes
what has gathered for a wallet and month, at most 500 records, after at most 10 ms: the busier, the
larger the transactions.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import psycopg
from sqlalchemy import exc

from core.db.database import Pool
from core.metering import partitions, store
from core.metering.batches import Batch
from core.metering.settle import Reported, Verdict, refusal_alarm, settle_group
from kit.clock import Clock, now
from kit.ids import IdSource
from kit.log import EventLog
from kit.reasons import Unavailable
from oneapi.common.v1.error_reason_pb2 import ErrorReason

WRITERS: Final = 4
GROUP_MAX: Final = 500
GATHER_SECONDS: Final = 0.01
RETRY_FIRST_SECONDS: Final = 0.02
RETRY_LAST_SECONDS: Final = 1.0
GIVE_UP_SECONDS: Final = 10.0
"""After this long without the database the batch fails and the edge sends it again."""

_Place = tuple[bytes, date]


@dataclass(frozen=True, slots=True)
class Work:
    """A record and the batch that waits for it."""

    reported: Reported
    batch: Batch


class Writers:
    """The writers of one core process. Use `async with`, or `start` and `stop`."""

    def __init__(
        self, pool: Pool, clock: Clock, ids: IdSource, log: EventLog, count: int = WRITERS
    ) -> None:
        """Write through the pool, which should have a connection for each writer."""
        self._writers = [_Writer(pool, clock, ids, log) for _ in range(count)]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the writers."""
        self._tasks = [asyncio.create_task(writer.run()) for writer in self._writers]

    async def stop(self) -> None:
        """Stop the writers; batches that are not written fail and are sent again."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for writer in self._writers:
            writer.fail_all()

    def submit(self, works: Sequence[Work]) -> None:
        """Hand records over; whoever does so bounds how many are in flight."""
        for work in works:
            record = work.reported.record
            writer = self._writers[record.workspace_id[-1] % len(self._writers)]
            writer.add(work)


class _Writer:
    def __init__(self, pool: Pool, clock: Clock, ids: IdSource, log: EventLog) -> None:
        self._pool = pool
        self._clock = clock
        self._ids = ids
        self._log = log
        self._waiting: dict[_Place, list[Work]] = {}
        self._count = 0
        self._wake = asyncio.Event()
        self._months: set[date] = set()

    def add(self, work: Work) -> None:
        record = work.reported.record
        self._waiting.setdefault((record.workspace_id, record.month), []).append(work)
        self._count += 1
        self._wake.set()

    def fail_all(self) -> None:
        for works in self._waiting.values():
            for work in works:
                work.batch.fail(Unavailable(cause="stopping"))
        self._waiting.clear()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            if self._count < GROUP_MAX:
                await asyncio.sleep(GATHER_SECONDS)
            self._wake.clear()
            while self._waiting:
                await self._write_next()

    async def _write_next(self) -> None:
        place, works = next(iter(self._waiting.items()))
        group, rest = works[:GROUP_MAX], works[GROUP_MAX:]
        del self._waiting[place]
        if rest:
            # Behind the others: a busy wallet must not keep them waiting.
            self._waiting[place] = rest
        self._count -= len(group)
        try:
            await self._write(place, group)
        except Unavailable as failure:
            for work in group:
                work.batch.fail(failure)
        except asyncio.CancelledError:
            for work in group:
                work.batch.fail(Unavailable(cause="stopping"))
            raise

    async def _write(self, place: _Place, works: Sequence[Work]) -> None:
        """Write a group; if it cannot be written as a whole, find out which record is to blame."""
        try:
            verdict = await self._patiently(place, [work.reported for work in works])
        except Unavailable:
            raise
        except Exception as fault:  # noqa: BLE001 - whatever a record breaks, others must pass
            if _is_of_the_database(fault):
                # Nothing is wrong with the records: unacknowledged, they will come again.
                self._log.fault("records_not_written", fault)
                raise Unavailable(cause="database") from None
            if len(works) > 1:
                middle = len(works) // 2
                await self._write(place, works[:middle])
                await self._write(place, works[middle:])
                return
            self._log.fault("record_not_written", fault)
            verdict = await self._refuse_poison(works[0].reported)
        batch_of = {id(work.reported): work.batch for work in works}
        for reported, reason in verdict.refused:
            batch_of[id(reported)].refuse(reported, reason)
        for work in works:
            work.batch.settled(1)

    async def _patiently(self, place: _Place, group: Sequence[Reported]) -> Verdict:
        """Try again, with the same data, what a deadlock, a conflict or an outage stopped."""
        give_up = self._clock.monotonic() + GIVE_UP_SECONDS
        pause = RETRY_FIRST_SECONDS
        while True:
            try:
                return await self._once(place, group)
            except Unavailable as failure:
                if self._clock.monotonic() > give_up:
                    raise
                self._log.event("settlement_retried", sqlstate=failure.metadata.get("sqlstate"))
            await asyncio.sleep(pause)
            pause = min(2 * pause, RETRY_LAST_SECONDS)

    async def _once(self, place: _Place, group: Sequence[Reported]) -> Verdict:
        workspace_id, month = place
        await self._ensure_month(month)
        async with self._pool.transaction("system") as tx:
            verdict = await settle_group(
                tx, workspace_id, month, group, ids=self._ids, now=now(self._clock)
            )
            await tx.commit()
        return verdict

    async def _ensure_month(self, month: date) -> None:
        if month not in self._months:
            async with self._pool.transaction("partitions") as tx:
                await partitions.ensure_month(tx, month)
                await tx.commit()
            self._months.add(month)

    async def _refuse_poison(self, reported: Reported) -> Verdict:
        verdict = Verdict()
        reason = ErrorReason.ERROR_REASON_RECORD_INVALID
        verdict.refused.append((reported, reason))
        with contextlib.suppress(Unavailable, psycopg.Error, exc.SQLAlchemyError):
            async with self._pool.transaction("system") as tx:
                alarm = refusal_alarm(reported, reason)
                await store.insert_alarms(tx, [alarm], self._ids, now(self._clock))
                await tx.commit()
        return verdict


def _is_of_the_database(fault: Exception) -> bool:
    """Tell a missing privilege or table from a value that does not fit its column."""
    cause = fault.orig if isinstance(fault, exc.DBAPIError) else fault
    return isinstance(cause, psycopg.Error) and not isinstance(
        cause, psycopg.DataError | psycopg.IntegrityError
    )
