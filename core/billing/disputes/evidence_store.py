"""All SQL that finds evidence: usage sums, documents, what of a grant was charged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from core.billing.documents.model import document_name
from core.db.database import Transaction
from core.db.values import to_uuid
from core.metering.partitions import read_archived_before

USES_MAX: Final = 1_000
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Of a month whose hours went to the archive there is one sum, at its start: it tells of no day.
_USES: Final = """
WITH part AS (
    SELECT CAST(date_trunc(CASE WHEN hour < :hot THEN 'month' ELSE 'day' END,
                           hour AT TIME ZONE 'UTC') AS date) AS day,
           hour < :hot AS is_month, key_id, model_number, requests, charge_nanos
      FROM usage_hourly WHERE workspace_id = :workspace AND hour >= :whole_hours
    UNION ALL
    SELECT CAST(started_at AT TIME ZONE 'UTC' AS date), false, key_id, model_number, 1, charge_nanos
      FROM usage_record
     WHERE workspace_id = :workspace AND id >= :first AND id < :whole_hours_id
)
SELECT part.day, part.is_month, part.key_id, coalesce(m.public_id, '') AS model,
       CAST(sum(part.requests) AS bigint) AS requests,
       CAST(sum(part.charge_nanos) AS bigint) AS charges,
       count(*) OVER () AS all_rows,
       CAST(sum(sum(part.requests)) OVER () AS bigint) AS all_requests,
       CAST(sum(sum(part.charge_nanos)) OVER () AS bigint) AS all_charges
  FROM part LEFT JOIN model AS m ON m.number = part.model_number
 GROUP BY part.day, part.is_month, part.key_id, model
 ORDER BY part.day, part.key_id, model LIMIT :limit
"""
_BOUND: Final = """
SELECT started_at FROM usage_record WHERE workspace_id = :workspace AND id >= :first
 ORDER BY id {} LIMIT 1
"""
_USED: Final = """
SELECT CAST(-coalesce(sum(e.amount), 0) AS bigint) AS total
  FROM ledger_entry AS e JOIN ledger_txn AS t ON t.id = e.txn_id
 WHERE e.grant_id = :grant AND e.account IN ('paid', 'held')
   AND t.kind IN ('settle', 'correction')
"""
_DOCUMENTS: Final = """
SELECT series, number FROM billing_document WHERE payment_id = :payment ORDER BY issued_at, id
"""


@dataclass(frozen=True, slots=True)
class Use:
    """The use of one key and model on one day (UTC), or in an archived month from that day on."""

    day: date
    key_id: bytes
    model: str
    requests: int
    charges: int
    is_month: bool = False

    @property
    def when(self) -> str:
        """Return the day, or the month, as evidence says it."""
        return f"{self.day:%Y-%m}" if self.is_month else f"{self.day:%Y-%m-%d}"


@dataclass(frozen=True, slots=True)
class Uses:
    """The oldest uses, how many more there are, and the sums of all."""

    shown: tuple[Use, ...] = ()
    omitted: int = 0
    requests: int = 0
    charges: int = 0


async def uses(
    tx: Transaction, workspace_id: bytes, *, since: bytes, hour: datetime, hour_id: bytes
) -> Uses:
    """Sum usage by day, key and model: records from `since` on, and whole hours from `hour` on."""
    month = await read_archived_before(tx)
    rows = await tx.all(
        _USES,
        hot=_LONG_AGO if month is None else datetime(month.year, month.month, 1, tzinfo=UTC),
        workspace=to_uuid(workspace_id),
        first=to_uuid(since),
        whole_hours=hour,
        whole_hours_id=to_uuid(hour_id),
        limit=USES_MAX,
    )
    if not rows:
        return Uses()
    first = rows[0]
    return Uses(
        tuple(
            Use(row.day, row.key_id.bytes, row.model, row.requests, row.charges, row.is_month)
            for row in rows
        ),
        omitted=first.all_rows - len(rows),
        requests=first.all_requests,
        charges=first.all_charges,
    )


async def bounds(
    tx: Transaction, workspace_id: bytes, since: bytes
) -> tuple[datetime | None, datetime | None]:
    """Read when the first and the last request from `since` on began."""
    scope = {"workspace": to_uuid(workspace_id), "first": to_uuid(since)}
    first = await tx.one(_BOUND.format("ASC"), **scope)
    last = await tx.one(_BOUND.format("DESC"), **scope)
    return (
        None if first is None else first.started_at,
        None if last is None else last.started_at,
    )


async def used_of_grant(tx: Transaction, grant_id: bytes) -> int:
    """Sum what was charged to a grant, less corrections, in nano-dollars."""
    row = await tx.one(_USED, grant=to_uuid(grant_id))
    return 0 if row is None else int(row.total)


async def document_names(tx: Transaction, payment_id: bytes) -> tuple[str, ...]:
    """Read the names of the documents about a payment, in the order of issue."""
    rows = await tx.all(_DOCUMENTS, payment=to_uuid(payment_id))
    return tuple(document_name(row.series, row.number) for row in rows)
