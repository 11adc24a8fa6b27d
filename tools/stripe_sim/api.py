"""The API itself: who calls, which method, once for each key, with the faults that were ordered."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from tools.stripe_sim import (
    balance,
    charges,
    checkout,
    customers,
    disputes,
    early_fraud_warnings,
    events,
    forms,
    params,
    payment_intents,
    payment_methods,
    refunds,
    rendering,
    search,
    setup_intents,
    tax,
    tax_ids,
)
from tools.stripe_sim.calls import Call, Operation
from tools.stripe_sim.errors import (
    InvalidRequest,
    Json,
    KeyInUse,
    NoSuchRoute,
    ServerFault,
    StripeFault,
    TooManyRequests,
    Unauthorized,
)
from tools.stripe_sim.faults import Faults
from tools.stripe_sim.idempotency import Keys, fingerprint_of
from tools.stripe_sim.world import API_VERSION, Cause, World

OPERATIONS: Final = (
    *search.OPERATIONS,
    *balance.OPERATIONS,
    *charges.OPERATIONS,
    *checkout.OPERATIONS,
    *customers.OPERATIONS,
    *disputes.OPERATIONS,
    *early_fraud_warnings.OPERATIONS,
    *events.OPERATIONS,
    *payment_intents.OPERATIONS,
    *payment_methods.OPERATIONS,
    *refunds.OPERATIONS,
    *setup_intents.OPERATIONS,
    *tax.OPERATIONS,
    *tax_ids.OPERATIONS,
)


class SdkHasDriftedError(Exception):
    """The installed SDK has no parameters of these names any more: the simulator must follow."""


def check_drift() -> None:
    """Compare what the simulator honours with what the SDK can send.

    Raises:
        SdkHasDriftedError: a parameter or a class of parameters is gone.
    """
    missing = [f"{one.method} {one.path} {name}" for one in OPERATIONS for name in gone(one)]
    if missing:
        raise SdkHasDriftedError(*missing)


def gone(operation: Operation) -> list[str]:
    """Return the honoured parameters that the SDK does not know."""
    try:
        shape = params.shape_of(operation.params)
    except AttributeError:
        return [operation.params]
    return [name for name in sorted(operation.honoured) if not params.has(shape, name)]


def pattern_of(path: str) -> re.Pattern[str]:
    """Return the pattern of a path with an `{id}`, and perhaps with the id of a `{part}` of it."""
    names = r"\\\{(id|part)\\\}"
    return re.compile(re.sub(names, r"(?P<\1>[A-Za-z0-9_]{1,255})", re.escape(path)))


_PATTERNS: Final = [(pattern_of(one.path), one) for one in OPERATIONS]


def matching(method: str, path: str) -> tuple[Operation, str]:
    """Return the method of the API and the id in the path.

    Raises:
        NoSuchRoute: the simulator has none.
    """
    for pattern, operation in _PATTERNS:
        match = pattern.fullmatch(path)
        if match is not None and operation.method == method:
            return operation, match.groupdict().get("id") or ""
    raise NoSuchRoute


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it was understood."""

    operation: Operation
    call: Call
    expand: list[str]
    request_id: str
    key: str | None
    fingerprint: str


class DroppedConnection(Response):
    """An answer that never arrives: the connection closes after the head."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Promise a body and send none, for which the server cuts the connection."""
        del scope, receive
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


class Api:
    """Answers `/v1/…` and `/v2/…`."""

    def __init__(self, world: World, api_key: str, keys: Keys, faults: Faults) -> None:
        """Take the account, its secret key, and what can go wrong."""
        self._world = world
        self._api_key = api_key
        self._keys = keys
        self._faults = faults

    async def handle(self, request: Request) -> Response:
        """Answer one request."""
        request_id = self._world.new_id("req")
        try:
            asked = await self._understand(request, request_id)
            return await self._answer(asked)
        except StripeFault as fault:
            return self._reply(fault.status, fault.body(), request_id)

    async def _understand(self, request: Request, request_id: str) -> Asked:
        if not _is_authorized(request.headers, self._api_key):
            raise Unauthorized
        if request.headers.get("stripe-version", API_VERSION) != API_VERSION:
            raise InvalidRequest("The simulator speaks the SDK's API version only")
        path = request.url.path
        operation, object_id = matching(request.method, path)
        read = await _parameters(request, operation)
        # v2 has one form of each object, and marks pages by an opaque text.
        expand = read.pop("expand", [])
        fingerprint = fingerprint_of(request.method, path, {**read, "expand": expand})
        return Asked(
            operation,
            Call(path, object_id, read),
            expand,
            request_id,
            request.headers.get("idempotency-key") if request.method == "POST" else None,
            fingerprint,
        )

    async def _answer(self, asked: Asked) -> Response:
        """Run the request, unless its key has an answer already."""
        method, path = asked.operation.method, asked.call.url
        if self._faults.on_request("status_429", method, path):
            raise TooManyRequests
        if self._faults.on_request("status_409", method, path):
            raise KeyInUse
        if asked.key is not None:
            entry = self._keys.begin(asked.key, asked.fingerprint, asked.request_id)
            if entry is not None and entry.body is not None:
                more = {"Idempotent-Replayed": "true", "Original-Request": entry.request_id}
                return self._reply(entry.status, entry.body, asked.request_id, asked.key, more)
        if delay := self._faults.on_request("delay", method, path):
            await asyncio.sleep(delay.seconds)
        status, body = self._run(asked)
        if asked.key is not None:
            self._keys.finish(asked.key, status, body)
        if self._faults.on_request("drop_after_commit", method, path):
            return DroppedConnection()
        return self._reply(status, body, asked.request_id, asked.key)

    def _run(self, asked: Asked) -> tuple[int, Json]:
        """Do what is asked, without a pause: nobody sees half of it."""
        self._world.cause = Cause(asked.request_id, asked.key)
        broken = self._faults.on_request("status_500", asked.operation.method, asked.call.url)
        try:
            if broken is not None and not broken.commits:
                raise ServerFault
            answer = asked.operation.handler(self._world, asked.call)
            if broken is not None:
                raise ServerFault
            return 200, rendering.render(self._world, answer, asked.expand)
        except StripeFault as fault:
            return fault.status, rendering.public(fault.body())
        finally:
            self._world.cause = Cause()

    def _reply(
        self,
        status: int,
        body: Json,
        request_id: str,
        key: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> Response:
        headers = {"Request-Id": request_id, "Stripe-Version": API_VERSION, **(more or {})}
        if key is not None:
            headers["Idempotency-Key"] = key
        if status == 409:
            headers["Stripe-Should-Retry"] = "true"
        elif status >= 500:
            # The key has this answer for good, so another try would only repeat it.
            headers["Stripe-Should-Retry"] = "false"
        return JSONResponse(body, status, headers)


def _is_authorized(headers: Mapping[str, str], api_key: str) -> bool:
    """Say whether the secret key came along, as the SDK sends it."""
    return headers.get("authorization", "") == f"Bearer {api_key}"


async def _parameters(request: Request, operation: Operation) -> dict[str, Any]:
    """Return the parameters by the SDK's types.

    Raises:
        InvalidRequest: they are not the method's.
    """
    raw = await _body(request) if request.method == "POST" else request.url.query.encode()
    try:
        form = forms.decode(raw)
    except forms.FormIsBadError as fault:
        raise InvalidRequest(fault.sentence) from None
    shape = params.shape_of(operation.params)
    opaque = {name: form.pop(name) for name in operation.opaque if name in form}
    read = params.read(shape, form)
    operation.check_honoured(read)
    return {**read, **opaque}


async def _body(request: Request) -> bytes:
    """Return the body, up to the limit of a form.

    Raises:
        InvalidRequest: it is larger.
    """
    read = bytearray()
    async for part in request.stream():
        read += part
        if len(read) > forms.BYTES_MAX:
            raise InvalidRequest("The request is too large")
    return bytes(read)
