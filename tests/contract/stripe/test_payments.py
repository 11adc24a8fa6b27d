"""Payments by the SDK: cards that pay, are refused, or want to be authenticated."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.contract.stripe import worlds
from tests.support.stripe import StripeSimulator


async def test_a_payment_is_charged_once_with_its_fee(client: stripe.StripeClient) -> None:
    """The charge is an id until it is expanded; the fee is 2.9 % and 30 cents."""
    intent = await worlds.payment(client, 1_000)
    assert intent.status == "succeeded"
    assert isinstance(intent.latest_charge, str)
    wide = await client.v1.payment_intents.retrieve_async(
        intent.id, {"expand": ["latest_charge.balance_transaction"]}
    )
    charge: Any = wide.latest_charge
    assert (charge.amount, charge.amount_captured, charge.paid) == (1_000, 1_000, True)
    assert charge.payment_method_details.card.last4 == "4242"
    entry = charge.balance_transaction
    assert (entry.amount, entry.fee, entry.net, entry.type) == (1_000, 59, 941, "charge")


async def test_the_balance_is_the_sum_of_its_transactions(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """Pending for two days, then available."""
    await worlds.payment(client, 1_000)
    balance = await client.v1.balance.retrieve_async()
    assert (balance.pending[0].amount, balance.available[0].amount) == (941, 0)
    simulator.order("clock", seconds=2 * 86_400)
    balance = await client.v1.balance.retrieve_async()
    assert (balance.pending[0].amount, balance.available[0].amount) == (0, 941)


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", None),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", None),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", None),
    ],
)
async def test_a_refused_card_leaves_an_intent_that_waits_for_another(
    client: stripe.StripeClient, card: str, code: str, decline_code: str | None
) -> None:
    """The error names the intent and the failed charge; another card pays it."""
    with pytest.raises(stripe.CardError) as caught:
        await worlds.payment(client, card=card)
    assert caught.value.code == code
    error: Any = caught.value.error
    assert getattr(error, "decline_code", None) == decline_code
    intent = await client.v1.payment_intents.retrieve_async(error.payment_intent.id)
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error is not None
    assert intent.last_payment_error.code == code
    charge = await client.v1.charges.retrieve_async(error.charge)
    assert (charge.status, charge.paid, charge.failure_code) == ("failed", False, code)
    paid = await client.v1.payment_intents.confirm_async(
        intent.id, {"payment_method": "pm_card_visa"}
    )
    assert paid.status == "succeeded"


@pytest.mark.parametrize(
    "card", ["pm_card_authenticationRequired", "pm_card_threeDSecure2Required"]
)
async def test_a_card_that_wants_authentication_is_refused_off_session(
    client: stripe.StripeClient, card: str
) -> None:
    """Nobody is there to confirm, saved or not."""
    owner = await worlds.customer(client)
    method = await client.v1.payment_methods.attach_async(card, {"customer": owner.id})
    with pytest.raises(stripe.CardError) as caught:
        await worlds.payment(client, card=method.id, customer=owner.id, off_session=True)
    assert caught.value.code == "authentication_required"


async def test_on_session_the_cardholder_is_asked(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """The intent waits with the bank's page, and is paid once they confirm."""
    intent = await worlds.payment(
        client, card="pm_card_authenticationRequired", return_url="http://127.0.0.1:9/back"
    )
    assert intent.status == "requires_action"
    assert intent.next_action is not None
    assert intent.next_action.redirect_to_url is not None
    assert intent.latest_charge is None
    simulator.order(f"authenticate/{intent.id}", succeeds=True)
    paid = await client.v1.payment_intents.retrieve_async(intent.id)
    assert paid.status == "succeeded"


async def test_a_card_saved_with_authentication_pays_off_session(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """`setup_future_usage` is what lets an automatic top-up take money later."""
    owner = await worlds.customer(client)
    intent = await worlds.payment(
        client,
        card="pm_card_authenticationRequiredOnSetup",
        customer=owner.id,
        setup_future_usage="off_session",
    )
    simulator.order(f"authenticate/{intent.id}", succeeds=True)
    methods = await client.v1.customers.payment_methods.list_async(owner.id, {"type": "card"})
    saved = methods.data[0].id
    later = await worlds.payment(client, card=saved, customer=owner.id, off_session=True)
    assert later.status == "succeeded"


async def test_a_cardholder_who_refuses_pays_nothing(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """The intent waits for another card."""
    intent = await worlds.payment(client, card="pm_card_threeDSecure2Required")
    with pytest.raises(Exception, match="payment_intent_authentication_failure"):
        simulator.order(f"authenticate/{intent.id}", succeeds=False)
    left = await client.v1.payment_intents.retrieve_async(intent.id)
    assert (left.status, left.amount_received) == ("requires_payment_method", 0)


async def test_an_open_intent_can_be_cancelled_a_paid_one_cannot(
    client: stripe.StripeClient,
) -> None:
    """And a cancelled one is not confirmed."""
    intent = await client.v1.payment_intents.create_async({"amount": 500, "currency": "usd"})
    gone = await client.v1.payment_intents.cancel_async(
        intent.id, {"cancellation_reason": "abandoned"}
    )
    assert (gone.status, gone.cancellation_reason) == ("canceled", "abandoned")
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await client.v1.payment_intents.confirm_async(intent.id, {"payment_method": "pm_card_visa"})
    assert caught.value.code == "payment_intent_unexpected_state"
    paid = await worlds.payment(client)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await client.v1.payment_intents.cancel_async(paid.id)
    assert caught.value.code == "payment_intent_unexpected_state"


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        (49, "usd", "amount_too_small"),
        (100_000_000, "usd", "amount_too_large"),
        (0, "usd", "parameter_invalid_integer"),
        (1_000, "zzz", None),
    ],
)
async def test_an_amount_that_cannot_be_charged_is_refused(
    client: stripe.StripeClient, amount: int, currency: str, code: str | None
) -> None:
    """Nothing is created."""
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await client.v1.payment_intents.create_async({"amount": amount, "currency": currency})
    assert caught.value.code == code
    assert (await client.v1.payment_intents.list_async()).data == []


async def test_a_payment_is_found_by_its_metadata_once_the_index_has_it(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """A negative search proves nothing while the index lags behind."""
    owner = await worlds.customer(client)
    intent = await worlds.payment(client, customer=owner.id, metadata={"topup_id": "top_1"})
    await worlds.payment(client, customer=owner.id, metadata={"topup_id": "top_2"})
    query = f"metadata['topup_id']:'top_1' AND customer:'{owner.id}'"
    found = await client.v1.payment_intents.search_async({"query": query})
    assert [one.id for one in found.data] == [intent.id]
    simulator.order("search_lag", seconds=60)
    found = await client.v1.payment_intents.search_async({"query": query})
    assert found.data == []
    simulator.order("clock", seconds=61)
    found = await client.v1.payment_intents.search_async({"query": query})
    assert [one.id for one in found.data] == [intent.id]


@pytest.mark.parametrize(
    "query", ["", "status", "status:'a' OR customer:'b' AND status:'c'", "x:'"]
)
async def test_a_query_that_cannot_be_read_is_refused(
    client: stripe.StripeClient, query: str
) -> None:
    """As Stripe does with a query that mixes AND with OR."""
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.payment_intents.search_async({"query": query})
