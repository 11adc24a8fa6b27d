"""Epochs fence, limits never exceed."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from core.accounts import service as accounts
from core.accounts.model import Workspace
from core.admission import epochs, limits
from core.admission.credit import CreditDesk, CreditWish, LeaseTerms
from core.admission.epoch_store import check_current
from core.admission.epochs import Closed
from core.admission.limits import Slices, Wanted
from core.keyring import Keyring
from core.keys import service as keys
from core.keys.model import ApiKey, KeyLimits, KeySettings
from core.ledger.credits import grant_credit
from core.ledger.model import GrantKind
from core.metering.store import advance_epoch, lock_epoch
from kit.clock import now
from kit.reasons import (
    CreditInUse,
    EpochFenced,
    InsufficientCredits,
    InvalidArgument,
    NotFound,
    Unavailable,
    WorkspaceNotActive,
)
from tests.integration.core.conftest import World

PEPPERS = Keyring({1: b"p" * 32})
TERMS = LeaseTerms(disconnected_seconds=600, request_max_seconds=3_600)
CREDIT = 1_000_000
NO_WAITING = "SELECT set_config('lock_timeout', '100ms', true)"


@pytest.fixture
async def workspace(world: World) -> Workspace:
    """A workspace with a little credit."""
    async with world.pool.transaction("system") as tx:
        workspace = await accounts.create_workspace(
            tx, world.act(), request_id="request-ws", display_name="Example", default_lane=0
        )
        await grant_credit(
            tx,
            workspace_id=workspace.workspace_id,
            kind=GrantKind.PROMOTIONAL,
            amount=CREDIT,
            expires_at=None,
            business_key="test:credit",
            actor="operator",
            now=now(world.clock),
        )
        await tx.commit()
    return workspace


async def key_with(world: World, workspace: Workspace, **limit: int) -> ApiKey:
    """A key with limits."""
    async with world.pool.transaction("system") as tx:
        shown = await keys.create_key(
            tx,
            world.act(),
            PEPPERS,
            request_id=f"request-{uuid4().hex}",
            workspace_id=workspace.workspace_id,
            display_name="A key",
            settings=KeySettings(limits=KeyLimits(**limit)),
        )
        await tx.commit()
    return shown.key


async def open_epoch(world: World, edge_id: int = 0, nonce: bytes | None = None) -> int:
    """Start an edge process."""
    async with world.pool.transaction("system") as tx:
        epoch = await epochs.open_epoch(
            tx, world.act("edge"), edge_id, uuid4().bytes if nonce is None else nonce
        )
        await tx.commit()
    return epoch


async def close_epoch(world: World, edge_id: int, epoch: int, last: int = 0) -> Closed:
    """End an edge process."""
    async with world.pool.transaction("system") as tx:
        closed = await epochs.close_epoch(tx, world.act("edge"), edge_id, epoch, last)
        await tx.commit()
    return closed


async def take(
    world: World, key: ApiKey, wanted: Wanted, edge_id: int = 0, epoch: int = 1
) -> Slices:
    """Take slices of a key's limits."""
    async with world.pool.transaction("system") as tx:
        locked = await limits.lock_key(tx, key.key_id)
        slices = await limits.take_slices(
            tx, locked, edge_id=edge_id, epoch=epoch, wanted=wanted, now=now(world.clock)
        )
        await tx.commit()
    return slices


def wish(workspace: Workspace, epoch: int, needed: int, *, edge: int = 0) -> CreditWish:
    """The first wish for credit of an edge."""
    return CreditWish(
        edge_id=edge,
        epoch=epoch,
        workspace_id=workspace.workspace_id,
        acquire_number=1,
        needed=needed,
        spend_rate=0,
    )


async def test_the_same_nonce_gets_the_same_epoch(world: World) -> None:
    """A resent call must not fence its own process."""
    nonce = uuid4().bytes
    assert await open_epoch(world, nonce=nonce) == await open_epoch(world, nonce=nonce) == 1


async def test_each_process_of_a_slot_gets_a_larger_epoch(world: World) -> None:
    """Slots count for themselves."""
    assert [await open_epoch(world) for _ in range(3)] == [1, 2, 3]
    assert await open_epoch(world, edge_id=1) == 1


async def test_a_nonce_belongs_to_one_slot(world: World) -> None:
    """Anything else is a mistake of the edge."""
    nonce = uuid4().bytes
    await open_epoch(world, 0, nonce)
    with pytest.raises(InvalidArgument):
        await open_epoch(world, 1, nonce)


async def test_processes_that_start_together_get_different_epochs(world: World) -> None:
    """Whoever is larger fences the others."""
    opened = await asyncio.gather(*(open_epoch(world) for _ in range(3)))
    assert len(set(opened)) == 3


async def test_a_newer_epoch_fences_the_older_one(world: World, workspace: Workspace) -> None:
    """A process that was replaced gets no credit any more."""
    old = await open_epoch(world)
    new = await open_epoch(world)
    desk = CreditDesk(world.pool, world.clock, TERMS)
    with pytest.raises(EpochFenced):
        await desk.acquire(wish(workspace, old, 10), edges=1)
    with pytest.raises(EpochFenced):
        await desk.renew(0, old, [])
    assert (await desk.acquire(wish(workspace, new, 10), edges=1)).granted_total >= 10


async def test_a_closed_epoch_gets_no_credit(world: World, workspace: Workspace) -> None:
    """What is closed stays closed."""
    epoch = await open_epoch(world)
    await close_epoch(world, 0, epoch)
    with pytest.raises(EpochFenced):
        await CreditDesk(world.pool, world.clock, TERMS).acquire(
            wish(workspace, epoch, 10), edges=1
        )


async def test_closing_an_epoch_frees_its_leases_at_once(
    world: World, workspace: Workspace
) -> None:
    """After a crash nobody waits an hour for his credit; a repeated call frees nothing more."""
    epoch = await open_epoch(world)
    desk = CreditDesk(world.pool, world.clock, TERMS)
    lease = await desk.acquire(wish(workspace, epoch, 10), edges=1)
    assert await close_epoch(world, 0, epoch) == Closed(lease.granted_total, 0)
    assert await close_epoch(world, 0, epoch) == Closed(0, 0)


async def test_a_spool_that_never_came_whole_is_alarmed(world: World) -> None:
    """Frames that core has not seen are counted, and somebody is told."""
    epoch = await open_epoch(world)
    assert (await close_epoch(world, 0, epoch, last=7)).missing_frames == 7
    async with world.pool.transaction("system") as tx:
        alarms = await tx.all("SELECT kind, edge_id, epoch, expected, found FROM alarm")
    assert [tuple(row) for row in alarms] == [("missing_frames", 0, 1, 7, 0)]


@pytest.mark.parametrize("last", [3, 9])
async def test_an_old_copy_of_a_spool_is_alarmed(world: World, last: int) -> None:
    """A closed epoch that is shipped again and ends elsewhere was put back by somebody."""
    epoch = await open_epoch(world)
    await close_epoch(world, 0, epoch, last=7)
    for harmless in (7, 0):
        assert (await close_epoch(world, 0, epoch, last=harmless)).missing_frames == 7
    assert (await close_epoch(world, 0, epoch, last=last)).missing_frames == 7
    assert await alarms_of(world) == [
        ("missing_frames", 7, 0),
        ("spool_replayed", max(7, last), min(7, last)),
    ]


async def test_a_spool_that_ends_before_what_was_taken_is_alarmed(world: World) -> None:
    """The edge's disk went back in time before the epoch was closed."""
    epoch = await open_epoch(world)
    async with world.pool.transaction("system") as tx:
        await tx.run("UPDATE edge_epoch SET acked_sequence = 5")
        await tx.commit()
    await close_epoch(world, 0, epoch, last=2)
    assert await alarms_of(world) == [("spool_replayed", 5, 2)]


async def alarms_of(world: World) -> list[tuple[str, int, int]]:
    """The alarms in the order of their coming."""
    async with world.pool.transaction("system") as tx:
        rows = await tx.all("SELECT kind, expected, found FROM alarm ORDER BY id")
    return [tuple(row) for row in rows]


async def test_an_unknown_epoch_cannot_be_closed(world: World) -> None:
    """It was never opened here."""
    with pytest.raises(NotFound):
        await close_epoch(world, 0, 9)


async def test_no_credit_for_a_suspended_workspace(world: World, workspace: Workspace) -> None:
    """Even if an edge has not heard of it yet."""
    epoch = await open_epoch(world)
    async with world.pool.transaction("system") as tx:
        await accounts.suspend_workspace(tx, world.act(), workspace.workspace_id)
        await tx.commit()
    with pytest.raises(WorkspaceNotActive):
        await CreditDesk(world.pool, world.clock, TERMS).acquire(
            wish(workspace, epoch, 10), edges=1
        )


async def test_more_than_there_is_is_refused_at_once(world: World, workspace: Workspace) -> None:
    """No wait can help there."""
    epoch = await open_epoch(world)
    with pytest.raises(InsufficientCredits):
        await CreditDesk(world.pool, world.clock, TERMS).acquire(
            wish(workspace, epoch, CREDIT + 1), edges=1
        )


async def test_credit_that_another_edge_gives_back_is_waited_for(
    world: World, workspace: Workspace
) -> None:
    """The other edge is asked; what it returns within two seconds goes to who waits."""
    first, second = await open_epoch(world, 0), await open_epoch(world, 1)
    desk = CreditDesk(world.pool, world.clock, TERMS)
    lease = await desk.acquire(wish(workspace, first, CREDIT), edges=1)
    waiting = asyncio.ensure_future(desk.acquire(wish(workspace, second, 10, edge=1), edges=2))
    await until_recalled(world)
    await desk.renew(0, first, [(lease.lease_id, lease.granted_total)])
    assert (await waiting).granted_total >= 10


async def test_credit_that_nobody_gives_back_is_in_use(world: World, workspace: Workspace) -> None:
    """After the wait the edge hears that it would have sufficed."""
    first, second = await open_epoch(world, 0), await open_epoch(world, 1)
    desk = CreditDesk(world.pool, world.clock, TERMS)
    await desk.acquire(wish(workspace, first, CREDIT), edges=1)
    with pytest.raises(CreditInUse):
        await desk.acquire(wish(workspace, second, 10, edge=1), edges=2)


async def until_recalled(world: World) -> None:
    """Wait for a recall to be committed."""
    while True:
        async with world.pool.transaction("system") as tx:
            if await tx.all("SELECT id FROM lease WHERE recalled_at IS NOT NULL"):
                return
        await asyncio.sleep(0.01)


async def test_two_edges_together_never_get_more_than_the_limit(
    world: World, workspace: Workspace
) -> None:
    """Slices are dealt one after the other, whoever asks at the same time."""
    key = await key_with(world, workspace, requests_per_minute=10, tokens_per_minute=1_000)
    wanted = Wanted(requests=3, tokens=400)
    dealt = await asyncio.gather(
        *(take(world, key, wanted, edge_id=edge) for edge in (0, 1) for _ in range(4))
    )
    assert sum(slices.requests for slices in dealt) == 10
    assert sum(slices.tokens for slices in dealt) == 1_000


async def test_an_edge_hears_what_is_left_and_until_when(
    world: World, workspace: Workspace
) -> None:
    """Windows are calendar minutes; what is left is never more than nobody has taken."""
    key = await key_with(world, workspace, requests_per_minute=10)
    world.clock.move(seconds=15)
    slices = await take(world, key, Wanted(requests=4, tokens=5))
    assert (slices.requests, slices.requests_left) == (4, 6)
    assert (slices.tokens, slices.tokens_left) == (5, 0)
    assert slices.window_remaining_ms == 45_000


async def test_a_new_minute_begins_anew(world: World, workspace: Workspace) -> None:
    """What was left of the last one is gone, what was taken is forgotten."""
    key = await key_with(world, workspace, requests_per_minute=2)
    assert (await take(world, key, Wanted(requests=2))).requests == 2
    assert (await take(world, key, Wanted(requests=1))).requests == 0
    world.clock.move(minutes=1)
    assert (await take(world, key, Wanted(requests=3))).requests == 2


async def test_a_lowered_limit_never_deals_a_negative_slice(
    world: World, workspace: Workspace
) -> None:
    """What was dealt before stays dealt."""
    key = await key_with(world, workspace, requests_per_minute=10)
    await take(world, key, Wanted(requests=10))
    async with world.pool.transaction("system") as tx:
        await tx.run("UPDATE api_key SET requests_per_minute = 5")
        await tx.commit()
    slices = await take(world, key, Wanted(requests=1))
    assert (slices.requests, slices.requests_left) == (0, 0)


async def test_permits_are_shared_until_they_expire(world: World, workspace: Workspace) -> None:
    """An edge says how many it wants in all; a silent edge loses its permits after a minute."""
    key = await key_with(world, workspace, concurrent_requests=5)
    assert (
        await take(world, key, Wanted(concurrent_requests=3), edge_id=0)
    ).concurrent_requests == 3
    assert (
        await take(world, key, Wanted(concurrent_requests=3), edge_id=1)
    ).concurrent_requests == 2
    assert (
        await take(world, key, Wanted(concurrent_requests=1), edge_id=0)
    ).concurrent_requests == 1
    assert (
        await take(world, key, Wanted(concurrent_requests=4), edge_id=1)
    ).concurrent_requests == 4
    world.clock.move(seconds=61)
    assert (
        await take(world, key, Wanted(concurrent_requests=9), edge_id=0)
    ).concurrent_requests == 5


async def test_a_restarted_edge_does_not_compete_with_its_dead_self(
    world: World, workspace: Workspace
) -> None:
    """The slot's process before is dead, and its requests with it."""
    key = await key_with(world, workspace, concurrent_requests=2)
    await take(world, key, Wanted(concurrent_requests=2), epoch=1)
    assert (await take(world, key, Wanted(concurrent_requests=2), epoch=2)).concurrent_requests == 2


async def test_a_key_without_limits_gets_what_it_wants(world: World, workspace: Workspace) -> None:
    """0 is no limit."""
    key = await key_with(world, workspace)
    slices = await take(world, key, Wanted(7, 8, 9))
    assert (slices.requests, slices.tokens, slices.concurrent_requests) == (7, 8, 9)


async def test_a_spool_is_acknowledged_while_grants_are_open(world: World) -> None:
    """However many grants overlap, taking the records of an edge never waits for them."""
    epoch = await open_epoch(world)
    async with world.pool.transaction("system") as grant:
        await check_current(grant, 0, epoch)
        async with world.pool.transaction("system") as tx:
            await tx.run(NO_WAITING)
            assert await lock_epoch(tx, 0, epoch) is not None
            await advance_epoch(tx, 0, epoch, acked=3, missing=0)
            await tx.commit()


async def test_an_epoch_is_not_closed_while_grants_are_open(world: World) -> None:
    """What is being granted would be given back before it was granted, and stay out forever."""
    epoch = await open_epoch(world)
    async with world.pool.transaction("system") as grant:
        await check_current(grant, 0, epoch)
        with pytest.raises(Unavailable) as refused:
            await _close_at_once(world, epoch)
    assert refused.value.metadata == {"sqlstate": "55P03"}


async def test_a_grant_that_waited_for_a_closing_is_refused(world: World) -> None:
    """It sees the row as it is when the lock is had."""
    epoch = await open_epoch(world)
    async with world.pool.transaction("system") as closing:
        await epochs.close_epoch(closing, world.act("edge"), 0, epoch, 0)
        grant = asyncio.create_task(_check(world, epoch))
        await asyncio.wait([grant], timeout=0.3)
        assert not grant.done()
        await closing.commit()
    with pytest.raises(EpochFenced):
        await grant


async def _check(world: World, epoch: int) -> None:
    async with world.pool.transaction("system") as tx:
        await check_current(tx, 0, epoch)


async def _close_at_once(world: World, epoch: int) -> None:
    async with world.pool.transaction("system") as tx:
        await tx.run(NO_WAITING)
        await epochs.close_epoch(tx, world.act("edge"), 0, epoch, 0)
