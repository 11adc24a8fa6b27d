"""Payment intents: what is to be paid, through as many attempts as it takes.

requires_payment_method -> requires_confirmation -> requires_action -> succeeded
         ^------- a refused card ------|---------------|   processing -> succeeded
every state but succeeded and processing -> canceled
"""

from __future__ import annotations

from typing import Final

from tools.stripe_sim import (
    amounts,
    cards,
    charges,
    customers,
    lists,
    metadata,
    payment_methods,
    tax,
)
from tools.stripe_sim.calls import Call, Operation, words
from tools.stripe_sim.cards import Card
from tools.stripe_sim.errors import InvalidRequest, Json
from tools.stripe_sim.world import World

KIND: Final = "payment_intent"
_OPEN: Final = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})
_PLAIN: Final = (
    *("description", "receipt_email", "setup_future_usage", "shipping"),
    *("statement_descriptor", "statement_descriptor_suffix", "transfer_group"),
)
AUTHENTICATION_FAILED: Final = "payment_intent_authentication_failure"


def new(world: World, amount: int, currency: str, customer: str | None, given: Json) -> Json:
    """Create an intent without a payment method.

    Raises:
        InvalidRequest: an amount or metadata that cannot be.
    """
    amounts.check(amount, currency)
    hooks = _hooks(world, given)
    kept = metadata.merged({}, given.get("metadata"))
    intent = world.add(
        KIND,
        "pi",
        allowed_payment_method_types=given.get("allowed_payment_method_types"),
        amount=amount,
        amount_capturable=0,
        amount_details={"tip": {}},
        amount_received=0,
        application=None,
        application_fee_amount=None,
        automatic_payment_methods=_automatic(given),
        canceled_at=None,
        cancellation_reason=None,
        capture_method="automatic_async",
        confirmation_method="automatic",
        currency=currency.lower(),
        customer=customer,
        hooks=hooks,
        last_payment_error=None,
        latest_charge=None,
        metadata=kept,
        next_action=None,
        on_behalf_of=None,
        payment_method=None,
        payment_method_configuration_details=None,
        payment_method_options={"card": {"request_three_d_secure": "automatic"}},
        payment_method_types=given.get("allowed_payment_method_types") or ["card"],
        processing=None,
        review=None,
        source=None,
        status="requires_payment_method",
        transfer_data=None,
        **{name: given.get(name) or None for name in _PLAIN},
    )
    intent["client_secret"] = f"{intent['id']}_secret_{world.new_id('x')[2:]}"
    world.emit("payment_intent.created", intent)
    return intent


def _hooks(world: World, given: Json) -> Json | None:
    """Return what is to happen with the payment: the tax of a calculation is committed.

    Raises:
        InvalidRequest: the calculation cannot be used.
    """
    calculation = calculation_of(given)
    if calculation is None:
        return None
    tax.fresh(world, calculation)
    return {"inputs": {"tax": {"calculation": calculation}}}


def calculation_of(owner: Json) -> str | None:
    """Return the id of the tax calculation that an intent, or a request for one, names."""
    inputs = (owner.get("hooks") or {}).get("inputs") or {}
    calculation: str | None = (inputs.get("tax") or {}).get("calculation")
    return calculation or None


def _automatic(given: Json) -> Json | None:
    asked = given.get("automatic_payment_methods")
    if asked is None:
        return None if "allowed_payment_method_types" in given else {"enabled": True}
    return dict(asked)


def create(world: World, call: Call) -> Json:
    """Create an intent, and confirm it where asked to.

    Raises:
        CardDeclined: the bank refused; the error carries the intent, which exists.
    """
    given = call.params
    _check_modes(given)
    customer = given.get("customer")
    if customer is not None:
        customers.living(world, customer)
    method = None
    if name := given.get("payment_method"):
        method = payment_methods.of_customer(world, name, customer)
    intent = new(world, given["amount"], given["currency"], customer, given)
    if method is not None:
        intent["payment_method"] = method["id"]
        intent["status"] = "requires_confirmation"
    if given.get("confirm"):
        _confirm(world, intent, given)
    return intent


def _check_modes(given: Json) -> None:
    if given.get("off_session") and not given.get("confirm"):
        raise InvalidRequest("off_session needs confirm=true", param="off_session")
    if given.get("confirm") and "payment_method" not in given:
        raise InvalidRequest(
            "A payment method is needed to confirm",
            param="payment_method",
            code="parameter_missing",
        )


def confirm(world: World, call: Call) -> Json:
    """Try to pay.

    Raises:
        CardDeclined: the bank refused.
        InvalidRequest: there is nothing to pay any more, or nothing to pay with.
    """
    intent = world.get(KIND, call.id, "intent")
    given = call.params
    if intent["status"] not in _OPEN:
        raise _unexpected(intent, "confirmed")
    if name := given.get("payment_method"):
        method = payment_methods.of_customer(world, name, intent["customer"])
        intent["payment_method"] = method["id"]
    if intent["payment_method"] is None:
        raise _unexpected(intent, "confirmed without a payment method")
    for name in ("receipt_email", "setup_future_usage"):
        intent[name] = given.get(name, intent[name])
    return _confirm(world, intent, given)


def _unexpected(intent: Json, what: str) -> InvalidRequest:
    fault = InvalidRequest(
        f"The payment intent cannot be {what} in its status",
        code="payment_intent_unexpected_state",
    )
    fault.more = {"payment_intent": intent}
    return fault


def _confirm(world: World, intent: Json, given: Json) -> Json:
    """Pay with the intent's method, after authentication where the card wants it."""
    method = world.get("payment_method", intent["payment_method"], "payment_method")
    card = payment_methods.card_of(method)
    is_off_session = bool(given.get("off_session"))
    if not _needs_authentication(card, method):
        return pay(world, intent, method)
    if is_off_session or given.get("error_on_requires_action"):
        refuse(world, intent, method, ("authentication_required", "authentication_required"))
    return ask_for_authentication(world, intent, given.get("return_url"))


def _needs_authentication(card: Card, method: Json) -> bool:
    if card.authentication == "unless_set_up":
        return not method["_is_set_up"]
    return card.authentication == "always"


def ask_for_authentication(world: World, intent: Json, return_url: str | None) -> Json:
    """Wait for the cardholder, who is sent to the bank's page where a return URL is known."""
    page = f"{world.base_url}/c/authenticate/{intent['id']}"
    if return_url is None:
        intent["next_action"] = {
            "type": "use_stripe_sdk",
            "use_stripe_sdk": {"type": "three_d_secure_redirect", "stripe_js": page},
        }
    else:
        redirect = {"return_url": return_url, "url": page}
        intent["next_action"] = {"type": "redirect_to_url", "redirect_to_url": redirect}
    intent["status"] = "requires_action"
    world.emit("payment_intent.requires_action", intent)
    return intent


def authenticate(world: World, intent: Json, *, succeeds: bool) -> Json:
    """The cardholder has proved who they are, or has not.

    Raises:
        CardDeclined: not, or the bank refuses the payment after all.
        InvalidRequest: nobody waits for that.
    """
    if intent["status"] != "requires_action":
        raise _unexpected(intent, "authenticated")
    method = world.get("payment_method", intent["payment_method"], "payment_method")
    intent["next_action"] = None
    if succeeds:
        return pay(world, intent, method)
    refuse(world, intent, method, (AUTHENTICATION_FAILED, None), has_attempt=False)
    return intent


def pay(world: World, intent: Json, method: Json) -> Json:
    """Charge the card.

    Raises:
        CardDeclined: the bank refused.
    """
    card = payment_methods.card_of(method)
    if card.decline is not None:
        refuse(world, intent, method, card.decline)
    intent["payment_method"] = method["id"]
    keep_method(world, intent, method)
    charge = charges.succeed(world, intent, method, card)
    become_paid(world, intent)
    charges.complain(world, charge, card)
    return intent


def keep_method(world: World, intent: Json, method: Json) -> None:
    """Save the card with its customer where that was asked for; else it is used up."""
    if intent["setup_future_usage"]:
        if method["customer"] is None and intent["customer"] is not None:
            payment_methods.attach_to_customer(world, method, intent["customer"])
        method["_is_set_up"] = intent["setup_future_usage"] == "off_session"
    method["_is_used_up"] = method["customer"] is None


def become_paid(world: World, intent: Json) -> None:
    """Everything was received."""
    intent |= {
        "status": "succeeded",
        "amount_received": intent["amount"],
        "last_payment_error": None,
        "next_action": None,
        "processing": None,
    }
    if calculation := calculation_of(intent):
        tax.commit_one(world, {"calculation": calculation, "reference": intent["id"]})
    world.emit("payment_intent.succeeded", intent)


def refuse(
    world: World,
    intent: Json,
    method: Json,
    decline: tuple[str, str | None],
    *,
    has_attempt: bool = True,
) -> None:
    """Record a refused attempt; the intent waits for another payment method.

    Raises:
        CardDeclined: always.
    """
    code, decline_code = decline
    fault = payment_methods.declined(code, decline_code)
    if has_attempt:
        card = payment_methods.card_of(method)
        words_of_decline = (code, decline_code or code, fault.message)
        charge = charges.fail(world, intent, method, card, words_of_decline)
        fault.more["charge"] = charge["id"]
    error = {"type": fault.type, "code": code, "message": fault.message, **fault.more}
    intent |= {
        "status": "requires_payment_method",
        "payment_method": None,
        "last_payment_error": {**error, "payment_method": dict(method)},
    }
    world.emit("payment_intent.payment_failed", intent)
    fault.more |= {"payment_intent": intent, "payment_method": method}
    raise fault


def process(world: World, intent: Json, method: Json) -> None:
    """Start a bank debit, which is settled days later."""
    intent |= {"status": "processing", "payment_method": method["id"]}
    charges.pend(world, intent, method)
    world.emit("payment_intent.processing", intent)


def finish_processing(world: World, intent: Json, *, succeeds: bool) -> None:
    """The bank debit was paid, or returned.

    Raises:
        InvalidRequest: none is under way.
    """
    if intent["status"] != "processing":
        raise _unexpected(intent, "settled")
    charge = world.get("charge", intent["latest_charge"], "charge")
    if succeeds:
        charges.settle(world, charge)
        become_paid(world, intent)
        return
    message = cards.MESSAGES["card_declined"]
    charges.fail_pending(world, charge, "payment_intent_payment_attempt_failed", message)
    error = {"type": "invalid_request_error", "code": charge["failure_code"], "message": message}
    intent |= {"status": "requires_payment_method", "payment_method": None}
    intent["last_payment_error"] = {**error, "charge": charge["id"]}
    world.emit("payment_intent.payment_failed", intent)


def retrieve(world: World, call: Call) -> Json:
    """Return an intent."""
    return world.get(KIND, call.id, "intent")


def update(world: World, call: Call) -> Json:
    """Change an intent; what is paid cannot be changed any more.

    Raises:
        InvalidRequest: more than words are to change on one that is not open.
    """
    intent = world.get(KIND, call.id, "intent")
    given = call.params
    if intent["status"] not in _OPEN and set(given) - {"metadata", "description", "expand"}:
        raise _unexpected(intent, "changed")
    kept = metadata.merged(intent["metadata"], given.get("metadata"))
    if "amount" in given:
        amounts.check(given["amount"], intent["currency"])
    if name := given.get("payment_method"):
        method = payment_methods.of_customer(world, name, intent["customer"])
        intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
    intent |= {name: given[name] for name in (*_PLAIN, "amount") if name in given}
    intent["metadata"] = kept
    return intent


def cancel(world: World, call: Call) -> Json:
    """Give an intent up.

    Raises:
        InvalidRequest: it is paid, being paid, or cancelled already.
    """
    intent = world.get(KIND, call.id, "intent")
    if intent["status"] not in _OPEN:
        raise _unexpected(intent, "canceled")
    abandon(world, intent, call.params.get("cancellation_reason"))
    return intent


def abandon(world: World, intent: Json, reason: str | None) -> None:
    """Cancel an intent that is open."""
    intent |= {
        "status": "canceled",
        "canceled_at": world.now(),
        "cancellation_reason": reason,
        "next_action": None,
    }
    world.emit("payment_intent.canceled", intent)


def list_all(world: World, call: Call) -> Json:
    """Return a page of intents."""
    customer = call.params.get("customer")
    return lists.page(world, KIND, call.url, call.params, customer=customer)


_NEW: Final = words(
    "allowed_payment_method_types amount automatic_payment_methods confirm currency customer"
    " description hooks error_on_requires_action metadata off_session payment_method"
    " receipt_email return_url setup_future_usage statement_descriptor"
    " statement_descriptor_suffix transfer_group"
)
OPERATIONS: Final = (
    Operation("POST", "/v1/payment_intents", "PaymentIntentCreateParams", create, _NEW),
    Operation(
        "GET",
        "/v1/payment_intents",
        "PaymentIntentListParams",
        list_all,
        words("created customer ending_before limit starting_after"),
    ),
    Operation("GET", "/v1/payment_intents/{id}", "PaymentIntentRetrieveParams", retrieve),
    Operation(
        "POST",
        "/v1/payment_intents/{id}",
        "PaymentIntentUpdateParams",
        update,
        words(
            "amount description metadata payment_method receipt_email setup_future_usage"
            " statement_descriptor statement_descriptor_suffix transfer_group"
        ),
    ),
    Operation(
        "POST",
        "/v1/payment_intents/{id}/confirm",
        "PaymentIntentConfirmParams",
        confirm,
        words(
            "error_on_requires_action off_session payment_method receipt_email return_url"
            " setup_future_usage"
        ),
    ),
    Operation(
        "POST",
        "/v1/payment_intents/{id}/cancel",
        "PaymentIntentCancelParams",
        cancel,
        words("cancellation_reason"),
    ),
)
