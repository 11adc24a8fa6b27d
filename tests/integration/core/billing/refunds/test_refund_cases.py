"""Bad cases 13 to 20 of billing: refunds, with a simulated provider and the whole ledger."""

from __future__ import annotations

import asyncio

import pytest

from core.billing.refunds.model import RefundOrigin, RefundState
from kit.reasons import InsufficientCredits, InvalidState
from tests.support.money_world import DOLLAR
from tests.support.stripe_world import StripeWorld

CENT = DOLLAR // 100


async def test_case_13_refund_after_partial_spend(world: StripeWorld) -> None:
    """Of 25.00 with 5.00 of tax, 7.00 are spent: 18.00 and 3.60 can go back, no cent more."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500, 500)
    await world.spend(workspace, 700)
    with pytest.raises(InsufficientCredits) as refused:
        await world.ask(payment, 1_801)
    assert refused.value.metadata == {"refundable_nanos": str(1_800 * CENT)}
    refund = await world.ask(payment)
    assert (refund.share.net, refund.share.tax) == (1_800, 360)
    assert refund.state is RefundState.REQUESTED
    await world.check_books()
    done = await world.approve(refund)
    assert done.failure == ""
    assert done.state is RefundState.SUCCEEDED
    assert await world.free(payment) == 0
    assert await world.account("tax_payable") == 140
    (made,) = world.simulator.objects("refund")
    assert made["amount"] == 2_160
    assert await world.notes() == ["R-2026-000001", "C-2026-000001"]
    await world.hear()
    with pytest.raises(InsufficientCredits):
        await world.ask(payment)
    await world.check_books()


async def test_case_14_refund_larger_than_remaining_credits(world: StripeWorld) -> None:
    """Made at the provider: what is left is taken, the rest is owed, and the next purchase pays."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500, 500)
    await world.spend(workspace, 2_000)
    world.simulator.order("dashboard_refund", payment_intent=payment.intent_id)
    await world.hear()
    (refund,) = await world.all_refunds()
    assert refund.origin is RefundOrigin.PROVIDER
    assert refund.state is RefundState.SUCCEEDED
    assert await world.free(payment) == 0
    assert await world.debt(payment) == 2_000
    assert await world.account("tax_payable") == 0
    await world.check_books()
    later = await world.pay(workspace, 3_000)
    assert await world.debt(payment) == 0
    assert await world.free(later) == 1_000
    await world.check_books()


async def test_case_15_refund_while_a_lease_holds_the_credit(world: StripeWorld) -> None:
    """The lease is recalled; the refund waits for what comes back, and takes it but once."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500)
    lease = await world.money.acquire(workspace, 1, 25 * DOLLAR)
    refund = await world.ask(payment, 2_000)
    waiting = await world.approve(refund)
    assert waiting.state is RefundState.RECALLING
    assert waiting.decided_by == "finance"
    assert world.simulator.objects("refund") == []
    (marked,) = await world.rows("SELECT recalled_at IS NOT NULL FROM lease")
    assert marked == (True,)
    await world.refunds.work()
    assert (await world.refund(refund)).state is RefundState.RECALLING
    await world.money.give_back(lease.lease_id, 21 * DOLLAR)
    await world.refunds.work()
    assert (await world.refund(refund)).state is RefundState.SUCCEEDED
    assert await world.free(payment) == 100
    assert (await world.money.balance(workspace)).held == 4 * DOLLAR
    await world.check_books()


async def test_case_15_credit_that_the_lease_spends_is_not_refunded(world: StripeWorld) -> None:
    """What comes back is too little: the approval is undone, and somebody decides again."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500)
    lease = await world.money.acquire(workspace, 1, 25 * DOLLAR)
    refund = await world.ask(payment, 2_000)
    assert (await world.approve(refund)).state is RefundState.RECALLING
    await world.spend(workspace, 1_000)
    await world.money.give_back(lease.lease_id, 15 * DOLLAR)
    await world.refunds.work()
    undone = await world.refund(refund)
    assert (undone.state, undone.failure) == (RefundState.REQUESTED, "insufficient_credits")
    assert undone.decided_by == ""
    assert world.simulator.objects("refund") == []
    await world.check_books()


async def test_case_15_a_lease_that_never_gives_back_ends_the_waiting(world: StripeWorld) -> None:
    """After two hours the approval is undone."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500)
    await world.money.acquire(workspace, 1, 25 * DOLLAR)
    refund = await world.ask(payment, 2_000)
    await world.approve(refund)
    world.money.pass_time(2 * 3_600)
    await world.refunds.work()
    assert (await world.refund(refund)).state is RefundState.RECALLING
    world.money.pass_time(1)
    await world.refunds.work()
    undone = await world.refund(refund)
    assert (undone.state, undone.failure) == (RefundState.REQUESTED, "credit_in_use")


async def test_case_16_a_refund_that_waited_for_leases_keeps_its_first_key(
    world: StripeWorld,
) -> None:
    """A key's hour begins when it is used, not when the refund was approved."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500)
    lease = await world.money.acquire(workspace, 1, 25 * DOLLAR)
    refund = await world.ask(payment, 2_000)
    assert (await world.approve(refund)).state is RefundState.RECALLING
    world.money.pass_time(7_000)
    await world.money.give_back(lease.lease_id, 25 * DOLLAR)
    world.simulator.fault("status_429", method="POST", path="/v1/refunds", count=2)
    await world.refunds.work()
    world.money.pass_time(30)
    await world.refunds.work()
    stands = await world.refund(refund)
    assert (stands.state, stands.attempt) == (RefundState.APPROVED, 1)
    world.money.pass_time(30)
    await world.refunds.work()
    assert (await world.refund(refund)).state is RefundState.SUCCEEDED
    await world.check_books()


@pytest.mark.parametrize("ends", ["succeed", "fail"])
async def test_case_17_a_refund_that_is_pending_for_days(world: StripeWorld, ends: str) -> None:
    """The money is away at once; whether it arrives is known later, by event or by a look."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500, card="pm_card_pendingRefund")
    pending = await world.approve(await world.ask(payment, 1_000))
    assert pending.state is RefundState.PENDING
    assert await world.free(payment) == 1_500
    assert await world.account("refund_pending") == 0
    await world.check_books()
    world.simulator.order(f"refunds/{pending.stripe_id}/{ends}")
    world.money.pass_time(3_600)
    await world.refunds.work()
    done = await world.refund(pending)
    after = {"succeed": (RefundState.SUCCEEDED, 1_500), "fail": (RefundState.FAILED, 2_500)}
    assert (done.state, await world.free(payment)) == after[ends]
    assert await world.refunds.work() == 0
    await world.check_books()


@pytest.mark.parametrize("kind", ["drop_after_commit", "status_500", "status_429"])
async def test_case_16_refund_call_without_an_answer(world: StripeWorld, kind: str) -> None:
    """The credit stays aside, the same key is used again, and one refund is made."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500)
    refund = await world.ask(payment, 1_000)
    world.simulator.fault(kind, method="POST", path="/v1/refunds", count=1)
    unknown = await world.approve(refund)
    assert unknown.state is RefundState.APPROVED
    assert await world.free(payment) == 1_500
    assert await world.account("refund_pending") == 1_000
    world.money.pass_time(29)
    assert await world.refunds.work() == 0
    world.money.pass_time(1)
    assert await world.refunds.work() == 1
    if kind == "status_500":
        # The provider repeats a 500 for its key: another key comes after an hour and a search.
        assert (await world.refund(refund)).state is RefundState.APPROVED
        world.money.pass_time(3_600)
        await world.refunds.work()
    assert (await world.refund(refund)).state is RefundState.SUCCEEDED
    assert len(world.simulator.objects("refund")) == 1
    assert await world.account("refund_pending") == 0
    await world.hear()
    await world.check_books()


async def test_case_16_a_500_that_had_its_effect_is_found(world: StripeWorld) -> None:
    """The search finds what the provider made before it said 500."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500)
    refund = await world.ask(payment, 1_000)
    world.simulator.fault("status_500", method="POST", path="/v1/refunds", count=1, commits=True)
    assert (await world.approve(refund)).state is RefundState.APPROVED
    world.money.pass_time(7_200)
    await world.refunds.work()
    assert (await world.refund(refund)).state is RefundState.SUCCEEDED
    assert len(world.simulator.objects("refund")) == 1
    await world.check_books()


async def test_case_16_core_died_between_the_row_and_the_call(world: StripeWorld) -> None:
    """The credit is aside and the provider knows nothing: `work` takes it up."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500)
    refund = await world.ask(payment, 1_000)
    await world.refunds._reserve(world.act("finance"), refund.refund_id)
    assert world.simulator.objects("refund") == []
    world.money.pass_time(30)
    await world.refunds.work()
    assert (await world.refund(refund)).state is RefundState.SUCCEEDED
    await world.check_books()


async def test_case_17_refund_failed_days_later(world: StripeWorld) -> None:
    """The credit is there again, and the credit note is voided by a document of its own."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500, 500)
    refund = await world.ask(payment, 1_000)
    done = await world.approve(refund)
    assert await world.free(payment) == 1_500
    world.simulator.order(f"refunds/{done.stripe_id}/fail", reason="lost_or_stolen_card")
    await world.hear()
    failed = await world.refund(refund)
    assert (failed.state, failed.failure) == (RefundState.FAILED, "lost_or_stolen_card")
    assert await world.free(payment) == 2_500
    assert await world.account("tax_payable") == 500
    names = await world.notes()
    assert names[:2] == ["R-2026-000001", "C-2026-000001"]
    assert len(names) == 3
    await world.hear(world.simulator.objects("event"))
    assert await world.notes() == names
    again = await world.ask(payment)
    assert (again.share.net, again.share.tax) == (2_500, 500)
    await world.check_books()


async def test_case_17_a_refund_at_the_provider_that_fails(world: StripeWorld) -> None:
    """What it took comes back, the debt that it made is owed no more."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500)
    await world.spend(workspace, 2_000)
    made = world.simulator.order("dashboard_refund", payment_intent=payment.intent_id)
    await world.hear()
    assert await world.debt(payment) == 2_000
    world.simulator.order(f"refunds/{made['id']}/fail")
    await world.hear()
    assert await world.debt(payment) == 0
    assert await world.free(payment) == 500
    await world.check_books()


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 0, 3, 2), (2, 0, 3, 1)])
async def test_case_18_two_partial_refunds_with_events_in_any_order(
    world: StripeWorld, order: tuple[int, ...]
) -> None:
    """Each is applied once, whichever event comes first, and twice."""
    payment = await world.pay(await world.money.workspace(), 2_000, 7)
    for amount in (1_003, 502):
        world.simulator.order("dashboard_refund", payment_intent=payment.intent_id, amount=amount)
    told = [event for event in world.events() if event["type"].startswith("refund")]
    told += told[::-1]
    assert len(told) == 4
    await world.hear([told[place] for place in order])
    assert await world.free(payment) == 2_000 - 1_003 - 502 + 5
    assert await world.account("tax_payable") == 2
    assert len(await world.all_refunds()) == 2
    await world.check_books()


@pytest.mark.parametrize("first_is_heard", [True, False])
async def test_case_18_a_refund_after_one_that_failed_unheard(
    world: StripeWorld, *, first_is_heard: bool
) -> None:
    """All of it goes back in a second refund: both are booked, the first as nothing."""
    payment = await world.pay(await world.money.workspace(), 2_500, 500)
    named = {"payment_intent": payment.intent_id}
    first = world.simulator.order("dashboard_refund", **named, amount=2_433)
    if first_is_heard:
        await world.refunds.converge(first["id"])
    world.simulator.order(f"refunds/{first['id']}/fail")
    second = world.simulator.order("dashboard_refund", **named)
    for refund in (second, first):
        await world.refunds.converge(refund["id"])
    states = {refund.stripe_id: refund.state for refund in await world.all_refunds()}
    assert states == {
        first["id"]: RefundState.FAILED,
        second["id"]: RefundState.SUCCEEDED,
    }
    assert (await world.free(payment), await world.debt(payment)) == (0, 0)
    assert await world.account("tax_payable") == 0
    assert await world.alarms() == []
    await world.check_books()


async def test_case_18_the_same_refund_converges_five_times_at_once(world: StripeWorld) -> None:
    """One posting, one row, one credit note."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500)
    made = world.simulator.order("dashboard_refund", payment_intent=payment.intent_id, amount=1_000)
    await asyncio.gather(*(world.refunds.converge(made["id"]) for _ in range(5)))
    assert await world.free(payment) == 1_500
    assert len(await world.all_refunds()) == 1
    assert await world.notes() == ["R-2026-000001", "C-2026-000001"]
    await world.check_books()


async def test_case_19_refund_of_a_disputed_charge(world: StripeWorld) -> None:
    """Refused when it is asked for, when it is approved, and by the provider: nothing moved."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500)
    asked, unknowing = await world.ask(payment, 500), await world.ask(payment, 700)
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id)
    refused = await world.approve(unknowing)
    assert (refused.state, refused.failure) == (RefundState.FAILED, "charge_disputed")
    assert await world.free(payment) == 2_500
    assert await world.account("refund_pending") == 0
    await world.hear()
    for attempt in (world.ask(payment), world.approve(asked)):
        with pytest.raises(InvalidState) as barred:
            await attempt
        assert barred.value.metadata["cause"] == "charge_disputed"
    assert world.simulator.objects("refund") == []
    assert (await world.refund(asked)).state is RefundState.REQUESTED
    assert (await world.dispute(opened["id"])).frozen_nanos == 2_500 * CENT
    await world.check_books()
