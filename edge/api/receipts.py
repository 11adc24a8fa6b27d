"""Proofs for customers: the signed receipt of a charge, and the keys to check it with.

    GET /v1/receipts/{request_id}          with an API key of the request's workspace
    GET /.well-known/1api-keys.json        anyone

Both are core's: the receipt is asked for each time, the keys are kept for a while.
"""

from __future__ import annotations

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
        self._keys_until = float("-inf")

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
        """Answer the public keys: those that core has, or had lately."""
        try:
            if self._clock.monotonic() >= self._keys_until:
                wanted = receipt_service_pb2.GetPlatformKeysRequest()
                answer = await self._ask(self._receipts.GetPlatformKeys, wanted)
                self._keys = answer.content
                self._keys_until = self._clock.monotonic() + KEYS_KEPT_SECONDS
        except ApiError as error:
            # Keys are never taken back, so that old ones are right, if perhaps not all.
            if not self._keys:
                return own_refusal(error, _ANY_PAGE)
        return own_answer(200, self._keys, {**_ANY_PAGE, "cache-control": "public, max-age=60"})

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
