"""Replays settlements from their usage records: roots, charges, contents, sums and rollups."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from core.db.database import Transaction
from core.db.values import to_uuid
from core.ledger.model import LATE_WAIVER
from core.ledger.proofs.finding import Finding, Tally, differing, stream
from core.ledger.store import optional_uuid
from core.metering.copy_row import COLUMNS
from core.metering.model import Record, figure_of
from core.metering.partitions import read_archived_before
from core.metering.prices import PriceBook
from core.metering.rollup_proofs import check_rollups
from kit.canonical import record_leaf
from kit.charge import InvalidQuantityError
from kit.clock import to_micros
from kit.ids import format_id
from kit.merkle import root
from kit.money import InvalidAmountError
from oneapi.common.v1.quantities_pb2 import Quantities
from oneapi.metering.v1.usage_record_pb2 import WaiveReason

SETTLEMENTS_AT_ONCE: Final = 100
QUANTITY_COLUMNS: Final = tuple(each.name for each in Quantities.DESCRIPTOR.fields)
_PLAIN: Final = tuple(
    name
    for name in Record._fields
    if name not in {"request_id", "workspace_id", "key_id", "started_at_micros", "quantities"}
)
_SETTLEMENTS: Final = """
SELECT t.id, t.kind, t.usage_month, t.records_root, t.record_count,
       CAST(coalesce(sum(e.amount) FILTER (WHERE e.account = 'rev.usage'), 0) AS bigint) AS charged,
       CAST(coalesce(sum(e.amount) FILTER (WHERE e.account = 'rev.waived'), 0) AS bigint) AS waived
  FROM ledger_txn AS t LEFT JOIN ledger_entry AS e ON e.txn_id = t.id
 WHERE t.records_root IS NOT NULL AND t.id > CAST(:after AS uuid)
   AND (CAST(:workspace AS uuid) IS NULL OR t.workspace_id = CAST(:workspace AS uuid))
 GROUP BY t.id ORDER BY t.id LIMIT :limit
"""
_RECORDS: Final = {
    table: f"SELECT {COLUMNS} FROM {table} WHERE settlement_id = ANY(%(ids)s)"  # noqa: S608 - constants
    " ORDER BY settlement_id, id"
    for table in ("usage_record", "usage_late")
}
_ORPHANS: Final = """
SELECT r.id FROM (SELECT id, workspace_id, settlement_id FROM usage_record
                  UNION ALL SELECT id, workspace_id, settlement_id FROM usage_late) AS r
 WHERE (%(workspace)s::uuid IS NULL OR r.workspace_id = %(workspace)s::uuid)
   AND NOT EXISTS (SELECT 1 FROM ledger_txn AS t
                    WHERE t.id = r.settlement_id AND t.workspace_id = r.workspace_id
                      AND t.records_root IS NOT NULL)
"""


@dataclass(slots=True)
class _Replayed:
    """What the records of one settlement add up to."""

    leaves: list[bytes] = field(default_factory=list)
    charged: int = 0
    waived: int = 0


class UsageProofs:
    """Checks usage records against price versions and the settlements that charged them."""

    async def check(
        self, tx: Transaction, workspace_id: bytes | None, tally: Tally
    ) -> AsyncIterator[Finding]:
        """Yield what does not add up, of one workspace or of all."""
        prices, after = PriceBook(), to_uuid(bytes(16))
        hot_from = await read_archived_before(tx)
        while True:
            page = await tx.all(
                _SETTLEMENTS,
                after=after,
                workspace=optional_uuid(workspace_id),
                limit=SETTLEMENTS_AT_ONCE,
            )
            if not page:
                break
            after = page[-1].id
            replayed = {row.id.bytes: _Replayed() for row in page}
            async for finding in _check_records(tx, page, replayed, prices, tally):
                yield finding
            for row in page:
                is_archived = hot_from is not None and row.usage_month < hot_from
                # Archived records are gone all together or not yet: some of them are too few.
                if replayed[row.id.bytes].leaves or not is_archived:
                    for finding in _check_settlement(row, replayed[row.id.bytes]):
                        yield finding
        async for orphan in stream(
            tx, "orphans", _ORPHANS, {"workspace": optional_uuid(workspace_id)}
        ):
            yield Finding("records_root", format_id("req", orphan["id"].bytes), "settled", "not")
        async for finding in check_rollups(tx, workspace_id):
            yield finding


async def _check_records(
    tx: Transaction,
    page: Sequence[Any],
    replayed: Mapping[bytes, _Replayed],
    prices: PriceBook,
    tally: Tally,
) -> AsyncIterator[Finding]:
    for table, late in (("usage_record", False), ("usage_late", True)):
        ids = [row.id for row in page if (row.kind == LATE_WAIVER) == late]
        if ids:
            async for row in stream(tx, "records", _RECORDS[table], {"ids": ids}):
                if prices.missing([row["price_version"]]):
                    await prices.load(tx, [row["price_version"]])
                for finding in _check_record(row, replayed[row["settlement_id"].bytes], prices):
                    yield finding
                tally.records += 1
                tally.charges += row["charge_nanos"]


def _check_record(row: Mapping[str, Any], sums: _Replayed, prices: PriceBook) -> list[Finding]:
    record = stored_record(row)
    name = format_id("req", record.request_id)
    figure = _figure(record, prices)
    expected = (0, figure) if record.waive_reason else (figure, 0)
    found = (row["charge_nanos"], row["waived_nanos"])
    sums.leaves.append(
        record_leaf(record.request_id, record.price_version, record.quantities, found[0])
    )
    sums.charged += found[0]
    if record.waive_reason in _POSTED:
        sums.waived += found[1]
    return [
        *differing("record_charge", name, expected, found),
        *differing("record_content", name, _content_hash(record), row["content_hash"]),
    ]


def _check_settlement(row: Any, sums: _Replayed) -> list[Finding]:
    name = format_id("txn", row.id.bytes)
    return [
        *differing("records_root", name, row.records_root, root(sums.leaves)),
        *differing("records_root", name, row.record_count, len(sums.leaves)),
        *differing("settlement_sum", name, (row.charged, row.waived), (sums.charged, sums.waived)),
    ]


def _figure(record: Record, prices: PriceBook) -> int | None:
    try:
        return figure_of(record, prices.get(record.price_version))
    except (InvalidAmountError, InvalidQuantityError):
        return None


def stored_record(row: Mapping[str, Any]) -> Record:
    """Return a row of the table as the record that was reported."""
    plain: dict[str, Any] = {name: row[name] for name in _PLAIN}
    return Record(
        request_id=row["id"].bytes,
        workspace_id=row["workspace_id"].bytes,
        key_id=row["key_id"].bytes,
        started_at_micros=to_micros(row["started_at"]),
        quantities=tuple(row[name] for name in QUANTITY_COLUMNS),
        **(plain | {"attempts": tuple(row["attempts"])}),
    )


def _content_hash(record: Record) -> bytes:
    """Return the hash of a stored record; a value that no record can have has none."""
    try:
        return record.content_hash()
    except struct.error:
        return b""


_POSTED: Final = frozenset({WaiveReason.WAIVE_REASON_LATE, WaiveReason.WAIVE_REASON_EDGE_CRASH})
"""Waived usage that is posted as our expense."""
