"""The searches: by metadata, customer and status, over an index that lags behind."""

from __future__ import annotations

from typing import Final

from tools.stripe_sim import lists
from tools.stripe_sim.calls import Call, Handler, Operation, words
from tools.stripe_sim.errors import Json
from tools.stripe_sim.world import World


def _searching(kind: str) -> Handler:
    def handler(world: World, call: Call) -> Json:
        # Whatever the lag, the index has nothing of the future.
        visible_before = world.now() + 1 - world.search_lag_seconds
        return lists.search(world, kind, call.url, call.params, visible_before)

    return handler


_ASKED: Final = words("limit page query")
OPERATIONS: Final = (
    Operation(
        "GET",
        "/v1/payment_intents/search",
        "PaymentIntentSearchParams",
        _searching("payment_intent"),
        _ASKED,
    ),
    Operation(
        "GET", "/v1/customers/search", "CustomerSearchParams", _searching("customer"), _ASKED
    ),
    Operation("GET", "/v1/charges/search", "ChargeSearchParams", _searching("charge"), _ASKED),
)
