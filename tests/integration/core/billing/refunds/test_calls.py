"""A refund is called for once: by one core at a time, with a new key only after silence."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from core.billing.refunds import service
from core.billing.refunds.model import Refund, RefundReason, RefundState, Wanted
from core.db import call_replay
from kit.reasons import RequestIdReused
from tests.support.stripe_world import StripeWorld


async def unanswered(world: StripeWorld, *, commits: bool = False) -> Refund:
    """Approve a refund of 10.00 whose first call gets no answer."""
    payment = await world.pay(await world.money.workspace(), 2_500)
    refund = await world.ask(payment, 1_000)
    kind = "status_500" if commits else "status_429"
    world.simulator.fault(kind, method="POST", path="/v1/refunds", count=1, commits=commits)
    await world.approve(refund)
    unknown = await world.refund(refund)
    assert (unknown.state, unknown.attempt) == (RefundState.APPROVED, 1)
    return unknown


async def test_no_new_key_while_a_call_with_the_old_one_may_run(world: StripeWorld) -> None:
    """An hour is over a moment after a call: what that call makes is waited for, then searched."""
    refund = await unanswered(world)
    world.money.pass_time(3_599)
    world.simulator.fault("status_429", method="POST", path="/v1/refunds", count=1)
    await world.refunds.work()
    for seconds in (31, 269):
        world.money.pass_time(seconds)
        assert await world.refunds.work() == 1
        silent = await world.refund(refund)
        assert (silent.state, silent.attempt) == (RefundState.APPROVED, 1)
        assert world.simulator.objects("refund") == []
    world.money.pass_time(30)
    await world.refunds.work()
    done = await world.refund(refund)
    assert (done.state, done.attempt) == (RefundState.SUCCEEDED, 2)
    assert len(world.simulator.objects("refund")) == 1
    await world.check_books()


async def test_a_refund_that_is_approved_twice_is_searched_for(world: StripeWorld) -> None:
    """The provider made it and said 500, as it says each time: the second approval finds it."""
    refund = await unanswered(world, commits=True)
    assert (await world.approve(refund)).state is RefundState.SUCCEEDED
    assert len(world.simulator.objects("refund")) == 1
    await world.check_books()


async def test_due_refunds_are_taken_by_one_core_each(world: StripeWorld) -> None:
    """Of two that look at the same time one takes it."""
    await unanswered(world)
    world.money.pass_time(30)
    assert sum(await asyncio.gather(world.refunds.work(), world.refunds.work())) == 1
    assert len(world.simulator.objects("refund")) == 1


async def test_whoever_read_it_before_another_called_does_not_call(world: StripeWorld) -> None:
    """Two have read the same row: the second sees that it was called for meanwhile."""
    refund = await unanswered(world)
    world.money.pass_time(3_600)
    said = []
    for _ in range(2):
        async with world.money.database.rpc.transaction("system") as tx:
            act = world.act()
            stands, may_call = await service.begin_call(tx, act, refund, searched_at=act.now)
            await tx.commit()
        said.append((stands.attempt, may_call))
    assert said == [(2, True), (2, False)]


@pytest.mark.parametrize("net", [None, 1_000])
async def test_a_call_is_the_same_call_after_days(world: StripeWorld, net: int | None) -> None:
    """The refund itself remembers what was asked for, when calls are long forgotten."""
    payment = await world.pay(await world.money.workspace(), 2_500)
    first = await world.ask(payment, net, request_id="one-and-the-same")
    world.money.pass_time(49 * 3_600)
    async with world.money.database.rpc.transaction("system") as tx:
        await call_replay.sweep(tx, world.money.now + timedelta(days=1))
        await tx.commit()
    again = await world.ask(payment, net, request_id="one-and-the-same")
    assert again == first
    other_reason = Wanted("one-and-the-same", payment.payment_id, net, RefundReason.DUPLICATE)
    other_amount = 900 if net is None else None
    with pytest.raises(RequestIdReused):
        await world.ask(payment, other_amount, request_id="one-and-the-same")
    with pytest.raises(RequestIdReused):
        await world.refunds.ask(world.act(), other_reason)
