"""Rounds of an archiver: who leads, what failed, and what an operator sees of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from archiver.focus import FocusFiles
from archiver.runner import StepFailed
from archiver.store.errors import StoreUnavailable
from tests.support.archive_core import ELIGIBLE_AT, NAME
from tests.support.archive_months import (
    DAY,
    FaultyStore,
    World,
    bill,
    ids,
    new_month,
    world_of,
)
from tests.support.archive_rows import rows, workspace


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """With a local store."""
    async with world_of(new_month(), tmp_path / "data") as made:
        yield made


async def test_of_two_archivers_one_works(world: World, tmp_path: Path) -> None:
    """The one that was replaced changes nothing more; the month is published once."""
    first = world.archiver("first")

    def replaced(name: str) -> None:
        if name == "SignManifest" and world.core.holder != "another":
            world.core.holder, world.core.fence = "another", world.core.fence + 1

    world.core.before = replaced
    with pytest.raises(StepFailed):
        await world.run(first)
    assert world.month.published_at is None
    world.core.before = lambda _: None
    await world.run(world.archiver("second"))
    assert ids(await world.archived(tmp_path / "x")) == ids(world.month.all_rows(), "id")


async def test_progress_is_streamed_and_the_status_says_how_far_it_is(world: World) -> None:
    """What an operator sees."""
    archiver = world.archiver()
    seen = [(each.step, each.done) async for each in archiver.run(NAME)]
    assert ("export", True) in seen
    assert ("detach", True) in seen
    status = await archiver.status()
    (month,) = status.months
    assert (month.state, month.records, month.last_error) == ("detached", 295, "")
    assert month.size_bytes > 0
    assert (status.store, status.leading) == ("local", True)
    assert month.due_at.ToDatetime(tzinfo=ELIGIBLE_AT.tzinfo) == ELIGIBLE_AT + DAY


async def test_a_status_reads_each_revision_once(world: World) -> None:
    """However often somebody looks; a new revision is read."""
    archiver = world.archiver()
    await archiver.status()
    assert world.core.listed == 0
    await world.run(archiver)
    listed = world.core.listed
    for _ in range(3):
        assert (await archiver.status()).months[0].records == 295
    assert world.core.listed == listed + 1
    late = rows(workspace(2), 7, seed=9)
    world.month.late = [row | {"charge_nanos": 0, "waive_reason": 1} for row in late]
    await world.run(archiver)
    assert (await archiver.status()).months[0].records == 302


async def test_what_is_late_is_told_also_while_nothing_goes_on(world: World) -> None:
    """The store is away for five hours; then a late record waits for three."""
    whole, world.store = world.store, FaultyStore(world.store, 1, StoreUnavailable(), after=False)
    archiver = world.archiver()
    with pytest.raises(StepFailed):
        await world.run(archiver)
    assert world.figure("overdue_seconds") == 0
    world.month.now += timedelta(hours=5)
    assert world.figure("overdue_seconds") == 5 * 3_600
    world.store = whole
    archiver = world.archiver("another")
    await world.run(archiver)
    assert world.figure("overdue_seconds") == 0

    def refuse(name: str) -> None:
        if name == "PublishMonth":
            raise RuntimeError

    world.core.before = refuse
    late = rows(workspace(2), 1, seed=9)
    world.month.late = [row | {"charge_nanos": 0, "waive_reason": 1} for row in late]
    for hours in (0, 3):
        world.month.now += timedelta(hours=hours)
        with pytest.raises(StepFailed):
            await world.run(archiver)
        assert world.figure("overdue_seconds") == hours * 3_600


async def test_who_cannot_ask_for_the_lease_does_not_lead(world: World) -> None:
    """Nor say so: another archiver may have it by now."""
    archiver = world.archiver()
    await world.run(archiver)
    assert (archiver.leading, world.figure("leading")) == (True, 1)
    world.core.is_away = True
    with pytest.raises(grpc.RpcError):
        await world.run(archiver)
    assert (archiver.leading, world.figure("leading")) == (False, 0)


async def test_costs_that_cannot_be_written_are_a_failed_step(world: World) -> None:
    """Of this month: others go on, and the status says what it was."""
    world.costs = FocusFiles()
    world.month.billing = [bill(2, category="bribe")]
    archiver = world.archiver()
    with pytest.raises(StepFailed):
        await world.run(archiver)
    assert (await archiver.status()).months[0].last_error == "BillingNotUnderstood"


async def test_a_step_without_effect_is_a_failed_step(world: World) -> None:
    """Tried once a round, and told."""
    world.core.ignored.add("FreezeMonth")
    archiver = world.archiver()
    with pytest.raises(StepFailed):
        await world.run(archiver)
    assert world.core.calls == ["FreezeMonth"]
    assert (await archiver.status()).months[0].last_error == "StepHadNoEffect"
    failures = world.registry.get_sample_value(
        "oneapi_archive_step_failures_total", {"step": "freeze"}
    )
    assert failures == 1
