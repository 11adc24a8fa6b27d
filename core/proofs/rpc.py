"""ProofService: parse, call, render."""

from __future__ import annotations

from typing import Any, Final

from core.db.database import Pool
from core.db.paging import id_token, page_size, parse_id_token, split_page
from core.proofs import report_store
from core.proofs.report import Prover
from core.proofs.report_store import Report
from core.timestamps import to_timestamp
from kit.ids import format_id
from kit.rpc.server import Service
from oneapi.billing.v1 import proof_service_pb2 as pb
from oneapi.billing.v1 import proof_service_pb2_grpc

NAME = "oneapi.billing.v1.ProofService"
_STAFF: Final = frozenset({"operator", "finance"})
ALLOWED = dict.fromkeys(("RunProof", "GetProofReports"), _STAFF)


class ProofServicer(proof_service_pb2_grpc.ProofServiceServicer):
    """Runs proofs and shows their reports."""

    def __init__(self, pool: Pool, prover: Prover) -> None:
        """Read reports through the pool."""
        self._pool = pool
        self._prover = prover

    async def RunProof(self, request: pb.RunProofRequest, context: Any) -> pb.RunProofResponse:
        """Prove everything now and keep the report."""
        return pb.RunProofResponse(report=_report_message(await self._prover.prove()))

    async def GetProofReports(
        self, request: pb.GetProofReportsRequest, context: Any
    ) -> pb.GetProofReportsResponse:
        """Read the reports, newest first."""
        size, before = page_size(request.page_size), parse_id_token(request.page_token)
        async with self._pool.transaction("system") as tx:
            rows = await report_store.list_reports(tx, before=before, limit=size + 1)
        page, token = split_page(rows, size, lambda report: id_token(report.report_id))
        return pb.GetProofReportsResponse(reports=map(_report_message, page), next_page_token=token)


def proof_service(pool: Pool, prover: Prover) -> Service:
    """Return the service for the server."""
    add = proof_service_pb2_grpc.add_ProofServiceServicer_to_server
    return Service(NAME, add, ProofServicer(pool, prover), ALLOWED)


def _report_message(report: Report) -> pb.ProofReport:
    return pb.ProofReport(
        report_id=format_id("proof", report.report_id),
        started_at=to_timestamp(report.started_at),
        finished_at=to_timestamp(report.finished_at),
        findings=report.findings,
        content=report.content,
    )
