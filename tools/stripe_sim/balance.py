"""The account's balance, and the transactions that are its only source."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from tools.stripe_sim import lists
from tools.stripe_sim.calls import Call, Operation, words
from tools.stripe_sim.clock import DAY_SECONDS
from tools.stripe_sim.errors import Json
from tools.stripe_sim.world import World

KIND: Final = "balance_transaction"
SETTLING_SECONDS: Final = 2 * DAY_SECONDS


def book(
    world: World,
    source: Json,
    amount: int,
    *,
    type: str,
    category: str,
    fee: int = 0,
    settles_in_seconds: int = 0,
) -> Json:
    """Write a transaction; `amount` is signed, `fee` is taken off in addition."""
    words_of_fee = "Dispute fee" if type == "adjustment" else "Stripe processing fees"
    entry = {
        "amount": fee,
        "application": None,
        "currency": source["currency"],
        "description": words_of_fee,
        "type": "stripe_fee",
    }
    available_on = world.now() + settles_in_seconds
    return world.add(
        KIND,
        "txn",
        amount=amount,
        available_on=available_on,
        balance_type="payments",
        currency=source["currency"],
        description=None,
        exchange_rate=None,
        fee=fee,
        fee_details=[entry] if fee else [],
        net=amount - fee,
        reporting_category=category,
        source=source["id"],
        status="available" if available_on <= world.now() else "pending",
        type=type,
    )


def settle(world: World) -> None:
    """Mark as available what has become it."""
    for entry in world.all(KIND):
        if entry["status"] == "pending" and entry["available_on"] <= world.now():
            entry["status"] = "available"


def current(world: World) -> Json:
    """Return the balance, by currency, from all transactions."""
    settle(world)
    sums: defaultdict[tuple[str, str], int] = defaultdict(int)
    currencies = {"usd"}
    for entry in world.all(KIND):
        sums[entry["status"], entry["currency"]] += entry["net"]
        currencies.add(entry["currency"])
    parts = {
        status: [
            {
                "amount": sums[status, currency],
                "currency": currency,
                "source_types": {"card": sums[status, currency]},
            }
            for currency in sorted(currencies)
        ]
        for status in ("available", "pending")
    }
    return {"object": "balance", "livemode": False, **parts}


def retrieve(world: World, call: Call) -> Json:
    """Return the balance."""
    del call
    return current(world)


def retrieve_transaction(world: World, call: Call) -> Json:
    """Return one transaction."""
    settle(world)
    return world.get(KIND, call.id, "id")


def list_all(world: World, call: Call) -> Json:
    """Return a page of transactions."""
    settle(world)
    wanted = {name: call.params.get(name) for name in ("currency", "source", "type")}
    return lists.page(world, KIND, call.url, call.params, **wanted)


OPERATIONS: Final = (
    Operation("GET", "/v1/balance", "BalanceRetrieveParams", retrieve),
    Operation(
        "GET",
        "/v1/balance_transactions",
        "BalanceTransactionListParams",
        list_all,
        words("created currency ending_before limit source starting_after type"),
    ),
    Operation(
        "GET",
        "/v1/balance_transactions/{id}",
        "BalanceTransactionRetrieveParams",
        retrieve_transaction,
    ),
)
