"""What must be true in the end, of the provider's account, of our rows, and of the ledger."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from core.billing.shares import MINOR_NANOS
from oneapi.billing.v1 import (
    credit_service_pb2,
    credit_service_pb2_grpc,
    payment_service_pb2,
    payment_service_pb2_grpc,
)
from tests.chaos.money.customers import Customer
from tests.chaos.money.world import World
from tests.support.recordings import PROJECT

PATIENCE_ROUNDS = 20
"""As long as something is settled within so many rounds, the rest is waited for."""
ROUND_SECONDS = 3.0
STEP_SECONDS = 900
_CONSOLE = "from kit.cli import main; main()"
_OPEN = """
SELECT (SELECT count(*) FROM payment WHERE state IN (1, 2)),
       (SELECT count(*) FROM refund WHERE state IN (2, 3, 7)),
       (SELECT count(*) FROM dispute WHERE closed_at IS NULL),
       (SELECT count(*) FROM stripe_inbox WHERE handled_at IS NULL)
"""


@dataclass(frozen=True, slots=True)
class Account:
    """One workspace by the provider's objects and our own usage; amounts in cents."""

    bought: int
    refunded: int
    lost: int
    used: int

    @property
    def left(self) -> int:
        """Return what it must have, less what it owes."""
        return self.bought - self.refunded - self.lost - self.used


def drain(world: World) -> Iterator[str]:
    """End everything that is open and let time pass until nothing is under way."""
    simulator = world.simulator
    for session in simulator.objects("checkout.session"):
        if session["status"] == "open":
            simulator.order(f"checkout/{session['id']}/expire")
    for dispute in simulator.objects("dispute"):
        if dispute["status"] in {"needs_response", "under_review"}:
            simulator.order(f"disputes/{dispute['id']}/resolve", status="lost")
        elif dispute["status"].startswith("warning_") and dispute["status"] != "warning_closed":
            simulator.order(f"disputes/{dispute['id']}/resolve", status="warning_closed")
    rounds, patience, least = 0, PATIENCE_ROUNDS, _open(world)
    while patience:
        rounds += 1
        world.pass_time(STEP_SECONDS)
        time.sleep(ROUND_SECONDS)
        left = _open(world)
        if rounds > 1 and not any(left):
            yield f"nothing open after {rounds * STEP_SECONDS // 60} minutes of their time"
            return
        patience = PATIENCE_ROUNDS if sum(left) < sum(least) else patience - 1
        least = min(least, left, key=sum)
    raise AssertionError(f"payments, refunds, disputes, events left open: {least}")


def _open(world: World) -> tuple[int, ...]:
    """Count the payments, refunds, disputes and events that are not settled."""
    (counts,) = world.rows(_OPEN)
    return tuple(int(str(count)) for count in counts)


def nobody_twice(world: World, customers: Sequence[Customer]) -> str:
    """Each purchase was charged once at most, and credited just as often as charged."""
    asked = {request: cents for one in customers for request, cents in one.bought.items()}
    rows = world.rows("SELECT request_id, id, state, net_minor, intent_id FROM payment")
    assert len(rows) == len({request for request, *_ in rows})
    intents = _intents(world)
    charges = Counter(intents[one["payment_intent"]] for one in _paid(world))
    assert max(charges.values(), default=0) <= 1, charges.most_common(3)
    for request, identifier, state, net, _ in rows:
        name = f"pay_{identifier.hex}"  # type: ignore[attr-defined]
        assert asked[str(request)] == net, request
        assert (charges[name] == 1) == (state == 4), (request, state, charges[name])
    grants = world.rows("SELECT grant_id, count(*) FROM payment WHERE state = 4 GROUP BY 1")
    assert all(count == 1 for _, count in grants)
    (receipts,) = world.rows("SELECT count(*), max(number) FROM billing_document WHERE kind = 1")
    assert receipts[0] == len(grants), receipts
    return f"{len(rows):,} purchases, {len(grants):,} paid, none twice"


def same_objects(world: World) -> str:
    """Each refund and dispute at the provider is one of ours, in the same state."""
    states = {"succeeded": 4, "failed": 5, "pending": 3}
    there = {one["id"]: states[one["status"]] for one in world.simulator.objects("refund")}
    rows = world.rows("SELECT stripe_id, state FROM refund WHERE stripe_id IS NOT NULL")
    assert dict(rows) == there, set(dict(rows).items()) ^ set(there.items())  # type: ignore[arg-type]
    ends = {"won": 4, "lost": 5, "warning_closed": 6, "prevented": 7}
    disputes = {one["id"]: ends[one["status"]] for one in world.simulator.objects("dispute")}
    ours = world.rows("SELECT stripe_id, state FROM dispute")
    assert dict(ours) == disputes  # type: ignore[arg-type]
    series = world.rows("SELECT count(*) - max(number) FROM billing_document GROUP BY series")
    assert all(gap == 0 for (gap,) in series), series
    return f"{len(there):,} refunds and {len(disputes):,} disputes agree, documents have no gap"


def no_credit_lost(world: World, customers: Sequence[Customer]) -> Iterator[str]:
    """What each workspace has is what it bought, less what went back, was lost, and was used."""
    accounts = _accounts(world, customers)
    for customer in customers:
        has = world.link.call(
            credit_service_pb2_grpc.CreditServiceStub,
            "GetBalance",
            credit_service_pb2.GetBalanceRequest(workspace_id=customer.workspace_id),
        ).balance
        account = accounts[customer.workspace_id]
        assert has.total.amount_nanos - has.debt.amount_nanos == account.left * MINOR_NANOS, (
            customer.workspace_id,
            account,
            has,
        )
        assert has.frozen.amount_nanos == has.held.amount_nanos == 0
    sums = [
        sum(getattr(one, name) for one in accounts.values())
        for name in ("bought", "refunded", "lost", "used", "left")
    ]
    yield "bought {:,} = refunded {:,} + lost {:,} + used {:,} + left {:,} cents".format(*sums)


def stripe_agrees(world: World) -> str:
    """The clearing account is the provider's balance, and every movement is explained."""
    found = world.link.call(
        payment_service_pb2_grpc.PaymentServiceStub,
        "Reconcile",
        payment_service_pb2.ReconcileRequest(),
        "finance",
    )
    there = _balance(world)
    assert found.balance.amount_nanos == there * MINOR_NANOS
    assert found.difference.amount_nanos == 0, found.difference.amount_nanos
    assert not found.unexplained, found.unexplained[:3]
    return f"clearing = balance = {there:,} cents; every movement explained"


def audit_verifies(world: World) -> str:
    """`1api audit verify` finds nothing."""
    answer = subprocess.run(
        [sys.executable, "-c", _CONSOLE, "audit", "verify", "--json"],
        cwd=PROJECT,
        env={
            **os.environ,
            "ONEAPI_CORE_TARGET": world.target,
            "ONEAPI_DATA_DIR": str(world.data_dir),
        },
        capture_output=True,
        check=False,
    )
    found: dict[str, Any] = json.loads(answer.stdout or answer.stderr)
    assert answer.returncode == 0, found
    return f"{found.get('transactions', 0):,} transactions, {found.get('records', 0):,} records"


def _accounts(world: World, customers: Sequence[Customer]) -> dict[str, Account]:
    owners = {
        f"pay_{identifier}": f"ws_{workspace}"
        for identifier, workspace in world.rows(
            "SELECT replace(id::text, '-', ''), replace(workspace_id::text, '-', '') FROM payment"
        )
    }
    intents, paid = _intents(world), _paid(world)
    owner_of = {charge["id"]: owners[intents[charge["payment_intent"]]] for charge in paid}
    bought, refunded, lost = Counter[str](), Counter[str](), Counter[str]()
    for charge in paid:
        bought[owner_of[charge["id"]]] += charge["amount"]
    for refund in world.simulator.objects("refund"):
        if refund["status"] != "failed":
            refunded[owner_of[refund["charge"]]] += refund["amount"]
    for dispute in world.simulator.objects("dispute"):
        moved = sum(entry["amount"] for entry in dispute["balance_transactions"])
        lost[owner_of[dispute["charge"]]] -= moved
    return {
        one.workspace_id: Account(
            bought[one.workspace_id], refunded[one.workspace_id], lost[one.workspace_id], one.used
        )
        for one in customers
    }


def _paid(world: World) -> list[dict[str, Any]]:
    return [one for one in world.simulator.objects("charge") if one["paid"]]


def _intents(world: World) -> dict[str, str]:
    """Return our payments' ids by the provider's intents."""
    return {
        one["id"]: one["metadata"]["oneapi_payment"]
        for one in world.simulator.objects("payment_intent")
    }


def _balance(world: World) -> int:
    """Return our balance at the provider, available and pending, in cents."""
    balance = world.simulator.state()["balance"]
    parts = [*balance["available"], *balance["pending"]]
    return sum(part["amount"] for part in parts if part["currency"] == "usd")
