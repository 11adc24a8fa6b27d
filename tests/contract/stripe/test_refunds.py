"""Refunds: never more than was taken, never of what is disputed, and not always for good."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.contract.stripe import worlds
from tests.support.stripe import StripeSimulator


async def charge_of(client: stripe.StripeClient, intent: stripe.PaymentIntent) -> stripe.Charge:
    """Return the charge of a paid intent."""
    assert isinstance(intent.latest_charge, str)
    return await client.v1.charges.retrieve_async(intent.latest_charge)


async def test_parts_are_refunded_until_nothing_is_left(client: stripe.StripeClient) -> None:
    """By intent or by charge; the fee of the payment is not returned."""
    intent = await worlds.payment(client, 1_000)
    first = await client.v1.refunds.create_async(
        {
            "payment_intent": intent.id,
            "amount": 400,
            "reason": "requested_by_customer",
            "metadata": {"refund_id": "rf_1"},
        }
    )
    assert (first.status, first.amount, first.reason) == ("succeeded", 400, "requested_by_customer")
    charge = await charge_of(client, intent)
    assert (charge.amount_refunded, charge.refunded) == (400, False)
    second = await client.v1.refunds.create_async({"charge": charge.id})
    assert second.amount == 600
    charge = await charge_of(client, intent)
    assert (charge.amount_refunded, charge.refunded) == (1_000, True)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await client.v1.refunds.create_async({"charge": charge.id})
    assert caught.value.code == "charge_already_refunded"
    listed = await client.v1.refunds.list_async({"payment_intent": intent.id})
    assert [one.id for one in listed.data] == [second.id, first.id]
    balance = await client.v1.balance.retrieve_async()
    assert balance.pending[0].amount + balance.available[0].amount == -59


async def test_more_than_is_left_is_refused(client: stripe.StripeClient) -> None:
    """And nothing is refunded."""
    intent = await worlds.payment(client, 1_000)
    await client.v1.refunds.create_async({"payment_intent": intent.id, "amount": 400})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await client.v1.refunds.create_async({"payment_intent": intent.id, "amount": 601})
    assert caught.value.param == "amount"
    assert (await charge_of(client, intent)).amount_refunded == 400


@pytest.mark.parametrize("card", ["pm_card_chargeDeclined"])
async def test_a_charge_that_took_nothing_is_not_refunded(
    client: stripe.StripeClient, card: str
) -> None:
    """Nor an intent without a charge, nor something that does not exist, nor nothing."""
    with pytest.raises(stripe.CardError) as refused:
        await worlds.payment(client, card=card)
    error: Any = refused.value.error
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.refunds.create_async({"charge": error.charge})
    intent = await client.v1.payment_intents.create_async({"amount": 500, "currency": "usd"})
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.refunds.create_async({"payment_intent": intent.id})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await client.v1.refunds.create_async({"payment_intent": "pi_nothing"})
    assert (caught.value.code, caught.value.http_status) == ("resource_missing", 400)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await client.v1.refunds.create_async({})
    assert caught.value.code == "parameter_missing"


async def test_a_refund_may_be_pending_for_days(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """It succeeds on order, or by itself after five days."""
    intent = await worlds.payment(client, 1_000, card="pm_card_pendingRefund")
    ordered = await client.v1.refunds.create_async({"payment_intent": intent.id, "amount": 300})
    waiting = await client.v1.refunds.create_async({"payment_intent": intent.id, "amount": 300})
    assert (ordered.status, ordered.pending_reason) == ("pending", "processing")
    simulator.order(f"refunds/{ordered.id}/succeed")
    assert (await client.v1.refunds.retrieve_async(ordered.id)).status == "succeeded"
    assert (await client.v1.refunds.retrieve_async(waiting.id)).status == "pending"
    simulator.order("clock", seconds=5 * 86_400)
    assert (await client.v1.refunds.retrieve_async(waiting.id)).status == "succeeded"


@pytest.mark.parametrize("card", ["pm_card_visa", "pm_card_pendingRefund"])
async def test_a_failed_refund_gives_the_money_back_to_the_account(
    client: stripe.StripeClient, simulator: StripeSimulator, card: str
) -> None:
    """The charge can be refunded again, the balance is what it was."""
    intent = await worlds.payment(client, 1_000, card=card)
    refund = await client.v1.refunds.create_async({"payment_intent": intent.id})
    simulator.order(f"refunds/{refund.id}/fail", reason="lost_or_stolen_card")
    failed = await client.v1.refunds.retrieve_async(
        refund.id, {"expand": ["failure_balance_transaction"]}
    )
    assert (failed.status, failed.failure_reason) == ("failed", "lost_or_stolen_card")
    entry: Any = failed.failure_balance_transaction
    assert (entry.amount, entry.type) == (1_000, "refund_failure")
    charge = await charge_of(client, intent)
    assert (charge.amount_refunded, charge.refunded) == (0, False)
    balance = await client.v1.balance.retrieve_async()
    assert balance.pending[0].amount + balance.available[0].amount == 941
    types = [one["type"] for one in simulator.objects("event")]
    assert types[-3:] == ["refund.updated", "charge.refund.updated", "refund.failed"]


async def test_a_card_whose_refunds_fail_later(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """It looks good for days."""
    intent = await worlds.payment(client, card="pm_card_refundFail")
    refund = await client.v1.refunds.create_async({"payment_intent": intent.id})
    assert refund.status == "succeeded"
    simulator.order("clock", seconds=5 * 86_400)
    assert (await client.v1.refunds.retrieve_async(refund.id)).status == "failed"


async def test_somebody_refunds_in_the_dashboard(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """The event has no request behind it."""
    intent = await worlds.payment(client, 1_000)
    refund = simulator.order("dashboard_refund", payment_intent=intent.id, amount=250)
    assert refund["amount"] == 250
    event = next(one for one in simulator.objects("event") if one["type"] == "refund.created")
    assert event["request"] == {"id": None, "idempotency_key": None}
