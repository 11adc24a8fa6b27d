"""The drill: usage month by month, the clock moved from one due moment to the next.

Before a month is 90 days old nothing of it is archived; from its publication on it is read from the
archive only; a day later its rows are gone; two years later its files. In between, what is hot and
what is in files never overlap and together are everything that the ledger charged.

At every moment what is hot is counted and summed, by hours and by records. All ids of a month are
read from the hot store at the last moment before it leaves, and its files whenever a step of it is
done and at the last moment before they expire (of a small drill: at every moment). They are
compared by `Fingerprint`, so that memory does not grow with the rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
from prometheus_client import CollectorRegistry

from archiver.calendar import (
    add_months,
    droppable_at,
    eligible_at,
    end_of,
    format_month,
    start_of,
)
from archiver.core_link import CoreLink
from archiver.focus import FocusFiles
from archiver.metrics import ArchiverMetrics
from archiver.parts import Workshop
from archiver.runner import Runner, StepFailed
from archiver.store.objects import ObjectStore
from core.db.values import to_uuid
from core.demo_usage.maker import Maker
from core.metering.partitions import id_range, make_partitions, partition_name
from core.partitions.model import expires_at
from core.platform_key import PlatformKey
from kit.log import EventLog
from oneapi.partitions.v1.partition_pb2 import Month
from tests.chaos.archive.fingerprint import Fingerprint
from tests.chaos.archive.shelves import FileShelf, HotShelf
from tests.support.metering_world import MeteringWorld, WorldClock

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
HOT_DAYS_MAX = 122
"""The oldest that a record that is served hot can be."""
HOT_MONTHS_MAX = 5
"""The month that is used, and those whose last day is not 90 days and a second check ago."""
EXACT_ROWS_MAX = 20_000
ATTEMPTS = 3
State = Month.State
_HOT = frozenset({State.STATE_HOT, State.STATE_ELIGIBLE, State.STATE_FROZEN})


@dataclass(slots=True)
class Seen:
    """What the drill has looked at."""

    moments: int = 0
    listings: int = 0
    files: int = 0
    hot_rows_max: int = 0
    disk_bytes_max: int = 0
    expired_rows: int = 0
    states: set[int] = field(default_factory=set)
    seconds: dict[str, tuple[float, float]] = field(default_factory=dict)
    """How long each kind of work took, and how long it computed here (not in PostgreSQL)."""


class Drill:
    """One world, one archiver, and the truth of what was made."""

    def __init__(
        self,
        world: MeteringWorld,
        maker: Maker,
        channel: grpc.aio.Channel,
        customer: grpc.aio.Channel,
        store: ObjectStore,
        key: PlatformKey,
        folder: Path,
        rows: int,
    ) -> None:
        """Drive the world: the archiver over its channel, customers over theirs."""
        exact = rows <= EXACT_ROWS_MAX
        self.world = world
        self.maker = maker
        self.store = store
        self.folder = folder
        self.link = CoreLink(channel)
        self.hot = HotShelf(customer, exact=exact)
        self.archive = FileShelf(self.link, store, key, folder, exact=exact)
        self.seen = Seen()
        self.made: dict[date, Fingerprint] = {}
        self._exact = exact
        self._looked: dict[date, tuple[int, int]] = {}

    def runner(self) -> Runner:
        """An archiver process that has just started."""
        shop = Workshop(self.link, self.store, FocusFiles(), self.folder / "work")
        clock: Any = WorldClock(self.world.money)
        return Runner(shop, clock, EventLog("archiver"), ArchiverMetrics(CollectorRegistry()))

    async def play(self, months: list[date], tell: Callable[[date], None]) -> Seen:
        """Make each month when it ends, and look at every moment at which something is due."""
        await self.maker.prepare()
        for month in months:
            await self._go(end_of(month) + SECOND, make=month)
            await self._all_until(end_of(add_months(month, 1)))
            tell(month)
        await self._all_until(expires_at(eligible_at(months[-1])) + HOUR)
        self.seen.files = self.archive.files
        return self.seen

    async def _all_until(self, end: datetime) -> None:
        now = self.world.money.now
        for moment in _due_moments(self.made):
            if now < moment <= end:
                await self._go(moment)

    async def _go(self, moment: datetime, make: date | None = None) -> None:
        """Move the clock, never back; let the archiver work, and check everything."""
        money = self.world.money
        money.now = max(money.now, moment)
        began = _clocks()
        if make is not None:
            await self._make(make)
        began = self._took("made", began)
        await self._work()
        began = self._took("archived", began)
        await self._check()
        self._took("checked", began)

    async def _work(self) -> None:
        """Let the archiver work; it repeats what failed, as on a machine that has much to do."""
        for attempt in range(ATTEMPTS):
            try:
                await self.runner().once("", lambda _: None)
                return
            except StepFailed:
                if attempt == ATTEMPTS - 1:
                    raise

    async def _make(self, month: date) -> None:
        rows, charged = await self.maker.make_month(month)
        truth = Fingerprint(self._exact)
        first, end = id_range(month)
        for customer in self.maker.customers:
            found: list[Any] = await self.world.rows(
                "SELECT id, charge_nanos FROM usage_record"
                " WHERE workspace_id = :owner AND id >= :first AND id < :end",
                owner=to_uuid(customer.workspace_id),
                first=to_uuid(first),
                end=to_uuid(end),
            )
            truth.add((each.bytes for each, _ in found), sum(nanos for _, nanos in found))
        assert (truth.rows, truth.nanos) == (rows, charged), "not everything was settled"
        self.made[month] = truth
        await make_partitions(self.world.money.database.jobs, WorldClock(self.world.money))

    async def _check(self) -> None:
        states = {month.month: month for month in await self.link.months()}
        hot = Fingerprint(exact=False)
        for month, truth in self.made.items():
            found = states[format_month(month)]
            self._check_age(month, found.state)
            await self._check_month(month, found)
            if found.state in _HOT:
                hot.rows, hot.nanos = hot.rows + truth.rows, hot.nanos + truth.nanos
        await self._check_sums(hot)
        await self._check_disk()
        gone = [m for m in self.made if states[format_month(m)].state == State.STATE_EXPIRED]
        self.seen.moments += 1
        self.seen.hot_rows_max = max(self.seen.hot_rows_max, hot.rows)
        self.seen.expired_rows = sum(self.made[month].rows for month in gone)
        self.seen.states |= {month.state for month in states.values()}

    def _check_age(self, month: date, state: int) -> None:
        now, published = self.world.money.now, eligible_at(month)
        if now < published:
            assert state == State.STATE_HOT, "archived before day 90"
        if now - start_of(month) > timedelta(days=HOT_DAYS_MAX):
            assert state not in _HOT, "served hot for too long"
        is_over = now >= expires_at(published)
        assert (state == State.STATE_EXPIRED) == is_over, "files outlive two years, or do not"

    async def _check_month(self, month: date, found: Month) -> None:
        """Read a month in both places: all of it is in the one that its state says."""
        now, at = self.world.money.now, eligible_at(month)
        step = (found.state, found.revision)
        is_last_look = now in {at - SECOND, expires_at(at) - SECOND}
        if not (self._exact or is_last_look or self._looked.get(month) != step):
            return
        self._looked[month] = step
        self.seen.listings += 1
        nothing, truth = Fingerprint(self._exact), self.made[month]
        is_hot, is_gone = found.state in _HOT, found.state == State.STATE_EXPIRED
        if not is_hot:
            assert not await self.hot.has_any(month), "what is in files is hot as well"
        elif self._exact or is_last_look:
            owners = [customer.workspace_id for customer in self.maker.customers]
            assert await self.hot.month(month, owners) == truth, "not what was made is hot"
        files = await self.archive.month(month)
        assert files == (nothing if is_hot or is_gone else truth), "not what was made is in files"

    async def _check_sums(self, hot: Fingerprint) -> None:
        """Counts and charges, of the hours and of the records themselves; and the ledger's."""
        before_all = start_of(min(self.made)) - timedelta(milliseconds=1)
        expected = (hot.rows, hot.nanos)
        assert await self.hot.sums() == expected, "hourly sums are not what is hot"
        assert await self.hot.sums(before_all) == expected, "records are not what is hot"
        rows = sum(truth.rows for truth in self.made.values())
        nanos = sum(truth.nanos for truth in self.made.values())
        ((settled,),) = await self.world.rows(
            "SELECT CAST(sum(record_count) AS bigint) FROM ledger_txn"
        )
        assert (settled, await self.world.account("rev.usage")) == (rows, nanos)

    async def _check_disk(self) -> None:
        """Nothing that should be gone takes room, so what is there is a few months of rows."""
        found = await self.world.rows(
            "SELECT CAST(relname AS text), pg_total_relation_size(oid) FROM pg_class"
            " WHERE relname LIKE 'usage_record_y%' AND relkind = 'r'"
        )
        tables = {str(name): int(str(size)) for name, size in found}
        kept = [month for month in self.made if partition_name(month) in tables]
        for month in kept:
            due = droppable_at(eligible_at(month))
            assert self.world.money.now < due, "on disk for too long"
        assert len(kept) <= HOT_MONTHS_MAX
        self.seen.disk_bytes_max = max(self.seen.disk_bytes_max, sum(tables.values()))

    def _took(self, what: str, began: tuple[float, float]) -> tuple[float, float]:
        now = _clocks()
        wall, own = self.seen.seconds.get(what, (0.0, 0.0))
        self.seen.seconds[what] = (wall + now[0] - began[0], own + now[1] - began[1])
        return now


def _clocks() -> tuple[float, float]:
    return time.monotonic(), time.process_time()


def _due_moments(months: dict[date, Fingerprint]) -> list[datetime]:
    """The moments at which a month changes, and the last one at which it must not have."""
    moments: list[datetime] = []
    for month in months:
        at = eligible_at(month)
        moments += [at - SECOND, at, droppable_at(at), expires_at(at) - SECOND, expires_at(at)]
    return sorted(moments)
