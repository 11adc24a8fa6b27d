"""StatementService: parse, call, render."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final

from core.billing.statements.messages import statement_message
from core.billing.statements.model import month_of
from core.billing.statements.statement import statement_of
from core.db.database import Pool
from core.ledger import listing
from core.ledger.messages import transaction_message
from core.timestamps import from_timestamp
from kit.clock import to_micros
from kit.ids import parse_id, uuid7_floor
from kit.reasons import InvalidArgument
from kit.rpc.server import Service
from oneapi.billing.v1 import statement_service_pb2 as pb
from oneapi.billing.v1 import statement_service_pb2_grpc

NAME = "oneapi.billing.v1.StatementService"
_READERS: Final = frozenset({"operator", "finance"})
ALLOWED = {"GetStatement": _READERS | {"support"}, "ExportTransactions": _READERS}
TRANSACTIONS_AT_ONCE: Final = 500
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FAR_AHEAD: Final = datetime(9999, 1, 1, tzinfo=UTC)


class StatementServicer(statement_service_pb2_grpc.StatementServiceServicer):
    """Statements, and the ledger for other programs."""

    def __init__(self, pool: Pool) -> None:
        """Read through the pool."""
        self._pool = pool

    async def GetStatement(
        self, request: pb.GetStatementRequest, context: Any
    ) -> pb.GetStatementResponse:
        """Read the statement of a workspace and month."""
        try:
            month = month_of(request.month)
        except ValueError:
            raise InvalidArgument(fields="month") from None
        workspace_id = parse_id("ws", request.workspace_id)
        async with self._pool.transaction("system", snapshot=True) as tx:
            statement = await statement_of(tx, workspace_id, month)
        return pb.GetStatementResponse(statement=statement_message(statement))

    async def ExportTransactions(
        self, request: pb.ExportTransactionsRequest, context: Any
    ) -> AsyncIterator[pb.ExportTransactionsResponse]:
        """Stream transactions, oldest first; each page is a short read of its own."""
        workspace_id = parse_id("ws", request.workspace_id) if request.workspace_id else None
        after, end = _ids_of(request)
        while True:
            async with self._pool.transaction("system") as tx:
                page = await listing.export_transactions(
                    tx, workspace_id, after=after, end=end, limit=TRANSACTIONS_AT_ONCE
                )
            if page:
                yield pb.ExportTransactionsResponse(transactions=map(transaction_message, page))
            if len(page) < TRANSACTIONS_AT_ONCE:
                return
            after = page[-1].txn_id


def statement_service(pool: Pool) -> Service:
    """Return the service for the server."""
    add = statement_service_pb2_grpc.add_StatementServiceServicer_to_server
    return Service(NAME, add, StatementServicer(pool), ALLOWED)


def _ids_of(request: pb.ExportTransactionsRequest) -> tuple[bytes, bytes]:
    """Return the bounds of ids: transactions carry their time of posting in front."""
    first, end = _LONG_AGO, _FAR_AHEAD
    if request.HasField("posted_from"):
        first = from_timestamp(request.posted_from)
    if request.HasField("posted_before"):
        end = from_timestamp(request.posted_before)
    return _floor(first), _floor(end)


def _floor(moment: datetime) -> bytes:
    return uuid7_floor(max(-(-to_micros(moment) // 1_000), 0))
