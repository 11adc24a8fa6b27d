"""What leaves the archive: keys' ids that are erased, and files after two years."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.support.archive_core import ELIGIBLE_AT, NAME
from tests.support.archive_months import DAY, World, ids, new_month, world_of
from tests.support.archive_rows import workspace


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """With a local store."""
    async with world_of(new_month(), tmp_path / "data") as made:
        yield made


async def test_an_erased_key_is_in_no_file_and_every_proof_still_holds(
    world: World, tmp_path: Path
) -> None:
    """Its rows stay, without it; other keys and other workspaces are as they were."""
    await world.run()
    key_id = bytes(15) + b"\x01"
    had = sum(row["key_id"] == key_id for row in world.month.rows[workspace(1)])
    before = set(await world.store.names("usage"))
    assert await world.archiver().erase(workspace(1), key_id) == {NAME: had}
    assert had > 0
    found = await world.archived(tmp_path / "x")
    assert ids(found) == ids(world.month.all_rows(), "id")
    mine = [row for row in found if row["workspace_id"].bytes == workspace(1)]
    assert key_id not in {row["key_id"].bytes for row in mine}
    assert sum(row["key_id"].bytes == bytes(16) for row in mine) == had
    others = [row for row in found if row["workspace_id"].bytes == workspace(3)]
    assert key_id in {row["key_id"].bytes for row in others}
    gone = before - set(await world.store.names("usage"))
    assert gone == set(world.month.deleted)
    assert len(gone) == 1
    assert await world.archiver().erase(workspace(1), key_id) == {}


async def test_all_keys_of_a_workspace_are_erased_at_once(world: World, tmp_path: Path) -> None:
    """Of this workspace only; a month that is not in files yet is none of it."""
    assert await world.archiver().erase(workspace(1), None) == {}
    await world.run()
    mine = len(world.month.rows[workspace(1)])
    assert await world.archiver().erase(workspace(1), None) == {NAME: mine}
    keys: dict[bytes, set[bytes]] = {}
    for row in await world.archived(tmp_path / "x"):
        keys.setdefault(row["workspace_id"].bytes, set()).add(row["key_id"].bytes)
    assert keys[workspace(1)] == {bytes(16)}
    assert bytes(16) not in keys[workspace(3)]
    assert await world.archiver().erase(workspace(1), None) == {}


async def test_files_of_an_attempt_that_was_cut_off_hold_no_key_longer_than_asked(
    world: World,
) -> None:
    """Nobody was told of them: an erasure deletes those of its workspace's month, expiry all."""
    await world.run()
    place = f"month={NAME}/part-0009-0000000000000000.parquet"
    mine, stranger = (
        f"usage/v1/workspace={uuid.UUID(bytes=workspace(number))}/{place}" for number in (1, 99)
    )
    other_month = mine.replace(NAME, "2026-04")
    for name in (mine, stranger, other_month):
        await world.store.put_new(name, b"of an attempt that was cut off")
    named = set(world.month.files)
    await world.archiver().erase(workspace(1), bytes(15) + b"\x01")
    left = set(await world.store.names(""))
    assert mine not in left
    assert {stranger, other_month} <= left
    assert named - left == set(world.month.deleted)
    world.month.now += DAY
    await world.run()
    world.month.now += 800 * DAY
    await world.run()
    assert await world.store.names("") == ["deletion/month=2026-03/expired.json", other_month]


async def test_files_go_when_core_says_so_and_the_record_says_when(world: World) -> None:
    """Published on the 29th of February, they go on the 1st of March, or whenever it is done."""
    await world.run()
    world.month.now += DAY
    await world.run()
    utc = ELIGIBLE_AT.tzinfo
    world.month.published_at = datetime(2028, 2, 29, 5, tzinfo=utc)
    world.month.now = datetime(2030, 2, 28, 23, tzinfo=utc)
    await world.run()
    assert world.month.deleted == {}
    assert await world.store.names("usage")
    world.month.now = datetime(2030, 3, 4, 7, 30, tzinfo=utc)
    await world.run()
    assert world.month.expired
    (name,) = await world.store.names("")
    record = json.loads(await world.store.read(name))
    assert record["deleted_at"] == "2030-03-04T07:30:00Z"
