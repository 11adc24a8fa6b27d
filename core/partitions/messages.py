"""Between messages and months, totals and files, nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from core.ledger.messages import money_message
from core.metering.messages import quantities_message, quantities_of
from core.partitions.file_store import file_of
from core.partitions.model import (
    DROP_AFTER,
    File,
    FileKind,
    MonthFacts,
    State,
    Totals,
    eligible_at,
    expires_at,
    month_name,
)
from core.partitions.totals import Settlement
from core.timestamps import to_timestamp
from kit.charge import Price
from kit.ids import format_id, parse_id
from oneapi.partitions.v1 import partition_pb2 as pb
from oneapi.partitions.v1 import partition_service_pb2 as service_pb


def price_message(price: Price) -> service_pb.ExportPricesResponse.Price:
    """Render a price version: what it charges for."""
    tiers = [
        service_pb.ExportPricesResponse.Tier(
            above_context_tokens=tier.above_context_tokens, rates=tier.rates
        )
        for tier in price.tiers
    ]
    return service_pb.ExportPricesResponse.Price(number=price.number, tiers=tiers)


def month_message(facts: MonthFacts, state: State) -> pb.Month:
    """Render a month."""
    return pb.Month(
        month=month_name(facts.month),
        state=pb.Month.State.ValueType(state),
        eligible_at=to_timestamp(eligible_at(facts.month)),
        frozen_at=to_timestamp(facts.frozen_at),
        published_at=to_timestamp(facts.published_at),
        detached_at=to_timestamp(facts.detached_at),
        dropped_at=to_timestamp(facts.dropped_at),
        expired_at=to_timestamp(facts.expired_at),
        revision=facts.revision,
        # What is late before the first file is written goes into a later one all the same.
        late_records=facts.late_records,
        late_removable_at=_removable_at(facts),
        empty=facts.empty,
        expires_at=_expires_at(facts),
    )


def _expires_at(facts: MonthFacts) -> Timestamp | None:
    if facts.published_at is None:
        return None
    return to_timestamp(expires_at(facts.published_at))


def _removable_at(facts: MonthFacts) -> Timestamp | None:
    if facts.late_kept_since is None:
        return None
    return to_timestamp(facts.late_kept_since + DROP_AFTER)


def totals_message(totals: Totals, settlements: Sequence[Settlement] = ()) -> pb.WorkspaceTotals:
    """Render totals, with the first of their settlements."""
    message = settlements_message(totals.workspace_id, settlements)
    message.records = totals.records
    message.first_id = totals.first_id
    message.last_id = totals.last_id
    message.ids_hash = totals.ids_hash
    message.quantities.CopyFrom(quantities_message(totals.quantities))
    message.charges.CopyFrom(money_message(totals.charges))
    message.waived.CopyFrom(money_message(totals.waived))
    message.ledger_charges.CopyFrom(money_message(totals.ledger_charges))
    return message


def settlements_message(
    workspace_id: bytes, settlements: Iterable[Settlement]
) -> pb.WorkspaceTotals:
    """Render settlements of a workspace that go on where the message before ended."""
    return pb.WorkspaceTotals(
        workspace_id=format_id("ws", workspace_id),
        settlements=[
            pb.SettlementRoot(
                transaction_id=format_id("txn", each.transaction_id),
                sequence=each.sequence,
                hash=each.hash,
                records_root=each.records_root,
                record_count=each.records,
            )
            for each in settlements
        ],
    )


def totals_of_message(message: pb.WorkspaceTotals) -> Totals:
    """Return totals that the archiver counted; the ledger is ours to ask."""
    return Totals(
        workspace_id=parse_id("ws", message.workspace_id),
        records=message.records,
        first_id=message.first_id,
        last_id=message.last_id,
        ids_hash=message.ids_hash,
        quantities=quantities_of(message.quantities),
        charges=message.charges.amount_nanos,
        waived=message.waived.amount_nanos,
    )


def file_of_message(message: pb.ArchiveFile) -> File:
    """Return a file that the archiver wrote."""
    return File(
        name=message.name,
        kind=FileKind(message.kind),
        workspace_id=parse_id("ws", message.workspace_id) if message.workspace_id else None,
        revision=message.revision,
        size_bytes=message.size_bytes,
        rows=message.rows,
        sha256=message.sha256,
        charges=message.charges.amount_nanos,
    )


def entry_message(row: Any) -> service_pb.ListFilesResponse.Entry:
    """Render a file with its month."""
    file = file_of(row)
    return service_pb.ListFilesResponse.Entry(
        month=month_name(row.month),
        file=pb.ArchiveFile(
            name=file.name,
            kind=pb.ArchiveFile.Kind.ValueType(file.kind),
            workspace_id="" if file.workspace_id is None else format_id("ws", file.workspace_id),
            revision=file.revision,
            size_bytes=file.size_bytes,
            rows=file.rows,
            sha256=file.sha256,
            charges=money_message(file.charges),
            deleted_at=to_timestamp(row.deleted_at),
        ),
        published_at=to_timestamp(row.published_at),
    )
