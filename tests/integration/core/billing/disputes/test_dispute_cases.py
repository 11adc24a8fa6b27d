"""Bad cases 5 to 12 of billing: disputes, with a simulated provider and the whole ledger."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from core.billing.disputes import settling
from core.billing.disputes.model import DisputeState
from core.billing.parking import NotKnownYet
from core.billing.refunds.model import RefundReason, RefundState
from core.billing.shares import MINOR_NANOS
from core.billing.stripe.gateway import PaymentUnknown
from kit.reasons import InsufficientCredits
from tests.support.money_world import DOLLAR
from tests.support.stripe_world import StripeWorld

FEE = 1_500
"""What the provider keeps for a dispute, in cents."""


async def test_case_05_dispute_created_before_the_payment_is_known(world: StripeWorld) -> None:
    """It is parked and nothing is written; once there is credit, it is frozen."""
    workspace = await world.money.workspace()
    intent = await world.charge(2_500)
    opened = world.simulator.order("disputes", payment_intent=intent.id)
    told = world.events()
    parked = await world.hear()
    assert len(parked) == len([event for event in told if "dispute" in event["type"]]) > 0
    assert await world.rows("SELECT 1 FROM dispute") == []
    with pytest.raises(NotKnownYet):
        await world.disputes.converge(opened["id"])
    payment = await world.credit(workspace, intent)
    assert await world.free(payment) == 2_500
    assert await world.hear(told) == []
    assert await world.free(payment) == 0
    assert (await world.dispute(opened["id"])).frozen_nanos == 25 * DOLLAR
    await world.check_books()


async def test_case_06_won_before_the_dispute_was_heard_of(world: StripeWorld) -> None:
    """Events come backwards: what is fetched is won already, and nothing stays frozen."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500)
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id)
    world.simulator.order(f"disputes/{opened['id']}/resolve", status="won")
    await world.hear(world.events()[::-1])
    dispute = await world.dispute(opened["id"])
    assert (dispute.state, dispute.frozen_nanos) == (DisputeState.WON, 0)
    assert (dispute.withdrawn, dispute.reinstated) == (2_500, 2_500)
    assert dispute.closed_at is not None
    assert await world.free(payment) == 2_500
    assert await world.account("psp.stripe_disputed") == 0
    await world.check_books()


async def test_case_07_a_stale_look_after_the_end_changes_nothing(world: StripeWorld) -> None:
    """A fetch that was slow brings what was true before: the end stays, the money stays."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500)
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id)
    stale = await world.gateway.get_dispute(opened["id"])
    world.simulator.order(f"disputes/{opened['id']}/resolve", status="under_review")
    staler = replace(stale, balance_transactions=())
    await world.hear()
    world.simulator.order(f"disputes/{opened['id']}/resolve", status="won")
    await world.hear()
    before = await world.dispute(opened["id"])
    for look in (stale, staler):
        async with world.money.database.rpc.transaction("system") as tx:
            await settling.apply(tx, world.act("core"), look, world.documents)
            await tx.commit()
    assert await world.dispute(opened["id"]) == before
    assert await world.free(payment) == 2_500
    await world.check_books()


async def test_case_07_a_stale_look_after_it_was_lost_takes_nothing_again(
    world: StripeWorld,
) -> None:
    """It knows of the same money, so only that all is over keeps it out."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500)
    await world.spend(workspace, 900)
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id)
    await world.hear()
    stale = await world.gateway.get_dispute(opened["id"])
    world.simulator.order(f"disputes/{opened['id']}/resolve", status="lost")
    await world.hear()
    before = await world.dispute(opened["id"])
    assert (before.state, before.owed_nanos) == (DisputeState.LOST, 9 * DOLLAR)
    world.money.pass_time(60)
    async with world.money.database.rpc.transaction("system") as tx:
        await settling.apply(tx, world.act("core"), stale, world.documents)
        await tx.commit()
    assert await world.dispute(opened["id"]) == before
    after = await world.money.balance(workspace)
    assert (after.total, after.frozen, after.debt) == (0, 0, 9 * DOLLAR)
    await world.check_books()


async def test_case_07_a_look_without_the_withdrawal_is_older(world: StripeWorld) -> None:
    """While it is open, too: what was known to be taken stays taken."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500)
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id)
    await world.hear()
    seen = await world.gateway.get_dispute(opened["id"])
    async with world.money.database.rpc.transaction("system") as tx:
        staler = replace(seen, status="warning_needs_response", balance_transactions=())
        await settling.apply(tx, world.act("core"), staler, world.documents)
        await tx.commit()
    dispute = await world.dispute(opened["id"])
    assert (dispute.state, dispute.withdrawn) == (DisputeState.OPEN, 2_500)
    assert await world.free(payment) == 0


async def test_case_08_an_inquiry_moves_no_money(world: StripeWorld) -> None:
    """It is flagged, closed, and may be answered by a refund."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500)
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id, inquiry=True)
    await world.hear()
    inquiry = await world.dispute(opened["id"])
    assert (inquiry.state, inquiry.frozen_nanos) == (DisputeState.INQUIRY, 0)
    assert await world.free(payment) == 2_500
    assert await world.alarms() == []
    await world.check_books()
    done = await world.approve(await world.ask(payment))
    assert done.state is RefundState.SUCCEEDED
    await world.hear()
    closed = await world.dispute(opened["id"])
    assert closed.state is DisputeState.INQUIRY_CLOSED
    assert closed.closed_at is not None
    await world.check_books()


async def test_case_08_an_inquiry_that_becomes_a_dispute_freezes(world: StripeWorld) -> None:
    """From the withdrawal on."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500)
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id, inquiry=True)
    await world.hear()
    world.simulator.order(f"disputes/{opened['id']}/resolve", status="needs_response")
    await world.hear()
    assert await world.free(payment) == 0
    assert await world.alarms() == ["dispute_opened"]
    await world.check_books()


async def test_case_09_lost_with_all_credit_spent(world: StripeWorld) -> None:
    """Nothing was frozen; all is owed, the fee is ours, and nothing is leased any more."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500, 500)
    await world.spend(workspace, 2_500)
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id)
    await world.hear()
    assert (await world.dispute(opened["id"])).frozen_nanos == 0
    world.simulator.order(f"disputes/{opened['id']}/resolve", status="lost")
    await world.hear()
    dispute = await world.dispute(opened["id"])
    assert (dispute.state, dispute.owed_nanos) == (DisputeState.LOST, 25 * DOLLAR)
    assert await world.debt(payment) == 2_500
    assert await world.account("tax_payable") == 0
    assert await world.account("exp.psp_fees") <= -FEE
    assert await world.account("psp.stripe_disputed") == 0
    assert await world.alarms() == ["dispute_opened", "dispute_lost"]
    assert await world.notes() == ["R-2026-000001", "C-2026-000001"]
    with pytest.raises(InsufficientCredits):
        await world.money.acquire(workspace, 1, 1)
    await world.check_books()


async def test_case_10_lost_with_a_part_spent(world: StripeWorld) -> None:
    """What was frozen is gone, the rest is owed."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500)
    await world.spend(workspace, 900)
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id)
    await world.hear()
    assert (await world.dispute(opened["id"])).frozen_nanos == 16 * DOLLAR
    assert (await world.money.balance(workspace)).frozen == 16 * DOLLAR
    await world.check_books()
    world.simulator.order(f"disputes/{opened['id']}/resolve", status="lost")
    await world.hear()
    assert (await world.dispute(opened["id"])).owed_nanos == 9 * DOLLAR
    after = await world.money.balance(workspace)
    assert (after.total, after.frozen, after.debt) == (0, 0, 9 * DOLLAR)
    await world.check_books()
    given_up = await world.disputes.write_off(
        world.act("finance"), workspace, 9 * DOLLAR, "write-off-1"
    )
    assert given_up.debt == 0
    assert await world.account("exp.bad_debt") == -900
    await world.check_books()


async def test_case_11_won_gives_back_to_the_same_grant(world: StripeWorld) -> None:
    """The grant that was frozen, and no other."""
    workspace = await world.money.workspace()
    first, second = await world.pay(workspace, 2_500), await world.pay(workspace, 1_000)
    opened = world.simulator.order("disputes", payment_intent=first.intent_id)
    await world.hear()
    assert (await world.free(first), await world.free(second)) == (0, 1_000)
    world.simulator.order(f"disputes/{opened['id']}/resolve", status="won", fee_returned=FEE)
    await world.hear()
    assert (await world.free(first), await world.free(second)) == (2_500, 1_000)
    await world.check_books()


async def test_case_11_credit_that_expired_while_frozen_stays_expired(world: StripeWorld) -> None:
    """It comes back to its grant, whose time is over."""
    workspace = await world.money.workspace()
    payment = await world.credit(workspace, await world.charge(2_500), days=1)
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id)
    await world.hear()
    world.money.pass_time(2 * 86_400)
    world.simulator.order(f"disputes/{opened['id']}/resolve", status="won")
    await world.hear()
    assert await world.free(payment) == 0
    after = await world.money.balance(workspace)
    assert (after.total, after.frozen, after.debt) == (0, 0, 0)
    assert await world.account("rev.breakage") == 2_500
    await world.check_books()


async def test_case_12_less_is_disputed_than_was_paid(world: StripeWorld) -> None:
    """Only that part is frozen and lost; credit and tax pro rata."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500, 500)
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id, amount=1_200)
    await world.hear()
    assert (await world.free(payment), await world.account("frozen")) == (1_500, 1_000)
    world.simulator.order(f"disputes/{opened['id']}/resolve", status="lost")
    await world.hear()
    assert await world.free(payment) == 1_500
    assert await world.account("tax_payable") == 300
    assert await world.debt(payment) == 0
    assert await world.account("psp.stripe_disputed") == 0
    await world.check_books()


async def test_case_12_more_is_withdrawn_than_was_paid(world: StripeWorld) -> None:
    """The customer loses what was paid; the exchange's difference is our cost."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500)
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id, amount=2_540)
    await world.hear()
    fees = await world.account("exp.psp_fees")
    world.simulator.order(f"disputes/{opened['id']}/resolve", status="lost")
    await world.hear()
    after = await world.money.balance(workspace)
    assert (after.total, after.debt) == (0, 0)
    assert await world.account("exp.psp_fees") == fees - 40
    assert await world.account("psp.stripe_disputed") == 0
    await world.check_books()


async def test_case_12_a_refund_that_failed_unheard_is_disputed_too(world: StripeWorld) -> None:
    """The bank disputes all of it; that a refund had come back is found out in time."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500)
    refund = await world.approve(await world.ask(payment, 374))
    world.simulator.order(f"refunds/{refund.stripe_id}/fail")
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id)
    world.simulator.order(f"disputes/{opened['id']}/resolve", status="lost")
    fees = await world.account("exp.psp_fees")
    await world.disputes.converge(opened["id"])
    await world.refunds.converge(refund.stripe_id)
    after = await world.money.balance(workspace)
    assert (after.total, after.debt) == (0, 0)
    assert await world.account("exp.psp_fees") == fees - FEE
    await world.check_books()


async def test_a_word_that_is_not_known_freezes_and_alarms(world: StripeWorld) -> None:
    """The balance says that money was taken: until the word is known, its credit stays."""
    payment = await world.pay(await world.money.workspace(), 2_500)
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id)
    seen = replace(await world.gateway.get_dispute(opened["id"]), status="in_mediation")
    async with world.money.database.rpc.transaction("system") as tx:
        await settling.apply(tx, world.act("core"), seen, world.documents)
        await tx.commit()
    dispute = await world.dispute(opened["id"])
    assert (dispute.state, dispute.frozen_nanos) == (DisputeState.OPEN, 25 * DOLLAR)
    assert "dispute_unknown_status" in await world.alarms()
    await world.check_books()
    world.simulator.order(f"disputes/{opened['id']}/resolve", status="won")
    await world.hear()
    assert await world.free(payment) == 2_500
    await world.check_books()


@pytest.mark.parametrize(("refunded", "stays"), [(1_500, 1_000), (2_500, 0)])
async def test_what_is_disputed_no_more_thaws(
    world: StripeWorld, refunded: int, stays: int
) -> None:
    """A refund that is heard of late leaves less of the payment to freeze."""
    payment = await world.pay(await world.money.workspace(), 2_500)
    other = await world.pay(payment.workspace_id, 2_500)
    world.simulator.order("dashboard_refund", payment_intent=payment.intent_id, amount=refunded)
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id, amount=2_500)
    seen = await world.gateway.get_dispute(opened["id"])
    for _ in range(2):
        async with world.money.database.rpc.transaction("system") as tx:
            await settling.apply(tx, world.act("core"), seen, world.documents)
            await tx.commit()
        await world.refunds.converge_payment(payment.intent_id)
    dispute = await world.dispute(opened["id"])
    assert (dispute.up_to_nanos, dispute.frozen_nanos) == (stays * MINOR_NANOS,) * 2
    assert await world.account("frozen") == stays
    assert await world.free(other) == 2_500 - await world.debt(payment)
    await world.check_books()


async def test_two_disputes_of_one_payment_take_its_tax_once(world: StripeWorld) -> None:
    """Parts that are lost one by one add up to the whole of it: the second sees the first."""
    payment = await world.pay(await world.money.workspace(), 2_000, 7)
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id, amount=1_003)
    world.simulator.order(f"disputes/{opened['id']}/resolve", status="lost")
    first = await world.gateway.get_dispute(opened["id"])
    (taken,) = first.balance_transactions
    rest = replace(taken, id=f"{taken.id}b", amount=-1_004)
    second = replace(first, id=f"{first.id}b", amount=1_004, balance_transactions=(rest,))
    for seen in (first, second):
        async with world.money.database.rpc.transaction("system") as tx:
            await settling.apply(tx, world.act("core"), seen, world.documents)
            await tx.commit()
        assert (await world.dispute(seen.id)).lost.gross == seen.amount
    assert await world.account("tax_payable") == 0
    assert await world.free(payment) == await world.debt(payment) == 0
    assert await world.findings() == []


async def test_a_refund_at_the_provider_takes_what_a_lost_dispute_left(
    world: StripeWorld,
) -> None:
    """Its tax is what the dispute left of it."""
    payment = await world.pay(await world.money.workspace(), 2_000, 7)
    made = world.simulator.order("dashboard_refund", payment_intent=payment.intent_id, amount=502)
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id, amount=1_505)
    world.simulator.order(f"disputes/{opened['id']}/resolve", status="lost")
    seen = await world.gateway.get_dispute(opened["id"])
    async with world.money.database.rpc.transaction("system") as tx:
        await settling.apply(tx, world.act("core"), seen, world.documents)
        await tx.commit()
    await world.refunds.converge(made["id"])
    assert await world.account("tax_payable") == 0
    assert await world.free(payment) == 0
    await world.check_books()


async def test_lost_without_a_withdrawal_is_nothing_lost(world: StripeWorld) -> None:
    """A bank may call lost what was refunded before it could withdraw."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500)
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id, status="prevented")
    seen = await world.gateway.get_dispute(opened["id"])
    async with world.money.database.rpc.transaction("system") as tx:
        look = replace(seen, status="lost")
        await settling.apply(tx, world.act("core"), look, world.documents)
        await tx.commit()
    dispute = await world.dispute(opened["id"])
    assert (dispute.state, dispute.owed_nanos) == (DisputeState.LOST, 0)
    assert await world.free(payment) == 2_500
    await world.check_books()


async def test_a_dispute_about_what_was_refunded_is_our_cost(world: StripeWorld) -> None:
    """The customer has nothing left to lose; the alarm is raised once."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500)
    assert (await world.approve(await world.ask(payment))).state is RefundState.SUCCEEDED
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id)
    for _ in range(2):
        await world.disputes.converge(opened["id"])
    assert await world.alarms() == ["dispute_opened"]
    await world.check_books()
    world.simulator.order(f"disputes/{opened['id']}/resolve", status="lost")
    await world.disputes.converge(opened["id"])
    after = await world.money.balance(workspace)
    assert (after.total, after.debt) == (0, 0)
    assert await world.account("psp.stripe_disputed") == 0
    assert await world.notes() == ["R-2026-000001", "C-2026-000001"]
    await world.check_books()


async def test_what_comes_back_from_leases_is_frozen_too(world: StripeWorld) -> None:
    """Until exactly what is disputed is frozen; what came from elsewhere is left alone."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500)
    lease = await world.money.acquire(workspace, 1, 20 * DOLLAR)
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id, amount=2_000)
    await world.hear()
    assert (await world.dispute(opened["id"])).frozen_nanos == 5 * DOLLAR
    assert await world.rows("SELECT recalled_at IS NOT NULL FROM lease") == [(True,)]
    for returned, frozen in ((6, 11), (14, 19), (19, 20)):
        await world.money.give_back(lease.lease_id, returned * DOLLAR)
        await world.disputes.work()
        assert (await world.dispute(opened["id"])).frozen_nanos == frozen * DOLLAR
        await world.check_books()
    assert await world.free(payment) == 400
    assert await world.disputes.work() == 0


async def test_a_dispute_converges_five_times_at_once(world: StripeWorld) -> None:
    """One row, one freeze, one withdrawal."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500)
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id)
    await asyncio.gather(*(world.disputes.converge(opened["id"]) for _ in range(5)))
    assert await world.account("frozen") == 2_500
    assert await world.account("psp.stripe_disputed") == -2_500
    assert await world.alarms() == ["dispute_opened"]
    await world.check_books()


async def test_an_open_dispute_is_looked_at_again_without_an_event(world: StripeWorld) -> None:
    """Every hour."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500)
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id)
    await world.hear()
    world.simulator.order(f"disputes/{opened['id']}/resolve", status="won")
    world.money.pass_time(3_599)
    await world.disputes.work()
    assert (await world.dispute(opened["id"])).state is DisputeState.OPEN
    world.money.pass_time(1)
    await world.disputes.work()
    assert (await world.dispute(opened["id"])).state is DisputeState.WON


async def test_a_fraud_warning_recalls_and_proposes_a_refund_once(world: StripeWorld) -> None:
    """Finance approves it, and the warning is no longer to be acted upon."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500)
    await world.spend(workspace, 500)
    world.simulator.order("efw", payment_intent=payment.intent_id)
    await world.hear()
    await world.hear(world.simulator.objects("event"))
    (proposed,) = await world.all_refunds()
    assert (proposed.share.net, proposed.reason) == (2_000, RefundReason.FRAUDULENT)
    assert (proposed.state, proposed.asked_by) == (RefundState.REQUESTED, "core.disputes")
    assert await world.alarms() == ["fraud_warning"]
    assert (await world.approve(proposed)).state is RefundState.SUCCEEDED
    await world.hear()
    await world.check_books()


async def test_evidence_tells_of_use_after_the_payment(world: StripeWorld) -> None:
    """By day, key and model; what was used before it was paid is not claimed."""
    workspace = await world.money.workspace(1)
    await world.spend(workspace, 40)
    world.money.pass_time(1)
    payment = await world.pay(workspace, 2_500)
    await world.spend(workspace, 60)
    world.money.pass_time(3_600)
    await world.spend(workspace, 200)
    world.money.pass_time(86_400)
    await world.spend(workspace, 300)
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id)
    await world.hear()
    dispute = await world.dispute(opened["id"])
    found = await world.disputes.evidence(dispute.dispute_id)
    assert [(use.requests, use.charges // MINOR_NANOS) for use in found.uses.shown] == [
        (2, 260),
        (1, 300),
    ]
    assert (found.uses.requests, found.uses.charges) == (3, 560 * MINOR_NANOS)
    assert (found.bought, found.used) == (25 * DOLLAR, 500 * MINOR_NANOS)
    assert found.documents == ("R-2026-000001",)
    assert found.first_used_at is not None
    assert found.first_used_at >= found.paid_at
    assert found.last_used_at == world.money.now


async def test_evidence_is_submitted_once(world: StripeWorld) -> None:
    """A call without an answer is repeated, and gives nothing twice."""
    workspace = await world.money.workspace()
    payment = await world.pay(workspace, 2_500)
    await world.spend(workspace, 500)
    opened = world.simulator.order("disputes", payment_intent=payment.intent_id)
    await world.hear()
    dispute = await world.dispute(opened["id"])
    world.simulator.fault(
        "drop_after_commit", method="POST", path=f"/v1/disputes/{opened['id']}", count=1
    )
    with pytest.raises(PaymentUnknown):
        await world.disputes.submit(world.act("finance"), dispute.dispute_id)
    for _ in range(2):
        sent = await world.disputes.submit(world.act("finance"), dispute.dispute_id)
        assert sent.state is DisputeState.UNDER_REVIEW
    (there,) = world.simulator.objects("dispute")
    assert there["evidence_details"]["submission_count"] == 1
    assert "requests 1 USD 5.00" in there["evidence"]["access_activity_log"]
    actions = await world.rows("SELECT count(*) FROM audit_log WHERE action LIKE '%Evidence'")
    assert actions == [(1,)]
