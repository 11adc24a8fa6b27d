"""What the archiver asks of core: the hot store's side of each step, under one fencing number."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import grpc

from archiver.calendar import format_month
from archiver.columns import QUANTITIES
from archiver.model import CountedMonth, CountedPart, Settlement, Totals
from kit.charge import PriceTier
from kit.ids import format_id, parse_id
from kit.reasons import DomainError
from oneapi.common.v1.money_pb2 import Money
from oneapi.common.v1.quantities_pb2 import Quantities
from oneapi.partitions.v1 import partition_service_pb2 as pb
from oneapi.partitions.v1 import partition_service_pb2_grpc
from oneapi.partitions.v1.partition_pb2 import (
    ArchiveFile,
    Month,
    RevisionReason,
    SettlementRoot,
    WorkspaceTotals,
)

CALL_SECONDS: Final = 30.0
LONG_CALL_SECONDS: Final = 900.0
"""Deadline of calls that look at a whole month."""
STREAM_SECONDS: Final = 6 * 3_600.0
PAGE: Final = 10_000


class LeaseLost(DomainError):
    """Another archiver works; this one has to stop."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as core has written it down."""

    month: str
    file: ArchiveFile


class CoreLink:
    """Calls core's PartitionService with the fencing number of our lease."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Call over the channel, as a holder of its own."""
        self._stub: Any = partition_service_pb2_grpc.PartitionServiceStub(channel)
        self._holder = secrets.token_hex(16)
        self.fence = 0

    async def take_lease(self) -> float:
        """Take or renew the lease; return how many seconds it lasts, 0 if another has it."""
        answer = await self._stub.AcquireArchiveLease(
            pb.AcquireArchiveLeaseRequest(holder=self._holder), timeout=CALL_SECONDS
        )
        self.fence = answer.fence
        return answer.lifetime_ms / 1_000 if answer.fence else 0.0

    async def check_lease(self) -> None:
        """Make sure that no other archiver took our place.

        Raises:
            LeaseLost: one did.
        """
        before = self.fence
        if not await self.take_lease() or self.fence != before:
            raise LeaseLost

    async def months(self) -> Sequence[Month]:
        """Return all months, oldest first."""
        answer = await self._stub.ListMonths(pb.ListMonthsRequest(), timeout=CALL_SECONDS)
        return list(answer.months)

    async def freeze(self, month: date) -> None:
        """Freeze a month."""
        await self._long("FreezeMonth", pb.FreezeMonthRequest, month)

    async def detach(self, month: date) -> None:
        """Detach a published month."""
        await self._long("DetachMonth", pb.DetachMonthRequest, month)

    async def drop(self, month: date, files: Sequence[ArchiveFile]) -> None:
        """Drop a month whose files were looked at again."""
        await self._long("DropMonth", pb.DropMonthRequest, month, files=files)

    async def export(self, month: date, after: bytes | None) -> AsyncIterator[bytes]:
        """Yield the messages of a month's export, of the workspaces behind one."""
        request = pb.ExportMonthRequest(
            fence=self.fence, month=format_month(month), after_workspace_id=_workspace(after)
        )
        async for answer in self._stub.ExportMonth(request, timeout=STREAM_SECONDS):
            yield answer.arrow_ipc

    async def export_late(self, month: date) -> AsyncIterator[bytes]:
        """Yield the messages of a month's late records that are in no file yet."""
        request = pb.ExportLateRequest(fence=self.fence, month=format_month(month))
        async for answer in self._stub.ExportLate(request, timeout=STREAM_SECONDS):
            yield answer.arrow_ipc

    async def export_billing(self, month: date) -> AsyncIterator[bytes]:
        """Yield the messages of a month's billing."""
        request = pb.ExportBillingRequest(fence=self.fence, month=format_month(month))
        async for answer in self._stub.ExportBilling(request, timeout=STREAM_SECONDS):
            yield answer.arrow_ipc

    async def prices(self) -> dict[int, tuple[PriceTier, ...]]:
        """Return the tiers of all price versions, by number."""
        request = pb.ExportPricesRequest(fence=self.fence)
        return {
            price.number: tuple(
                PriceTier(tier.above_context_tokens, tuple(tier.rates)) for tier in price.tiers
            )
            async for answer in self._stub.ExportPrices(request, timeout=STREAM_SECONDS)
            for price in answer.prices
        }

    async def totals(
        self, month: date, after: bytes | None, *, late: bool = False
    ) -> AsyncGenerator[CountedPart, None]:
        """Yield what core counts, by workspace; many settlements of one come in messages."""
        request = pb.GetTotalsRequest(
            fence=self.fence,
            month=format_month(month),
            after_workspace_id=_workspace(after),
            late=late,
        )
        async for answer in self._stub.GetTotals(request, timeout=STREAM_SECONDS):
            yield await asyncio.to_thread(_counted, answer.totals)

    async def sign(
        self,
        month: date,
        workspace_id: bytes,
        totals: Totals,
        *,
        revision: int,
        reason: RevisionReason.ValueType,
        manifest_sha256: bytes,
        late_ids: Sequence[bytes] = (),
    ) -> tuple[str, bytes]:
        """Return the platform's key id and signature for a manifest."""
        answer = await self._long(
            "SignManifest",
            pb.SignManifestRequest,
            month,
            totals=_totals_message(workspace_id, totals),
            manifest_sha256=manifest_sha256,
            revision=revision,
            reason=reason,
            late_ids=late_ids,
        )
        return answer.key_id, answer.signature

    async def publish(
        self,
        month: date,
        revision: int,
        reason: RevisionReason.ValueType,
        files: Sequence[ArchiveFile],
        *,
        late_ids: Sequence[bytes] = (),
        duplicate_ids: Sequence[bytes] = (),
    ) -> None:
        """Publish a revision."""
        await self._long(
            "PublishMonth",
            pb.PublishMonthRequest,
            month,
            revision=revision,
            reason=reason,
            files=files,
            late_ids=late_ids,
            duplicate_ids=duplicate_ids,
        )

    async def files(
        self, month: date, workspace_id: bytes | None = None, *, newest_only: bool
    ) -> Sequence[ArchiveFile]:
        """Return the files of a month that were not deleted, of one workspace or of all."""
        found: list[ArchiveFile] = []
        token = ""
        while True:
            request = pb.ListFilesRequest(
                month=format_month(month),
                workspace_id=_workspace(workspace_id),
                newest_only=newest_only,
                page_size=PAGE,
                page_token=token,
            )
            answer = await self._stub.ListFiles(request, timeout=LONG_CALL_SECONDS)
            found += [e.file for e in answer.entries if not e.file.HasField("deleted_at")]
            token = answer.next_page_token
            if not token:
                return found

    async def record_deletion(
        self,
        month: date,
        reason: pb.RecordDeletionRequest.Reason.ValueType,
        names: Sequence[str],
    ) -> None:
        """Tell of deleted files."""
        request = pb.RecordDeletionRequest
        await self._long("RecordDeletion", request, month, reason=reason, names=names)

    async def _long(self, method: str, request: Any, month: date, **fields: Any) -> Any:
        message = request(fence=self.fence, month=format_month(month), **fields)
        return await getattr(self._stub, method)(message, timeout=LONG_CALL_SECONDS)


def _workspace(workspace_id: bytes | None) -> str:
    return "" if workspace_id is None else format_id("ws", workspace_id)


def _counted(message: WorkspaceTotals) -> CountedPart:
    totals = Totals(
        records=message.records,
        first_id=message.first_id,
        last_id=message.last_id,
        ids_hash=message.ids_hash,
        quantities=tuple(getattr(message.quantities, name) for name in QUANTITIES),
        charge_nanos=message.charges.amount_nanos,
        waived_nanos=message.waived.amount_nanos,
    )
    counted = CountedMonth(
        workspace_id=parse_id("ws", message.workspace_id),
        totals=totals,
        ledger_charge_nanos=message.ledger_charges.amount_nanos,
    )
    return CountedPart(counted, [_settlement(each) for each in message.settlements])


def _settlement(message: SettlementRoot) -> Settlement:
    return Settlement(
        transaction_id=message.transaction_id,
        sequence=message.sequence,
        hash=message.hash,
        records_root=message.records_root,
        record_count=message.record_count,
    )


def _totals_message(workspace_id: bytes, totals: Totals) -> WorkspaceTotals:
    return WorkspaceTotals(
        workspace_id=format_id("ws", workspace_id),
        records=totals.records,
        first_id=totals.first_id,
        last_id=totals.last_id,
        ids_hash=totals.ids_hash,
        quantities=Quantities(**dict(zip(QUANTITIES, totals.quantities, strict=True))),
        charges=Money(amount_nanos=totals.charge_nanos, currency_code="USD"),
        waived=Money(amount_nanos=totals.waived_nanos, currency_code="USD"),
    )
