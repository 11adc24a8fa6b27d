"""UsageService: shows usage records and sums."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from core.db.database import Pool, Transaction
from core.db.paging import id_token, page_size, parse_id_token, split_page
from core.ledger.messages import money_message
from core.metering import usage_store
from core.metering.messages import quantities_message
from core.metering.model import ATTEMPT_NUMBERS, month_of
from core.metering.partitions import id_range, read_archived_before
from core.metering.proofs import QUANTITY_COLUMNS
from core.metering.usage_store import UsageRange
from core.timestamps import from_timestamp, to_timestamp
from kit.charge import NOTHING
from kit.clock import Clock
from kit.ids import format_id, parse_id, uuid7_floor
from kit.reasons import NotFound
from kit.rpc.server import Service
from oneapi.metering.v1 import usage_record_pb2, usage_service_pb2_grpc
from oneapi.metering.v1 import usage_service_pb2 as pb

NAME = "oneapi.metering.v1.UsageService"
ALLOWED = dict.fromkeys(
    ("GetUsage", "ListUsage", "SumUsage", "TailUsage"), frozenset({"operator", "finance"})
)
TAIL_SECONDS: Final = 0.2
TAIL_OVERLAP_MS: Final = 15_000
"""A settlement's id is minted this long before its commit at most: writers give up sooner."""
TAIL_ROWS_MAX: Final = 10_000
_COPIED: Final = (
    "requested_lane",
    "served_lane",
    "upstream",
    "endpoint",
    "streamed",
    "outcome",
    "error_class",
    "http_status",
    "first_token_ms",
    "total_ms",
    "price_version",
    "usage_source",
    "waive_reason",
    "attempts_omitted",
    "finish_reason",
    "edge_id",
    "epoch",
    "delivered_events",
    "data_policy",
)

_copied_of: Final = attrgetter(*_COPIED)
_quantities: Final = attrgetter(*QUANTITY_COLUMNS)


class UsageServicer(usage_service_pb2_grpc.UsageServiceServicer):
    """Reads usage records."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        """Read through the pool."""
        self._pool = pool
        self._clock = clock

    async def GetUsage(self, request: pb.GetUsageRequest, context: Any) -> pb.GetUsageResponse:
        """Read one usage record."""
        request_id = parse_id("req", request.request_id)
        async with self._pool.transaction("system", snapshot=True) as tx:
            row = await usage_store.get_usage(tx, request_id)
            hot_from = await read_archived_before(tx)
        if row is None:
            if hot_from is not None and request_id < id_range(hot_from)[0]:
                month = f"{month_of(request_id):%Y-%m}"
                raise NotFound(request_id=request.request_id, archived_month=month)
            raise NotFound(request_id=request.request_id)
        return pb.GetUsageResponse(usage=usage_message(row))

    async def ListUsage(self, request: pb.ListUsageRequest, context: Any) -> pb.ListUsageResponse:
        """List usage records, newest first."""
        wanted = _range_of(request)
        key_id = parse_id("key", request.key_id) if request.key_id else None
        size, before = page_size(request.page_size), parse_id_token(request.page_token)
        async with self._reading(wanted.workspace_id) as tx:
            rows = await usage_store.list_usage(
                tx, wanted, key_id=key_id, before=before, limit=size + 1
            )
            archived = await archived_before(tx)
        page, token = split_page(rows, size, lambda row: id_token(row.id.bytes))
        return pb.ListUsageResponse(
            usages=map(usage_message, page), next_page_token=token, archived_before=archived
        )

    async def SumUsage(self, request: pb.SumUsageRequest, context: Any) -> pb.SumUsageResponse:
        """Sum usage and charges of a time range."""
        wanted = _range_of(request)
        async with self._reading(wanted.workspace_id) as tx:
            rows = await usage_store.sum_usage(tx, wanted)
            archived = await archived_before(tx)
        return pb.SumUsageResponse(
            sums=map(_sum_message, rows), total=_total_message(rows), archived_before=archived
        )

    async def TailUsage(
        self, request: pb.TailUsageRequest, context: Any
    ) -> AsyncIterator[pb.TailUsageResponse]:
        """Stream usage records as they are settled, until the caller leaves."""
        workspace_id = parse_id("ws", request.workspace_id) if request.workspace_id else None
        seen = {row.id.bytes for row in await self._settled(workspace_id)}
        # The caller learns that from here on nothing is missed.
        await context.send_initial_metadata(())
        while True:
            await asyncio.sleep(TAIL_SECONDS)
            rows = await self._settled(workspace_id)
            fresh = [row for row in rows if row.id.bytes not in seen]
            # Only what the next look can return needs to be remembered.
            seen = {row.id.bytes for row in rows}
            for row in fresh:
                yield pb.TailUsageResponse(usage=usage_message(row))

    async def _settled(self, workspace_id: bytes | None) -> Sequence[Any]:
        since = uuid7_floor(self._clock.now_ns() // 1_000_000 - TAIL_OVERLAP_MS)
        async with self._reading(workspace_id) as tx:
            return await usage_store.settled_since(tx, workspace_id, since, TAIL_ROWS_MAX)

    def _reading(self, workspace_id: bytes | None) -> Any:
        """Read as the workspace itself where one is named, else over all.

        At one moment: what is hot and what is said to be archived are never both.
        """
        if workspace_id is None:
            return self._pool.transaction("system", snapshot=True)
        return self._pool.transaction("app", workspace_id, snapshot=True)


def usage_service(pool: Pool, clock: Clock) -> Service:
    """Return the service for the server."""
    add = usage_service_pb2_grpc.add_UsageServiceServicer_to_server
    return Service(NAME, add, UsageServicer(pool, clock), ALLOWED)


def usage_message(row: Any) -> pb.Usage:
    """Render a usage record."""
    return pb.Usage(
        request_id=format_id("req", row.id.bytes),
        workspace_id=format_id("ws", row.workspace_id.bytes),
        key_id=format_id("key", row.key_id.bytes),
        started_at=to_timestamp(row.started_at),
        model=row.model,
        quantities=quantities_message(_quantities(row)),
        charge=money_message(row.charge_nanos),
        waived=money_message(row.waived_nanos),
        hold=money_message(row.hold_nanos),
        attempts=_attempt_messages(row.attempts),
        settlement_id=format_id("txn", row.settlement_id.bytes),
        **dict(zip(_COPIED, _copied_of(row), strict=True)),
    )


async def archived_before(tx: Transaction) -> Timestamp | None:
    """Return since when records are hot; None while no month is archived."""
    month = await read_archived_before(tx)
    if month is None:
        return None
    return to_timestamp(datetime(month.year, month.month, month.day, tzinfo=UTC))


def _attempt_messages(numbers: Sequence[int]) -> list[usage_record_pb2.Attempt]:
    return [
        usage_record_pb2.Attempt(
            upstream_number=numbers[start],
            http_status=numbers[start + 1],
            error_class=usage_record_pb2.ErrorClass.ValueType(numbers[start + 2]),
            started_ms=numbers[start + 3],
            duration_ms=numbers[start + 4],
        )
        for start in range(0, len(numbers), ATTEMPT_NUMBERS)
    ]


def _sum_message(row: Any) -> pb.UsageSum:
    return pb.UsageSum(
        model=row.model,
        lane=row.lane,
        requests=row.record_count,
        failed_requests=row.failed_count,
        quantities=quantities_message(_quantities(row)),
        charge=money_message(row.charge_nanos),
        waived=money_message(row.waived_nanos),
    )


def _total_message(rows: Iterable[Any]) -> pb.UsageSum:
    rows = list(rows)
    quantities = [sum(values) for values in zip(NOTHING, *map(_quantities, rows), strict=True)]
    return pb.UsageSum(
        requests=sum(row.record_count for row in rows),
        failed_requests=sum(row.failed_count for row in rows),
        quantities=quantities_message(tuple(quantities)),
        charge=money_message(sum(row.charge_nanos for row in rows)),
        waived=money_message(sum(row.waived_nanos for row in rows)),
    )


def _range_of(request: pb.ListUsageRequest | pb.SumUsageRequest) -> UsageRange:
    return UsageRange(
        workspace_id=parse_id("ws", request.workspace_id) if request.workspace_id else None,
        started_from=_moment(request, "started_from"),
        started_before=_moment(request, "started_before"),
    )


def _moment(request: pb.ListUsageRequest | pb.SumUsageRequest, name: str) -> Any:
    if name == "started_from":
        given: Timestamp = request.started_from
        return from_timestamp(given) if request.HasField("started_from") else None
    given = request.started_before
    return from_timestamp(given) if request.HasField("started_before") else None
