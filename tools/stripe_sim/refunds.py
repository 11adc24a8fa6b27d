"""Refunds: money given back, which may take days and may come back (failed)."""

from __future__ import annotations

from typing import Final

from tools.stripe_sim import balance, cards, disputes, early_fraud_warnings, lists, metadata, tax
from tools.stripe_sim.calls import Call, Operation, words
from tools.stripe_sim.clock import DAY_SECONDS
from tools.stripe_sim.errors import InvalidRequest, Json
from tools.stripe_sim.world import World

KIND: Final = "refund"
_ARRIVES_SECONDS: Final = 5 * DAY_SECONDS


def create(world: World, call: Call) -> Json:
    """Refund a charge, by its id or its payment intent's."""
    return refund(world, call.params)


def refund(world: World, given: Json) -> Json:
    """Refund a charge.

    Raises:
        InvalidRequest: none is named, nothing was taken, more than is left, or disputed.
    """
    charge = charge_of(world, given)
    left = charge["amount_captured"] - charge["amount_refunded"]
    amount = given.get("amount", left)
    _check(world, charge, amount, left)
    kept = metadata.merged({}, given.get("metadata"))
    return issue(world, charge, amount, reason=given.get("reason"), kept=kept)


def charge_of(world: World, given: Json) -> Json:
    """Return the charge that is named, itself or by its payment intent.

    Raises:
        InvalidRequest: none is named, both are, or the intent has none.
    """
    if "charge" in given and "payment_intent" in given:
        raise InvalidRequest("Name a charge or a payment intent, not both", param="charge")
    if "charge" in given:
        return world.get("charge", given["charge"], "charge", in_path=False)
    if "payment_intent" not in given:
        raise InvalidRequest(
            "One of the following params should be provided: payment_intent or charge.",
            code="parameter_missing",
            param="payment_intent",
        )
    intent = world.get("payment_intent", given["payment_intent"], "payment_intent", in_path=False)
    if intent["latest_charge"] is None:
        raise InvalidRequest("The payment intent has no charge", param="payment_intent")
    return world.get("charge", intent["latest_charge"], "charge")


def _check(world: World, charge: Json, amount: int, left: int) -> None:
    """Refuse a refund that cannot be.

    Raises:
        InvalidRequest: nothing was taken, the charge is disputed, or more than is left.
    """
    if not charge["paid"]:
        raise InvalidRequest(
            "The charge took no money", param="charge", code="charge_not_refundable"
        )
    dispute = disputes.of_charge(world, charge)
    if dispute is not None and not dispute["is_charge_refundable"]:
        raise InvalidRequest(
            "The charge is disputed; it cannot be refunded", param="charge", code="charge_disputed"
        )
    if left == 0:
        raise InvalidRequest(
            "The charge has already been refunded", param="charge", code="charge_already_refunded"
        )
    if amount < 1:
        raise InvalidRequest(
            "The amount must be at least 1", param="amount", code="parameter_invalid_integer"
        )
    if amount > left:
        raise InvalidRequest(
            "The amount is greater than what is left of the charge", param="amount"
        )


def issue(world: World, charge: Json, amount: int, *, reason: str | None, kept: Json) -> Json:
    """Give money back, as this charge's card lets it happen."""
    number = (world.find(charge["payment_method"]) or {}).get("_number", "")
    card = cards.BY_NUMBER.get(number)
    fate = card.refunds if card else "pends"
    refund = world.add(
        KIND,
        "re",
        amount=amount,
        balance_transaction=None,
        charge=charge["id"],
        currency=charge["currency"],
        destination_details=_destination(charge),
        metadata=kept,
        payment_intent=charge["payment_intent"],
        pending_reason="processing" if fate == "pends" else None,
        reason=reason,
        receipt_number=None,
        source_transfer_reversal=None,
        status="pending" if fate == "pends" else "succeeded",
        transfer_reversal=None,
        _fails_later=fate == "fails_later",
    )
    entry = balance.book(world, refund, -amount, type="refund", category="refund")
    refund["balance_transaction"] = entry["id"]
    _count(charge, amount)
    tax.reverse_refunded(world, charge["payment_intent"], refund)
    world.emit("refund.created", refund)
    world.emit("charge.refunded", charge)
    early_fraud_warnings.refresh(world, charge)
    dispute = disputes.of_charge(world, charge)
    if dispute is not None and charge["refunded"] and dispute["status"] in disputes.INQUIRIES:
        # Refunding all of it is the answer to an inquiry.
        disputes.move(world, dispute, "warning_closed")
    return refund


def _destination(charge: Json) -> Json:
    kind = charge["payment_method_details"]["type"]
    if kind != "card":
        return {"type": kind, kind: {"reference": None, "reference_status": "pending"}}
    pending = {"reference_status": "pending", "reference_type": "acquirer_reference_number"}
    return {"type": "card", "card": {**pending, "type": "refund"}}


def _count(charge: Json, amount: int) -> None:
    """Add an amount, which may be negative, to what was refunded of a charge."""
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]


def complete(world: World, refund: Json) -> Json:
    """The bank has the money of a pending refund.

    Raises:
        InvalidRequest: it is not pending.
    """
    if refund["status"] != "pending":
        raise InvalidRequest("The refund is not pending", param=KIND)
    refund["pending_reason"] = None
    _become(world, refund, "succeeded")
    return refund


def fail(world: World, refund: Json, failure_reason: str = "unknown") -> Json:
    """The bank sends the money of a refund back.

    Raises:
        InvalidRequest: it has failed already, or was cancelled.
    """
    if refund["status"] not in {"pending", "succeeded"}:
        raise InvalidRequest("The refund cannot fail any more", param=KIND)
    entry = balance.book(
        world, refund, refund["amount"], type="refund_failure", category="refund_failure"
    )
    refund["failure_balance_transaction"] = entry["id"]
    refund["failure_reason"] = failure_reason
    refund["pending_reason"] = None
    charge = world.get("charge", refund["charge"], "charge")
    _count(charge, -refund["amount"])
    _become(world, refund, "failed")
    world.emit("refund.failed", refund)
    return refund


def _become(world: World, refund: Json, status: str) -> None:
    previous = {"status": refund["status"]}
    refund["status"] = status
    refund["_fails_later"] = False
    world.emit("refund.updated", refund, previous)
    world.emit("charge.refund.updated", refund, previous)


def pass_time(world: World) -> None:
    """Let what banks take days for happen."""
    for refund in world.all(KIND):
        if world.now() < refund["created"] + _ARRIVES_SECONDS:
            continue
        if refund["_fails_later"]:
            fail(world, refund)
        elif refund["status"] == "pending":
            complete(world, refund)


def retrieve(world: World, call: Call) -> Json:
    """Return a refund."""
    return world.get(KIND, call.id, KIND)


def update(world: World, call: Call) -> Json:
    """Change the metadata of a refund."""
    refund = world.get(KIND, call.id, KIND)
    refund["metadata"] = metadata.merged(refund["metadata"], call.params.get("metadata"))
    world.emit("refund.updated", refund, {})
    return refund


def list_all(world: World, call: Call) -> Json:
    """Return a page of refunds."""
    wanted = {name: call.params.get(name) for name in ("charge", "payment_intent")}
    return lists.page(world, KIND, call.url, call.params, **wanted)


OPERATIONS: Final = (
    Operation(
        "POST",
        "/v1/refunds",
        "RefundCreateParams",
        create,
        words("amount charge metadata payment_intent reason"),
    ),
    Operation(
        "GET",
        "/v1/refunds",
        "RefundListParams",
        list_all,
        words("charge created ending_before limit payment_intent starting_after"),
    ),
    Operation("GET", "/v1/refunds/{id}", "RefundRetrieveParams", retrieve),
    Operation("POST", "/v1/refunds/{id}", "RefundUpdateParams", update, words("metadata")),
)
