"""The simulator and the installed SDK know the same parameters, fields and events."""

from __future__ import annotations

import typing
from typing import Any

import pytest
import stripe
from stripe.events import UnknownEventNotification
from stripe.events._event_classes import get_v2_event_notification_class

from tests.contract.stripe import worlds
from tests.support.stripe import StripeSimulator
from tools.stripe_sim import api
from tools.stripe_sim.calls import Operation, words

CLASSES: dict[str, Any] = {
    "balance": stripe.Balance,
    "balance_transaction": stripe.BalanceTransaction,
    "charge": stripe.Charge,
    "checkout.session": stripe.checkout.Session,
    "customer": stripe.Customer,
    "dispute": stripe.Dispute,
    "event": stripe.Event,
    "payment_intent": stripe.PaymentIntent,
    "payment_method": stripe.PaymentMethod,
    "radar.early_fraud_warning": stripe.radar.EarlyFraudWarning,
    "refund": stripe.Refund,
    "setup_intent": stripe.SetupIntent,
    "tax.calculation": stripe.tax.Calculation,
    "tax.transaction": stripe.tax.Transaction,
    "tax_id": stripe.TaxId,
}


def test_every_honoured_parameter_exists() -> None:
    """What an upgrade renamed or removed is named."""
    api.check_drift()


@pytest.mark.parametrize(
    ("params", "honoured"),
    [
        ("RefundCreateParams", "amount payment_method_types"),
        ("RefundCreateParams", "metadata.nothing"),
        ("RefundMakeParams", "amount"),
    ],
)
def test_a_parameter_that_is_gone_is_found(params: str, honoured: str) -> None:
    """Control: a name, a nested name, a whole class."""
    operation = Operation("POST", "/", params, lambda _, call: call.params, words(honoured))
    assert len(api.gone(operation)) == 1


async def test_every_object_has_the_fields_that_the_sdk_expects(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """No field that the SDK does not know, and all that it reads without asking."""
    await one_of_each(client, simulator)
    state = simulator.state()
    found = {kind: state["objects"].get(kind, []) for kind in CLASSES}
    found["balance"] = [state["balance"]]
    assert [kind for kind, objects in found.items() if not objects] == []
    wrong = [
        f"{kind}: {fault}"
        for kind, objects in found.items()
        for one in objects
        for fault in faults(CLASSES[kind], one)
    ]
    assert sorted(set(wrong)) == []


async def one_of_each(client: stripe.StripeClient, simulator: StripeSimulator) -> None:
    """Make an object of every kind."""
    owner = await worlds.customer(client)
    session = await worlds.session(client, customer=owner.id)
    simulator.order(f"checkout/{session.id}/pay", card="4000000000000259")
    intent = await worlds.payment(client, card="pm_card_createIssuerFraudRecord")
    await client.v1.refunds.create_async({"payment_intent": intent.id, "amount": 100})
    with pytest.raises(stripe.CardError):
        await worlds.payment(client, card="pm_card_chargeDeclined")
    await client.v1.setup_intents.create_async({"payment_method": "pm_card_visa", "confirm": True})
    await client.v1.customers.tax_ids.create_async(
        owner.id, {"type": "eu_vat", "value": "DE123456789"}
    )
    calculation = await client.v1.tax.calculations.create_async(
        {
            "currency": "usd",
            "line_items": [{"amount": 1_000, "reference": "credits"}],
            "customer_details": {"address": {"country": "DE"}, "address_source": "billing"},
        }
    )
    assert calculation.id is not None
    await client.v1.tax.transactions.create_from_calculation_async(
        {"calculation": calculation.id, "reference": "top_1"}
    )


def faults(kind: Any, one: dict[str, Any]) -> list[str]:
    """Return the fields that are unknown or missing."""
    hints = {name: hint for name, hint in kind.__annotations__.items() if name != "OBJECT_NAME"}
    needed = {name for name, hint in hints.items() if type(None) not in typing.get_args(hint)}
    needed = {name for name in needed if "ClassVar" not in str(hints[name])}
    unknown = [f"{name} is unknown" for name in one if name not in hints]
    return [*unknown, *(f"{name} is missing" for name in sorted(needed - set(one)))]


def test_a_field_too_many_or_too_few_is_found() -> None:
    """Control: a refund without its amount, with a field of ours."""
    found = faults(stripe.Refund, {"id": "re_1", "object": "refund", "created": 1, "zebra": 1})
    assert found == ["zebra is unknown", "amount is missing", "currency is missing"]


async def test_every_event_is_one_that_the_sdk_knows(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """Of the types that `stripe.Event` lists; most are notified as thin events too."""
    await one_of_each(client, simulator)
    known = set(typing.get_args(stripe.Event.__annotations__["type"]))
    sent = {one["type"] for one in simulator.objects("event")}
    assert sent <= known
    thin = {one["type"] for one in simulator.objects("v2.core.event")}
    silent = {f"v1.{name}" for name in sent} - thin
    for name in silent:
        assert get_v2_event_notification_class(name) is UnknownEventNotification
