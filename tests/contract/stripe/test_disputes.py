"""Disputes and what comes before them: the money that moves, and what is still allowed."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.contract.stripe import worlds
from tests.support.stripe import OrderRefusedError, StripeSimulator

PAID = 2_500
NET = 2_500 - 103


async def total(client: stripe.StripeClient) -> int:
    """Return the balance, pending or not."""
    balance = await client.v1.balance.retrieve_async()
    return balance.pending[0].amount + balance.available[0].amount


async def dispute_of(client: stripe.StripeClient, intent: stripe.PaymentIntent) -> stripe.Dispute:
    """Return the dispute of a payment."""
    return (await client.v1.disputes.list_async({"payment_intent": intent.id})).data[0]


async def test_a_dispute_takes_its_amount_and_a_fee(client: stripe.StripeClient) -> None:
    """At once, by a balance transaction of its own."""
    intent = await worlds.payment(client, card="pm_card_createDispute")
    dispute = await dispute_of(client, intent)
    assert (dispute.status, dispute.amount) == ("needs_response", PAID)
    entry = dispute.balance_transactions[0]
    assert (entry.amount, entry.fee, entry.net) == (-PAID, 1_500, -PAID - 1_500)
    assert (entry.type, entry.reporting_category) == ("adjustment", "dispute")
    assert await total(client) == NET - PAID - 1_500
    charge = await client.v1.charges.retrieve_async(str(intent.latest_charge))
    assert charge.disputed


async def test_a_disputed_charge_is_not_refunded(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """Until the dispute is won."""
    intent = await worlds.payment(client, card="pm_card_createDispute")
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await client.v1.refunds.create_async({"payment_intent": intent.id})
    assert caught.value.code == "charge_disputed"
    dispute = await dispute_of(client, intent)
    simulator.order(f"disputes/{dispute.id}/resolve", status="won")
    assert (await client.v1.refunds.create_async({"payment_intent": intent.id})).amount == PAID


@pytest.mark.parametrize(
    ("text", "status", "left"),
    [
        ("winning_evidence", "won", NET - 1_500),
        ("losing_evidence", "lost", NET - PAID - 1_500),
        ("the customer used the service", "under_review", NET - PAID - 1_500),
    ],
)
async def test_evidence_decides(
    client: stripe.StripeClient, text: str, status: str, left: int
) -> None:
    """Won gives the amount back, not the fee."""
    intent = await worlds.payment(client, card="pm_card_createDispute")
    dispute = await dispute_of(client, intent)
    answered = await client.v1.disputes.update_async(
        dispute.id, {"evidence": {"uncategorized_text": text}, "submit": True}
    )
    assert answered.status == status
    assert answered.evidence_details.submission_count == 1
    assert answered.evidence_details.has_evidence
    assert await total(client) == left


async def test_evidence_can_be_kept_without_handing_it_in(client: stripe.StripeClient) -> None:
    """The dispute still waits for an answer."""
    intent = await worlds.payment(client, card="pm_card_createDispute")
    dispute = await dispute_of(client, intent)
    kept = await client.v1.disputes.update_async(
        dispute.id, {"evidence": {"product_description": "API credits"}, "submit": False}
    )
    assert (kept.status, kept.evidence_details.submission_count) == ("needs_response", 0)
    assert kept.evidence.product_description == "API credits"


async def test_a_dispute_can_be_accepted_once(client: stripe.StripeClient) -> None:
    """It is lost then, and closed."""
    intent = await worlds.payment(client, card="pm_card_createDispute")
    dispute = await dispute_of(client, intent)
    assert (await client.v1.disputes.close_async(dispute.id)).status == "lost"
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.disputes.close_async(dispute.id)


async def test_an_inquiry_moves_no_money_and_may_become_a_dispute(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """Only then the amount is withdrawn."""
    intent = await worlds.payment(client, card="pm_card_createDisputeInquiry")
    dispute = await dispute_of(client, intent)
    assert dispute.status == "warning_needs_response"
    assert dispute.balance_transactions == []
    assert await total(client) == NET
    simulator.order(f"disputes/{dispute.id}/resolve", status="needs_response")
    assert await total(client) == NET - PAID - 1_500


async def test_a_refund_closes_an_inquiry(client: stripe.StripeClient) -> None:
    """All of it, which is the answer that the bank wants."""
    intent = await worlds.payment(client, card="pm_card_createDisputeInquiry")
    await client.v1.refunds.create_async({"payment_intent": intent.id, "amount": 100})
    assert (await dispute_of(client, intent)).status == "warning_needs_response"
    await client.v1.refunds.create_async({"payment_intent": intent.id})
    assert (await dispute_of(client, intent)).status == "warning_closed"


async def test_a_dispute_opens_on_order_with_an_amount_of_its_own(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """As after a currency conversion, or over a part; one charge, one dispute."""
    intent = await worlds.payment(client)
    opened = simulator.order("disputes", payment_intent=intent.id, amount=900)
    assert opened["balance_transactions"][0]["net"] == -900 - 1_500
    with pytest.raises(OrderRefusedError):
        simulator.order("disputes", payment_intent=intent.id)
    won = simulator.order(f"disputes/{opened['id']}/resolve", status="won", fee_returned=1_500)
    assert [one["net"] for one in won["balance_transactions"]] == [-2_400, 2_400]
    assert await total(client) == NET


async def test_a_prevented_dispute_is_closed_from_the_start(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """No money moves with it."""
    intent = await worlds.payment(client)
    opened = simulator.order("disputes", payment_intent=intent.id, status="prevented")
    assert (opened["status"], opened["balance_transactions"]) == ("prevented", [])
    assert await total(client) == NET


@pytest.mark.parametrize(
    ("inquiry", "status"),
    [
        (False, "warning_closed"),
        (False, "prevented"),
        (True, "won"),
        (True, "lost"),
        (False, "nothing"),
    ],
)
async def test_a_dispute_does_not_jump(
    client: stripe.StripeClient,
    simulator: StripeSimulator,
    inquiry: bool,  # noqa: FBT001
    status: str,
) -> None:
    """From its status to one that cannot follow."""
    intent = await worlds.payment(client)
    opened = simulator.order("disputes", payment_intent=intent.id, inquiry=inquiry)
    with pytest.raises(OrderRefusedError):
        simulator.order(f"disputes/{opened['id']}/resolve", status=status)


async def test_the_events_of_a_dispute(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """From its creation to the money that comes back."""
    intent = await worlds.payment(client, card="pm_card_createDispute")
    dispute = await dispute_of(client, intent)
    simulator.order(f"disputes/{dispute.id}/resolve", status="under_review")
    simulator.order(f"disputes/{dispute.id}/resolve", status="won")
    types = [one["type"] for one in simulator.objects("event")]
    assert [one.removeprefix("charge.dispute.") for one in types if "dispute" in one] == [
        "created",
        "funds_withdrawn",
        "updated",
        "closed",
        "funds_reinstated",
    ]


async def test_an_early_warning_needs_action_until_the_money_is_returned(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """By the test card, or on order."""
    intent = await worlds.payment(client, card="pm_card_createIssuerFraudRecord")
    listed = await client.v1.radar.early_fraud_warnings.list_async({"payment_intent": intent.id})
    warning = listed.data[0]
    assert warning.actionable
    await client.v1.refunds.create_async({"payment_intent": intent.id})
    after = await client.v1.radar.early_fraud_warnings.retrieve_async(warning.id)
    assert not after.actionable
    other: Any = simulator.order("efw", payment_intent=intent.id)
    assert not other["actionable"]
