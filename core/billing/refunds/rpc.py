"""RefundService: parse, call, render."""

from __future__ import annotations

from typing import Any, Final

from core.audit import Act
from core.billing.refunds import store
from core.billing.refunds.desk import RefundDesk
from core.billing.refunds.messages import refund_message, wanted_of
from core.billing.refunds.model import PREFIX
from core.db.database import Pool
from core.db.paging import id_token, page_size, parse_id_token, split_page
from kit.clock import Clock
from kit.ids import IdSource, parse_id, parse_optional_id
from kit.rpc.server import Service
from oneapi.billing.v1 import refund_service_pb2 as pb
from oneapi.billing.v1 import refund_service_pb2_grpc

NAME: Final = "oneapi.billing.v1.RefundService"
_ASKING: Final = frozenset({"operator", "finance", "support"})
_DECIDING: Final = frozenset({"operator", "finance"})
ALLOWED: Final = {
    "RequestRefund": _ASKING,
    "ApproveRefund": _DECIDING,
    "RejectRefund": _DECIDING,
    "GetRefund": _ASKING,
    "ListRefunds": _ASKING,
}


class RefundServicer(refund_service_pb2_grpc.RefundServiceServicer):
    """Refunds of unused credit."""

    def __init__(self, pool: Pool, desk: RefundDesk, clock: Clock, ids: IdSource) -> None:
        """Read through the pool, change through the desk."""
        self._pool = pool
        self._desk = desk
        self._clock = clock
        self._ids = ids

    async def RequestRefund(
        self, request: pb.RequestRefundRequest, context: Any
    ) -> pb.RequestRefundResponse:
        """Ask for a refund."""
        refund = await self._desk.ask(self._act(), wanted_of(request))
        return pb.RequestRefundResponse(refund=refund_message(refund))

    async def ApproveRefund(
        self, request: pb.ApproveRefundRequest, context: Any
    ) -> pb.ApproveRefundResponse:
        """Set the credit aside and tell the provider."""
        refund = await self._desk.approve(self._act(), parse_id(PREFIX, request.refund_id))
        return pb.ApproveRefundResponse(refund=refund_message(refund))

    async def RejectRefund(
        self, request: pb.RejectRefundRequest, context: Any
    ) -> pb.RejectRefundResponse:
        """Refuse a refund."""
        refund = await self._desk.reject(self._act(), parse_id(PREFIX, request.refund_id))
        return pb.RejectRefundResponse(refund=refund_message(refund))

    async def GetRefund(self, request: pb.GetRefundRequest, context: Any) -> pb.GetRefundResponse:
        """Read one refund."""
        async with self._pool.transaction("system") as tx:
            refund = await store.get(tx, parse_id(PREFIX, request.refund_id))
        return pb.GetRefundResponse(refund=refund_message(refund))

    async def ListRefunds(
        self, request: pb.ListRefundsRequest, context: Any
    ) -> pb.ListRefundsResponse:
        """List refunds, newest first."""
        workspace_id = parse_optional_id("ws", request.workspace_id)
        size, before = page_size(request.page_size), parse_id_token(request.page_token)
        async with self._pool.transaction("system") as tx:
            rows = await store.list_refunds(
                tx, workspace_id, request.state, before=before, limit=size + 1
            )
        page, token = split_page(rows, size, lambda refund: id_token(refund.refund_id))
        return pb.ListRefundsResponse(refunds=map(refund_message, page), next_page_token=token)

    def _act(self) -> Act:
        return Act.of_call(self._clock, self._ids)


def refund_service(pool: Pool, desk: RefundDesk, clock: Clock, ids: IdSource) -> Service:
    """Return the service for the server."""
    add = refund_service_pb2_grpc.add_RefundServiceServicer_to_server
    return Service(NAME, add, RefundServicer(pool, desk, clock, ids), ALLOWED)
