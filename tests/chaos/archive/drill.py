"""The drill: usage month by month, the clock moved from one due moment to the next.

Before a month is 90 days old nothing of it is archived; from its publication on it is read from the
archive only; a day later its rows are gone; two years later its files. In between, what is hot and
what is in files never overlap and together are everything that the ledger charged. The moments
(`due`) are the end of each month, and of each month: a second before it is 90 days old and then; a
second behind 122 and 123 days after its begin; a day after its publication; a second before two
years are over, and then. While older months go their way, another process makes the next one.

Once a month is made, its rows are fingerprinted (`Fingerprint`): that is the truth about it. Then

- at every moment, in one snapshot of the tables: the rows of each hot month, told apart by hashes
  of id and charge, are those that were made; what the ledger charged for each month is that too;
  UsageService sums up the hot months and nothing else, by hours and by records; the usage files
  that are on record for each archived month have its rows; the store has the files on record and
  no other; of an expired month there is neither file nor row, and a record of the deletion; no
  table of usage is left that should be gone.
- while the archiver works, over and over, and right before and after each of its steps (`Looks`):
  UsageService sums up all of a month on its way, or nothing of it and its files have everything.
- at the moments around each change of a month (of a small drill at every moment) the month is read
  whole: a second before day 90 all workspaces list all of it; from then on nothing of it is listed,
  and its files are read from the store to their ends. When they are read first, every workspace's
  manifest, sums and roots are verified, and the rows are fingerprinted; later all bytes must be
  what they were, by their hashes.

Memory does not grow with the rows.
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

from archiver.calendar import add_months, end_of, format_month, start_of
from archiver.core_link import CoreLink
from archiver.focus import FocusFiles
from archiver.metrics import ArchiverMetrics
from archiver.model import DELETIONS, deletion_name
from archiver.parts import Workshop
from archiver.runner import Runner, StepFailed
from archiver.store.objects import ObjectStore
from core.metering.partitions import make_partitions, partition_name
from kit.log import EventLog
from oneapi.partitions.v1.partition_pb2 import Month
from tests.chaos.archive.due import (
    ON_DISK_MAX,
    SECOND,
    SERVED_HOT_MAX,
    dropped_at,
    expired_at,
    moments_of,
    published_at,
)
from tests.chaos.archive.fingerprint import Fingerprint
from tests.chaos.archive.looks import Looks, SeenLink
from tests.chaos.archive.making import Made, Making
from tests.chaos.archive.readers import Reader, Readers
from tests.chaos.archive.shelves import FileShelf, HotShelf
from tests.chaos.archive.tables import Held, Tables
from tests.support.metering_world import MeteringWorld, WorldClock

HOUR = timedelta(hours=1)
HOT_MONTHS_MAX = 5
"""The month that was used last, and those whose last day is not 90 days and a second check ago."""
ATTEMPTS = 3
State = Month.State
_HOT = frozenset({State.STATE_HOT, State.STATE_ELIGIBLE, State.STATE_FROZEN})


@dataclass(frozen=True, slots=True)
class Truth:
    """What was made of a month."""

    records: Fingerprint
    held: Held


@dataclass(slots=True)
class Seen:
    """What the drill has looked at."""

    moments: int = 0
    looks: int = 0
    readings: int = 0
    files: int = 0
    hot_rows_max: int = 0
    disk_bytes_max: int = 0
    disk_bytes: int = 0
    """What tables of usage took at the last moment, when all is over."""
    expired_rows: int = 0
    states: set[int] = field(default_factory=set)
    seconds: dict[str, tuple[float, float]] = field(default_factory=dict)
    """How long each kind of work took, and how long it computed here (not in PostgreSQL)."""
    made: Made | None = None
    """What the last month says, and what making took in all."""


class Drill:
    """One world, one archiver, and the truth of what was made."""

    def __init__(
        self,
        world: MeteringWorld,
        making: Making,
        channel: grpc.aio.Channel,
        customer: grpc.aio.Channel,
        reader: Reader | Readers,
        store: ObjectStore,
        folder: Path,
        *,
        is_small: bool,
    ) -> None:
        """Drive the world: the archiver over its channel, customers over theirs."""
        self.world = world
        self.making = making
        self.reader = reader
        self.store = store
        self.folder = folder
        self.link = CoreLink(channel)
        self.hot = HotShelf(customer)
        self.archive = FileShelf(self.link, store, reader.prove)
        self.tables = Tables(world)
        self.looks = Looks(self.hot, self.link)
        self.seen = Seen()
        self.truth: dict[date, Truth] = {}
        self._archiver = SeenLink(channel, self.looks.look)
        self._is_small = is_small

    def runner(self) -> Runner:
        """An archiver process that has just started."""
        shop = Workshop(self._archiver, self.store, FocusFiles(), self.folder / "work")
        clock: Any = WorldClock(self.world.money)
        return Runner(shop, clock, EventLog("archiver"), ArchiverMetrics(CollectorRegistry()))

    async def play(self, months: list[date], tell: Callable[[date], None]) -> Seen:
        """Take each month when it was made, and look at every moment at which something is due."""
        self.making.begin(months[0])
        for month, following in zip(months, [*months[1:], None], strict=True):
            await self._go(end_of(month) + SECOND, made=month, begin=following)
            await self._all_until(end_of(add_months(month, 1)))
            tell(month)
        await self._all_until(expired_at(months[-1]) + HOUR)
        self.seen.files, self.seen.looks = self.archive.files, self.looks.count
        return self.seen

    async def _all_until(self, end: datetime) -> None:
        now = self.world.money.now
        for moment in sorted({each for month in self.truth for each in moments_of(month)}):
            if now < moment <= end:
                await self._go(moment)

    async def _go(
        self, moment: datetime, made: date | None = None, begin: date | None = None
    ) -> None:
        """Move the clock, never back; let the archiver work, and check everything."""
        money = self.world.money
        money.now = max(money.now, moment)
        began = _clocks()
        if made is not None:
            await self._take(made, begin)
        began = self._took("making", began)
        await self.looks.during(self._work(), self._on_their_way())
        began = self._took("archiving", began)
        await self._check()
        began = self._took("checking", began)
        for month in self.truth:
            if self._is_small or money.now in moments_of(month):
                await self._read_whole(month)
        self._took("reading whole", began)

    def _on_their_way(self) -> list[tuple[date, Fingerprint]]:
        now = self.world.money.now
        return [
            (month, truth.records)
            for month, truth in self.truth.items()
            if published_at(month) <= now <= dropped_at(month)
        ]

    async def _work(self) -> None:
        """Let the archiver work; it repeats what failed, as on a machine that has much to do."""
        for attempt in range(ATTEMPTS):
            try:
                await self.runner().once("", lambda _: None)
                return
            except StepFailed:
                if attempt == ATTEMPTS - 1:
                    raise

    async def _take(self, month: date, begin: date | None) -> None:
        """Wait for a month to be made, write down the truth, and let the next one be made."""
        made = self.seen.made = await self.making.made()
        if begin is not None:
            self.making.begin(begin)
        held, _ = await self.tables.held_and_settled([month])
        truth = self.truth[month] = Truth(await self.tables.fingerprint(month), held[month])
        found = (truth.records.rows, truth.records.nanos)
        assert found == (made.rows, made.charged_nanos), "not everything was settled"
        await make_partitions(self.world.money.database.jobs, WorldClock(self.world.money))

    async def _check(self) -> None:
        """Check all that is checked at every moment."""
        found = {month.month: month for month in await self.link.months()}
        states = {month: found[format_month(month)].state for month in self.truth}
        for month, state in states.items():
            self._check_age(month, state)
        hot = [month for month, state in states.items() if state in _HOT]
        await self._check_hot(hot)
        await self._check_files({m: s for m, s in states.items() if s not in _HOT})
        await self._check_disk()
        self.seen.moments += 1
        self.seen.hot_rows_max = max(self.seen.hot_rows_max, self._rows(hot))
        gone = [month for month, state in states.items() if state == State.STATE_EXPIRED]
        self.seen.expired_rows = self._rows(gone)
        self.seen.states |= {month.state for month in found.values()}

    def _check_age(self, month: date, state: int) -> None:
        now = self.world.money.now
        if now < published_at(month):
            assert state == State.STATE_HOT, "archived before day 90"
        else:
            assert state not in _HOT, "not archived on day 90"
        if now - start_of(month) > SERVED_HOT_MAX:
            assert state not in _HOT, "served hot for too long"
        is_over = now >= expired_at(month)
        assert (state == State.STATE_EXPIRED) == is_over, "files outlive two years, or do not"

    async def _check_hot(self, hot: list[date]) -> None:
        """Each row of each hot month, the ledger, and what a customer is told of all of them."""
        held, settled = await self.tables.held_and_settled(hot)
        for month, truth in self.truth.items():
            expected = (truth.records.rows, truth.records.nanos)
            assert settled[month] == expected, "the ledger did not charge what was made"
            assert month not in held or held[month] == truth.held, "not what was made is hot"
        rows, nanos = self._rows(hot), sum(self.truth[month].records.nanos for month in hot)
        for ask in (self.hot.records, self.hot.hours):
            sums = await ask(min(self.truth), max(self.truth))
            assert (sums.rows, sums.nanos) == (rows, nanos), "hot sums are not what is hot"

    async def _check_files(self, states: dict[date, int]) -> None:
        """Files on record and in the store, of all months that are not hot."""
        kept, stored = await self.tables.files(), await self.archive.names()
        for month, truth in self.truth.items():
            files = kept[month]
            is_gone = states.get(month) == State.STATE_EXPIRED
            is_there = month in states and not is_gone
            assert files.rows == (truth.records.rows if is_there else 0), "files miss rows"
            assert bool(files.names) == is_there, "files are kept for too long, or not"
            assert (files.deleted > 0) == is_gone, "a deletion is not on record"
            assert (deletion_name(month, "expired") in stored) == is_gone
        named = {name for each in kept.values() for name in each.names}
        assert named == {name for name in stored if not name.startswith(DELETIONS)}, (
            "the store has not the files that are on record"
        )

    async def _check_disk(self) -> None:
        """Nothing that should be gone takes room, so what is there is a few months of rows."""
        tables = await self.tables.sizes()
        kept = [month for month in self.truth if partition_name(month) in tables]
        for month in kept:
            now = self.world.money.now
            assert now < dropped_at(month), "on disk after its day"
            assert now - start_of(month) <= ON_DISK_MAX, "on disk for too long"
        assert len(kept) <= HOT_MONTHS_MAX
        self.seen.disk_bytes = sum(tables.values())
        self.seen.disk_bytes_max = max(self.seen.disk_bytes_max, self.seen.disk_bytes)

    async def _read_whole(self, month: date) -> None:
        """Read a month in both places: all of it is in the one that its age says."""
        now = self.world.money.now
        is_hot, is_gone = now < published_at(month), now >= expired_at(month)
        truth, nothing = self.truth[month].records, Fingerprint()
        self.seen.readings += 1
        if is_hot:
            listed = await self.reader.listed(month, self.making.owners)
            assert listed == truth, "not what was made is listed"
        else:
            assert not await self.hot.has_any(month), "what is in files is hot as well"
        files = await self.archive.month(month)
        assert files == (nothing if is_hot or is_gone else truth), "not what was made is in files"

    def _rows(self, months: list[date]) -> int:
        return sum(self.truth[month].records.rows for month in months)

    def _took(self, what: str, began: tuple[float, float]) -> tuple[float, float]:
        now = _clocks()
        wall, own = self.seen.seconds.get(what, (0.0, 0.0))
        self.seen.seconds[what] = (wall + now[0] - began[0], own + now[1] - began[1])
        return now


def _clocks() -> tuple[float, float]:
    return time.monotonic(), time.process_time()
