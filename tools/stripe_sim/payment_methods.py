"""Payment methods: cards, by their test number or token, and the customer who keeps them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Final

from tools.stripe_sim import cards, lists, metadata
from tools.stripe_sim.calls import Call, Operation, words
from tools.stripe_sim.cards import Card
from tools.stripe_sim.errors import CardDeclined, InvalidRequest, Json, MissingParameter
from tools.stripe_sim.world import World

KIND: Final = "payment_method"
_NO_DETAILS: Final = {
    "address": dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state")),
    "email": None,
    "name": None,
    "phone": None,
    "tax_id": None,
}


def card_of(method: Json) -> Card:
    """Return how the card of a payment method behaves."""
    return cards.BY_NUMBER[method["_number"]]


def declined(code: str, decline_code: str | None = None) -> CardDeclined:
    """Return the refusal of a card."""
    message = cards.MESSAGES.get(decline_code or "") or cards.MESSAGES[code]
    return CardDeclined(code, decline_code, message)


def resolve(world: World, name: str) -> Json:
    """Return the payment method of an id, or a new one for a `pm_card_` token.

    Raises:
        NoSuchObject: neither an id nor a token.
    """
    token = cards.BY_TOKEN.get(name)
    if token is not None:
        return add(world, token, 12, next_year(world))
    return world.get(KIND, name, KIND, in_path=False)


def next_year(world: World) -> int:
    """Return a year in which a card of today is still valid."""
    return datetime.fromtimestamp(world.now(), UTC).year + 1


def of_customer(world: World, name: str, customer_id: str | None) -> Json:
    """Return a payment method that this customer may use.

    Raises:
        NoSuchObject: there is none.
        InvalidRequest: it is another customer's, or nobody may use it any more.
    """
    method = resolve(world, name)
    if method["customer"] is not None and method["customer"] != customer_id:
        raise InvalidRequest(
            "The payment method belongs to a customer, who has to be named", param=KIND
        )
    if method["_is_used_up"]:
        raise InvalidRequest(
            "The payment method was used without a customer, or detached; it cannot be used again",
            param=KIND,
        )
    return method


def checked_card(world: World, number: str, month: int, year: int, cvc: str | None) -> Card:
    """Return the test card of what somebody typed.

    Raises:
        CardDeclined: the number is none, no test card, or what goes with it cannot be.
    """
    digits = number.replace(" ", "").replace("-", "")
    today = datetime.fromtimestamp(world.now(), UTC)
    is_number = digits.isascii() and digits.isdigit() and 12 <= len(digits) <= 19
    if not is_number or not cards.has_valid_check_digit(digits):
        raise declined("incorrect_number")
    if not 1 <= month <= 12:
        raise declined("invalid_expiry_month")
    if not (today.year, today.month) <= (year, month) <= (today.year + 50, 12):
        raise declined("invalid_expiry_year")
    if cvc is not None and not (cvc.isascii() and cvc.isdigit() and len(cvc) in {3, 4}):
        raise declined("invalid_cvc")
    card = cards.BY_NUMBER.get(digits)
    if card is None:
        # In test mode Stripe declines every card that is no test card.
        raise declined("card_declined", "test_mode_live_card")
    return card


def add(world: World, card: Card, month: int, year: int) -> Json:
    """Keep a card that nobody owns yet."""
    return world.add(
        KIND,
        "pm",
        allow_redisplay="unspecified",
        billing_details={**_NO_DETAILS, "address": dict(_NO_DETAILS["address"] or {})},
        card={
            **details(card, month, year),
            "display_brand": card.brand,
            "generated_from": None,
            "networks": {"available": [card.brand], "preferred": None},
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        customer=None,
        metadata={},
        type="card",
        _number=card.number,
        _is_set_up=False,
        _is_used_up=False,
    )


def details(card: Card, month: int, year: int) -> Json:
    """Return what a payment method and a charge tell of a card."""
    return {
        "brand": card.brand,
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": "pass",
        },
        "country": "US",
        "exp_month": month,
        "exp_year": year,
        "fingerprint": hashlib.sha256(card.number.encode()).hexdigest()[:16],
        "funding": "debit" if card.token == "pm_card_visa_debit" else "credit",  # noqa: S105
        "last4": card.last4,
        "regulated_status": "unregulated",
    }


def attach_to_customer(world: World, method: Json, customer_id: str) -> None:
    """Let a customer keep a card."""
    method["customer"] = customer_id
    world.emit("payment_method.attached", method)


def detach_from_customer(world: World, method: Json) -> None:
    """Take a card from its customer for good."""
    previous = {"customer": method["customer"]}
    method["customer"] = None
    method["_is_used_up"] = True
    customer = world.find(previous["customer"]) or {}
    settings = customer.get("invoice_settings", {})
    if settings.get("default_payment_method") == method["id"]:
        settings["default_payment_method"] = None
    world.emit("payment_method.detached", method, previous)


def create(world: World, call: Call) -> Json:
    """Create a payment method from a card's number, which only test mode allows."""
    given = call.params
    if given.get("type") != "card" or "number" not in given.get("card", {}):
        raise InvalidRequest("The simulator creates payment methods of cards only", param="type")
    typed = given["card"]
    for name in ("exp_month", "exp_year"):
        if name not in typed:
            raise MissingParameter(f"card[{name}]")
    card = checked_card(
        world, typed["number"], typed["exp_month"], typed["exp_year"], typed.get("cvc")
    )
    method = add(world, card, typed["exp_month"], typed["exp_year"])
    method["metadata"] = metadata.merged({}, given.get("metadata"))
    method["billing_details"] |= given.get("billing_details", {})
    return method


def retrieve(world: World, call: Call) -> Json:
    """Return a payment method."""
    return world.get(KIND, call.id, KIND)


def update(world: World, call: Call) -> Json:
    """Change what the caller says about a card."""
    method = world.get(KIND, call.id, KIND)
    method["metadata"] = metadata.merged(method["metadata"], call.params.get("metadata"))
    method["billing_details"] |= call.params.get("billing_details", {})
    world.emit("payment_method.updated", method, {})
    return method


def attach(world: World, call: Call) -> Json:
    """Let a customer keep a card; the bank is asked about it.

    Raises:
        CardDeclined: the bank refuses the card.
    """
    if "customer" not in call.params:
        raise MissingParameter("customer")
    customer = world.get("customer", call.params["customer"], "customer", in_path=False)
    method = of_customer(world, call.id, customer["id"])
    card = card_of(method)
    if card.decline is not None and card.declines_at_attach:
        raise declined(*card.decline)
    if method["customer"] is None:
        attach_to_customer(world, method, customer["id"])
    return method


def detach(world: World, call: Call) -> Json:
    """Take a card from its customer.

    Raises:
        InvalidRequest: no customer has it.
    """
    method = world.get(KIND, call.id, KIND)
    if method["customer"] is None:
        raise InvalidRequest("The payment method is not attached to a customer", param=KIND)
    detach_from_customer(world, method)
    return method


def list_all(world: World, call: Call) -> Json:
    """Return a page of a customer's cards."""
    customer = call.id or call.params.get("customer")
    if customer is None:
        raise InvalidRequest("Missing required param: customer.", param="customer")
    world.get("customer", customer, "customer", in_path=bool(call.id))
    kind = call.params.get("type")
    return lists.page(world, KIND, call.url, call.params, customer=customer, type=kind)


_PAGE: Final = words("ending_before limit starting_after type")
OPERATIONS: Final = (
    Operation(
        "POST",
        "/v1/payment_methods",
        "PaymentMethodCreateParams",
        create,
        words("type card metadata billing_details"),
    ),
    Operation(
        "GET", "/v1/payment_methods", "PaymentMethodListParams", list_all, _PAGE | {"customer"}
    ),
    Operation("GET", "/v1/payment_methods/{id}", "PaymentMethodRetrieveParams", retrieve),
    Operation(
        "POST",
        "/v1/payment_methods/{id}",
        "PaymentMethodUpdateParams",
        update,
        words("metadata billing_details"),
    ),
    Operation(
        "POST",
        "/v1/payment_methods/{id}/attach",
        "PaymentMethodAttachParams",
        attach,
        words("customer"),
    ),
    Operation("POST", "/v1/payment_methods/{id}/detach", "PaymentMethodDetachParams", detach),
    Operation(
        "GET",
        "/v1/customers/{id}/payment_methods",
        "CustomerPaymentMethodListParams",
        list_all,
        _PAGE,
    ),
)
