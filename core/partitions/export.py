"""Exports of a month as Arrow: its records, its late records, its purchases and grants."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from core.db.database import Transaction
from core.db.values import to_uuid
from core.metering.partitions import id_range
from core.partitions.arrow import Shape, arrow_parts
from core.partitions.billing import billing_sql
from core.partitions.columns import BILLING_SCHEMA, SCHEMA, SELECTED

_RECORDS: Final = f"""
SELECT {SELECTED} FROM usage_record
 WHERE id >= '{{first}}' AND id < '{{end}}' AND workspace_id > '{{after}}'
 ORDER BY workspace_id, id
"""  # noqa: S608 - constants
_LATE: Final = f"""
SELECT {SELECTED} FROM usage_late AS r
 WHERE id >= '{{first}}' AND id < '{{end}}'
   AND NOT EXISTS (SELECT 1 FROM usage_late_archived AS a WHERE a.id = r.id)
 ORDER BY workspace_id, id
"""  # noqa: S608 - constants
_NOBODY: Final = bytes(16)


async def read_models(tx: Transaction) -> pa.StringArray:
    """Read the public ids of all models, each at the place of its number."""
    rows = await tx.all("SELECT number, public_id FROM model")
    names = {row.number: row.public_id for row in rows}
    return pa.array(
        [names.get(number, "") for number in range(max(names, default=0) + 1)], pa.string()
    )


def export_records(
    dsn: str, month: date, models: pa.StringArray, *, after: bytes | None
) -> AsyncIterator[bytes]:
    """Yield the records of a month in the hot store, of workspaces behind `after`."""
    behind = to_uuid(after or _NOBODY)
    return arrow_parts(dsn, _RECORDS.format(**_range(month), after=behind), _named(models))


def export_late(dsn: str, month: date, models: pa.StringArray) -> AsyncIterator[bytes]:
    """Yield the late records of a month that are in no file yet."""
    return arrow_parts(dsn, _LATE.format(**_range(month)), _named(models))


def export_billing(dsn: str, month: date) -> AsyncIterator[bytes]:
    """Yield what workspaces bought, were given, got back and were taxed, by posting date."""
    return arrow_parts(dsn, billing_sql(month), lambda batch: _cast(batch, BILLING_SCHEMA))


def _named(models: pa.StringArray) -> Shape:
    """Put models' public ids in the place of their numbers; nothing else changes."""
    place = SCHEMA.get_field_index("model")

    def shape(batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = list(batch.columns)
        columns[place] = pc.take(models, columns[place])
        return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)

    return shape


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(list(batch.columns), schema=schema)


def _range(month: date) -> dict[str, object]:
    first, end = id_range(month)
    return {"first": to_uuid(first), "end": to_uuid(end)}
