"""DisputeService: parse, call, render."""

from __future__ import annotations

from typing import Any, Final

from core.audit import Act
from core.billing.disputes import store
from core.billing.disputes.desk import DisputeDesk
from core.billing.disputes.messages import dispute_message, evidence_message, warning_message
from core.billing.disputes.model import PREFIX
from core.db.database import Pool
from core.db.paging import id_token, page_size, parse_id_token, split_page
from core.ledger.messages import balance_message
from kit.clock import Clock
from kit.ids import IdSource, parse_id, parse_optional_id
from kit.rpc.server import Service
from oneapi.billing.v1 import dispute_service_pb2 as pb
from oneapi.billing.v1 import dispute_service_pb2_grpc

NAME: Final = "oneapi.billing.v1.DisputeService"
_READING: Final = frozenset({"operator", "finance", "support"})
_DECIDING: Final = frozenset({"operator", "finance"})
ALLOWED: Final = {
    "GetDispute": _READING,
    "ListDisputes": _READING,
    "GetEvidence": _READING,
    "SubmitEvidence": _DECIDING,
    "ListFraudWarnings": _READING,
    "WriteOffDebt": frozenset({"finance"}),
}


class DisputeServicer(dispute_service_pb2_grpc.DisputeServiceServicer):
    """Disputes and early fraud warnings."""

    def __init__(self, pool: Pool, desk: DisputeDesk, clock: Clock, ids: IdSource) -> None:
        """Read through the pool, change through the desk."""
        self._pool = pool
        self._desk = desk
        self._clock = clock
        self._ids = ids

    async def GetDispute(
        self, request: pb.GetDisputeRequest, context: Any
    ) -> pb.GetDisputeResponse:
        """Read one dispute."""
        async with self._pool.transaction("system") as tx:
            dispute = await store.get(tx, parse_id(PREFIX, request.dispute_id))
        return pb.GetDisputeResponse(dispute=dispute_message(dispute))

    async def ListDisputes(
        self, request: pb.ListDisputesRequest, context: Any
    ) -> pb.ListDisputesResponse:
        """List disputes, newest first."""
        size, before = page_size(request.page_size), parse_id_token(request.page_token)
        async with self._pool.transaction("system") as tx:
            rows = await store.list_disputes(
                tx,
                parse_optional_id("ws", request.workspace_id),
                open_only=request.open_only,
                before=before,
                limit=size + 1,
            )
        page, token = split_page(rows, size, lambda dispute: id_token(dispute.dispute_id))
        return pb.ListDisputesResponse(disputes=map(dispute_message, page), next_page_token=token)

    async def GetEvidence(
        self, request: pb.GetEvidenceRequest, context: Any
    ) -> pb.GetEvidenceResponse:
        """Put together what speaks for us."""
        found = await self._desk.evidence(parse_id(PREFIX, request.dispute_id))
        return pb.GetEvidenceResponse(evidence=evidence_message(found))

    async def SubmitEvidence(
        self, request: pb.SubmitEvidenceRequest, context: Any
    ) -> pb.SubmitEvidenceResponse:
        """Give the evidence to the bank."""
        dispute = await self._desk.submit(self._act(), parse_id(PREFIX, request.dispute_id))
        return pb.SubmitEvidenceResponse(dispute=dispute_message(dispute))

    async def ListFraudWarnings(
        self, request: pb.ListFraudWarningsRequest, context: Any
    ) -> pb.ListFraudWarningsResponse:
        """List early fraud warnings, newest first."""
        size, before = page_size(request.page_size), parse_id_token(request.page_token)
        workspace_id = parse_optional_id("ws", request.workspace_id)
        async with self._pool.transaction("system") as tx:
            rows = await store.list_warnings(tx, workspace_id, before=before, limit=size + 1)
        page, token = split_page(rows, size, lambda warning: id_token(warning.warning_id))
        return pb.ListFraudWarningsResponse(
            warnings=map(warning_message, page), next_page_token=token
        )

    async def WriteOffDebt(
        self, request: pb.WriteOffDebtRequest, context: Any
    ) -> pb.WriteOffDebtResponse:
        """Give up a debt of a workspace."""
        workspace_id = parse_id("ws", request.workspace_id)
        after = await self._desk.write_off(
            self._act(), workspace_id, request.amount.amount_nanos, request.request_id
        )
        return pb.WriteOffDebtResponse(balance=balance_message(workspace_id, after))

    def _act(self) -> Act:
        return Act.of_call(self._clock, self._ids)


def dispute_service(pool: Pool, desk: DisputeDesk, clock: Clock, ids: IdSource) -> Service:
    """Return the service for the server."""
    add = dispute_service_pb2_grpc.add_DisputeServiceServicer_to_server
    return Service(NAME, add, DisputeServicer(pool, desk, clock, ids), ALLOWED)
