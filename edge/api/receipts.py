"""Proofs for customers: the signed receipt of a charge, and the keys to check it with.

    GET /v1/receipts/{request_id}          with an API key of the request's workspace
    GET /.well-known/1api-keys.json        anyone

Both are core's: the receipt is asked for each time, the keys are kept for a while. Anyone may ask
for the keys, as often as they like: at most one call to core runs for all who ask, and none for a
while after one that failed.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import grpc
from starlette.requests import Request
from starlette.responses import Response

from edge import errors
from edge.admission.admit import Admission
from edge.api.own_answers import own_answer, own_refusal
from edge.api.own_workspace import grant_of
from edge.errors import ApiError
from kit.clock import Clock
from kit.ids import InvalidIdError, format_id, parse_id
from kit.reasons import NotFound
from kit.rpc.status import domain_error_of
from oneapi.billing.v1 import receipt_service_pb2, receipt_service_pb2_grpc

CALL_SECONDS: Final = 5.0
ASKED_MAX: Final = 8
"""Receipts that one worker asks core for at a time: each is made anew, by work of core's."""
KEYS_KEPT_SECONDS: Final = 60.0
KEYS_AGAIN_SECONDS: Final = 2.0
"""How long core is not asked for the keys again after it failed to tell them."""
_NO_RECEIPT: Final = "This workspace has no charge of that request, or not yet."
KEYS_PATH: Final = "/.well-known/1api-keys.json"
_ANY_PAGE: Final = {"access-control-allow-origin": "*"}


class Receipts:
    """Answers whoever has a key with receipts of its own workspace's charges."""

    def __init__(self, channel: grpc.aio.Channel, admission: Admission, clock: Clock) -> None:
        """Ask core over the channel."""
        self._receipts = receipt_service_pb2_grpc.ReceiptServiceStub(channel)
        self._admission = admission
        self._clock = clock
        self._asked = 0
        self._keys = b""
        self._ask_keys_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None
        self._keys_refused = errors.unavailable("not_in_touch", "This server knows no keys yet.")

    async def receipt(self, request: Request) -> Response:
        """Answer the receipt of one request's charge; another workspace's is not there."""
        for_page: dict[str, str] = {}
        try:
            grant = await grant_of(request, self._admission, for_page)
            wanted = receipt_service_pb2.GetChargeReceiptRequest(
                request_id=_request_id(request.path_params["request_id"]),
                workspace_id=format_id("ws", grant.workspace_id),
            )
            answer = await self._ask_in_turn(wanted)
            return own_answer(200, answer.content, for_page)
        except ApiError as error:
            return own_refusal(error, for_page)

    async def keys(self, _request: Request) -> Response:
        """Answer the public keys: those that core has, or had lately.

        Keys are never taken back, so that old ones are right, if perhaps not all.
        """
        if self._asking is None and self._clock.monotonic() >= self._ask_keys_at:
            self._asking = asyncio.create_task(self._learn_keys())
        if not self._keys and self._asking is not None:
            await asyncio.shield(self._asking)
        if not self._keys:
            return own_refusal(self._keys_refused, _ANY_PAGE)
        return own_answer(200, self._keys, {**_ANY_PAGE, "cache-control": "public, max-age=60"})

    async def _learn_keys(self) -> None:
        kept_seconds = KEYS_AGAIN_SECONDS
        try:
            wanted = receipt_service_pb2.GetPlatformKeysRequest()
            self._keys = (await self._ask(self._receipts.GetPlatformKeys, wanted)).content
            kept_seconds = KEYS_KEPT_SECONDS
        except ApiError as error:
            self._keys_refused = error
        finally:
            self._ask_keys_at = self._clock.monotonic() + kept_seconds
            self._asking = None

    async def _ask_in_turn(self, wanted: receipt_service_pb2.GetChargeReceiptRequest) -> Any:
        if self._asked >= ASKED_MAX:
            raise errors.unavailable("receipts_busy", "Too many receipts are being made now.")
        self._asked += 1
        try:
            return await self._ask(self._receipts.GetChargeReceipt, wanted)
        finally:
            self._asked -= 1

    async def _ask(self, method: Any, wanted: Any) -> Any:
        try:
            return await method(wanted, timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            found = domain_error_of(error)
            if isinstance(found, NotFound):
                raise _no_receipt() from None
            raise errors.from_domain(found) from None


def _request_id(text: str) -> str:
    """Return a request id in its one form; a text that is none names no request."""
    try:
        return format_id("req", parse_id("req", text))
    except InvalidIdError:
        raise _no_receipt() from None


def _no_receipt() -> ApiError:
    return ApiError(404, "receipt_not_found", _NO_RECEIPT)
