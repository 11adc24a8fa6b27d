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
SELECT p.id, p.workspace_id, p.net_minor, p.charge_id, p.intent_id, g.amount
  FROM payment AS p JOIN credit_grant AS g ON g.id = p.grant_id
"""
_REFUNDED: Final = "SELECT stripe_id, state, net_minor FROM refund WHERE stripe_id IS NOT NULL"
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
        row = await tx.one(_CLEARING)
    # Each charge was credited once, at its amount; no credit without a charge.
    assert Counter(each.charge_id for each in credited) == Counter(charges.keys())
    for each in credited:
        assert charges[each.charge_id]["amount"] == each.net_minor
        assert each.amount == each.net_minor * NANOS_PER_CENT
    # Nobody paid twice for one purchase.
    named = [
        intent["metadata"].get("oneapi_payment")
        for intent in state["objects"].get("payment_intent", [])
        if intent["status"] == "succeeded"
    ]
    assert max(Counter(named).values(), default=0) <= 1
    # Each refund at the provider is one of ours, at its amount.
    theirs = {each["id"]: each["amount"] for each in state["objects"].get("refund", [])}
    assert {each.stripe_id: each.net_minor for each in refunds} == theirs
    # The ledger's account of the provider is its balance.
    assert row is not None
    assert -row.total == _balance(state) * NANOS_PER_CENT


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
