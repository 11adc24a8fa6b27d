"""Idempotency keys belong to one request, and only as long as it may have called an upstream."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from core.accounts.model import Workspace
from core.admission import idempotency, limits
from core.admission.idempotency import Claim, ClaimResult, ClientKey
from kit.clock import now
from kit.ids import format_id
from kit.reasons import EpochFenced, NotFound
from tests.integration.core.admission.test_epochs_and_limits import (
    close_epoch,
    open_epoch,
    workspace,
)
from tests.integration.core.conftest import World

__all__ = ["workspace"]


def client_key(workspace: Workspace, request_id: bytes) -> ClientKey:
    """One and the same client's key, with a request."""
    return ClientKey(workspace.workspace_id, b"h" * 32, request_id)


async def claim(
    world: World, workspace: Workspace, request_id: bytes, edge_id: int = 7, epoch: int = 1
) -> Claim:
    """Claim one and the same idempotency key."""
    async with world.pool.transaction("system") as tx:
        key = client_key(workspace, request_id)
        found = await idempotency.claim(tx, key, edge_id=edge_id, epoch=epoch, now=now(world.clock))
        await tx.commit()
    return found


async def release(world: World, workspace: Workspace, request_id: bytes) -> None:
    """Give the claim of a request up."""
    async with world.pool.transaction("system") as tx:
        await idempotency.release(tx, client_key(workspace, request_id), now(world.clock))
        await tx.commit()


@pytest.fixture
async def claimant(world: World) -> int:
    """The epoch of the edge process that claims keys."""
    return await open_epoch(world, 7)


async def test_the_first_claim_of_a_key_wins(
    world: World, workspace: Workspace, claimant: int
) -> None:
    """The second request hears whose it is; a repeated claim of the first one succeeds."""
    first, second = uuid4().bytes, uuid4().bytes
    assert await claim(world, workspace, first) == Claim(ClaimResult.CLAIMED, first)
    assert await claim(world, workspace, second) == Claim(ClaimResult.IN_FLIGHT, first)
    assert await claim(world, workspace, first) == Claim(ClaimResult.CLAIMED, first)


async def test_of_claims_at_the_same_time_one_wins(
    world: World, workspace: Workspace, claimant: int
) -> None:
    """Never a second upstream call."""
    claims = await asyncio.gather(*(claim(world, workspace, uuid4().bytes) for _ in range(6)))
    assert [found.result for found in claims].count(ClaimResult.CLAIMED) == 1


async def test_a_claim_is_completed_by_its_usage_record(
    world: World, workspace: Workspace, claimant: int
) -> None:
    """The answer tells the charge, so that the client need not ask again."""
    first = world.ids.new()
    await claim(world, workspace, first)
    await insert_late_record(world, workspace, first)
    second = await claim(world, workspace, uuid4().bytes)
    assert second == Claim(ClaimResult.COMPLETED, first, 0)


async def test_a_claim_ends_after_24_hours(
    world: World, workspace: Workspace, claimant: int
) -> None:
    """A second is not a day."""
    first, second = uuid4().bytes, uuid4().bytes
    await claim(world, workspace, first)
    world.clock.move(hours=23, minutes=59)
    assert (await claim(world, workspace, second)).result is ClaimResult.IN_FLIGHT
    world.clock.move(minutes=1)
    assert await claim(world, workspace, second) == Claim(ClaimResult.CLAIMED, second)


async def test_a_sweep_forgets_what_is_over_and_nothing_else(
    world: World, workspace: Workspace, claimant: int
) -> None:
    """The tables stay small, the promises hold."""
    first = uuid4().bytes
    await claim(world, workspace, first)
    for hours, kept in ((23, 1), (2, 0)):
        world.clock.move(hours=hours)
        async with world.pool.transaction("system") as tx:
            await idempotency.sweep(tx, now(world.clock))
            await limits.sweep(tx, now(world.clock))
            assert len(await tx.all("SELECT 1 FROM idempotency_key")) == kept
            await tx.commit()


async def test_an_unknown_workspace_claims_nothing(
    world: World, workspace: Workspace, claimant: int
) -> None:
    """Keys live in workspaces."""
    stranger = Workspace(uuid4().bytes, "x", workspace.state, 1, now(world.clock) - timedelta(1), 0)
    with pytest.raises(NotFound):
        await claim(world, stranger, uuid4().bytes)


async def test_a_claim_without_a_record_ends_with_its_epoch(
    world: World, workspace: Workspace, claimant: int
) -> None:
    """An edge that died between claim and INTENT has called nobody: the key is free again."""
    first, second = uuid4().bytes, uuid4().bytes
    await claim(world, workspace, first)
    await open_epoch(world, 7)
    assert (await claim(world, workspace, second, epoch=2)).result is ClaimResult.IN_FLIGHT
    await close_epoch(world, 7, claimant)
    assert await claim(world, workspace, second, epoch=2) == Claim(ClaimResult.CLAIMED, second)


async def test_a_claim_with_a_record_outlives_its_epoch(
    world: World, workspace: Workspace, claimant: int
) -> None:
    """Its request has called an upstream, however it ended."""
    first = world.ids.new()
    await claim(world, workspace, first)
    await insert_late_record(world, workspace, first)
    await open_epoch(world, 7)
    await close_epoch(world, 7, claimant)
    second = await claim(world, workspace, uuid4().bytes, epoch=2)
    assert second.result is ClaimResult.COMPLETED


async def test_a_claim_outlives_an_epoch_whose_spool_lost_frames(
    world: World, workspace: Workspace, claimant: int
) -> None:
    """The INTENT may have been among them."""
    await claim(world, workspace, uuid4().bytes)
    await open_epoch(world, 7)
    await close_epoch(world, 7, claimant, last=3)
    second = await claim(world, workspace, uuid4().bytes, epoch=2)
    assert second.result is ClaimResult.IN_FLIGHT


async def test_a_claim_whose_record_was_refused_outlives_its_epoch(
    world: World, workspace: Workspace, claimant: int
) -> None:
    """Its upstream was called all the same; the alarm says so."""
    first = world.ids.new()
    await claim(world, workspace, first)
    async with world.pool.transaction("system") as tx:
        await tx.run(
            "INSERT INTO alarm VALUES (:id, :now, 'record_invalid', 7, 1, :object, 0, 0)",
            id=uuid4(),
            now=now(world.clock),
            object=format_id("req", first),
        )
        await tx.commit()
    await open_epoch(world, 7)
    await close_epoch(world, 7, claimant)
    second = await claim(world, workspace, uuid4().bytes, epoch=2)
    assert second.result is ClaimResult.IN_FLIGHT


async def test_a_closed_or_replaced_epoch_claims_nothing(
    world: World, workspace: Workspace, claimant: int
) -> None:
    """Nobody would free the key any more."""
    await open_epoch(world, 7)
    with pytest.raises(EpochFenced):
        await claim(world, workspace, uuid4().bytes, epoch=claimant)
    await close_epoch(world, 7, 2)
    with pytest.raises(EpochFenced):
        await claim(world, workspace, uuid4().bytes, epoch=2)


async def test_a_released_key_is_free_for_others_and_not_for_its_own_late_claim(
    world: World, workspace: Workspace, claimant: int
) -> None:
    """Claim and release may overtake each other on their way."""
    first, second = uuid4().bytes, uuid4().bytes
    await release(world, workspace, first)
    assert (await claim(world, workspace, first)).result is ClaimResult.IN_FLIGHT
    assert await claim(world, workspace, second) == Claim(ClaimResult.CLAIMED, second)
    assert (await claim(world, workspace, first)) == Claim(ClaimResult.IN_FLIGHT, second)


async def test_a_release_frees_its_own_request_s_claim_only(
    world: World, workspace: Workspace, claimant: int
) -> None:
    """Another request's claim stands; a repeated release changes nothing."""
    first, second = uuid4().bytes, uuid4().bytes
    await claim(world, workspace, first)
    await release(world, workspace, second)
    assert (await claim(world, workspace, second)).result is ClaimResult.IN_FLIGHT
    await release(world, workspace, first)
    assert (await claim(world, workspace, second)).result is ClaimResult.CLAIMED
    await release(world, workspace, first)
    assert (await claim(world, workspace, first)).result is ClaimResult.IN_FLIGHT


async def insert_late_record(world: World, workspace: Workspace, request_id: bytes) -> None:
    """A resolved request, in the table that needs no partition."""
    columns = {
        "id": UUID(bytes=request_id),
        "workspace_id": UUID(bytes=workspace.workspace_id),
        "key_id": uuid4(),
        "started_at": now(world.clock),
        "recorded_at": now(world.clock),
        "streamed": False,
        "attempts": [],
        "content_hash": b"c" * 32,
        "settlement_id": uuid4(),
    }
    async with world.pool.transaction("system") as tx:
        rows = await tx.all(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'usage_late'::regclass"
            " AND attnum > 0"
        )
        names = [row.attname for row in rows]
        places = ", ".join(f":{name}" for name in names)
        places = places.replace(":attempts,", "CAST(:attempts AS integer[]),")
        values = {name: columns.get(name, 0) for name in names}
        await tx.run(f"INSERT INTO usage_late ({', '.join(names)}) VALUES ({places})", **values)
        await tx.commit()
