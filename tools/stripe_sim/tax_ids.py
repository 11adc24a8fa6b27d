"""Tax ids of customers: a business elsewhere in the union owes its own tax."""

from __future__ import annotations

import re
from typing import Final

from tools.stripe_sim import lists
from tools.stripe_sim.calls import Call, Operation, words
from tools.stripe_sim.errors import InvalidRequest, Json
from tools.stripe_sim.world import World

KIND: Final = "tax_id"
HOME: Final = "IE"
"""Where the simulated account sells from."""
UNION: Final = words(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
)
PER_CUSTOMER_MAX: Final = 5
_IN_UNION: Final = re.compile(r"[A-Z]{2}[0-9A-Z+*]{8,12}|RO[0-9]{2,10}", re.ASCII)


def add(world: World, customer: Json, given: Json) -> Json:
    """Give a customer a tax id.

    Raises:
        InvalidRequest: it is not of the form of its kind, or there are too many.
    """
    if given["type"] == "eu_vat" and not _IN_UNION.fullmatch(given["value"]):
        raise InvalidRequest("Invalid value for eu_vat", param="value", code="tax_id_invalid")
    if len(of(world, customer["id"])) >= PER_CUSTOMER_MAX:
        raise InvalidRequest("The customer has too many tax ids", param="type")
    added = world.add(
        KIND,
        "txi",
        country=given["value"][:2] if given["type"] == "eu_vat" else None,
        customer=customer["id"],
        customer_account=None,
        owner={"customer": customer["id"], "type": "customer"},
        type=given["type"],
        value=given["value"],
        verification={"status": "pending", "verified_address": None, "verified_name": None},
    )
    world.emit("customer.tax_id.created", added)
    return added


def of(world: World, customer_id: str) -> list[Json]:
    """Return the tax ids of a customer, oldest first."""
    return [one for one in world.all(KIND) if one["customer"] == customer_id]


def remove(world: World, tax_id: Json) -> Json:
    """Take a tax id away."""
    del world.tables[KIND][tax_id["id"]]
    world.emit("customer.tax_id.deleted", tax_id)
    return {"id": tax_id["id"], "object": KIND, "deleted": True}


def owes_its_own(details: Json) -> bool:
    """Say whether the customer owes the tax, by where it is and its tax ids (reverse charge)."""
    country = (details.get("address") or {}).get("country")
    has_one = any(one["type"] == "eu_vat" for one in details.get("tax_ids", ()))
    return has_one and country in UNION and country != HOME


def _owner(world: World, call: Call) -> Json:
    """Return the customer in a path.

    Raises:
        NoSuchObject: there is none, or it was deleted.
    """
    found = world.get("customer", call.id, "customer")
    return world.get("customer", "", "customer") if found.get("deleted") else found


def _named(world: World, call: Call) -> Json:
    """Return the tax id at the end of a path.

    Raises:
        NoSuchObject: the customer has no such tax id.
    """
    owner = _owner(world, call)
    found = world.get(KIND, call.url.rpartition("/")[2], "id")
    return found if found["customer"] == owner["id"] else world.get(KIND, "", "id")


def create(world: World, call: Call) -> Json:
    """Create a tax id of a customer."""
    return add(world, _owner(world, call), call.params)


def list_all(world: World, call: Call) -> Json:
    """Return a page of the tax ids of a customer."""
    return lists.cut(of(world, _owner(world, call)["id"])[::-1], call.url, call.params)


def delete(world: World, call: Call) -> Json:
    """Delete a tax id of a customer."""
    return remove(world, _named(world, call))


def retrieve(world: World, call: Call) -> Json:
    """Return a tax id of a customer."""
    return _named(world, call)


_PATH: Final = "/v1/customers/{id}/tax_ids"
OPERATIONS: Final = (
    Operation("POST", _PATH, "CustomerTaxIdCreateParams", create, words("type value")),
    Operation(
        "GET",
        _PATH,
        "CustomerTaxIdListParams",
        list_all,
        words("ending_before limit starting_after"),
    ),
    Operation("GET", f"{_PATH}/{{part}}", "CustomerTaxIdRetrieveParams", retrieve),
    Operation("DELETE", f"{_PATH}/{{part}}", "CustomerTaxIdDeleteParams", delete),
)
