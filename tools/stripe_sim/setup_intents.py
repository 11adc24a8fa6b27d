"""Setup intents: saving a card for later without paying."""

from __future__ import annotations

from typing import Final

from tools.stripe_sim import customers, lists, metadata, payment_methods
from tools.stripe_sim.calls import Call, Operation, words
from tools.stripe_sim.errors import InvalidRequest, Json
from tools.stripe_sim.world import World

KIND: Final = "setup_intent"
_OPEN: Final = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})


def create(world: World, call: Call) -> Json:
    """Create an intent, and confirm it where asked to.

    Raises:
        CardDeclined: the bank refuses the card.
    """
    given = call.params
    customer = given.get("customer")
    if customer is not None:
        customers.living(world, customer)
    method = None
    if name := given.get("payment_method"):
        method = payment_methods.of_customer(world, name, customer)
    if given.get("confirm") and method is None:
        raise InvalidRequest("A payment method is needed to confirm", param="payment_method")
    intent = world.add(
        KIND,
        "seti",
        application=None,
        automatic_payment_methods=given.get("automatic_payment_methods"),
        cancellation_reason=None,
        customer=customer,
        description=given.get("description"),
        flow_directions=None,
        last_setup_error=None,
        latest_attempt=None,
        mandate=None,
        metadata=metadata.merged({}, given.get("metadata")),
        next_action=None,
        on_behalf_of=None,
        payment_method=method["id"] if method else None,
        payment_method_configuration_details=None,
        payment_method_options={"card": {"request_three_d_secure": "automatic"}},
        payment_method_types=given.get("allowed_payment_method_types") or ["card"],
        single_use_mandate=None,
        status="requires_confirmation" if method else "requires_payment_method",
        usage=given.get("usage", "off_session"),
    )
    intent["client_secret"] = f"{intent['id']}_secret_{world.new_id('x')[2:]}"
    world.emit("setup_intent.created", intent)
    if given.get("confirm") and method is not None:
        _confirm(world, intent, method)
    return intent


def confirm(world: World, call: Call) -> Json:
    """Save the card.

    Raises:
        CardDeclined: the bank refuses it.
        InvalidRequest: there is nothing to confirm.
    """
    intent = world.get(KIND, call.id, "intent")
    name = call.params.get("payment_method") or intent["payment_method"]
    if intent["status"] not in _OPEN or name is None:
        raise _unexpected("confirmed")
    method = payment_methods.of_customer(world, name, intent["customer"])
    intent["payment_method"] = method["id"]
    return _confirm(world, intent, method)


def _unexpected(what: str) -> InvalidRequest:
    return InvalidRequest(
        f"The setup intent cannot be {what} in its status", code="setup_intent_unexpected_state"
    )


def _confirm(world: World, intent: Json, method: Json) -> Json:
    card = payment_methods.card_of(method)
    if card.decline is not None and card.declines_at_attach:
        _refuse(world, intent, method, card.decline)
    if card.authentication != "never":
        page = f"{world.base_url}/c/authenticate/{intent['id']}"
        sdk = {"type": "three_d_secure_redirect", "stripe_js": page}
        intent["next_action"] = {"type": "use_stripe_sdk", "use_stripe_sdk": sdk}
        intent["status"] = "requires_action"
        world.emit("setup_intent.requires_action", intent)
        return intent
    return _save(world, intent, method)


def authenticate(world: World, intent: Json, *, succeeds: bool) -> Json:
    """The cardholder has proved who they are, or has not.

    Raises:
        CardDeclined: not.
        InvalidRequest: nobody waits for that.
    """
    if intent["status"] != "requires_action":
        raise _unexpected("authenticated")
    method = world.get("payment_method", intent["payment_method"], "payment_method")
    intent["next_action"] = None
    if not succeeds:
        _refuse(world, intent, method, ("setup_intent_authentication_failure", None))
    return _save(world, intent, method)


def _save(world: World, intent: Json, method: Json) -> Json:
    if intent["customer"] is not None and method["customer"] is None:
        payment_methods.attach_to_customer(world, method, intent["customer"])
    method["_is_set_up"] = intent["usage"] == "off_session"
    intent |= {"status": "succeeded", "last_setup_error": None}
    world.emit("setup_intent.succeeded", intent)
    return intent


def _refuse(world: World, intent: Json, method: Json, decline: tuple[str, str | None]) -> None:
    fault = payment_methods.declined(*decline)
    error = {"type": fault.type, "code": fault.code, "message": fault.message, **fault.more}
    intent |= {
        "status": "requires_payment_method",
        "payment_method": None,
        "last_setup_error": {**error, "payment_method": dict(method)},
    }
    world.emit("setup_intent.setup_failed", intent)
    fault.more |= {"setup_intent": intent, "payment_method": method}
    raise fault


def retrieve(world: World, call: Call) -> Json:
    """Return an intent."""
    return world.get(KIND, call.id, "intent")


def cancel(world: World, call: Call) -> Json:
    """Give an intent up.

    Raises:
        InvalidRequest: it has succeeded, or was cancelled.
    """
    intent = world.get(KIND, call.id, "intent")
    if intent["status"] not in _OPEN:
        raise _unexpected("canceled")
    reason = call.params.get("cancellation_reason")
    intent |= {"status": "canceled", "cancellation_reason": reason, "next_action": None}
    world.emit("setup_intent.canceled", intent)
    return intent


def list_all(world: World, call: Call) -> Json:
    """Return a page of intents."""
    wanted = {name: call.params.get(name) for name in ("customer", "payment_method")}
    return lists.page(world, KIND, call.url, call.params, **wanted)


OPERATIONS: Final = (
    Operation(
        "POST",
        "/v1/setup_intents",
        "SetupIntentCreateParams",
        create,
        words(
            "allowed_payment_method_types automatic_payment_methods confirm customer"
            " description metadata payment_method usage"
        ),
    ),
    Operation(
        "GET",
        "/v1/setup_intents",
        "SetupIntentListParams",
        list_all,
        words("created customer ending_before limit payment_method starting_after"),
    ),
    Operation("GET", "/v1/setup_intents/{id}", "SetupIntentRetrieveParams", retrieve),
    Operation(
        "POST",
        "/v1/setup_intents/{id}/confirm",
        "SetupIntentConfirmParams",
        confirm,
        words("payment_method"),
    ),
    Operation(
        "POST",
        "/v1/setup_intents/{id}/cancel",
        "SetupIntentCancelParams",
        cancel,
        words("cancellation_reason"),
    ),
)
