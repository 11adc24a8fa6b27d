"""PartitionService: the hot store's side of the archive. The archiver drives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any, Final

from core.audit import Act
from core.db.database import Pool, Role, Transaction
from core.db.paging import split_page
from core.metering.prices import read_all_prices
from core.partitions import export, file_store, lease, month_store, months, signing, totals
from core.partitions.bulk import (
    KEPT_FILES_MAX,
    PUBLISHED_FILES_MAX,
    counted_of,
    files_of,
    ids_of,
    names_of,
)
from core.partitions.messages import (
    entry_message,
    month_message,
    price_message,
    settlements_message,
    totals_message,
)
from core.partitions.model import MonthFacts, Reason, State, Totals, parse_month
from core.partitions.publish import Revision, publish
from core.partitions.signing import Claim
from core.partitions.totals import Settlement
from core.platform_key import PlatformKey
from kit.clock import Clock
from kit.ids import IdSource, parse_id
from kit.rpc.server import Service
from oneapi.partitions.v1 import partition_pb2, partition_service_pb2_grpc
from oneapi.partitions.v1 import partition_service_pb2 as pb

NAME: Final = "oneapi.partitions.v1.PartitionService"
_ARCHIVER: Final = frozenset({"archiver"})
_READERS: Final = frozenset({"archiver", "operator", "finance", "support"})
ALLOWED: Final = {
    "AcquireArchiveLease": _ARCHIVER,
    "ListMonths": _READERS,
    "FreezeMonth": _ARCHIVER,
    "ExportMonth": _ARCHIVER,
    "GetTotals": _ARCHIVER,
    "ExportBilling": _ARCHIVER,
    "ExportPrices": _ARCHIVER,
    "SignManifest": _ARCHIVER,
    "PublishMonth": _ARCHIVER,
    "DetachMonth": _ARCHIVER,
    "DropMonth": _ARCHIVER,
    "ExportLate": _ARCHIVER,
    "ListFiles": _READERS,
    "RecordDeletion": _ARCHIVER,
}
SETTLEMENTS_AT_ONCE: Final = 4_000
"""In one message: about half a MiB, and ten times that as objects."""
PRICES_AT_ONCE: Final = 1_000
FILES_DEFAULT: Final = 1_000
FILES_MAX: Final = 10_000
_HOT: Final = (State.FROZEN, State.PUBLISHED)
"""Where rows are still to be read by the month's range of ids."""
_LATE: Final = (State.PUBLISHED, State.DETACHED, State.DROPPED)


class PartitionServicer(partition_service_pb2_grpc.PartitionServiceServicer):
    """Takes months out of the hot store, step by step."""

    def __init__(self, pool: Pool, dsn: str, key: PlatformKey, clock: Clock, ids: IdSource) -> None:
        """Work through a pool whose statements may take long; `dsn` is for exports."""
        self._pool = pool
        self._dsn = dsn
        self._key = key
        self._clock = clock
        self._ids = ids
        self._counted = totals.Counted()

    async def AcquireArchiveLease(
        self, request: pb.AcquireArchiveLeaseRequest, context: Any
    ) -> pb.AcquireArchiveLeaseResponse:
        """Take or renew the lease."""
        async with self._pool.transaction("system") as tx:
            fence = await lease.acquire(tx, request.holder, self._act().now)
            await tx.commit()
        lifetime_ms = round(lease.LIFETIME.total_seconds() * 1_000) if fence else 0
        return pb.AcquireArchiveLeaseResponse(fence=fence, lifetime_ms=lifetime_ms)

    async def ListMonths(
        self, request: pb.ListMonthsRequest, context: Any
    ) -> pb.ListMonthsResponse:
        """List all months."""
        async with self._pool.transaction("system", snapshot=True) as tx:
            found = await month_store.read_months(tx)
        return pb.ListMonthsResponse(months=map(self._message, found))

    async def FreezeMonth(
        self, request: pb.FreezeMonthRequest, context: Any
    ) -> pb.FreezeMonthResponse:
        """Freeze a month."""
        month = parse_month(request.month)
        facts = await months.freeze(self._pool, self._dsn, self._act(), request.fence, month)
        return pb.FreezeMonthResponse(month=self._message(facts))

    async def ExportMonth(
        self, request: pb.ExportMonthRequest, context: Any
    ) -> AsyncIterator[pb.ExportMonthResponse]:
        """Stream the records of a frozen month."""
        month, after = parse_month(request.month), _workspace(request.after_workspace_id)
        async with self._looking(request.fence, month, *_HOT) as tx:
            models = await export.read_models(tx)
        async for part in export.export_records(self._dsn, month, models, after=after):
            yield pb.ExportMonthResponse(arrow_ipc=part)

    async def ExportLate(
        self, request: pb.ExportLateRequest, context: Any
    ) -> AsyncIterator[pb.ExportLateResponse]:
        """Stream late records that are in no file yet."""
        month = parse_month(request.month)
        async with self._looking(request.fence, month, *_LATE) as tx:
            models = await export.read_models(tx)
        async for part in export.export_late(self._dsn, month, models):
            yield pb.ExportLateResponse(arrow_ipc=part)

    async def ExportBilling(
        self, request: pb.ExportBillingRequest, context: Any
    ) -> AsyncIterator[pb.ExportBillingResponse]:
        """Stream the month's purchases, grants, refunds, adjustments and tax."""
        month = parse_month(request.month)
        async with self._looking(request.fence, month, *_HOT, *_LATE):
            pass
        async for part in export.export_billing(self._dsn, month):
            yield pb.ExportBillingResponse(arrow_ipc=part)

    async def ExportPrices(
        self, request: pb.ExportPricesRequest, context: Any
    ) -> AsyncIterator[pb.ExportPricesResponse]:
        """Stream all price versions."""
        async with self._pool.transaction("system") as tx:
            await lease.hold_fence(tx, request.fence)
            found = [*(await read_all_prices(tx)).values()]
        for start in range(0, len(found), PRICES_AT_ONCE):
            prices = found[start : start + PRICES_AT_ONCE]
            yield pb.ExportPricesResponse(prices=map(price_message, prices))

    async def GetTotals(
        self, request: pb.GetTotalsRequest, context: Any
    ) -> AsyncIterator[pb.GetTotalsResponse]:
        """Stream what the records of a month add up to; many settlements go on in messages."""
        month, after = parse_month(request.month), _workspace(request.after_workspace_id)
        states = _LATE if request.late else _HOT
        async with self._looking(request.fence, month, *states) as tx:
            async for each in totals.all_totals(tx, month, after=after, late=request.late):
                if not request.late:
                    self._counted.keep(month, each)
                async for message in _with_settlements(tx, month, each, late=request.late):
                    yield pb.GetTotalsResponse(totals=message)

    async def SignManifest(
        self, request: pb.SignManifestRequest, context: Any
    ) -> pb.SignManifestResponse:
        """Sign a manifest, if its totals are ours."""
        claim = Claim(
            month=parse_month(request.month),
            revision=request.revision,
            reason=Reason(request.reason),
            totals=counted_of(request.totals),
            manifest_sha256=request.manifest_sha256,
            late_ids=ids_of(request.late_ids, "late_ids"),
        )
        signed = await signing.sign_manifest(
            self._pool, self._act(), self._key, request.fence, claim, self._counted
        )
        return pb.SignManifestResponse(key_id=signed.key_id, signature=signed.signature)

    async def PublishMonth(
        self, request: pb.PublishMonthRequest, context: Any
    ) -> pb.PublishMonthResponse:
        """Publish a revision."""
        revision = await asyncio.to_thread(_revision, request)
        facts = await publish(self._pool, self._act(), request.fence, revision)
        return pb.PublishMonthResponse(month=self._message(facts))

    async def DetachMonth(
        self, request: pb.DetachMonthRequest, context: Any
    ) -> pb.DetachMonthResponse:
        """Detach a partition."""
        month = parse_month(request.month)
        facts = await months.detach(self._pool, self._dsn, self._act(), request.fence, month)
        return pb.DetachMonthResponse(month=self._message(facts))

    async def DropMonth(self, request: pb.DropMonthRequest, context: Any) -> pb.DropMonthResponse:
        """Drop a partition."""
        month = parse_month(request.month)
        files = await asyncio.to_thread(files_of, request.files, KEPT_FILES_MAX)
        facts = await months.drop(self._pool, self._act(), request.fence, month, files)
        return pb.DropMonthResponse(month=self._message(facts))

    async def ListFiles(self, request: pb.ListFilesRequest, context: Any) -> pb.ListFilesResponse:
        """List files."""
        size = min(request.page_size, FILES_MAX) or FILES_DEFAULT
        workspace_id = _workspace(request.workspace_id)
        # A workspace's files are read as that workspace.
        role: Role = "system" if workspace_id is None else "app"
        async with self._pool.transaction(role, workspace_id) as tx:
            rows = await file_store.list_files(
                tx,
                workspace_id=workspace_id,
                month=parse_month(request.month) if request.month else None,
                newest_only=request.newest_only,
                after=request.page_token,
                limit=size + 1,
            )
        page, token = split_page(rows, size, lambda row: str(row.name))
        entries = await asyncio.to_thread(lambda: list(map(entry_message, page)))
        return pb.ListFilesResponse(entries=entries, next_page_token=token)

    async def RecordDeletion(
        self, request: pb.RecordDeletionRequest, context: Any
    ) -> pb.RecordDeletionResponse:
        """Write down which files were deleted."""
        facts = await months.record_deletion(
            self._pool,
            self._act(),
            request.fence,
            parse_month(request.month),
            await asyncio.to_thread(names_of, request.names),
            reason=int(request.reason),
        )
        return pb.RecordDeletionResponse(month=self._message(facts))

    @asynccontextmanager
    async def _looking(self, fence: int, month: date, *states: State) -> AsyncIterator[Transaction]:
        """Look at one moment of a month in one of these states, for as long as it takes.

        Who lost the lease meanwhile only reads in vain: its next change is refused.
        """
        act = self._act()
        async with self._pool.transaction("system") as tx:
            await lease.hold_fence(tx, fence)
        async with self._pool.transaction("system", snapshot=True) as tx:
            await totals.take_time(tx)
            months.require(await months.read_month(tx, month), act, *states)
            yield tx

    def _act(self) -> Act:
        return Act.of_call(self._clock, self._ids)

    def _message(self, facts: MonthFacts) -> partition_pb2.Month:
        return month_message(facts, facts.state(self._act().now))


def partition_service(
    pool: Pool, dsn: str, key: PlatformKey, clock: Clock, ids: IdSource
) -> Service:
    """Return the service for the server."""
    add = partition_service_pb2_grpc.add_PartitionServiceServicer_to_server
    return Service(NAME, add, PartitionServicer(pool, dsn, key, clock, ids), ALLOWED)


async def _with_settlements(
    tx: Transaction, month: date, each: Totals, *, late: bool
) -> AsyncIterator[partition_pb2.WorkspaceTotals]:
    waiting: list[Settlement] = []
    first = True
    async for settlement in totals.settlements(tx, month, each.workspace_id, late=late):
        if len(waiting) == SETTLEMENTS_AT_ONCE:
            yield _part(each, waiting, first=first)
            waiting, first = [], False
        waiting.append(settlement)
    yield _part(each, waiting, first=first)


def _part(each: Totals, waiting: list[Settlement], *, first: bool) -> partition_pb2.WorkspaceTotals:
    if first:
        return totals_message(each, waiting)
    return settlements_message(each.workspace_id, waiting)


def _revision(request: pb.PublishMonthRequest) -> Revision:
    return Revision(
        month=parse_month(request.month),
        number=request.revision,
        reason=Reason(request.reason),
        files=files_of(request.files, PUBLISHED_FILES_MAX),
        late_ids=ids_of(request.late_ids, "late_ids"),
        duplicate_ids=ids_of(request.duplicate_ids, "duplicate_ids"),
    )


def _workspace(text: str) -> bytes | None:
    return parse_id("ws", text) if text else None
