"""Spend limits on real records: never more than the limit, and never less than what is left of it.

What edges took and did not spend comes back: when it is returned, when their epoch is closed, when
they fall silent.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from uuid import uuid4

import pytest

from core.admission.limit_desk import SpendDealt
from core.db.values import to_uuid
from core.keys import spend
from kit.reasons import EpochFenced
from tests.support.metering_world import MeteringWorld
from tests.support.spender import ONE, TERMS, Spender, until_recalled

LOCK_SLICE = "SELECT 1 FROM spend_slice WHERE id = :id FOR NO KEY UPDATE"


@pytest.fixture
async def spender(world: MeteringWorld) -> Spender:
    """A workspace with ten dollars."""
    return await Spender.of(world)


async def test_what_an_edge_returns_can_be_had_again(spender: Spender) -> None:
    """All but what it spent."""
    await spender.limit(spend_total=10 * ONE)
    dealt = await spender.ask(10 * ONE)
    await spender.charge()
    await spender.give_back(dealt, 9 * ONE)
    assert (await spender.ask(9 * ONE, edge=2)).granted == 9 * ONE
    assert (await spender.ask(1, edge=2)).granted == 0


async def test_a_resent_return_gives_nothing_back_twice(spender: Spender) -> None:
    """Totals only grow, and never beyond what was granted."""
    await spender.limit(spend_total=10 * ONE)
    dealt = await spender.ask(4 * ONE)
    for total in (3 * ONE, 3 * ONE, ONE, 9 * ONE):
        await spender.give_back(dealt, total)
    assert (await spender.ask(20 * ONE, ONE, edge=2)).granted == 10 * ONE


async def test_a_closed_epoch_leaves_only_what_its_records_charged(spender: Spender) -> None:
    """After a crash the key may spend what the dead edge had not."""
    await spender.limit(spend_total=10 * ONE, spend_per_day=10 * ONE)
    await spender.ask(10 * ONE)
    await spender.charge()
    await spender.charge()
    assert (await spender.ask(1, edge=2)).granted == 0
    await spender.close_epoch(1)
    assert (await spender.ask(20 * ONE, ONE, edge=2)).granted == 8 * ONE


async def test_a_silent_edge_keeps_nothing_and_a_late_record_counts(spender: Spender) -> None:
    """An edge that never comes back: what it had is free after its last request must be over."""
    await spender.limit(spend_total=10 * ONE)
    await spender.ask(10 * ONE)
    spender.world.money.pass_time(TERMS.silence.total_seconds())
    assert (await spender.ask(ONE, edge=2)).granted == 0
    spender.world.money.pass_time(1)
    assert (await spender.ask(ONE, edge=2)).granted == ONE
    await spender.sweep()
    await spender.charge()
    assert (await spender.ask(20 * ONE, ONE, edge=2)).granted == 8 * ONE


async def test_spend_that_another_edge_has_free_is_recalled_and_waited_for(
    spender: Spender,
) -> None:
    """The other edge hears of it, and who waits gets it."""
    await spender.limit(spend_total=4 * ONE)
    dealt = await spender.ask(4 * ONE)
    waiting = asyncio.ensure_future(spender.ask(2 * ONE, edge=2))
    await until_recalled(spender)
    await spender.give_back(dealt, 3 * ONE)
    assert (await waiting).granted == 2 * ONE
    assert not await spender.world.rows(
        "SELECT 1 FROM spend_slice WHERE recalled_at IS NOT NULL AND edge_id = 1"
    )


async def test_nobody_waits_for_spend_that_cannot_come_back(spender: Spender) -> None:
    """What records have charged is spent."""
    await spender.limit(spend_total=ONE)
    await spender.ask(ONE)
    await spender.charge()
    assert not (await spender.ask(ONE, edge=2)).may_come_back


async def test_too_little_to_help_is_not_granted(spender: Spender) -> None:
    """It would only be missing elsewhere."""
    await spender.limit(spend_total=ONE)
    assert (await spender.ask(2 * ONE)).granted == 0
    assert (await spender.ask(2 * ONE, ONE)).granted == ONE


async def test_the_tightest_limit_counts_and_each_period_begins_anew(spender: Spender) -> None:
    """A day's and a month's limit are whole again when they are over, a life's never."""
    await spender.limit(spend_per_day=4 * ONE, spend_per_month=6 * ONE, spend_total=9 * ONE)
    for granted, days in ((4, 1), (2, 20), (3, 0)):
        dealt = await spender.ask(20 * ONE, ONE)
        assert dealt.granted == granted * ONE
        for _ in range(granted):
            await spender.charge()
        spender.world.money.pass_time(days * 86_400)
    assert (await spender.ask(ONE)).granted == 0


async def test_what_is_returned_late_goes_to_the_day_it_was_taken_from(spender: Spender) -> None:
    """Yesterday's rest is no allowance for today; its month has it again."""
    await spender.limit(spend_per_day=4 * ONE, spend_per_month=6 * ONE)
    spender.world.money.now = spender.world.money.now.replace(hour=23, minute=59)
    before = await spender.ask(4 * ONE)
    spender.world.money.pass_time(60)
    assert (await spender.ask(20 * ONE, ONE)).granted == 2 * ONE
    await spender.give_back(before, 3 * ONE)
    assert (await spender.ask(20 * ONE, ONE)).granted == 2 * ONE
    assert (await spender.ask(20 * ONE, ONE)).granted == 0


async def test_a_charge_counts_on_the_day_of_the_request_s_id(spender: Spender) -> None:
    """However late its record comes."""
    await spender.limit(spend_per_day=4 * ONE)
    yesterday = spender.world.money.now
    await spender.ask(4 * ONE)
    spender.world.money.pass_time(86_400)
    await spender.ask(3 * ONE)
    await spender.charge(moment=yesterday)
    assert (await spender.ask(20 * ONE, ONE)).granted == ONE


async def test_a_limit_counts_what_the_key_had_spent_before_it_got_one(spender: Spender) -> None:
    """The month is the calendar's, not the limit's; another key's usage is none of its."""
    await spender.limit()
    await spender.charge()
    other = replace(spender)
    await other.limit()
    await other.charge()
    async with spender.world.money.database.jobs.transaction("system") as tx:
        await tx.run("UPDATE api_key SET spend_per_month = :limit", limit=3 * ONE)
        await tx.commit()
    assert (await spender.ask(20 * ONE, ONE)).granted == 2 * ONE


async def test_days_that_are_over_are_forgotten_and_can_be_counted_again(spender: Spender) -> None:
    """The tables stay small, the sums stay true."""
    await spender.limit(spend_per_day=4 * ONE, spend_per_month=9 * ONE, spend_total=9 * ONE)
    first = spender.world.money.now
    dealt = await spender.ask(4 * ONE)
    await spender.charge()
    await spender.give_back(dealt, 3 * ONE)
    spender.world.money.pass_time(2 * 86_400)
    await spender.sweep()
    assert await spender.world.rows("SELECT period::int FROM spend_window ORDER BY 1") == [
        (2,),
        (3,),
    ]
    assert await spender.world.rows("SELECT 1 FROM spend_slice") == []
    spender.world.money.now = first
    assert (await spender.ask(20 * ONE, ONE)).granted == 3 * ONE


async def test_a_fenced_edge_gets_no_spend(spender: Spender) -> None:
    """Its place is taken."""
    await spender.limit(spend_total=ONE)
    await spender.world.money.edge(1, 2)
    with pytest.raises(EpochFenced):
        await spender.ask(ONE)
    with pytest.raises(EpochFenced):
        await spender.desk.renew(1, 1, [])


async def test_in_random_lives_the_limit_is_never_exceeded_and_never_lost(
    spender: Spender,
) -> None:
    """Slices, records, returns and crashes in any order: in the end all of it can be spent."""
    limit = 40 * ONE
    await spender.limit(spend_total=limit)
    chance = random.Random(5)
    charged, free = 0, {1: 0, 2: 0}
    slices: dict[int, SpendDealt] = {}
    for _ in range(120):
        edge = chance.choice((1, 2))
        step = chance.choice(("ask", "charge", "charge", "return"))
        if step == "ask" and free[edge] < 6 * ONE and charged + sum(free.values()) < limit:
            dealt = await spender.ask(chance.randint(1, 3) * ONE, ONE, edge=edge)
            slices[edge] = dealt
            free[edge] += dealt.granted
        elif step == "charge" and free[edge] >= ONE:
            await spender.charge(edge)
            free[edge] -= ONE
            charged += ONE
        elif step == "return" and free[edge]:
            before = await spender.world.rows(
                "SELECT returned_total FROM spend_slice WHERE edge_id = :edge", edge=edge
            )
            ((returned,),) = before
            assert isinstance(returned, int)
            await spender.give_back(slices[edge], returned + free[edge], edge)
            free[edge] = 0
        assert charged + sum(free.values()) <= limit
    for edge in (1, 2):
        await spender.close_epoch(edge)
    await spender.world.money.edge(3)
    if charged < limit:
        assert (await spender.ask(2 * limit, ONE, edge=3)).granted == limit - charged
    rows = await spender.world.rows("SELECT charged FROM spend_window WHERE period = 3")
    assert rows == [(charged,)]


async def test_only_periods_with_a_limit_are_summed_up(spender: Spender) -> None:
    """The wallet is not locked for sums that nobody asks for."""
    await spender.limit(spend_per_day=4 * ONE)
    await spender.charge()
    assert (await spender.ask(20 * ONE, ONE)).granted == 3 * ONE
    windows = await spender.world.rows("SELECT period::int, charged FROM spend_window")
    assert windows == [(1, ONE)]


async def test_more_slices_than_fit_a_transaction_are_renewed(spender: Spender) -> None:
    """Those of the last part too."""
    await spender.limit(spend_total=4 * ONE)
    dealt = await spender.ask(4 * ONE)
    renewals = [(uuid4().bytes, 0)] * 200 + [(dealt.slice.slice_id, 3 * ONE)]
    (renewed,) = await spender.desk.renew(1, 1, renewals)
    assert renewed.returned_total == 3 * ONE


@pytest.mark.parametrize("what", ["return", "settle"])
async def test_slices_are_locked_in_the_order_of_their_ids(spender: Spender, what: str) -> None:
    """Whoever waits for the first holds none of the others, or two could wait for each other."""
    other = replace(spender)
    await spender.limit(spend_total=4 * ONE)
    await other.limit(spend_total=4 * ONE)
    first, second = await other.ask(ONE), await spender.ask(ONE)
    assert first.slice.slice_id < second.slice.slice_id
    database = spender.world.money.database
    async with database.jobs.transaction("system") as holder:
        await holder.run(LOCK_SLICE, id=to_uuid(first.slice.slice_id))
        change = _return_all if what == "return" else _settle
        waiting = asyncio.create_task(change(spender, [second, first], [spender, other]))
        await asyncio.wait([waiting], timeout=0.3)
        assert not waiting.done()
        async with database.jobs.transaction("system") as tx:
            await tx.run(f"{LOCK_SLICE} NOWAIT", id=to_uuid(second.slice.slice_id))
    await waiting


async def _return_all(spender: Spender, dealt: list[SpendDealt], _: list[Spender]) -> None:
    await spender.desk.renew(1, 1, [(each.slice.slice_id, ONE) for each in dealt])


async def _settle(spender: Spender, _: list[SpendDealt], owners: list[Spender]) -> None:
    charges = spend.Charges()
    for owner in owners:
        record = spender.world.record(spender.workspace_id, key_id=owner.key_id)
        charges.add(owner.key_id, 1, 1, record.request_id, ONE)
    async with spender.world.money.database.rpc.transaction("system") as tx:
        await spend.settle(tx, spender.workspace_id, charges)
        await tx.commit()
