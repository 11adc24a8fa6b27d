"""`/_sim/…`: what only a test or a developer does: time, faults, webhooks, banks and cardholders.

Bodies and answers are JSON. Nothing here exists at Stripe.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tools.stripe_sim import (
    balance,
    checkout,
    disputes,
    early_fraud_warnings,
    payment_intents,
    payment_methods,
    refunds,
    rendering,
    setup_intents,
)
from tools.stripe_sim.delivery import Deliveries, Style
from tools.stripe_sim.errors import InvalidRequest, Json, StripeFault
from tools.stripe_sim.faults import Fault, Faults
from tools.stripe_sim.idempotency import Keys
from tools.stripe_sim.world import World

BODY_BYTES_MAX: Final = 1 << 20


class Order(BaseModel):
    """The body of an order: nothing but what is asked for."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Nothing(Order):
    """No fields."""


class Advance(Order):
    """How far time moves on."""

    seconds: int = Field(ge=0, le=10 * 365 * 86_400)


class SearchLag(Order):
    """How far the search index lags behind."""

    seconds: int = Field(ge=0, le=86_400)


class Release(Order):
    """In which order held webhooks go; a seed shuffles; `keep` goes on holding new ones."""

    order: list[str] | None = None
    seed: int | None = None
    keep: bool = False


class Webhooks(Order):
    """Where webhooks go from now on; what is left out stays."""

    url: str | None = None
    secrets: list[str] | None = Field(default=None, min_length=1, max_length=4)
    styles: list[Style] | None = Field(default=None, min_length=1, max_length=2)


class OfCharge(Order):
    """Names a charge, itself or by its payment intent."""

    charge: str | None = None
    payment_intent: str | None = None


class NewDispute(OfCharge):
    """A dispute to be opened; the amount may differ from the charge's."""

    amount: int | None = Field(default=None, ge=1)
    reason: str = "fraudulent"
    inquiry: bool = False
    status: str | None = Field(default=None, pattern="^prevented$")


class Resolution(Order):
    """How a dispute goes on, and how much of the fee comes back."""

    status: str
    fee_returned: int = Field(default=0, ge=0, le=1_500)


class Warned(OfCharge):
    """An early fraud warning to be raised."""

    fraud_type: str = "unauthorized_use_of_card"


class DashboardRefund(OfCharge):
    """A refund by a person in Stripe's Dashboard, all that is left without an amount."""

    amount: int | None = Field(default=None, ge=1)
    reason: str | None = None


class RefundFailure(Order):
    """Why the money came back."""

    reason: str = "unknown"


class CheckoutPayment(Order):
    """What a customer does on the hosted page; `async` is a bank debit."""

    card: str = "4242424242424242"
    is_async: bool = Field(default=False, alias="async")
    authenticates: bool = True
    exp_month: int = 12
    exp_year: int | None = None
    cvc: str = "123"
    country: str = Field(default="US", pattern="^[A-Z]{2}$")


class Authentication(Order):
    """What the cardholder does on the bank's page."""

    succeeds: bool = True


OrderType = TypeVar("OrderType", bound=BaseModel)
Answer = Json | list[Json]


class Script:
    """The orders, each a route."""

    def __init__(self, world: World, keys: Keys, faults: Faults, deliveries: Deliveries) -> None:
        """Take what the orders change."""
        self._world = world
        self._keys = keys
        self._faults = faults
        self._deliveries = deliveries

    def routes(self) -> list[Route]:
        """Return the routes of all orders."""
        posts: tuple[tuple[str, type[Order | Fault], Any], ...] = (
            ("faults", Fault, self._fault),
            ("release_webhooks", Release, self._release),
            ("replay/{id}", Nothing, self._replay),
            ("settle", Nothing, self._settle),
            ("webhooks", Webhooks, self._webhooks),
            ("clock", Advance, self._clock),
            ("search_lag", SearchLag, self._search_lag),
            ("disputes", NewDispute, self._dispute),
            ("disputes/{id}/resolve", Resolution, self._resolve),
            ("efw", Warned, self._warn),
            ("refunds/{id}/fail", RefundFailure, self._fail_refund),
            ("refunds/{id}/succeed", Nothing, self._complete_refund),
            ("dashboard_refund", DashboardRefund, self._dashboard_refund),
            ("checkout/{id}/pay", CheckoutPayment, self._pay),
            ("checkout/{id}/expire", Nothing, self._expire),
            ("async_payments/{id}/succeed", Nothing, self._succeed_later),
            ("async_payments/{id}/fail", Nothing, self._fail_later),
            ("authenticate/{id}", Authentication, self._authenticate),
            ("reset", Nothing, self._reset),
        )
        routes = [
            Route(f"/_sim/{path}", _endpoint(body, handler), methods=["POST"])
            for path, body, handler in posts
        ]
        return [
            *routes,
            Route("/_sim/faults", self._list_faults, methods=["GET"]),
            Route("/_sim/faults", self._remove_faults, methods=["DELETE"]),
            Route("/_sim/state", self._state, methods=["GET"]),
        ]

    # Faults and webhooks

    async def _fault(self, id: str, order: Fault) -> Answer:
        del id
        self._faults.add(order)
        return self._faults.listed()

    async def _list_faults(self, request: Request) -> Response:
        del request
        return JSONResponse(self._faults.listed())

    async def _remove_faults(self, request: Request) -> Response:
        self._faults.remove(request.query_params.get("kind"))
        return JSONResponse(self._faults.listed())

    async def _release(self, id: str, order: Release) -> Answer:
        del id
        if not order.keep:
            self._faults.remove("hold_webhooks")
        return await self._deliveries.release(order.order, order.seed)

    async def _replay(self, id: str, order: Nothing) -> Answer:
        del order
        self._world.get("event", id, "event")
        return await self._deliveries.replay(id)

    async def _settle(self, id: str, order: Nothing) -> Answer:
        del id, order
        await self._deliveries.settle()
        return dict(self._deliveries.counts())

    async def _webhooks(self, id: str, order: Webhooks) -> Answer:
        del id
        destination = self._deliveries.destination
        destination.url = order.url or destination.url
        destination.secrets = order.secrets or destination.secrets
        destination.styles = order.styles or destination.styles
        return {"url": destination.url, "styles": destination.styles}

    # Time

    async def _clock(self, id: str, order: Advance) -> Answer:
        del id
        self._world.clock.advance(order.seconds)
        pass_time(self._world)
        return {"now": self._world.now()}

    async def _search_lag(self, id: str, order: SearchLag) -> Answer:
        del id
        self._world.search_lag_seconds = order.seconds
        return {"seconds": order.seconds}

    # Banks and cardholders

    async def _dispute(self, id: str, order: NewDispute) -> Answer:
        del id
        charge = self._charge(order)
        return disputes.open_one(
            self._world,
            charge,
            reason=order.reason,
            is_inquiry=order.inquiry,
            amount=order.amount,
            status=order.status,
        )

    async def _resolve(self, id: str, order: Resolution) -> Answer:
        dispute = self._world.get(disputes.KIND, id, "dispute")
        return disputes.move(self._world, dispute, order.status, fee_returned=order.fee_returned)

    async def _warn(self, id: str, order: Warned) -> Answer:
        del id
        charge = self._charge(order)
        return early_fraud_warnings.raise_one(self._world, charge, order.fraud_type)

    async def _fail_refund(self, id: str, order: RefundFailure) -> Answer:
        refund = self._world.get(refunds.KIND, id, "refund")
        return refunds.fail(self._world, refund, order.reason)

    async def _complete_refund(self, id: str, order: Nothing) -> Answer:
        del order
        return refunds.complete(self._world, self._world.get(refunds.KIND, id, "refund"))

    async def _dashboard_refund(self, id: str, order: DashboardRefund) -> Answer:
        del id
        given = order.model_dump(exclude_none=True)
        return refunds.refund(self._world, given)

    async def _pay(self, id: str, order: CheckoutPayment) -> Answer:
        world = self._world
        session = world.get(checkout.KIND, id, "session")
        if order.is_async:
            return checkout.pay_later(world, session)
        year = order.exp_year or payment_methods.next_year(world)
        card = payment_methods.checked_card(world, order.card, order.exp_month, year, order.cvc)
        method = payment_methods.add(world, card, order.exp_month, year)
        checkout.locate(world, session, method, order.country)
        checkout.pay(world, session, method)
        if session["status"] == "open":
            checkout.authenticate(world, session, succeeds=order.authenticates)
        return session

    async def _expire(self, id: str, order: Nothing) -> Answer:
        del order
        return checkout.expire_now(self._world, self._world.get(checkout.KIND, id, "session"))

    async def _succeed_later(self, id: str, order: Nothing) -> Answer:
        del order
        return checkout.finish_later(self._world, self._session(id), succeeds=True)

    async def _fail_later(self, id: str, order: Nothing) -> Answer:
        del order
        return checkout.finish_later(self._world, self._session(id), succeeds=False)

    async def _authenticate(self, id: str, order: Authentication) -> Answer:
        return authenticate(self._world, id, succeeds=order.succeeds)

    # Everything

    async def _state(self, request: Request) -> Response:
        del request
        world = self._world
        objects = {kind: rendering.public(world.all(kind)) for kind in sorted(world.tables)}
        return JSONResponse(
            {
                "now": world.now(),
                "objects": objects,
                "balance": balance.current(world),
                "deliveries": self._deliveries.dump(),
                "faults": self._faults.listed(),
            }
        )

    async def _reset(self, id: str, order: Nothing) -> Answer:
        del id, order
        await self._deliveries.forget_all()
        self._world.clear()
        self._world.search_lag_seconds = self._world.clock.offset_seconds = 0
        self._keys.clear()
        self._faults.remove()
        return {}

    def _session(self, id: str) -> Json:
        """Return the session of an id of its own or of its payment intent."""
        session = checkout.of_intent(self._world, id)
        return session or self._world.get(checkout.KIND, id, "session")

    def _charge(self, order: OfCharge) -> Json:
        given = order.model_dump(include={"charge", "payment_intent"}, exclude_none=True)
        return refunds.charge_of(self._world, given)


def authenticate(world: World, id: str, *, succeeds: bool) -> Json:
    """Let a cardholder answer the bank, for a payment, a session or a card to be saved.

    Raises:
        CardDeclined: not authenticated, or refused after all.
        InvalidRequest: nobody waits for that.
    """
    session = checkout.of_intent(world, id)
    if session is not None:
        return checkout.authenticate(world, session, succeeds=succeeds)
    if id.startswith("seti_"):
        intent = world.get(setup_intents.KIND, id, "intent")
        return setup_intents.authenticate(world, intent, succeeds=succeeds)
    intent = world.get(payment_intents.KIND, id, "intent")
    return payment_intents.authenticate(world, intent, succeeds=succeeds)


def pass_time(world: World) -> None:
    """Let everything happen whose time has come."""
    checkout.pass_time(world)
    refunds.pass_time(world)
    balance.settle(world)


def _endpoint(
    body: type[OrderType], handler: Callable[[str, OrderType], Awaitable[Answer]]
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            order = await _read(request, body)
            answer = await handler(request.path_params.get("id", ""), order)
        except StripeFault as fault:
            return JSONResponse(rendering.public(fault.body()), fault.status)
        return JSONResponse(rendering.public(answer))

    return endpoint


async def _read(request: Request, body: type[OrderType]) -> OrderType:
    """Return the order in a body; an empty one has no fields.

    Raises:
        InvalidRequest: it is not JSON, or not this order.
    """
    raw = await request.body()
    if len(raw) > BODY_BYTES_MAX:
        raise InvalidRequest("The order is too large")
    fields: list[str] = []
    with contextlib.suppress(ValueError):
        try:
            return body.model_validate_json(raw or b"{}")
        except ValidationError as fault:
            fields = [".".join(map(str, one["loc"])) for one in fault.errors(include_input=False)]
    raise InvalidRequest("The order cannot be read", param=", ".join(fields)[:200] or None)
