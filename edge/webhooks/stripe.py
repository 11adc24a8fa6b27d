"""POST /webhooks/stripe: what the payment provider sends goes to core as it came.

Core alone has the secret, so nothing is judged here but the size. An answer of 2xx means that core
has written it down; anything else lets the provider send it again (docs.stripe.com/webhooks: for
three days), so whatever core's answer means, there is no 500.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import grpc
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from edge.pages.render import render
from edge.pages.site import HTML, SECURITY_HEADERS
from kit.reasons import DomainError, InvalidArgument
from kit.rpc.status import domain_error_of
from oneapi.billing.v1 import payment_service_pb2 as pb
from oneapi.billing.v1 import payment_service_pb2_grpc

BODY_BYTES_MAX: Final = 1 << 20
SIGNATURE_MAX: Final = 4_096
SESSION_MAX: Final = 255
CALL_SECONDS: Final = 10.0
"""The provider waits for twice as long and more."""
NOTE_SECONDS: Final = 1.0
RETRY_AFTER_SECONDS: Final = 30


class StripePaths:
    """The provider's webhook, and the page to which people come back from its own."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Hand over to core through the channel."""
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
        if not signature or len(signature) > SIGNATURE_MAX:
            return _answer(400, "signature")
        try:
            body = await _body(request)
        except ClientDisconnect:
            return _answer(400, "body")
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
        if 0 < len(session) <= SESSION_MAX and session.isascii():
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

    async def _note(self, session: str) -> None:
        # Whoever makes one up tells us nothing, and nothing depends on it.
        with suppress(grpc.RpcError):
            await self._payments.NoteCheckoutReturn(
                pb.NoteCheckoutReturnRequest(session_id=session), timeout=NOTE_SECONDS
            )


async def _body(request: Request) -> bytes | None:
    """Return the bytes as they came, None if there are too many.

    Raises:
        ClientDisconnect: the sender left.
    """
    parts, length = [], 0
    async for part in request.stream():
        length += len(part)
        if length > BODY_BYTES_MAX:
            return None
        parts.append(part)
    return b"".join(parts)


def _answer(status: int, wrong: str) -> Response:
    headers = {"cache-control": "no-store"}
    if status == 503:
        headers["retry-after"] = str(RETRY_AFTER_SECONDS)
    return Response(wrong, status, headers, "text/plain")
