"""Early fraud warnings: the card's issuer reports a payment before anybody disputes it."""

from __future__ import annotations

from typing import Final

from tools.stripe_sim import lists
from tools.stripe_sim.calls import Call, Operation, words
from tools.stripe_sim.errors import Json
from tools.stripe_sim.world import World

KIND: Final = "radar.early_fraud_warning"


def raise_one(world: World, charge: Json, fraud_type: str = "unauthorized_use_of_card") -> Json:
    """Report a charge. It is actionable while it is neither refunded nor disputed."""
    warning = world.add(
        KIND,
        "issfr",
        actionable=not charge["refunded"] and not charge["disputed"],
        charge=charge["id"],
        fraud_type=fraud_type,
        payment_intent=charge["payment_intent"],
    )
    world.emit("radar.early_fraud_warning.created", warning)
    return warning


def refresh(world: World, charge: Json) -> None:
    """A charge that was refunded or disputed needs no action any more."""
    for warning in world.all(KIND):
        is_open = not charge["refunded"] and not charge["disputed"]
        if warning["charge"] == charge["id"] and warning["actionable"] and not is_open:
            warning["actionable"] = False
            world.emit("radar.early_fraud_warning.updated", warning, {"actionable": True})


def retrieve(world: World, call: Call) -> Json:
    """Return a warning."""
    return world.get(KIND, call.id, "early_fraud_warning")


def list_all(world: World, call: Call) -> Json:
    """Return a page of warnings."""
    wanted = {name: call.params.get(name) for name in ("charge", "payment_intent")}
    return lists.page(world, KIND, call.url, call.params, **wanted)


OPERATIONS: Final = (
    Operation(
        "GET",
        "/v1/radar/early_fraud_warnings",
        "radar.EarlyFraudWarningListParams",
        list_all,
        words("charge created ending_before limit payment_intent starting_after"),
    ),
    Operation(
        "GET",
        "/v1/radar/early_fraud_warnings/{id}",
        "radar.EarlyFraudWarningRetrieveParams",
        retrieve,
    ),
)
