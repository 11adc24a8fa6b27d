"""Core's side of the archive, kept in memory: enough to run an archiver against."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archiver.columns import QUANTITIES
from core.partitions.model import expires_at
from kit.archive_manifest import manifest_message
from kit.ids import format_id, parse_id
from kit.platform_keys import PublicKeys, key_id_of
from oneapi.common.v1.money_pb2 import Money
from oneapi.common.v1.quantities_pb2 import Quantities
from oneapi.partitions.v1 import partition_service_pb2 as pb
from oneapi.partitions.v1 import partition_service_pb2_grpc as rpc
from oneapi.partitions.v1.partition_pb2 import (
    ArchiveFile,
    Month,
    RevisionReason,
    SettlementRoot,
    WorkspaceTotals,
)
from tests.support.archive_rows import Row, messages, settlements

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
KEY_ID = key_id_of(PUBLIC)
KEYS = PublicKeys({KEY_ID: PUBLIC})
NAME = "2026-03"
ELIGIBLE_AT = datetime(2026, 6, 30, tzinfo=UTC)
BILLING_SCHEMA = pa.schema(
    [
        *((name, pa.uuid()) for name in ("workspace_id", "transaction_id")),
        ("posted_at", pa.timestamp("us", tz="UTC")),
        ("kind", pa.string()),
        ("category", pa.string()),
        ("grant_id", pa.uuid()),
        ("amount_nanos", pa.int64()),
        ("document", pa.string()),
    ]
)


class Killed(BaseException):
    """The process is gone: nothing handles this."""


@dataclass
class CoreMonth:
    """One month as core has it."""

    rows: dict[bytes, list[Row]]
    now: datetime = ELIGIBLE_AT
    frozen: bool = False
    published_at: datetime | None = None
    detached: bool = False
    dropped: bool = False
    expired: bool = False
    revision: int = 0
    late: list[Row] = field(default_factory=list)
    waived: list[Row] = field(default_factory=list)
    """All late rows ever, where that is more than those that are in no file."""
    doubles: list[bytes] = field(default_factory=list)
    files: dict[str, ArchiveFile] = field(default_factory=dict)
    current: set[str] = field(default_factory=set)
    deleted: dict[str, int] = field(default_factory=dict)
    billing: list[Row] = field(default_factory=list)

    def all_rows(self) -> list[Row]:
        """All rows, by workspace and id."""
        return [row for owner in sorted(self.rows) for row in self.rows[owner]]

    @property
    def is_over(self) -> bool:
        """Its files are old enough to be deleted."""
        return self.published_at is not None and self.now >= expires_at(self.published_at)

    def late_rows(self) -> list[Row]:
        """Late rows that are in no file, by workspace and id."""
        return sorted(self.late, key=lambda row: (row["workspace_id"], row["id"]))


class CoreInMemory(rpc.PartitionServiceServicer):
    """A PartitionService; `before` is called with each method's name and may fail it."""

    def __init__(self, month: CoreMonth, rows_each: int = 37) -> None:
        self.month = month
        self.rows_each = rows_each
        self.settlements_each = 20_000
        self.fence = 0
        self.holder = ""
        self.signed: dict[tuple[int, bytes], WorkspaceTotals] = {}
        self.calls: list[str] = []
        self.before: Callable[[str], None] = lambda _: None
        self.break_export_after: int | None = None
        self.break_totals_after: int | None = None
        self.is_away = False
        self.ignored: set[str] = set()
        """Calls that change nothing."""
        self.listed = 0
        self.sent: list[Row] | None = None

    async def AcquireArchiveLease(self, request: Any, context: Any) -> Any:
        """Give the lease to whoever asks last."""
        if self.is_away:
            await context.abort(grpc.StatusCode.UNAVAILABLE)
        if request.holder != self.holder:
            self.holder, self.fence = request.holder, self.fence + 1
        return pb.AcquireArchiveLeaseResponse(fence=self.fence, lifetime_ms=60_000)

    async def ListMonths(self, request: Any, context: Any) -> Any:
        """Tell of the one month."""
        return pb.ListMonthsResponse(months=[self._message()])

    async def FreezeMonth(self, request: Any, context: Any) -> Any:
        """Freeze it."""
        await self._enter("FreezeMonth", request, context)
        self.month.frozen = "FreezeMonth" not in self.ignored
        return pb.FreezeMonthResponse(month=self._message())

    async def ExportMonth(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Send its rows, or those that a test says are sent."""
        await self._enter("ExportMonth", request, context)
        after = _after(request)
        sent = self.month.all_rows() if self.sent is None else self.sent
        left = [row for row in sent if row["workspace_id"] > after]
        for number, message in enumerate(messages(left, self.rows_each)):
            if self.break_export_after is not None and number == self.break_export_after:
                self.break_export_after = None
                await context.abort(grpc.StatusCode.UNAVAILABLE)
            yield pb.ExportMonthResponse(arrow_ipc=message)

    async def ExportLate(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Send late rows."""
        await self._enter("ExportLate", request, context)
        for message in messages(self.month.late_rows(), self.rows_each):
            yield pb.ExportLateResponse(arrow_ipc=message)

    async def ExportBilling(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Send billing rows."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, BILLING_SCHEMA) as writer:
            writer.write_batch(pa.RecordBatch.from_pylist(self.month.billing, BILLING_SCHEMA))
        yield pb.ExportBillingResponse(arrow_ipc=sink.getvalue().to_pybytes())

    async def ExportPrices(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Tell of no price: charges here are of chance."""
        yield pb.ExportPricesResponse()

    async def GetTotals(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Count."""
        rows = self.month.late_rows() if request.late else self.month.all_rows()
        by_owner: Mapping[bytes, list[Row]] = defaultdict(list)
        for row in rows:
            by_owner[row["workspace_id"]].append(row)
        for number, owner in enumerate(sorted(by_owner)):
            if number == self.break_totals_after:
                self.break_totals_after = None
                await context.abort(grpc.StatusCode.UNAVAILABLE)
            if owner > _after(request):
                totals = totals_message(owner, by_owner[owner])
                if request.late and self.month.waived:
                    _settle_whole(totals, by_owner[owner], self.month.waived)
                first, *others = _in_parts(totals, self.settlements_each)
                yield pb.GetTotalsResponse(totals=first)
                for other in others:
                    yield pb.GetTotalsResponse(totals=other)

    async def SignManifest(self, request: Any, context: Any) -> Any:
        """Sign what adds up."""
        await self._enter("SignManifest", request, context)
        owner = parse_id("ws", request.totals.workspace_id)
        if request.reason == RevisionReason.REVISION_REASON_INITIAL:
            expected = totals_message(owner, self.month.rows.get(owner, []))
            del expected.settlements[:]
            expected.ClearField("ledger_charges")
            if expected != request.totals:
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION)
        self.signed[request.revision, owner] = request.totals
        message = manifest_message(
            request.totals.workspace_id, NAME, request.revision, request.manifest_sha256
        )
        return pb.SignManifestResponse(key_id=KEY_ID, signature=KEY.sign(message))

    async def PublishMonth(self, request: Any, context: Any) -> Any:
        """Keep the files."""
        await self._enter("PublishMonth", request, context)
        month = self.month
        if request.revision > month.revision:
            assert request.revision == month.revision + 1
            owners = {file.workspace_id for file in request.files if file.workspace_id}
            kept = {file.name for file in request.files}
            month.current -= {
                name for name in month.current if month.files[name].workspace_id in owners
            }
            month.current |= kept
            for file in request.files:
                month.files.setdefault(file.name, file)
            done = {*request.late_ids, *request.duplicate_ids}
            month.late = [row for row in month.late if row["id"] not in done]
            month.doubles += request.duplicate_ids
            month.revision = request.revision
            month.published_at = month.published_at or month.now
        return pb.PublishMonthResponse(month=self._message())

    async def DetachMonth(self, request: Any, context: Any) -> Any:
        """Detach it."""
        await self._enter("DetachMonth", request, context)
        assert self.month.published_at
        self.month.detached = True
        return pb.DetachMonthResponse(month=self._message())

    async def DropMonth(self, request: Any, context: Any) -> Any:
        """Drop it, if all files were found again."""
        await self._enter("DropMonth", request, context)
        expected = {(f.name, f.size_bytes, f.sha256) for f in self._kept()}
        assert {(f.name, f.size_bytes, f.sha256) for f in request.files} == expected
        self.month.dropped = True
        return pb.DropMonthResponse(month=self._message())

    async def ListFiles(self, request: Any, context: Any) -> Any:
        """Tell of files that were not deleted."""
        self.listed += 1
        entries = [
            pb.ListFilesResponse.Entry(month=NAME, file=file)
            for file in self._kept()
            if (not request.workspace_id or file.workspace_id == request.workspace_id)
            and (not request.newest_only or file.name in self.month.current)
        ]
        return pb.ListFilesResponse(entries=entries)

    async def RecordDeletion(self, request: Any, context: Any) -> Any:
        """Remember what was deleted."""
        await self._enter("RecordDeletion", request, context)
        self.month.deleted |= dict.fromkeys(request.names, request.reason)
        self.month.expired = not self._kept()
        return pb.RecordDeletionResponse(month=self._message())

    async def _enter(self, name: str, request: Any, context: Any) -> None:
        self.calls.append(name)
        self.before(name)
        if request.fence != self.fence:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION)

    def _kept(self) -> list[ArchiveFile]:
        month = self.month
        return [file for name, file in month.files.items() if name not in month.deleted]

    def _message(self) -> Month:
        month = self.month
        state = Month.STATE_ELIGIBLE if month.now >= ELIGIBLE_AT else Month.STATE_HOT
        for reached, following in (
            (month.frozen, Month.STATE_FROZEN),
            (month.published_at is not None, Month.STATE_PUBLISHED),
            (month.detached, Month.STATE_DETACHED),
            (month.dropped, Month.STATE_DROPPED),
            (month.dropped and month.is_over, Month.STATE_EXPIRING),
            (month.expired, Month.STATE_EXPIRED),
        ):
            state = following if reached else state
        message = Month(
            month=NAME, state=state, revision=month.revision, late_records=len(month.late)
        )
        message.empty = not month.frozen and not month.rows
        if month.published_at is not None:
            message.published_at.FromDatetime(month.published_at)
            message.expires_at.FromDatetime(expires_at(month.published_at))
        return message


class MovedClock:
    """The month's own time."""

    def __init__(self, month: CoreMonth) -> None:
        self._month = month

    def now_ns(self) -> int:
        """The month's time."""
        past = self._month.now - datetime(1970, 1, 1, tzinfo=UTC)
        return past // timedelta(microseconds=1) * 1_000

    def monotonic(self) -> float:
        """Seconds of it."""
        return self.now_ns() / 1e9


def totals_message(owner: bytes, found: list[Row]) -> WorkspaceTotals:
    """What core counts."""
    ids = [row["id"] for row in found]
    charge = sum(row["charge_nanos"] for row in found)
    return WorkspaceTotals(
        workspace_id=format_id("ws", owner),
        records=len(found),
        first_id=ids[0] if ids else b"",
        last_id=ids[-1] if ids else b"",
        ids_hash=hashlib.sha256(b"".join(ids)).digest(),
        quantities=Quantities(**{name: sum(row[name] for row in found) for name in QUANTITIES}),
        charges=Money(amount_nanos=charge, currency_code="USD"),
        waived=Money(amount_nanos=sum(row["waived_nanos"] for row in found), currency_code="USD"),
        ledger_charges=Money(amount_nanos=charge, currency_code="USD"),
        settlements=[SettlementRoot(**each._asdict()) for each in settlements(found)],
    )


def _settle_whole(totals: WorkspaceTotals, found: list[Row], every: list[Row]) -> None:
    """Name the settlements of rows as they are: also over rows that are in files already."""
    names = {row["settlement_id"] for row in found}
    whole = settlements([row for row in every if row["settlement_id"] in names])
    del totals.settlements[:]
    totals.settlements.extend(SettlementRoot(**each._asdict()) for each in whole)


def _in_parts(totals: WorkspaceTotals, size: int) -> list[WorkspaceTotals]:
    """Cut totals where their settlements are many: they go on with the workspace alone."""
    every = list(totals.settlements)
    del totals.settlements[size:]
    return [
        totals,
        *(
            WorkspaceTotals(
                workspace_id=totals.workspace_id, settlements=every[place : place + size]
            )
            for place in range(size, len(every), size)
        ),
    ]


def _after(request: Any) -> bytes:
    return parse_id("ws", request.after_workspace_id) if request.after_workspace_id else b""
