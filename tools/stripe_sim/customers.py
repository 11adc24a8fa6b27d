"""Customers: who pays, and whose cards are kept."""

from __future__ import annotations

import re
from typing import Final

from tools.stripe_sim import lists, metadata, payment_methods, tax_ids
from tools.stripe_sim.calls import Call, Operation, words
from tools.stripe_sim.errors import InvalidRequest, Json
from tools.stripe_sim.world import World

KIND: Final = "customer"
_PLAIN: Final = ("address", "description", "email", "name", "phone", "preferred_locales")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s.]+(?:\.[^@\s.]+)+")
_CHANGEABLE: Final = words(
    "address description email name phone preferred_locales metadata tax_exempt"
    " invoice_settings.default_payment_method"
)


def living(world: World, customer_id: str, *, in_path: bool = False) -> Json:
    """Return a customer that is not deleted.

    Raises:
        NoSuchObject: there is none.
    """
    param = "id" if in_path else KIND
    customer = world.get(KIND, customer_id, param, in_path=in_path)
    if customer.get("deleted"):
        return world.get(KIND, "", param, in_path=in_path)
    return customer


def _check_email(given: Json) -> None:
    """Refuse an address that no mail can go to.

    Raises:
        InvalidRequest: this is one.
    """
    email = given.get("email")
    if email and not _EMAIL.fullmatch(email):
        raise InvalidRequest("Invalid email address", param="email", code="email_invalid")


def create(world: World, call: Call) -> Json:
    """Create a customer."""
    given = call.params
    _check_email(given)
    kept = metadata.merged({}, given.get("metadata"))
    customer = world.add(
        KIND,
        "cus",
        **{name: given.get(name) or None for name in _PLAIN},
        balance=0,
        currency=None,
        default_source=None,
        delinquent=False,
        discount=None,
        invoice_prefix=world.new_id("x")[2:10].upper(),
        invoice_settings={
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        metadata=kept,
        next_invoice_sequence=1,
        shipping=None,
        tax_exempt=given.get("tax_exempt") or "none",
        test_clock=None,
    )
    customer["preferred_locales"] = given.get("preferred_locales") or []
    world.emit("customer.created", customer)
    for one in given.get("tax_id_data", ()):
        tax_ids.add(world, customer, one)
    return customer


def update(world: World, call: Call) -> Json:
    """Change a customer."""
    customer = living(world, call.id, in_path=True)
    given = call.params
    _check_email(given)
    kept = metadata.merged(customer["metadata"], given.get("metadata"))
    settings = given.get("invoice_settings", {})
    if method := settings.get("default_payment_method"):
        payment_methods.of_customer(world, method, customer["id"])
    previous = {name: customer[name] for name in given if name in customer}
    for name in (*_PLAIN, "tax_exempt"):
        if name in given:
            customer[name] = given[name] or None
    customer["metadata"] = kept
    customer["invoice_settings"] |= settings
    world.emit("customer.updated", customer, previous)
    return customer


def retrieve(world: World, call: Call) -> Json:
    """Return a customer, or of a deleted one that it is deleted."""
    return world.get(KIND, call.id, "id")


def delete(world: World, call: Call) -> Json:
    """Delete a customer for good, with its tax ids; its cards are detached."""
    customer = living(world, call.id, in_path=True)
    for tax_id in tax_ids.of(world, customer["id"]):
        tax_ids.remove(world, tax_id)
    for method in world.all(payment_methods.KIND):
        if method["customer"] == customer["id"]:
            payment_methods.detach_from_customer(world, method)
    world.emit("customer.deleted", customer)
    stub = {"id": customer["id"], "object": KIND, "deleted": True}
    world.tables[KIND][customer["id"]] = {**stub, "_created": customer["created"]}
    return stub


def list_all(world: World, call: Call) -> Json:
    """Return a page of the customers that are not deleted."""
    found = [
        one
        for one in reversed(world.all(KIND))
        if not one.get("deleted")
        and lists.is_created_within(one, call.params.get("created"))
        and one["email"] == call.params.get("email", one["email"])
    ]
    return lists.cut(found, call.url, call.params)


_NEW: Final = _CHANGEABLE | {"tax_id_data.type", "tax_id_data.value"}
_PAGE: Final = words("created ending_before limit starting_after")
OPERATIONS: Final = (
    Operation("POST", "/v1/customers", "CustomerCreateParams", create, _NEW),
    Operation("GET", "/v1/customers", "CustomerListParams", list_all, _PAGE | {"email"}),
    Operation("GET", "/v1/customers/{id}", "CustomerRetrieveParams", retrieve),
    Operation("POST", "/v1/customers/{id}", "CustomerUpdateParams", update, _CHANGEABLE),
    Operation("DELETE", "/v1/customers/{id}", "CustomerDeleteParams", delete),
)
