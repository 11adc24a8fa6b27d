"""The archiver and core together, on a real PostgreSQL: a month from hot to gone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from archiver.core_link import CoreLink
from archiver.focus import FocusFiles
from archiver.metrics import ArchiverMetrics
from archiver.parts import Workshop
from archiver.runner import Runner
from archiver.settings import ArchiverSettings
from archiver.store.opening import open_store
from archiver.totals import rows_of
from archiver.verify import verify_month
from kit.log import EventLog
from oneapi.partitions.v1.partition_pb2 import ArchiveFile, Month
from tests.integration.core.partitions.conftest import IN_JULY, JULY, World
from tests.integration.core.partitions.conftest import world as world  # noqa: PLC0414 - a fixture
from tests.support.core_server import calling
from tests.support.metering_world import WorldClock

pytestmark = pytest.mark.slow


async def files_of(world: World) -> list[ArchiveFile]:
    """What the newest manifests name."""
    entries = await world.archiver.files(newest_only=True)
    return [entry.file for entry in entries]


async def archived_ids(world: World, data_dir: Path) -> list[bytes]:
    """The ids of all rows of the archive, each workspace's month proved from its files."""
    folder, keys = data_dir / "archive", world.key.public_keys
    found: list[bytes] = []
    for file in await files_of(world):
        if file.kind == ArchiveFile.KIND_MANIFEST:
            content = (folder / file.name).read_bytes()
            manifest = verify_month(content, keys, lambda name: folder / name)
            usage = ArchiveFile.KIND_USAGE_PARQUET
            for part in (each for each in manifest.parts if each.kind == usage):
                for batch in rows_of(folder / part.name):
                    found += [each.bytes for each in batch.column("request_id").to_pylist()]
    return sorted(found)


async def test_a_month_is_archived_late_records_join_and_all_of_it_can_be_proved(
    world: World, tmp_path: Path
) -> None:
    """Charges, chains, roots and signatures are core's own; nothing is left in the hot store."""
    money = world.metering.money
    first, _ = await world.requests(7), await world.requests(2)
    store = open_store(ArchiverSettings(data_dir=tmp_path))
    registry = CollectorRegistry()
    async with calling(world.port, "archiver") as channel:
        shop = Workshop(CoreLink(channel), store, FocusFiles(), tmp_path / "drafts")
        clock: Any = WorldClock(money)
        runner = Runner(shop, clock, EventLog("archiver"), ArchiverMetrics(registry))
        hot = sorted(row["id"] for row in await _exported(world))
        await runner.once(JULY, lambda _: None)
        assert (await world.archiver.month(JULY)).state == Month.STATE_DETACHED
        assert len(hot) == 9
        assert await archived_ids(world, tmp_path) == hot
        late = [world.metering.record(first, moment=IN_JULY) for _ in range(3)]
        assert not (await world.metering.report(late)).rejected
        assert (await world.archiver.month(JULY)).late_records == 3
        await runner.once(JULY, lambda _: None)
        month = await world.archiver.month(JULY)
        assert (month.late_records, month.revision) == (0, 2)
        everything = sorted([*hot, *(record.request_id for record in late)])
        assert await archived_ids(world, tmp_path) == everything
        key_id = late[0].key_id
        before = {file.name for file in await files_of(world)}
        assert await runner.erase(first, key_id) == {JULY: 10}
        assert await archived_ids(world, tmp_path) == everything
        replaced = before - {file.name for file in await files_of(world)}
        deleted = await _deleted(world)
        assert {name for name in replaced if not name.startswith("manifest/")} <= deleted
        assert [name for name in deleted if name.startswith("usage/")]
        assert not [name for name in deleted if (await store.size(name)) is not None]
        money.now += timedelta(days=1)
        await runner.once(JULY, lambda _: None)
        assert (await world.archiver.month(JULY)).state == Month.STATE_DROPPED
        assert await money.findings() == []
        money.now += timedelta(days=731)
        await runner.once(JULY, lambda _: None)
        assert (await world.archiver.month(JULY)).state == Month.STATE_EXPIRED
    assert await store.names("usage") == []
    assert await store.names("manifest") == []


async def _deleted(world: World) -> set[str]:
    """The files of which core has on record that they were deleted."""
    entries = await world.archiver.files()
    return {entry.file.name for entry in entries if entry.file.HasField("deleted_at")}


async def _exported(world: World) -> list[dict[str, Any]]:
    await world.archiver.lead()
    await world.archiver.freeze(JULY)
    rows = await world.archiver.export(JULY)
    # The one that looked leaves: its lease runs out.
    world.metering.money.pass_time(120)
    return rows
