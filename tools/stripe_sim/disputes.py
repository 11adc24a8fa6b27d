"""Disputes: the cardholder's bank takes a payment back, or asks about it first (an inquiry).

    warning_needs_response -> warning_under_review -> warning_closed | prevented
              |-> needs_response                       (the inquiry becomes a dispute)
    needs_response -> under_review -> won | lost

A dispute withdraws its amount and a fee when it opens; an inquiry withdraws nothing. What was
withdrawn comes back when the dispute is won.
"""

from __future__ import annotations

from typing import Final

from tools.stripe_sim import amounts, balance, early_fraud_warnings, lists, metadata
from tools.stripe_sim.calls import Call, Operation, words
from tools.stripe_sim.clock import DAY_SECONDS
from tools.stripe_sim.errors import InvalidRequest, Json
from tools.stripe_sim.params import shape_of
from tools.stripe_sim.world import World

KIND: Final = "dispute"
ANSWER_SECONDS: Final = 9 * DAY_SECONDS
INQUIRIES: Final = frozenset({"warning_needs_response", "warning_under_review"})
CLOSED: Final = frozenset({"won", "lost", "warning_closed", "prevented"})
_NEXT: Final = {
    "warning_needs_response": words("warning_under_review warning_closed prevented needs_response"),
    "warning_under_review": words("warning_closed prevented needs_response"),
    "needs_response": words("under_review won lost"),
    "under_review": words("won lost"),
}
# docs.stripe.com/testing: the evidence that decides a dispute in test mode.
_DECIDING: Final = {"winning_evidence": "won", "losing_evidence": "lost"}


def open_one(
    world: World,
    charge: Json,
    *,
    reason: str,
    is_inquiry: bool = False,
    amount: int | None = None,
    status: str | None = None,
) -> Json:
    """Open a dispute over a charge; its amount need not be the charge's.

    Raises:
        InvalidRequest: the charge is disputed already, or took no money.
    """
    if charge["disputed"] or not charge["paid"]:
        raise InvalidRequest("The charge cannot be disputed", param="charge")
    first = "warning_needs_response" if is_inquiry else "needs_response"
    dispute = world.add(
        KIND,
        "du",
        amount=charge["amount"] if amount is None else amount,
        balance_transactions=[],
        charge=charge["id"],
        currency=charge["currency"],
        enhanced_eligibility_types=[],
        evidence=_no_evidence(),
        evidence_details={
            "due_by": world.now() + ANSWER_SECONDS,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        is_charge_refundable=is_inquiry,
        metadata={},
        payment_intent=charge["payment_intent"],
        payment_method_details={
            "type": "card",
            "card": {
                "brand": charge["payment_method_details"].get("card", {}).get("brand", "visa"),
                "case_type": "inquiry" if is_inquiry else "chargeback",
                "network_reason_code": "83",
            },
        },
        reason=reason,
        status=status or first,
    )
    charge["disputed"] = True
    world.emit("charge.dispute.created", dispute)
    early_fraud_warnings.refresh(world, charge)
    if dispute["status"] == "needs_response":
        _withdraw(world, dispute)
    if dispute["status"] in CLOSED:
        world.emit("charge.dispute.closed", dispute)
    return dispute


def _no_evidence() -> Json:
    """Return empty evidence with the keys that the SDK knows."""
    fields = shape_of("DisputeUpdateParams").fields or {}
    keys = (fields["evidence"].fields or {}).keys()
    return {**dict.fromkeys(sorted(keys)), "enhanced_evidence": {}}


def _withdraw(world: World, dispute: Json) -> None:
    """Take the disputed amount and the fee."""
    entry = balance.book(
        world,
        dispute,
        -dispute["amount"],
        type="adjustment",
        category="dispute",
        fee=amounts.DISPUTE_FEE,
    )
    dispute["balance_transactions"].append(entry)
    world.emit("charge.dispute.funds_withdrawn", dispute)


def _reinstate(world: World, dispute: Json, fee_returned: int) -> None:
    """Give the disputed amount back, and the fee where it is returned."""
    entry = balance.book(
        world,
        dispute,
        dispute["amount"],
        type="adjustment",
        category="dispute_reversal",
        fee=-fee_returned,
    )
    dispute["balance_transactions"].append(entry)
    world.emit("charge.dispute.funds_reinstated", dispute)


def move(world: World, dispute: Json, status: str, *, fee_returned: int = 0) -> Json:
    """Move a dispute on, with the money that moves with it.

    Raises:
        InvalidRequest: it cannot get there from where it is.
    """
    before = dispute["status"]
    if status not in _NEXT.get(before, frozenset()):
        raise InvalidRequest("The dispute cannot get from its status to this one", param="status")
    dispute["status"] = status
    dispute["is_charge_refundable"] = status.startswith("warning") or status == "won"
    if status == "needs_response":
        dispute["payment_method_details"]["card"]["case_type"] = "chargeback"
        world.emit("charge.dispute.updated", dispute, {"status": before})
        _withdraw(world, dispute)
    elif status in CLOSED:
        world.emit("charge.dispute.closed", dispute)
        if status == "won":
            _reinstate(world, dispute, fee_returned)
    else:
        world.emit("charge.dispute.updated", dispute, {"status": before})
    return dispute


def of_charge(world: World, charge: Json) -> Json | None:
    """Return the dispute of a charge."""
    return next((one for one in world.all(KIND) if one["charge"] == charge["id"]), None)


def retrieve(world: World, call: Call) -> Json:
    """Return a dispute."""
    return world.get(KIND, call.id, KIND)


def list_all(world: World, call: Call) -> Json:
    """Return a page of disputes."""
    wanted = {name: call.params.get(name) for name in ("charge", "payment_intent")}
    return lists.page(world, KIND, call.url, call.params, **wanted)


def update(world: World, call: Call) -> Json:
    """Keep evidence, and hand it in unless told not to.

    Raises:
        InvalidRequest: the dispute is closed or with the bank already.
    """
    dispute = world.get(KIND, call.id, KIND)
    given = call.params
    evidence = given.get("evidence", {})
    if evidence and not dispute["status"].endswith("needs_response"):
        raise InvalidRequest("The dispute takes no evidence any more", param="evidence")
    dispute["metadata"] = metadata.merged(dispute["metadata"], given.get("metadata"))
    dispute["evidence"] |= evidence or {}
    details = dispute["evidence_details"]
    details["has_evidence"] = any(
        value for key, value in dispute["evidence"].items() if key != "enhanced_evidence"
    )
    if evidence and given.get("submit", True):
        details["submission_count"] += 1
        details["submission_method"] = "manual"
        is_inquiry = dispute["status"].startswith("warning")
        move(world, dispute, "warning_under_review" if is_inquiry else "under_review")
        verdict = _DECIDING.get(evidence.get("uncategorized_text", ""))
        if verdict is not None and not is_inquiry:
            move(world, dispute, verdict)
    else:
        world.emit("charge.dispute.updated", dispute, {})
    return dispute


def close(world: World, call: Call) -> Json:
    """Accept a dispute as lost.

    Raises:
        InvalidRequest: it is closed already, or an inquiry.
    """
    dispute = world.get(KIND, call.id, KIND)
    if dispute["status"] not in {"needs_response", "under_review"}:
        raise InvalidRequest("This dispute cannot be closed", param=KIND)
    return move(world, dispute, "lost")


OPERATIONS: Final = (
    Operation(
        "GET",
        "/v1/disputes",
        "DisputeListParams",
        list_all,
        words("charge created ending_before limit payment_intent starting_after"),
    ),
    Operation("GET", "/v1/disputes/{id}", "DisputeRetrieveParams", retrieve),
    Operation(
        "POST",
        "/v1/disputes/{id}",
        "DisputeUpdateParams",
        update,
        words("evidence metadata submit"),
    ),
    Operation("POST", "/v1/disputes/{id}/close", "DisputeCloseParams", close),
)
