"""Exports of a month as Arrow: its records, its late records, its purchases and grants."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from core.db.database import Transaction
from core.db.values import to_uuid
from core.metering.model import add_months
from core.metering.partitions import id_range
from core.partitions.arrow import Shape, arrow_parts
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
# What each kind of transaction is to the workspace, and which of its entries say how much. Credit
# that pays an old debt at once is bought or given all the same; leases and freezes move nothing
# out; usage and its waivers are in the records.
_BILLING: Final = """
WITH part (kind, category, accounts, sign) AS (VALUES
    ('paid_grant', 'purchase', ARRAY['paid', 'receivable'], 1),
    ('paid_grant', 'tax', ARRAY['tax_payable'], 1),
    ('promo_grant', 'credit', ARRAY['promo', 'receivable'], 1),
    ('goodwill_grant', 'credit', ARRAY['promo', 'receivable'], 1),
    ('grant_expiry', 'adjustment', ARRAY['promo', 'paid'], 1),
    ('correction', 'adjustment', ARRAY['rev.corrections'], -1),
    ('debt_write_off', 'adjustment', ARRAY['receivable'], 1),
    ('refund_sent', 'refund', ARRAY['psp.stripe_clearing'], -1),
    ('refund_returned', 'refund', ARRAY['psp.stripe_clearing'], -1),
    ('refund_clawback', 'refund', ARRAY['psp.stripe_clearing'], -1),
    ('refund_clawback_returned', 'refund', ARRAY['psp.stripe_clearing'], -1),
    ('dispute_lost', 'refund', ARRAY['psp.stripe_disputed'], -1)
)
SELECT t.workspace_id, t.id AS transaction_id, t.created_at AS posted_at, t.kind, p.category,
       CASE WHEN count(DISTINCT e.grant_id) = 1
            THEN CAST(min(CAST(e.grant_id AS text)) AS uuid) END AS grant_id,
       CAST(sum(e.amount) * p.sign AS bigint) AS amount_nanos,
       CASE WHEN p.category IN ('purchase', 'tax') THEN (
            SELECT d.series || '-' || lpad(CAST(d.number AS text), 6, '0')
              FROM payment AS y JOIN billing_document AS d ON d.payment_id = y.id AND d.kind = 1
             WHERE y.grant_id = t.id) END AS document
  FROM ledger_txn AS t
  JOIN part AS p ON p.kind = t.kind
  JOIN ledger_entry AS e ON e.txn_id = t.id AND e.account = ANY(p.accounts)
 WHERE t.created_at >= '{start}' AND t.created_at < '{stop}' AND t.workspace_id IS NOT NULL
 GROUP BY t.workspace_id, t.id, t.created_at, t.kind, p.category, p.sign
HAVING sum(e.amount) <> 0
 ORDER BY t.workspace_id, t.created_at, t.id, p.category
"""
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
    sql = _BILLING.format(start=f"{month} 00:00Z", stop=f"{add_months(month, 1)} 00:00Z")
    return arrow_parts(dsn, sql, lambda batch: _cast(batch, BILLING_SCHEMA))


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
