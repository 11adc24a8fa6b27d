"""What all keys of a workspace spend together stays below its limits, exactly."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest

from core.accounts import service as accounts
from core.accounts.model import SpendLimits
from core.admission.grants import list_grants
from core.admission.limit_desk import SpendDealt
from core.db.values import to_uuid
from core.keys import workspace_spend
from core.ledger.wallets import lock_wallet
from kit.reasons import InvalidArgument
from tests.support.metering_world import MeteringWorld
from tests.support.postgres import LOCK_WAITS
from tests.support.spender import ONE, Spender, until_recalled


@pytest.fixture
async def spender(world: MeteringWorld) -> Spender:
    """A key of a workspace with ten dollars."""
    spender = await Spender.of(world)
    await spender.limit()
    return spender


@pytest.fixture
async def other(spender: Spender) -> Spender:
    """Another key of the same workspace."""
    other = replace(spender)
    await other.limit()
    return other


async def test_keys_without_limits_share_that_of_their_workspace(
    spender: Spender, other: Spender
) -> None:
    """What one has open the other cannot have; what it spent neither."""
    await spender.limit_workspace(total=10 * ONE)
    dealt = await spender.ask(6 * ONE)
    assert (await other.ask(20 * ONE, ONE)).granted == 4 * ONE
    await spender.charge()
    await spender.give_back(dealt, 5 * ONE)
    assert (await other.ask(20 * ONE, ONE, edge=2)).granted == 5 * ONE


async def test_the_tighter_of_both_limits_counts(spender: Spender, other: Spender) -> None:
    """The key's own and its workspace's."""
    await spender.limit_workspace(per_day=10 * ONE)
    third = replace(spender)
    await third.limit(spend_per_day=3 * ONE)
    assert (await third.ask(20 * ONE, ONE)).granted == 3 * ONE
    assert (await other.ask(6 * ONE)).granted == 6 * ONE
    assert (await spender.ask(20 * ONE, ONE)).granted == ONE


async def test_what_was_spent_before_there_was_a_limit_counts(
    spender: Spender, other: Spender
) -> None:
    """By any key, in the period; a new day begins anew, a life does not."""
    await spender.charge()
    await other.charge()
    await spender.limit_workspace(per_day=5 * ONE, per_month=6 * ONE)
    assert (await other.ask(20 * ONE, ONE)).granted == 3 * ONE
    await other.charge()
    await other.close_epoch(1)
    await spender.world.money.edge(3)
    spender.world.money.pass_time(86_400)
    assert (await spender.ask(20 * ONE, ONE, edge=3)).granted == 3 * ONE


async def test_what_another_key_has_free_is_recalled_and_waited_for(
    spender: Spender, other: Spender
) -> None:
    """On the same edge as well."""
    await spender.limit_workspace(total=4 * ONE)
    dealt = await other.ask(4 * ONE)
    waiting = asyncio.create_task(spender.ask(2 * ONE))
    await until_recalled(spender)
    await other.give_back(dealt, 4 * ONE)
    assert (await waiting).granted == 2 * ONE


async def test_whoever_changes_the_workspace_and_then_its_wallet_never_deadlocks(
    spender: Spender,
) -> None:
    """The first slice of a period locks the wallet too: after the workspace, as all others do."""
    await spender.limit(spend_per_day=5 * ONE)
    await spender.limit_workspace(per_day=10 * ONE)
    async with spender.world.money.database.rpc.transaction("system") as tx:
        await workspace_spend.lock_limits(tx, spender.workspace_id)
        asking = asyncio.create_task(spender.ask(ONE))
        while not await spender.world.rows(LOCK_WAITS):  # noqa: ASYNC110 - told by nobody
            await asyncio.sleep(0.01)
        await lock_wallet(tx, spender.workspace_id)
        await tx.commit()
    assert (await asking).granted == ONE


async def test_a_key_that_lacks_alone_recalls_only_its_own(
    spender: Spender, other: Spender
) -> None:
    """Its workspace has room enough: what other keys have does not help it."""
    await spender.limit(spend_total=2 * ONE)
    await spender.limit_workspace(total=10 * ONE)
    await other.ask(3 * ONE)
    dealt = await spender.ask(2 * ONE)
    waiting = asyncio.create_task(spender.ask(ONE, edge=2))
    await until_recalled(spender)
    recalled = await spender.world.rows(
        "SELECT key_id FROM spend_slice WHERE recalled_at IS NOT NULL"
    )
    assert recalled == [(to_uuid(spender.key_id),)]
    await spender.give_back(dealt, 2 * ONE)
    assert (await waiting).granted == ONE


async def test_nobody_waits_for_what_cannot_come_back(spender: Spender, other: Spender) -> None:
    """The workspace has spent it."""
    await spender.limit_workspace(total=ONE)
    await other.charge()
    dealt = await spender.ask(ONE)
    assert (dealt.granted, dealt.may_come_back) == (0, False)


async def test_other_workspaces_do_not_count(spender: Spender) -> None:
    """Neither their charges nor their slices count."""
    stranger = replace(spender, workspace_id=await spender.world.money.workspace(10))
    await stranger.limit(spend_total=9 * ONE)
    await stranger.ask(5 * ONE)
    await stranger.charge()
    await spender.limit_workspace(total=4 * ONE)
    assert (await spender.ask(20 * ONE, ONE)).granted == 4 * ONE
    assert (await stranger.ask(20 * ONE, ONE)).granted == 4 * ONE


async def test_edges_hear_that_a_key_has_a_limit(spender: Spender) -> None:
    """With its grant: from then on they ask core; without limits they do not."""

    async def has_limit() -> bool:
        async with spender.world.money.database.rpc.transaction("system") as tx:
            (grant,) = await list_grants(tx, [spender.key_id], [], spender.world.money.now, 9)
        return grant.has_spend_limit

    assert not await has_limit()
    await spender.limit_workspace(per_month=ONE)
    assert await has_limit()
    await spender.limit_workspace()
    assert not await has_limit()
    assert (await spender.ask(20 * ONE)).granted == 20 * ONE


async def test_a_limit_below_zero_is_refused(spender: Spender) -> None:
    """And named."""
    with pytest.raises(InvalidArgument) as refused:
        await spender.limit_workspace(per_month=-1)
    assert refused.value.metadata == {"fields": "spend_limits.per_month"}


async def test_a_workspace_is_made_with_limits_once(spender: Spender) -> None:
    """The same request id with other limits is another call."""
    limits = SpendLimits(per_day=ONE, total=2 * ONE)
    async with spender.world.money.database.rpc.transaction("system") as tx:
        made = await accounts.create_workspace(
            tx,
            spender.act,
            request_id="request-0001",
            display_name="Limited",
            default_lane=0,
            spend_limits=limits,
        )
        assert made.spend_limits == limits
        again = await accounts.create_workspace(
            tx,
            spender.act,
            request_id="request-0001",
            display_name="Limited",
            default_lane=0,
            spend_limits=limits,
        )
    assert again == replace(made, version=again.version)


async def test_in_random_lives_of_three_keys_their_limit_is_never_exceeded_and_never_lost(
    spender: Spender, other: Spender
) -> None:
    """Slices, records and returns in any order: in the end all of it can be spent, and no more."""
    limit = 30 * ONE
    third = replace(spender)
    await third.limit(spend_total=20 * ONE)
    await spender.limit_workspace(total=limit)
    keys, chance = [spender, other, third], random.Random(7)
    places = [(key, edge) for key in range(3) for edge in (1, 2)]
    charged, free = 0, dict.fromkeys(places, 0)
    slices: dict[tuple[int, int], SpendDealt] = {}
    returned = dict.fromkeys(places, 0)
    for _ in range(90):
        key, edge = place = chance.choice(places)
        step = chance.choice(("ask", "charge", "charge", "return"))
        if step == "ask" and free[place] < 6 * ONE and charged + sum(free.values()) < limit:
            dealt = await keys[key].ask(chance.randint(1, 3) * ONE, ONE, edge=edge)
            slices[place] = dealt
            free[place] += dealt.granted
        elif step == "charge" and free[place] >= ONE:
            await keys[key].charge(edge)
            free[place] -= ONE
            charged += ONE
        elif step == "return" and free[place]:
            returned[place] += free[place]
            await keys[key].give_back(slices[place], returned[place], edge)
            free[place] = 0
        assert charged + sum(free.values()) <= limit
    for edge in (1, 2):
        await spender.close_epoch(edge)
    await spender.world.money.edge(3)
    if charged < limit:
        assert (await other.ask(2 * limit, ONE, edge=3)).granted == limit - charged
    rows = await spender.world.rows("SELECT charged FROM workspace_spend_window WHERE period = 3")
    assert rows == [(charged,)]
