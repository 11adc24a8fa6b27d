"""Checkout sessions: a hosted page on which a customer pays once.

open -> complete (paid)
open -> complete (unpaid) -> paid | failed       a bank debit, settled days later
open -> expired
"""

from __future__ import annotations

from typing import Final

from tools.stripe_sim import (
    amounts,
    customers,
    lists,
    metadata,
    payment_intents,
    payment_methods,
    tax,
)
from tools.stripe_sim.calls import Call, Operation, words
from tools.stripe_sim.clock import DAY_SECONDS
from tools.stripe_sim.errors import InvalidRequest, Json, MissingParameter
from tools.stripe_sim.world import World

KIND: Final = "checkout.session"
LIFETIME_SECONDS: Final = DAY_SECONDS
LIFETIME_SECONDS_MIN: Final = 1_800
LINES_MAX: Final = 100
SESSION_ID: Final = "{CHECKOUT_SESSION_ID}"
_NOBODY: Final[Json] = {
    "address": None,
    "business_name": None,
    "email": None,
    "individual_name": None,
    "name": None,
    "phone": None,
    "tax_exempt": "none",
    "tax_ids": [],
}
_NO_TEXT: Final = ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")


def create(world: World, call: Call) -> Json:
    """Open a session.

    Raises:
        InvalidRequest: what is to be paid, or where to return to, is not said or cannot be.
    """
    given = call.params
    _check_modes(given)
    if customer := given.get("customer"):
        _check_place(customers.living(world, customer), given)
    items, currency = _items(world, given)
    session = world.add(
        KIND,
        "cs_test",
        **_settings(given),
        amount_subtotal=sum(one["amount_subtotal"] for one in items),
        amount_total=sum(one["amount_total"] for one in items),
        automatic_tax=_automatic_tax(given),
        currency=currency,
        customer=given.get("customer"),
        customer_details=_customer_details(world, given),
        customer_email=given.get("customer_email"),
        expires_at=_expiry(world, given),
        metadata=metadata.merged({}, given.get("metadata")),
        payment_intent=None,
        payment_status="unpaid",
        setup_intent=None,
        status="open",
        total_details={"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        _line_items=items,
        _breakdown=None,
        _intent=given.get("payment_intent_data", {}),
        _keeps_address=_keeps_address(given),
    )
    metadata.merged({}, session["_intent"].get("metadata"))
    _tax(world, session)
    amounts.check(session["amount_total"], currency)
    session["url"] = f"{world.base_url}/c/pay/{session['id']}"
    return session


def _check_modes(given: Json) -> None:
    if given.get("mode") != "payment":
        raise InvalidRequest("The simulator has sessions of mode payment only", param="mode")
    if given.get("ui_mode", "hosted_page") != "hosted_page":
        raise InvalidRequest("The simulator has hosted pages only", param="ui_mode")
    if not given.get("success_url"):
        raise MissingParameter("success_url")
    if "customer" in given and "customer_email" in given:
        raise InvalidRequest("Name a customer or an address, not both", param="customer_email")


def _keeps_address(given: Json) -> bool:
    return bool(given.get("customer_update", {}).get("address") == "auto")


def _check_place(customer: Json, given: Json) -> None:
    """Refuse a page that neither knows nor asks where its customer is, by which tax is added."""
    is_taxed = given.get("automatic_tax", {}).get("enabled", False)
    is_known = (customer.get("address") or {}).get("country")
    if is_taxed and not is_known and not _keeps_address(given):
        raise InvalidRequest(
            "Automatic tax needs a customer whose address is known, or customer_update",
            code="customer_tax_location_invalid",
        )


def _settings(given: Json) -> Json:
    """Return the fields that say how the page is, most of which it ignores."""
    creation = None if "customer" in given else given.get("customer_creation", "if_required")
    return {
        "adaptive_pricing": {"enabled": given.get("adaptive_pricing", {}).get("enabled", False)},
        "after_expiration": None,
        "allow_promotion_codes": None,
        "allowed_payment_method_types": given.get("allowed_payment_method_types"),
        "billing_address_collection": given.get("billing_address_collection"),
        "cancel_url": given.get("cancel_url"),
        "client_reference_id": given.get("client_reference_id"),
        "client_secret": None,
        "collected_information": None,
        "consent": None,
        "consent_collection": None,
        "currency_conversion": None,
        "custom_fields": [],
        "custom_text": dict.fromkeys(_NO_TEXT),
        "customer_creation": creation,
        "discounts": [],
        "invoice": None,
        "invoice_creation": {"enabled": False, "invoice_data": None},
        "locale": given.get("locale"),
        "mode": "payment",
        "origin_context": None,
        "payment_link": None,
        "payment_method_collection": "if_required",
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": given.get("allowed_payment_method_types") or ["card"],
        "permissions": None,
        "phone_number_collection": {"enabled": False},
        "recovered_from": None,
        "saved_payment_method_options": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "shipping_options": [],
        "submit_type": given.get("submit_type"),
        "subscription": None,
        "success_url": given["success_url"],
        "tax_id_collection": given.get("tax_id_collection", {"enabled": False}),
        "ui_mode": "hosted_page",
        "wallet_options": None,
    }


def _automatic_tax(given: Json) -> Json:
    enabled = given.get("automatic_tax", {}).get("enabled", False)
    status = "complete" if enabled else None
    return {"enabled": enabled, "liability": None, "provider": None, "status": status}


def _items(world: World, given: Json) -> tuple[list[Json], str]:
    """Return the lines of the session and their one currency."""
    lines = given.get("line_items")
    if not lines:
        raise MissingParameter("line_items")
    if len(lines) > LINES_MAX:
        raise InvalidRequest("Too many lines", param="line_items")
    items = [_item(world, line, number) for number, line in enumerate(lines)]
    currencies = {one["currency"] for one in items}
    if len(currencies) != 1:
        raise InvalidRequest("All lines must have one currency", param="line_items")
    return items, currencies.pop()


def _item(world: World, line: Json, number: int) -> Json:
    param = f"line_items[{number}]"
    price = line.get("price_data")
    if price is None or "unit_amount" not in price or "product_data" not in price:
        raise InvalidRequest("The simulator needs price_data with a unit_amount", param=param)
    quantity = line.get("quantity", 1)
    if quantity < 1 or price["unit_amount"] < 0:
        raise InvalidRequest("A line has a positive quantity and amount", param=param)
    net = quantity * price["unit_amount"]
    return {
        "id": world.new_id("li"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": net,
        "amount_tax": 0,
        "amount_total": net,
        "currency": price["currency"].lower(),
        "description": price["product_data"]["name"],
        "metadata": {},
        "price": _price(world, price),
        "quantity": quantity,
    }


def _tax(world: World, session: Json) -> None:
    """Add the tax by where the customer is, as far as that is known."""
    if not session["automatic_tax"]["enabled"]:
        return
    customer = world.find(session["customer"] or "")
    details = {} if customer is None else tax.known_of(world, customer)
    if (session["customer_details"] or {}).get("address"):
        details = {**details, "address": session["customer_details"]["address"]}
    is_exempt = tax.is_exempt(details)
    for one in session["_line_items"]:
        is_inclusive = one["price"]["tax_behavior"] == "inclusive"
        net = one["amount_subtotal"]
        one["amount_tax"] = 0 if is_inclusive or is_exempt else tax.on_top_of(net)
        one["amount_total"] = net + one["amount_tax"]
    taxes = sum(one["amount_tax"] for one in session["_line_items"])
    session["amount_total"] = session["amount_subtotal"] + taxes
    session["total_details"]["amount_tax"] = taxes
    session["_breakdown"] = tax.breakdown_of_page(world, session["amount_subtotal"], taxes, details)


def _price(world: World, price: Json) -> Json:
    return {
        "id": world.new_id("price"),
        "object": "price",
        "active": False,
        "billing_scheme": "per_unit",
        "created": world.now(),
        "currency": price["currency"].lower(),
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": None,
        "metadata": {},
        "nickname": None,
        "product": world.new_id("prod"),
        "recurring": None,
        "tax_behavior": price.get("tax_behavior", "unspecified"),
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "one_time",
        "unit_amount": price["unit_amount"],
        "unit_amount_decimal": str(price["unit_amount"]),
    }


def _customer_details(world: World, given: Json) -> Json | None:
    email = given.get("customer_email")
    if "customer" in given:
        email = (world.find(given["customer"]) or {}).get("email")
    if email is None:
        return None
    return {**_NOBODY, "email": email}


def _expiry(world: World, given: Json) -> int:
    at: int = given.get("expires_at", world.now() + LIFETIME_SECONDS)
    # Two seconds for the way here: callers compute it from their own clock.
    earliest = world.now() + LIFETIME_SECONDS_MIN - 2
    if not earliest <= at <= world.now() + LIFETIME_SECONDS + 2:
        raise InvalidRequest("expires_at is 30 minutes to 24 hours ahead", param="expires_at")
    return at


def pay(world: World, session: Json, method: Json) -> Json:
    """Pay an open session with a card; the session stays open when the bank refuses.

    Raises:
        CardDeclined: the bank refused.
        InvalidRequest: the session is not open any more.
    """
    intent = intent_of(world, session)
    intent["payment_method"] = method["id"]
    call = Call(url="", id=intent["id"], params={"return_url": session["success_url"]})
    payment_intents.confirm(world, call)
    if intent["status"] == "succeeded":
        complete(world, session)
    return session


def asks_for_country(session: Json) -> bool:
    """Say whether the page asks where the customer is.

    For tax, not of a customer whose own address counts (docs.stripe.com/tax/checkout).
    """
    is_required = session["billing_address_collection"] == "required"
    counts = session["customer"] is not None and not session["_keeps_address"]
    return is_required or (bool(session["automatic_tax"]["enabled"]) and not counts)


def locate(world: World, session: Json, method: Json, country: str) -> None:
    """Keep where the customer is, with the customer too where that was asked for."""
    if not asks_for_country(session):
        return
    lines = ("city", "line1", "line2", "postal_code", "state")
    address = {**dict.fromkeys(lines), "country": country}
    method["billing_details"]["address"] = address
    details = session["customer_details"] or dict(_NOBODY)
    session["customer_details"] = {**details, "address": address}
    if session["_keeps_address"] and session["customer"] is not None:
        customers.living(world, session["customer"])["address"] = address
    if session["payment_intent"] is None:
        _tax(world, session)


def intent_of(world: World, session: Json) -> Json:
    """Return the intent of an open session, which exists from the first attempt on.

    Raises:
        InvalidRequest: the session is not open any more.
    """
    if session["status"] != "open":
        raise InvalidRequest("The session is not open", param="session")
    if session["payment_intent"] is None:
        if session["customer"] is None and session["customer_creation"] == "always":
            details = {"email": session["customer_email"]}
            call = Call(url="", id="", params=details)
            session["customer"] = customers.create(world, call)["id"]
        given = {
            **session["_intent"],
            "allowed_payment_method_types": session["payment_method_types"],
        }
        intent = payment_intents.new(
            world, session["amount_total"], session["currency"], session["customer"], given
        )
        session["payment_intent"] = intent["id"]
    return world.get(payment_intents.KIND, session["payment_intent"], "payment_intent")


def complete(world: World, session: Json, *, is_paid: bool = True) -> None:
    """Close a session whose customer is done."""
    session |= {
        "status": "complete",
        "payment_status": "paid" if is_paid else "unpaid",
        "url": None,
    }
    world.emit("checkout.session.completed", session)


def authenticate(world: World, session: Json, *, succeeds: bool) -> Json:
    """The cardholder comes back from the bank's page.

    Raises:
        CardDeclined: not authenticated, or refused after all.
    """
    payment_intents.authenticate(world, intent_of(world, session), succeeds=succeeds)
    complete(world, session)
    return session


def pay_later(world: World, session: Json) -> Json:
    """Pay by bank debit: the session is complete, the money is not there.

    Raises:
        InvalidRequest: the session is not open any more.
    """
    intent = intent_of(world, session)
    method = world.add(
        payment_methods.KIND,
        "pm",
        allow_redisplay="unspecified",
        billing_details={"address": None, "email": None, "name": None, "phone": None},
        customer=None,
        metadata={},
        type="us_bank_account",
        us_bank_account={"account_type": "checking", "bank_name": "TEST BANK", "last4": "6789"},
        _number="",
        _is_set_up=False,
        _is_used_up=True,
    )
    payment_intents.process(world, intent, method)
    complete(world, session, is_paid=False)
    return session


def finish_later(world: World, session: Json, *, succeeds: bool) -> Json:
    """The bank debit was paid, or returned.

    Raises:
        InvalidRequest: none is under way.
    """
    intent = world.get(payment_intents.KIND, session["payment_intent"] or "", "payment_intent")
    payment_intents.finish_processing(world, intent, succeeds=succeeds)
    if succeeds:
        session["payment_status"] = "paid"
    word = "succeeded" if succeeds else "failed"
    world.emit(f"checkout.session.async_payment_{word}", session)
    return session


def return_url(session: Json) -> str:
    """Return where the customer goes afterwards."""
    url: str = session["success_url"]
    return url.replace(SESSION_ID, session["id"])


def of_intent(world: World, intent_id: str) -> Json | None:
    """Return the session that an intent belongs to."""
    return next((one for one in world.all(KIND) if one["payment_intent"] == intent_id), None)


def pass_time(world: World) -> None:
    """Expire the sessions whose time is over."""
    for session in world.all(KIND):
        if session["status"] == "open" and session["expires_at"] <= world.now():
            _expire(world, session)


def _expire(world: World, session: Json) -> None:
    session |= {"status": "expired", "url": None}
    if session["payment_intent"] is not None:
        intent = world.get(payment_intents.KIND, session["payment_intent"], "payment_intent")
        payment_intents.abandon(world, intent, "expired")
    world.emit("checkout.session.expired", session)


def expire(world: World, call: Call) -> Json:
    """Close a session that nobody has paid.

    Raises:
        InvalidRequest: it is not open.
    """
    return expire_now(world, world.get(KIND, call.id, "session"))


def expire_now(world: World, session: Json) -> Json:
    """Close a session that nobody has paid.

    Raises:
        InvalidRequest: it is not open.
    """
    if session["status"] != "open":
        raise InvalidRequest("Only an open session can be expired", param="session")
    _expire(world, session)
    return session


def retrieve(world: World, call: Call) -> Json:
    """Return a session."""
    return world.get(KIND, call.id, "session")


def update(world: World, call: Call) -> Json:
    """Change the metadata of a session."""
    session = world.get(KIND, call.id, "session")
    session["metadata"] = metadata.merged(session["metadata"], call.params.get("metadata"))
    return session


def list_all(world: World, call: Call) -> Json:
    """Return a page of sessions."""
    wanted = {name: call.params.get(name) for name in ("customer", "payment_intent", "status")}
    return lists.page(world, KIND, call.url, call.params, **wanted)


def lines_of(world: World, call: Call) -> Json:
    """Return a page of the lines of a session."""
    session = world.get(KIND, call.id, "session")
    return lists.cut(session["_line_items"], call.url, call.params)


# Prices are never converted here, so `adaptive_pricing` changes nothing.
_NEW: Final = words(
    "adaptive_pricing.enabled allowed_payment_method_types automatic_tax"
    " billing_address_collection cancel_url client_reference_id customer customer_creation"
    " customer_email customer_update expires_at line_items locale metadata mode"
    " payment_intent_data.description payment_intent_data.metadata"
    " payment_intent_data.receipt_email payment_intent_data.setup_future_usage"
    " payment_intent_data.statement_descriptor_suffix submit_type success_url"
    " tax_id_collection ui_mode"
)
OPERATIONS: Final = (
    Operation("POST", "/v1/checkout/sessions", "checkout.SessionCreateParams", create, _NEW),
    Operation(
        "GET",
        "/v1/checkout/sessions",
        "checkout.SessionListParams",
        list_all,
        words("created customer ending_before limit payment_intent starting_after status"),
    ),
    Operation("GET", "/v1/checkout/sessions/{id}", "checkout.SessionRetrieveParams", retrieve),
    Operation(
        "POST",
        "/v1/checkout/sessions/{id}",
        "checkout.SessionUpdateParams",
        update,
        words("metadata"),
    ),
    Operation("POST", "/v1/checkout/sessions/{id}/expire", "checkout.SessionExpireParams", expire),
    Operation(
        "GET",
        "/v1/checkout/sessions/{id}/line_items",
        "checkout.SessionLineItemListParams",
        lines_of,
        words("ending_before limit starting_after"),
    ),
)
