"""A month from hot to gone: whatever fails on the way, no row is lost, doubled or wrong."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from archiver.model import Draft
from archiver.runner import StepFailed
from archiver.settings import ArchiverSettings
from archiver.store.errors import StoreUnavailable
from archiver.store.opening import open_store
from oneapi.partitions.v1.partition_pb2 import ArchiveFile
from tests.support.archive_core import ELIGIBLE_AT, NAME, Killed
from tests.support.archive_months import (
    COUNTS,
    DAY,
    FaultyStore,
    World,
    bill,
    ids,
    new_month,
    world_of,
)
from tests.support.archive_rows import rows, workspace
from tests.support.s3_server import s3_server


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """With a local store."""
    async with world_of(new_month(), tmp_path / "data") as made:
        yield made


async def test_a_month_is_archived_and_every_row_can_be_proved(
    world: World, tmp_path: Path
) -> None:
    """Frozen, exported, published, detached; a day later dropped; two years later gone."""
    told = await world.run()
    assert [step.name for step in told if step.done] == [
        "freeze",
        "export",
        "publish",
        "export",
        "detach",
    ]
    assert ids(await world.archived(tmp_path / "x")) == ids(world.month.all_rows(), "id")
    assert world.core.calls.count("DropMonth") == 0
    world.month.now += DAY
    await world.run()
    assert world.month.dropped
    world.month.now = datetime(2028, 6, 29, tzinfo=ELIGIBLE_AT.tzinfo)
    await world.run()
    assert world.month.deleted == {}
    left = next(name for name in await world.store.names("usage") if "part-0001" in name)
    await world.store.put_new(left.replace("part-0001", "part-0002"), b"of an attempt that was cut")
    world.month.now += DAY
    await world.run()
    assert await world.store.names("usage") == []
    assert await world.store.names("") == ["deletion/month=2026-03/expired.json"]


async def test_nothing_happens_before_a_month_is_eligible(world: World) -> None:
    """Not a second early."""
    world.month.now = ELIGIBLE_AT - timedelta(seconds=1)
    assert await world.run() == []
    assert world.core.calls == []


async def test_a_month_without_anything_is_left_alone(world: World) -> None:
    """It is hot for as long as nothing comes, unless an operator asks for that month."""
    world.month.rows.clear()
    assert await world.run() == []
    assert world.core.calls == []
    await world.archiver().once(NAME, lambda _: None)
    assert world.month.frozen


async def test_the_same_records_are_the_same_files(tmp_path: Path) -> None:
    """Another machine, other batches, another day: all names and bytes are the same."""
    contents = []
    for number, rows_each in ((1, 11), (2, 500)):
        month = new_month()
        month.now += number * timedelta(hours=5)
        async with world_of(month, tmp_path / str(number)) as world:
            world.core.rows_each = rows_each
            world.core.settlements_each = number
            await world.run()
            names = await world.store.names("")
            contents.append({name: await world.store.read(name) for name in names})
    assert contents[0] == contents[1]
    assert len(contents[0]) == 3 * len(COUNTS) + 1


async def test_a_workspace_with_many_settlements_is_still_one(world: World, tmp_path: Path) -> None:
    """Core goes on with them in further messages: each is in the manifest, and is proved."""
    world.core.settlements_each = 2
    await world.run()
    assert ids(await world.archived(tmp_path / "x")) == ids(world.month.all_rows(), "id")
    fresh = [
        row | {"charge_nanos": 0, "waived_nanos": row["charge_nanos"], "waive_reason": 1}
        for row in rows(workspace(3), 160, seed=9)
    ]
    world.month.late = list(fresh)
    await world.run()
    assert (world.month.late, world.month.revision) == ([], 2)
    assert ids(await world.archived(tmp_path / "y")) == ids([*world.month.all_rows(), *fresh], "id")


async def test_a_month_with_a_settlement_for_each_row_is_published(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its manifests do not grow with them: they stay as small as what is read whole."""
    for found in world.month.rows.values():
        for row in found:
            row["settlement_id"] = row["id"]
    monkeypatch.setattr("archiver.store.objects.SMALL_OBJECT_BYTES_MAX", 20_000)
    await world.run()
    assert world.month.detached
    assert ids(await world.archived(tmp_path / "x")) == ids(world.month.all_rows(), "id")
    names = await world.store.names("settlements")
    assert sum(world.month.files[name].rows for name in names) == len(world.month.all_rows())


STEPS = ("FreezeMonth", "ExportMonth", "SignManifest", "PublishMonth", "DetachMonth", "DropMonth")


@pytest.mark.parametrize("step", STEPS)
async def test_a_step_that_core_fails_is_repeated(world: World, tmp_path: Path, step: str) -> None:
    """The third manifest's signature, or any other call: the next round goes on."""
    fails = iter([step != "SignManifest", step != "SignManifest", True])

    def fail(name: str) -> None:
        if name == step and next(fails, False):
            raise RuntimeError

    world.core.before = fail
    for _ in range(8):
        try:
            await world.run()
        except StepFailed:
            continue
        world.month.now += DAY
    assert world.month.dropped
    assert ids(await world.archived(tmp_path / "x")) == ids(world.month.all_rows(), "id")
    assert len(await world.store.names("")) == 3 * len(COUNTS) + 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("place", range(1, 3 * len(COUNTS) + 2))
async def test_an_archiver_that_stops_at_any_write_is_followed_by_another(
    world: World, tmp_path: Path, place: int, *, after: bool
) -> None:
    """Killed, or told that the store failed, before a write or once it was done."""
    fault = Killed() if place % 2 else StoreUnavailable()
    whole, world.store = world.store, FaultyStore(world.store, place, fault, after=after)
    with pytest.raises((Killed, StepFailed)):
        await world.run()
    assert world.month.published_at is None
    world.store = whole
    await world.run(world.archiver("another"))
    assert ids(await world.archived(tmp_path / "x")) == ids(world.month.all_rows(), "id")
    assert len(await world.store.names("")) == 3 * len(COUNTS) + 1


async def test_a_broken_export_goes_on_behind_the_last_whole_workspace(
    world: World, tmp_path: Path
) -> None:
    """Nothing is exported twice."""
    world.core.break_export_after = 6
    await world.run()
    assert world.core.calls.count("ExportMonth") == 2
    assert world.core.calls.count("SignManifest") == len(COUNTS)
    assert ids(await world.archived(tmp_path / "x")) == ids(world.month.all_rows(), "id")


async def test_counts_that_break_are_taken_up_again(world: World, tmp_path: Path) -> None:
    """The file that was waiting for its count is written anew."""
    world.core.break_totals_after = 1
    await world.run()
    assert world.month.detached
    assert world.core.calls.count("ExportMonth") == 2
    assert ids(await world.archived(tmp_path / "x")) == ids(world.month.all_rows(), "id")


async def test_a_row_that_core_counts_and_does_not_send_stops_the_month(world: World) -> None:
    """And one that it sends and does not count; nothing is published."""
    whole = world.month.all_rows()
    extra = rows(workspace(4), 2)
    for wrong in (
        whole[:-1],
        [*whole[:100], *whole[101:]],
        whole[200:],
        whole[:200],
        whole + extra,
    ):
        world.core.sent = wrong
        archiver = world.archiver()
        with pytest.raises(StepFailed):
            await world.run(archiver)
        assert world.month.published_at is None
        assert (await archiver.status()).months[0].last_error == "MonthDiffers"


@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
async def test_rows_are_not_dropped_while_a_file_is_not_what_was_published(
    world: World, damage: str
) -> None:
    """Found by the second look, however small; mended, the drop goes on."""
    await world.run()
    world.month.now += DAY
    (name, *_) = await world.store.names("usage")
    path = world.folder / "archive" / name
    whole = path.read_bytes()
    if damage == "delete":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(whole[:-1])
    else:
        path.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    archiver = world.archiver()
    with pytest.raises(StepFailed):
        await world.run(archiver)
    assert not world.month.dropped
    found = (await archiver.status()).months[0].last_error
    assert found == ("ObjectMissing" if damage == "delete" else "ObjectDamaged")
    path.write_bytes(whole)
    await world.run()
    assert world.month.dropped


async def test_late_records_are_added_once(world: World, tmp_path: Path) -> None:
    """In a part of their own, a second revision; one that was archived before is told of."""
    await world.run()
    fresh = [
        row | {"charge_nanos": 0, "waived_nanos": row["charge_nanos"], "waive_reason": 1}
        for row in [*rows(workspace(2), 7, seed=9), *rows(workspace(9), 3, seed=9)]
    ]
    double = world.month.rows[workspace(1)][5] | {"settlement_id": bytes(16)}
    world.month.late = [*fresh, double]
    await world.run()
    assert world.month.late == []
    assert world.month.doubles == [double["id"]]
    expected = [*world.month.all_rows(), *fresh]
    assert ids(await world.archived(tmp_path / "x")) == ids(expected, "id")
    # The same ones again, reported by an edge that came back: all are known now.
    world.month.late = list(fresh)
    await world.run()
    assert len(world.month.doubles) == 11
    assert ids(await world.archived(tmp_path / "y")) == ids(expected, "id")


async def test_more_late_records_than_a_revision_can_name_take_several(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A settlement that is spread over two of them is left to its rows."""
    monkeypatch.setattr("archiver.later.LATE_ROWS_MAX", 70)
    await world.run()
    fresh = [
        row | {"charge_nanos": 0, "waived_nanos": row["charge_nanos"], "waive_reason": 1}
        for row in [*rows(workspace(2), 100, seed=9), *rows(workspace(3), 60, seed=9)]
    ]
    world.month.late, world.month.waived = list(fresh), list(fresh)
    await world.run()
    assert (world.month.late, world.month.revision) == ([], 4)
    assert ids(await world.archived(tmp_path / "x")) == ids([*world.month.all_rows(), *fresh], "id")


class OneCostFile:
    """Writes a small file for each workspace."""

    def know(self, tiers: Any) -> None:
        """Need no price."""

    def write(
        self, workspace_id: bytes, month: date, usage: list[Path], billing: Any, folder: Path
    ) -> list[Draft]:
        """Count rows of both kinds."""
        count = sum(pq.read_metadata(path).num_rows for path in usage)
        content = f"{workspace_id.hex()},{count},{0 if billing is None else billing.num_rows}"
        path = folder / "costs"
        path.write_text(content)
        digest = hashlib.sha256(content.encode()).digest()
        return [Draft(ArchiveFile.KIND_FOCUS_CSV, path, 1, digest, len(content))]


async def test_cost_files_are_written_for_who_used_or_bought(world: World, tmp_path: Path) -> None:
    """Also for a workspace that only bought credit: its month has a manifest and no rows."""
    world.costs = OneCostFile()
    world.month.billing = [bill(number) for number in (2, 2, 7)]
    await world.run()
    names = await world.store.names("focus")
    contents = sorted([(await world.store.read(name)).decode() for name in names])
    expected = {1: (200, 0), 2: (5, 2), 3: (90, 0), 7: (0, 1)}
    assert contents == [f"{workspace(n).hex()},{a},{b}" for n, (a, b) in expected.items()]
    assert ids(await world.archived(tmp_path / "x")) == ids(world.month.all_rows(), "id")


@pytest.fixture(scope="module")
def s3_settings() -> Iterator[dict[str, Any]]:
    """One server."""
    with s3_server() as settings:
        yield dict(settings)


async def test_a_month_is_archived_over_s3(
    world: World, tmp_path: Path, s3_settings: dict[str, Any]
) -> None:
    """The same life as in a folder."""
    world.store = open_store(ArchiverSettings(data_dir=tmp_path, **s3_settings))
    await world.run()
    assert ids(await world.archived(tmp_path / "x")) == ids(world.month.all_rows(), "id")
    world.month.now += DAY
    await world.run()
    assert world.month.dropped
