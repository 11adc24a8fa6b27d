"""Charges: single attempts to take money, successful or not."""

from __future__ import annotations

from typing import Final

from tools.stripe_sim import amounts, balance, disputes, early_fraud_warnings, lists, metadata
from tools.stripe_sim.calls import Call, Operation, words
from tools.stripe_sim.cards import Card
from tools.stripe_sim.errors import Json
from tools.stripe_sim.world import World

KIND: Final = "charge"
_SELLER_WORDS: Final = "Payment complete."


def _add(world: World, intent: Json, method: Json, card: Card | None) -> Json:
    """Create the record of an attempt, without its outcome; no card is a bank debit."""
    charge = world.add(
        KIND,
        "ch",
        amount=intent["amount"],
        amount_captured=0,
        amount_refunded=0,
        application=None,
        application_fee=None,
        application_fee_amount=None,
        balance_transaction=None,
        billing_details=method["billing_details"],
        calculated_statement_descriptor="1API CLUB",
        captured=False,
        currency=intent["currency"],
        customer=intent["customer"],
        description=intent["description"],
        disputed=False,
        failure_balance_transaction=None,
        failure_code=None,
        failure_message=None,
        fraud_details={},
        metadata=dict(intent["metadata"]),
        on_behalf_of=None,
        outcome=None,
        paid=False,
        payment_intent=intent["id"],
        payment_method=method["id"],
        payment_method_details=_method_details(method, card),
        receipt_email=intent["receipt_email"],
        receipt_number=None,
        receipt_url=None,
        refunded=False,
        review=None,
        shipping=None,
        source=None,
        source_transfer=None,
        statement_descriptor=None,
        statement_descriptor_suffix=intent["statement_descriptor_suffix"],
        status="pending",
        transfer_data=None,
        transfer_group=None,
    )
    intent["latest_charge"] = charge["id"]
    return charge


def _method_details(method: Json, card: Card | None) -> Json:
    if card is None:
        kind = method["type"]
        return {"type": kind, kind: dict(method[kind])}
    card_fields = {
        **method["card"],
        "amount_authorized": None,
        "authorization_code": None,
        "extended_authorization": {"status": "disabled"},
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": card.brand,
        "network_token": {"used": False},
        "network_transaction_id": None,
        "three_d_secure": None,
        "wallet": None,
    }
    for name in ("display_brand", "generated_from", "networks", "three_d_secure_usage"):
        card_fields.pop(name)
    return {"type": "card", "card": card_fields}


def _outcome(*, decline_code: str | None, refused: bool) -> Json:
    return {
        "advice_code": "do_not_try_again" if refused else None,
        "network_advice_code": None,
        "network_decline_code": "01" if refused else None,
        "network_status": "declined_by_network" if refused else "approved_by_network",
        "reason": decline_code,
        "risk_level": "normal",
        "risk_score": 24,
        "seller_message": "The bank declined the payment." if refused else _SELLER_WORDS,
        "type": "issuer_declined" if refused else "authorized",
    }


def fail(
    world: World, intent: Json, method: Json, card: Card, decline: tuple[str, str, str]
) -> Json:
    """Record an attempt that the bank refused, by code, decline code and message."""
    charge = _add(world, intent, method, card)
    code, decline_code, message = decline
    charge["status"] = "failed"
    charge["failure_code"], charge["failure_message"] = code, message
    charge["outcome"] = _outcome(decline_code=decline_code or code, refused=True)
    world.emit("charge.failed", charge)
    return charge


def pend(world: World, intent: Json, method: Json) -> Json:
    """Record a bank debit that is under way."""
    charge = _add(world, intent, method, None)
    world.emit("charge.pending", charge)
    return charge


def succeed(world: World, intent: Json, method: Json, card: Card) -> Json:
    """Take the money; what the cardholder does afterwards follows from the test card."""
    charge = _add(world, intent, method, card)
    settle(world, charge, is_available_at_once=card.is_available_at_once)
    return charge


def settle(world: World, charge: Json, *, is_available_at_once: bool = False) -> None:
    """Book the money of a charge.

    The default capture is asynchronous since API 2024-04-10: the first event knows no balance
    transaction yet, a `charge.updated` does.
    """
    charge |= {
        "amount_captured": charge["amount"],
        "captured": True,
        "paid": True,
        "status": "succeeded",
        "outcome": _outcome(decline_code=None, refused=False),
        "receipt_url": f"https://pay.stripe.com/receipts/{charge['id']}",
    }
    world.emit("charge.succeeded", charge)
    entry = balance.book(
        world,
        charge,
        charge["amount"],
        type="charge",
        category="charge",
        fee=amounts.payment_fee(charge["amount"]),
        settles_in_seconds=0 if is_available_at_once else balance.SETTLING_SECONDS,
    )
    charge["balance_transaction"] = entry["id"]
    world.emit("charge.updated", charge, {"balance_transaction": None})


def fail_pending(world: World, charge: Json, code: str, message: str) -> None:
    """Record that a bank debit was returned."""
    charge["status"] = "failed"
    charge["failure_code"], charge["failure_message"] = code, message
    world.emit("charge.failed", charge)


def complain(world: World, charge: Json, card: Card) -> None:
    """Let the cardholder do what this test card's holder does."""
    if card.complaint == "warning":
        early_fraud_warnings.raise_one(world, charge)
    elif card.complaint is not None:
        inquiry = card.complaint == "inquiry"
        disputes.open_one(world, charge, reason="fraudulent", is_inquiry=inquiry)


def retrieve(world: World, call: Call) -> Json:
    """Return a charge."""
    return world.get(KIND, call.id, KIND)


def update(world: World, call: Call) -> Json:
    """Change what the caller says about a charge."""
    charge = world.get(KIND, call.id, KIND)
    charge["metadata"] = metadata.merged(charge["metadata"], call.params.get("metadata"))
    charge["description"] = call.params.get("description", charge["description"])
    charge["receipt_email"] = call.params.get("receipt_email", charge["receipt_email"])
    world.emit("charge.updated", charge, {})
    return charge


def list_all(world: World, call: Call) -> Json:
    """Return a page of charges."""
    wanted = {name: call.params.get(name) for name in ("customer", "payment_intent")}
    return lists.page(world, KIND, call.url, call.params, **wanted)


_PAGE: Final = words("created customer ending_before limit payment_intent starting_after")
OPERATIONS: Final = (
    Operation("GET", "/v1/charges", "ChargeListParams", list_all, _PAGE),
    Operation("GET", "/v1/charges/{id}", "ChargeRetrieveParams", retrieve),
    Operation(
        "POST",
        "/v1/charges/{id}",
        "ChargeUpdateParams",
        update,
        words("metadata description receipt_email"),
    ),
)
