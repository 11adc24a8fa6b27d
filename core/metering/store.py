"""All SQL that writes usage: records, late records, rollups, alarms and the epochs' progress."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from operator import add
from typing import Any, Final, Literal

import psycopg
from sqlalchemy import exc

from core.db.database import Transaction
from core.db.values import to_uuid
from core.metering.copy_row import COLUMNS, HEADER, TRAILER, copy_row
from core.metering.model import PricedRecord, hour_of
from kit.charge import NOTHING, Quantities
from kit.clock import to_micros
from kit.ids import IdSource
from kit.reasons import Unavailable

UsageTable = Literal["usage_record", "usage_late"]
FROZEN_CONSTRAINT: Final = "usage_frozen"
FROZEN: Final = "frozen"
"""The cause that is told of a month that was frozen meanwhile."""
"""What stands before the rows of a month that is on its way to the archive."""

_INCOMING: Final = (
    "CREATE TEMPORARY TABLE IF NOT EXISTS incoming_usage (LIKE usage_record) ON COMMIT DELETE ROWS"
)
_COPY: Final = f"COPY incoming_usage ({COLUMNS}) FROM STDIN (FORMAT binary)"
_INSERT: Final = {
    table: f"WITH new AS (INSERT INTO {table} ({COLUMNS})"  # noqa: S608 - constants
    f" SELECT {COLUMNS} FROM incoming_usage ORDER BY id ON CONFLICT (id) DO NOTHING RETURNING id)"
    # Nearly always all are new: then no list of ids is needed.
    " SELECT CASE WHEN count(*) < :expected THEN coalesce(array_agg(id), '{}') END AS ids"
    " FROM new"
    for table in ("usage_record", "usage_late")
}
_HASHES: Final = {
    table: f"SELECT id, content_hash FROM {table} WHERE id = ANY(CAST(:ids AS uuid[]))"  # noqa: S608 - constants
    for table in ("usage_record", "usage_late")
}
_ROLL_UP: Final = """
INSERT INTO usage_hourly (workspace_id, hour, key_id, model_number, lane, requests,
                          failed_requests, quantities, charge_nanos, waived_nanos)
SELECT :workspace_id, hour, key_id, model_number, lane, requests, failed_requests,
       CAST(quantities AS bigint[]), charge_nanos, waived_nanos
  FROM unnest(CAST(:hours AS timestamptz[]), CAST(:keys AS uuid[]), CAST(:models AS integer[]),
              CAST(:lanes AS smallint[]), CAST(:requests AS bigint[]), CAST(:failed AS bigint[]),
              CAST(:quantities AS text[]), CAST(:charges AS bigint[]), CAST(:waived AS bigint[]))
       AS row (hour, key_id, model_number, lane, requests, failed_requests, quantities,
               charge_nanos, waived_nanos)
ON CONFLICT (workspace_id, hour, key_id, model_number, lane) DO UPDATE SET
    requests = usage_hourly.requests + excluded.requests,
    failed_requests = usage_hourly.failed_requests + excluded.failed_requests,
    quantities = (SELECT array_agg(a + b ORDER BY place)
                    FROM unnest(usage_hourly.quantities, excluded.quantities)
                         WITH ORDINALITY AS pair (a, b, place)),
    charge_nanos = usage_hourly.charge_nanos + excluded.charge_nanos,
    waived_nanos = usage_hourly.waived_nanos + excluded.waived_nanos
"""
_ALARMS: Final = """
INSERT INTO alarm (id, occurred_at, kind, edge_id, epoch, object_id, expected, found)
SELECT id, :now, kind, edge_id, epoch, object_id, expected, found
  FROM unnest(CAST(:ids AS uuid[]), CAST(:kinds AS text[]), CAST(:edges AS integer[]),
              CAST(:epochs AS bigint[]), CAST(:objects AS text[]), CAST(:expected AS bigint[]),
              CAST(:found AS bigint[]))
       AS row (id, kind, edge_id, epoch, object_id, expected, found)
"""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that must not happen and did. Ids and numbers only."""

    kind: str
    edge_id: int
    epoch: int
    object_id: str
    expected: int = 0
    found: int = 0


@dataclass(slots=True)
class _HourRow:
    requests: int = 0
    failed: int = 0
    quantities: Quantities = NOTHING
    charge: int = 0
    waived: int = 0

    def add(self, priced: PricedRecord) -> None:
        self.requests += 1
        self.failed += priced.record.failed
        self.quantities = tuple(map(add, self.quantities, priced.record.quantities))
        self.charge += priced.charge
        self.waived += priced.waived


@dataclass(slots=True)
class Rollup:
    """Sums of records by hour, key, model and lane."""

    rows: dict[tuple[datetime, bytes, int, int], _HourRow] = field(default_factory=dict)

    def add(self, priced: PricedRecord) -> None:
        """Count one record in."""
        record = priced.record
        place = (
            hour_of(record.request_id),
            record.key_id,
            record.model_number,
            record.served_lane,
        )
        self.rows.setdefault(place, _HourRow()).add(priced)


async def insert_records(
    tx: Transaction,
    table: UsageTable,
    records: Sequence[PricedRecord],
    settlement_id: bytes,
    now: datetime,
) -> set[bytes]:
    """Write records that are not there yet and return the ids of those that were new.

    Binary COPY to a temporary table first: row-level security allows no COPY to the table itself.

    Raises:
        Unavailable: the month was frozen since this transaction read the watermark; tried again,
            the records are late.
    """
    await tx.run(_INCOMING)
    micros = to_micros(now)
    rows = b"".join(copy_row(priced, settlement_id, micros) for priced in records)
    async with tx.connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        await copy.write(HEADER + rows + TRAILER)
    try:
        (row,) = await tx.all(_INSERT[table], expected=len(records))
    except exc.IntegrityError as error:
        if _is_frozen(error.orig):
            raise Unavailable(cause=FROZEN) from None
        raise
    if row.ids is None:
        return {priced.record.request_id for priced in records}
    return {identifier.bytes for identifier in row.ids}


async def stored_hashes(
    tx: Transaction, table: UsageTable, ids: Iterable[bytes]
) -> dict[bytes, bytes]:
    """Read the content hashes of records that are there."""
    wanted = [to_uuid(identifier) for identifier in ids]
    if not wanted:
        return {}
    rows = await tx.all(_HASHES[table], ids=wanted)
    return {row.id.bytes: row.content_hash for row in rows}


async def hold_late(tx: Transaction, month: date) -> None:
    """Let no late record of a month leave until this transaction ends.

    One that left between two looks would be found in neither place.
    """
    await tx.one("SELECT 1 FROM archive_month WHERE month = :month FOR SHARE", month=month)


async def archived_late(tx: Transaction, ids: Iterable[bytes]) -> set[bytes]:
    """Return which of these are late records that are in the archive."""
    rows = await tx.all(
        "SELECT id FROM usage_late_archived WHERE id = ANY(CAST(:ids AS uuid[]))",
        ids=[to_uuid(identifier) for identifier in ids],
    )
    return {row.id.bytes for row in rows}


async def roll_up(tx: Transaction, workspace_id: bytes, rollup: Rollup) -> None:
    """Add sums to the hourly rows of a workspace, whose wallet is locked."""
    # One order for all writers, though the wallet's lock alone keeps them apart.
    rows = sorted(rollup.rows.items(), key=lambda item: item[0])
    await tx.run(
        _ROLL_UP,
        workspace_id=to_uuid(workspace_id),
        hours=[hour for (hour, _, _, _), _ in rows],
        keys=[to_uuid(key) for (_, key, _, _), _ in rows],
        models=[model for (_, _, model, _), _ in rows],
        lanes=[lane for (_, _, _, lane), _ in rows],
        requests=[row.requests for _, row in rows],
        failed=[row.failed for _, row in rows],
        quantities=[_array_text(row.quantities) for _, row in rows],
        charges=[row.charge for _, row in rows],
        waived=[row.waived for _, row in rows],
    )


async def insert_alarms(
    tx: Transaction, alarms: Sequence[Alarm], ids: IdSource, now: datetime
) -> None:
    """Write alarms."""
    if not alarms:
        return
    await tx.run(
        _ALARMS,
        now=now,
        ids=[to_uuid(ids.new()) for _ in alarms],
        kinds=[alarm.kind for alarm in alarms],
        edges=[alarm.edge_id for alarm in alarms],
        epochs=[alarm.epoch for alarm in alarms],
        objects=[alarm.object_id for alarm in alarms],
        expected=[alarm.expected for alarm in alarms],
        found=[alarm.found for alarm in alarms],
    )


async def lock_epoch(tx: Transaction, edge_id: int, epoch: int) -> Any:
    """Lock an epoch and read how far its spool was taken; None if core does not know it."""
    return await tx.one(
        "SELECT acked_sequence, missing_frames FROM edge_epoch"
        " WHERE edge_id = :edge_id AND epoch = :epoch FOR NO KEY UPDATE",
        edge_id=edge_id,
        epoch=epoch,
    )


async def advance_epoch(
    tx: Transaction, edge_id: int, epoch: int, *, acked: int, missing: int
) -> None:
    """Write how far a spool was taken and how many of its frames never came."""
    await tx.run(
        "UPDATE edge_epoch SET acked_sequence = :acked, missing_frames = :missing"
        " WHERE edge_id = :edge_id AND epoch = :epoch",
        edge_id=edge_id,
        epoch=epoch,
        acked=acked,
        missing=missing,
    )


def _is_frozen(error: BaseException | None) -> bool:
    return (
        isinstance(error, psycopg.errors.CheckViolation)
        and error.diag.constraint_name == FROZEN_CONSTRAINT
    )


def _array_text(numbers: Quantities) -> str:
    return "{" + ",".join(map(str, numbers)) + "}"
