"""The drill: usage month by month, the clock moved from one due moment to the next.

Before a month is 90 days old nothing of it is archived; from its publication on it is read from the
archive only; a day later its rows are gone; two years later its files. In between, what is hot and
what is in files never overlap and together are everything that the ledger charged.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pyarrow.parquet as pq
from prometheus_client import CollectorRegistry

from archiver.calendar import (
    add_months,
    droppable_at,
    eligible_at,
    end_of,
    expires_at,
    format_month,
    start_of,
)
from archiver.columns import to_nanos
from archiver.core_link import CoreLink
from archiver.focus import FocusFiles
from archiver.manifest import parse_manifest
from archiver.metrics import ArchiverMetrics
from archiver.parts import Workshop
from archiver.runner import Runner
from archiver.store.objects import ObjectStore
from archiver.totals import rows_of
from archiver.verify import verify_month
from core.demo_usage.maker import Maker
from core.metering.partitions import make_partitions, partition_name
from core.platform_key import PlatformKey
from kit.ids import format_id
from kit.log import EventLog
from oneapi.metering.v1 import usage_service_pb2 as usage_pb
from oneapi.metering.v1.usage_service_pb2_grpc import UsageServiceStub
from oneapi.partitions.v1.partition_pb2 import ArchiveFile, Month
from tests.support.metering_world import MeteringWorld, WorldClock

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
HOT_DAYS_MAX = 122
"""The oldest that a record that is served hot can be."""
PAGE = 1_000
State = Month.State


@dataclass(slots=True)
class Seen:
    """What the drill has looked at."""

    moments: int = 0
    files: int = 0
    hot_rows_max: int = 0
    expired_rows: int = 0
    states: set[int] = field(default_factory=set)


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
    ) -> None:
        """Drive the world: the archiver over its channel, customers over theirs."""
        self.world = world
        self.maker = maker
        self.store = store
        self.key = key
        self.folder = folder
        self.link = CoreLink(channel)
        self.usage: Any = UsageServiceStub(customer)
        self.seen = Seen()
        self.made: dict[date, int] = {}
        self._proved: dict[str, tuple[set[bytes], int]] = {}

    def runner(self) -> Runner:
        """An archiver process that has just started."""
        shop = Workshop(self.link, self.store, FocusFiles(), self.folder / "work")
        clock: Any = WorldClock(self.world.money)
        return Runner(shop, clock, EventLog("archiver"), ArchiverMetrics(CollectorRegistry()))

    async def play(self, months: list[date]) -> Seen:
        """Make each month when it ends, and look at every moment at which something is due."""
        await self.maker.prepare()
        for month in months:
            await self._go(end_of(month) + SECOND, make=month)
            await self._all_until(end_of(add_months(month, 1)))
        await self._all_until(expires_at(eligible_at(months[-1])) + HOUR)
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
        if make is not None:
            self.made[make], _ = await self.maker.make_month(make)
            await make_partitions(money.database.jobs, WorldClock(money))
        await self.runner().once("", lambda _: None)
        await self._check()

    async def _check(self) -> None:
        months = {month.month: month for month in await self.link.months()}
        hot = await self._hot()
        archived, cost = await self._archived()
        expired = await self._check_ages(months)
        assert not hot & archived, "a record is readable twice"
        assert len(hot) + len(archived) + expired == sum(self.made.values()), "a record is lost"
        await self._check_money(hot, cost)
        self.seen.moments += 1
        self.seen.hot_rows_max = max(self.seen.hot_rows_max, len(hot))
        self.seen.expired_rows = expired
        self.seen.states |= {month.state for month in months.values()}

    async def _check_ages(self, months: dict[str, Month]) -> int:
        """Check each month's state against its age; return how many rows have expired."""
        now, expired = self.world.money.now, 0
        tables = await self._partitions()
        for month, rows in self.made.items():
            state = months[format_month(month)].state
            if now < eligible_at(month):
                assert state == State.STATE_HOT, "archived before day 90"
            if now - start_of(month) > timedelta(days=HOT_DAYS_MAX):
                assert state not in {State.STATE_HOT, State.STATE_ELIGIBLE, State.STATE_FROZEN}
            if now >= droppable_at(eligible_at(month)):
                assert partition_name(month) not in tables, "on disk for too long"
            is_over = now >= expires_at(eligible_at(month))
            assert (state == State.STATE_EXPIRED) == is_over, "files outlive two years, or do not"
            if is_over:
                assert not await self.link.files(month, newest_only=True)
                expired += rows
        return expired

    async def _check_money(self, hot: set[bytes], archived_nanos: int) -> None:
        """Charges of what is hot and of what is in files are the ledger's, until files expire."""
        if any(month.state == State.STATE_EXPIRED for month in await self.link.months()):
            return
        rows = await self.world.rows("SELECT CAST(id AS text), charge_nanos FROM usage_record")
        charges = {uuid.UUID(str(name)).bytes: int(str(nanos)) for name, nanos in rows}
        hot_nanos = sum(nanos for name, nanos in charges.items() if name in hot)
        assert hot_nanos + archived_nanos == await self.world.account("rev.usage")

    async def _hot(self) -> set[bytes]:
        """The ids that customers see in the hot store."""
        found: list[bytes] = []
        for customer in self.maker.customers:
            token = ""
            while True:
                page = await self.usage.ListUsage(
                    usage_pb.ListUsageRequest(
                        workspace_id=format_id("ws", customer.workspace_id),
                        page_size=PAGE,
                        page_token=token,
                    )
                )
                found += [bytes.fromhex(each.request_id.split("_")[1]) for each in page.usages]
                token = page.next_page_token
                if not token:
                    break
        assert len(found) == len(set(found))
        return set(found)

    async def _archived(self) -> tuple[set[bytes], int]:
        """The ids and charges of all files that manifests name, each month proved from them."""
        ids: set[bytes] = set()
        nanos = 0
        for month in self.made:
            for stored in await self.link.files(month, newest_only=True):
                self.seen.files += 1
                if stored.kind == ArchiveFile.KIND_MANIFEST:
                    mine, charged = await self._proved_month(stored.name)
                    assert not ids & mine
                    ids |= mine
                    nanos += charged
        return ids, nanos

    async def _proved_month(self, name: str) -> tuple[set[bytes], int]:
        """Prove a manifest once: its name says its revision, and a revision never changes."""
        if name not in self._proved:
            self._proved[name] = await self._prove(name)
        return self._proved[name]

    async def _prove(self, name: str) -> tuple[set[bytes], int]:
        folder = self.folder / "proved"
        shutil.rmtree(folder, ignore_errors=True)
        content = await self.store.read(name)
        folder.mkdir(parents=True)
        paths = {}
        for number, part in enumerate(parse_manifest(content).parts):
            paths[part.name] = folder / str(number)
            await self.store.fetch(part.name, paths[part.name])
        manifest = verify_month(content, self.key.public_keys, paths.__getitem__)
        ids: set[bytes] = set()
        nanos = 0
        for batch in _usage_of(manifest.parts, paths):
            ids |= {each.bytes for each in batch.column("request_id").to_pylist()}
            nanos += sum(map(to_nanos, batch.column("charge").to_pylist()))
        assert _used(manifest.parts, paths) == nanos, "costs are not what usage files say"
        return ids, nanos

    async def _partitions(self) -> set[str]:
        rows = await self.world.rows(
            "SELECT CAST(relname AS text) FROM pg_class WHERE relname LIKE 'usage_record_y%'"
        )
        return {str(name) for (name,) in rows}


def _due_moments(months: dict[date, int]) -> list[datetime]:
    """The moments at which a month changes, and the last one at which it must not have."""
    moments: list[datetime] = []
    for month in months:
        at = eligible_at(month)
        moments += [at - SECOND, at, droppable_at(at), expires_at(at) - SECOND, expires_at(at)]
    return sorted(moments)


def _usage_of(parts: Any, paths: dict[str, Path]) -> Iterator[Any]:
    for part in parts:
        if part.kind == ArchiveFile.KIND_USAGE_PARQUET:
            yield from rows_of(paths[part.name])


def _used(parts: Any, paths: dict[str, Path]) -> int:
    """What cost files say that usage took from credit, nano-dollars."""
    costs = [part.name for part in parts if part.kind == ArchiveFile.KIND_FOCUS_PARQUET]
    rows = [row for name in costs for row in pq.read_table(paths[name]).to_pylist()]
    return sum(to_nanos(row["EffectiveCost"]) for row in rows if row["ChargeCategory"] == "Usage")
