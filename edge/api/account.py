"""GET /v1/credits: what the workspace of an API key has, holds and owes, asked of core each time.

Amounts are US dollars as decimal strings: total = held + available + frozen.
"""

from __future__ import annotations

from typing import Final

import grpc
import orjson
from starlette.requests import Request
from starlette.responses import Response

from edge import errors
from edge.admission.admit import Admission
from edge.admission.grants import Grant
from edge.api.own_answers import own_answer, own_refusal
from edge.api.own_workspace import grant_of
from edge.errors import ApiError
from kit.ids import format_id
from kit.money import format_dollars
from kit.rpc.status import domain_error_of
from oneapi.billing.v1 import credit_service_pb2, credit_service_pb2_grpc

CALL_SECONDS: Final = 2.0
CALLS_MAX: Final = 8
"""Questions to core that run at the same time; it has requests to serve."""


class Account:
    """Answers whoever has a key about its own workspace, and about no other."""

    def __init__(self, channel: grpc.aio.Channel, admission: Admission) -> None:
        """Ask core over the channel."""
        self._credits = credit_service_pb2_grpc.CreditServiceStub(channel)
        self._admission = admission
        self._running = 0

    async def credits(self, request: Request) -> Response:
        """Answer the balance of the key's workspace."""
        for_page: dict[str, str] = {}
        try:
            grant = await grant_of(request, self._admission, for_page)
            return own_answer(200, await self._balance_in_turn(grant), for_page)
        except ApiError as error:
            return own_refusal(error, for_page)

    async def _balance_in_turn(self, grant: Grant) -> bytes:
        if self._running >= CALLS_MAX:
            raise errors.unavailable(
                "credits_busy", "Too many balances are being asked for now.", retry_seconds=1
            )
        self._running += 1
        try:
            return await self._balance(grant)
        finally:
            self._running -= 1

    async def _balance(self, grant: Grant) -> bytes:
        workspace = format_id("ws", grant.workspace_id)
        wanted = credit_service_pb2.GetBalanceRequest(workspace_id=workspace)
        try:
            answer = await self._credits.GetBalance(wanted, timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            raise errors.from_domain(domain_error_of(error)) from None
        balance = answer.balance
        amounts = {
            "total": balance.total,
            "held": balance.held,
            "available": balance.available,
            "frozen": balance.frozen,
            "debt": balance.debt,
        }
        shown = {name: format_dollars(money.amount_nanos) for name, money in amounts.items()}
        return orjson.dumps({"object": "credit_balance", "currency": "usd", **shown})
