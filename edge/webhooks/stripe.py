"""POST /webhooks/stripe: what the payment provider sends goes to core as it came.

Core alone has the secret, so nothing is judged here but the form: a signature that says when it was
made, lately, and a body that is not too large. Bodies take room in the worker's memory like all
others, and few are handed over at a time. An answer of 2xx means that core
has written it down; anything else lets the provider send it again (docs.stripe.com/webhooks: for
three days), so whatever core's answer means, there is no 500.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import Final

import grpc
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from edge.api.body_room import FREE_BYTES, BodyRoom
from edge.errors import ApiError
from edge.pages.render import render
from edge.pages.site import HTML, SECURITY_HEADERS
from kit.clock import Clock
from kit.ids import new_request_id
from kit.reasons import DomainError, InvalidArgument
from kit.rpc.status import domain_error_of
from oneapi.billing.v1 import payment_service_pb2 as pb
from oneapi.billing.v1 import payment_service_pb2_grpc

BODY_BYTES_MAX: Final = 1 << 20
SIGNATURE_MAX: Final = 4_096
TOLERANCE_SECONDS: Final = 300
"""How old a signature may be, or how far ahead; core judges it again."""
HAND_OVERS_MAX: Final = 8
"""In flight to core at a time, from the first byte: whoever comes then is to come again."""
NOTES_MAX: Final = 8
"""Further ones are dropped: the provider tells us as well."""
CALL_SECONDS: Final = 10.0
"""The provider waits for twice as long and more."""
BODY_SECONDS_MAX: Final = 10.0
NOTE_SECONDS: Final = 1.0
RETRY_AFTER_SECONDS: Final = 30
_SIGNATURE: Final = re.compile(r"t=([0-9]{1,12}),(?=.*v1=[0-9a-f])", re.ASCII)
_SESSION: Final = re.compile(r"cs_[A-Za-z0-9_]{1,252}", re.ASCII)


class StripePaths:
    """The provider's webhook, and the page to which people come back from its own."""

    def __init__(self, channel: grpc.aio.Channel, room: BodyRoom, clock: Clock) -> None:
        """Hand over to core through the channel; bodies take room as all others of the worker."""
        self._room = room
        self._clock = clock
        self._hand_overs = 0
        self._payments = payment_service_pb2_grpc.PaymentServiceStub(channel)
        self._page = render("returned.html")
        self._notes: set[asyncio.Task[None]] = set()

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/webhooks/stripe", self.webhook, methods=["POST"]),
            Route("/billing/return", self.returned),
        ]

    async def webhook(self, request: Request) -> Response:
        """Hand an event over."""
        signature = request.headers.get("stripe-signature", "")
        if not _is_timely(signature, self._clock.now_ns() // 1_000_000_000):
            return _answer(400, "signature")
        if self._hand_overs >= HAND_OVERS_MAX:
            return _answer(503, "busy")
        holder = new_request_id()
        self._hand_overs += 1
        try:
            return await self._take(request, signature, holder)
        finally:
            self._hand_overs -= 1
            self._room.give_back(holder)

    async def _take(self, request: Request, signature: str, holder: bytes) -> Response:
        try:
            async with asyncio.timeout(BODY_SECONDS_MAX):
                body = await self._body(request, holder)
        except (ClientDisconnect, TimeoutError):
            return _answer(400, "body")
        except ApiError:
            return _answer(503, "busy")
        if body is None:
            return _answer(413, "body")
        try:
            await self._hand_over(body, signature)
        except InvalidArgument:
            return _answer(400, "signature")
        except DomainError:
            return _answer(503, "unavailable")
        return _answer(200, "")

    async def returned(self, request: Request) -> Response:
        """Say thank you, and let core look at the payment at once."""
        session = request.query_params.get("session_id", "")
        if _SESSION.fullmatch(session) and len(self._notes) < NOTES_MAX:
            note = asyncio.create_task(self._note(session))
            self._notes.add(note)
            note.add_done_callback(self._notes.discard)
        headers = {**SECURITY_HEADERS, "cache-control": "no-store"}
        return Response(self._page, 200, headers, HTML)

    async def _hand_over(self, body: bytes, signature: str) -> None:
        try:
            await self._payments.ReceiveStripeEvent(
                pb.ReceiveStripeEventRequest(body=body, signature=signature), timeout=CALL_SECONDS
            )
        except grpc.RpcError as error:
            raise domain_error_of(error) from None

    async def _body(self, request: Request, holder: bytes) -> bytes | None:
        """Return the bytes as they came, None if there are too many.

        Raises:
            ClientDisconnect: the sender left.
            ApiError: there is no room for so many now.
        """
        parts, length = [], 0
        async for part in request.stream():
            length += len(part)
            if length > BODY_BYTES_MAX:
                return None
            if length > FREE_BYTES:
                self._room.hold(holder, length)
            parts.append(part)
        return b"".join(parts)

    async def _note(self, session: str) -> None:
        # Whoever makes one up tells us nothing, and nothing depends on it.
        with suppress(grpc.RpcError):
            await self._payments.NoteCheckoutReturn(
                pb.NoteCheckoutReturnRequest(session_id=session), timeout=NOTE_SECONDS
            )


def _is_timely(signature: str, now_seconds: int) -> bool:
    """Say whether a signature has the provider's form and was made lately."""
    found = _SIGNATURE.match(signature) if len(signature) <= SIGNATURE_MAX else None
    return found is not None and abs(now_seconds - int(found[1])) <= TOLERANCE_SECONDS


def _answer(status: int, wrong: str) -> Response:
    headers = {"cache-control": "no-store"}
    if status == 503:
        headers["retry-after"] = str(RETRY_AFTER_SECONDS)
    return Response(wrong, status, headers, "text/plain")
