"""What must hold between the ledger, our rows and the provider's own account (I5)."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from core.db.database import Pool
from kit.money import NANOS_PER_CENT
from tests.support.stripe import StripeSimulator

_CLEARING: Final = """
SELECT CAST(coalesce(sum(amount), 0) AS bigint) AS total FROM ledger_entry
 WHERE account = 'psp.stripe_clearing'
"""
_KEYS: Final = "SELECT business_key FROM ledger_txn WHERE starts_with(business_key, 'stripe:')"
_CREDITED: Final = """
SELECT p.id, p.workspace_id, p.net_minor, p.charge_id, p.intent_id, g.amount, a.customer_id,
       g.workspace_id AS owner
  FROM payment AS p JOIN credit_grant AS g ON g.id = p.grant_id
  LEFT JOIN billing_account AS a ON a.workspace_id = p.workspace_id
"""
_REFUNDED: Final = "SELECT id, stripe_id, state, net_minor FROM refund"
_OPEN_PAYMENTS: Final = "SELECT * FROM payment WHERE state IN (1, 2, 3)"
_DISPUTED: Final = "SELECT stripe_id, state, amount_minor, frozen_nanos FROM dispute"
_FROZEN: Final = "SELECT CAST(coalesce(sum(frozen), 0) AS bigint) AS total FROM wallet"
_DISPUTE_STATES: Final = {
    "warning_needs_response": 1,
    "warning_under_review": 1,
    "needs_response": 2,
    "under_review": 3,
    "won": 4,
    "lost": 5,
    "warning_closed": 6,
    "prevented": 7,
}
_DOCUMENTS: Final = """
SELECT series, count(*) AS there, max(number) AS last FROM billing_document GROUP BY series
"""


async def check_clearing(pool: Pool, simulator: StripeSimulator) -> None:
    """After every step: clearing is what the provider's movements that we know of add up to.

    A movement is known by the posting that names it or what it is about. Nothing else is there.

    Raises:
        AssertionError: the ledger says something else of our balance there.
    """
    async with pool.transaction("system", snapshot=True) as tx:
        row = await tx.one(_CLEARING)
        keys = {row.business_key for row in await tx.all(_KEYS)}
        credited = {row.charge_id for row in await tx.all(_CREDITED)}
        numbers = await tx.all(_DOCUMENTS)
    # No number of a document is missing or double.
    assert all(each.there == each.last for each in numbers)
    expected = sum(
        _known(each, keys, credited) for each in simulator.objects("balance_transaction")
    )
    assert row is not None
    assert -row.total == expected * NANOS_PER_CENT


async def check_converged(pool: Pool, simulator: StripeSimulator) -> None:
    """When nothing is left to find out: both sides say the same, charge by charge.

    Raises:
        AssertionError: somebody was charged twice, credit was lost or given for nothing, or the
            balances differ.
    """
    state = simulator.state()
    charges = {each["id"]: each for each in state["objects"].get("charge", []) if each["paid"]}
    async with pool.transaction("system", snapshot=True) as tx:
        credited = await tx.all(_CREDITED)
        refunds = await tx.all(_REFUNDED)
        waiting = await tx.all(_OPEN_PAYMENTS)
        disputes = await tx.all(_DISPUTED)
        frozen = await tx.one(_FROZEN)
        row = await tx.one(_CLEARING)
    _check_nothing_waits(state, waiting, refunds)
    _check_disputes(state, disputes)
    assert frozen is not None
    assert frozen.total == sum(each.frozen_nanos for each in disputes)
    # Each charge was credited once, at its amount; no credit without a charge.
    assert Counter(each.charge_id for each in credited) == Counter(charges.keys())
    for each in credited:
        assert charges[each.charge_id]["amount"] == each.net_minor
        assert each.amount == each.net_minor * NANOS_PER_CENT
        assert each.owner == each.workspace_id
        assert charges[each.charge_id]["customer"] == each.customer_id
    # Nobody paid twice for one purchase.
    named = [
        intent["metadata"].get("oneapi_payment")
        for intent in state["objects"].get("payment_intent", [])
        if intent["status"] == "succeeded"
    ]
    assert max(Counter(named).values(), default=0) <= 1
    # Each refund at the provider is one of ours, at its amount.
    theirs = {each["id"]: each["amount"] for each in state["objects"].get("refund", [])}
    ours = {each.stripe_id: each.net_minor for each in refunds if each.stripe_id is not None}
    assert ours == theirs
    # The ledger's account of the provider is its balance.
    assert row is not None
    assert -row.total == _balance(state) * NANOS_PER_CENT


def _check_nothing_waits(state: dict[str, Any], payments: list[Any], refunds: list[Any]) -> None:
    """Only what its customer or bank has not decided is open; approved refunds have gone out."""
    pages = {
        page["id"]
        for page in state["objects"].get("checkout.session", [])
        if page["status"] == "open" or page["payment_status"] == "unpaid"
    }
    undecided = {
        intent["id"]
        for intent in state["objects"].get("payment_intent", [])
        if intent["status"] not in ("succeeded", "canceled")
    }
    stuck = [each for each in payments if each.session_id not in pages]
    forgotten = [each._asdict() for each in stuck if each.intent_id not in undecided]
    assert forgotten == [], forgotten
    decided = {each["id"]: each["status"] for each in state["objects"].get("refund", [])}
    for each in refunds:
        # Approved (2), at the provider (3), waiting for leases (7): none is left of the first and
        # the last, as all leases are closed; the provider has the others in its hands.
        assert each.state not in (2, 7)
        if each.state == 3:
            assert decided[each.stripe_id] in ("pending", "requires_action")


def _check_disputes(state: dict[str, Any], disputes: list[Any]) -> None:
    """Each dispute at the provider is one of ours, in its state and at its amount."""
    theirs = {
        each["id"]: (_DISPUTE_STATES[each["status"]], each["amount"])
        for each in state["objects"].get("dispute", [])
    }
    assert {each.stripe_id: (each.state, each.amount_minor) for each in disputes} == theirs


def _known(movement: dict[str, Any], keys: set[str], credited: set[str]) -> int:
    """Return by how much a movement of the provider should have moved clearing so far, cents."""
    source, name = movement["source"], movement["id"]
    if movement["type"] in ("charge", "payment"):
        fee = movement["fee"] if f"stripe:{name}:fee" in keys else 0
        return (movement["amount"] if source in credited else 0) - fee
    effects = ("withdrawal", "reinstatement", "payout")
    if any(f"stripe:{name}:{effect}" in keys for effect in effects):
        return int(movement["net"])
    if movement["amount"] < 0:
        gone = f"stripe:{source}:sent" in keys or f"stripe:{source}:clawback" in keys
        return movement["net"] if gone else 0
    back = (f"stripe:{source}:returned", f"stripe:{source}:clawback_returned")
    return movement["net"] if any(key in keys for key in back) else 0


def _balance(state: dict[str, Any]) -> int:
    parts = [*state["balance"]["available"], *state["balance"]["pending"]]
    return sum(part["amount"] for part in parts if part["currency"] == "usd")
