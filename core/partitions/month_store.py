"""All SQL of months: what was written down, where their partitions are, and what freezes them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, Final, Literal

import psycopg

from core.db.database import CONNECT_SECONDS, Transaction
from core.db.values import to_uuid
from core.metering.model import add_months
from core.metering.partitions import LOCK_TIMEOUT_MS, id_range, partition_name
from core.metering.store import FROZEN_CONSTRAINT
from core.partitions.model import MonthFacts
from kit.reasons import Unavailable

Step = Literal["frozen_at", "published_at", "detached_at", "dropped_at", "expired_at"]
PREFIX: Final = "usage_record_y"
DETACH_TIMEOUT_MS: Final = 30_000
VACUUM_TIMEOUT_MS: Final = 600_000

# Found by name, attached or not: a detached partition is an ordinary table.
_TABLES: Final = """
SELECT c.relname AS name, i.inhrelid IS NOT NULL AS attached,
       coalesce(i.inhdetachpending, false) AS detaching
  FROM pg_class AS c LEFT JOIN pg_inherits AS i
    ON i.inhrelid = c.oid AND i.inhparent = CAST('usage_record' AS regclass)
 WHERE c.relkind = 'r' AND c.relnamespace = CAST('public' AS regnamespace)
   AND c.relname ~ '^usage_record_y[0-9]{4}m[0-9]{2}$'
"""
_MONTHS: Final = """
SELECT month, frozen_at, published_at, detached_at, dropped_at, expired_at, revision, records
  FROM archive_month
"""
_LATE: Final = """
SELECT m.month, count(*) AS records
  FROM unnest(CAST(:months AS date[]), CAST(:firsts AS uuid[]), CAST(:ends AS uuid[]))
       AS m (month, first, next)
  JOIN usage_late AS r ON r.id >= m.first AND r.id < m.next
 WHERE NOT EXISTS (SELECT 1 FROM usage_late_archived AS a WHERE a.id = r.id)
 GROUP BY m.month
"""
_USED: Final = """
SELECT m.month
  FROM unnest(CAST(:months AS date[]), CAST(:firsts AS uuid[]), CAST(:ends AS uuid[]))
       AS m (month, first, next)
 WHERE EXISTS (SELECT 1 FROM usage_record AS r WHERE r.id >= m.first AND r.id < m.next)
    OR EXISTS (SELECT 1 FROM ledger_txn AS t
                WHERE t.usage_month = m.month AND t.records_root IS NOT NULL)
    OR EXISTS (SELECT 1 FROM ledger_txn AS t
                WHERE t.id >= m.first AND t.id < m.next AND t.workspace_id IS NOT NULL)
"""
# A settlement's late records leave together (`file_store.forget_late`).
_LATE_KEPT: Final = """
SELECT month, min(archived_at) AS since
  FROM (SELECT min(a.month) AS month, max(a.archived_at) AS archived_at
          FROM usage_late AS r LEFT JOIN usage_late_archived AS a ON a.id = r.id
         GROUP BY r.settlement_id HAVING bool_and(a.id IS NOT NULL)) AS each
 GROUP BY month
"""
_STEP: Final = {
    step: f"UPDATE archive_month SET {step} = :now WHERE month = :month AND {step} IS NULL"  # noqa: S608 - constants
    for step in ("detached_at", "dropped_at", "expired_at")
}
_COLLAPSE: Final = """
WITH gone AS (
    DELETE FROM usage_hourly WHERE hour >= :start AND hour < :stop RETURNING *
)
INSERT INTO usage_hourly (workspace_id, hour, key_id, model_number, lane, requests,
                          failed_requests, quantities, charge_nanos, waived_nanos)
SELECT workspace_id, :place, key_id, model_number, lane, sum(requests), sum(failed_requests),
       ARRAY[{sums}], sum(charge_nanos), sum(waived_nanos)
  FROM gone GROUP BY workspace_id, key_id, model_number, lane
"""


async def read_months(tx: Transaction) -> list[MonthFacts]:
    """Read all months that have a partition or were archived, oldest first."""
    tables = {_month_of(row.name): row for row in await tx.all(_TABLES)}
    written = {row.month: row for row in await tx.all(_MONTHS)}
    months = sorted(tables.keys() | written.keys())
    late = await _late_records(tx, months)
    kept = {row.month: row.since for row in await tx.all(_LATE_KEPT)}
    hot = [month for month in months if month not in written]
    used = {row.month for row in await tx.all(_USED, **_ranges(hot))}
    return [
        replace(
            _facts(month, tables.get(month), written.get(month)),
            late_records=late.get(month, 0),
            late_kept_since=kept.get(month),
            empty=month not in written and month not in used,
        )
        for month in months
    ]


async def insert_frozen(tx: Transaction, month: date, now: datetime) -> None:
    """Write down that a month is frozen, and that records of it are late from now on."""
    await tx.run("INSERT INTO archive_month (month, frozen_at) VALUES (:m, :now)", m=month, now=now)
    await tx.run(
        "UPDATE archive_watermark SET month = greatest(month, CAST(:next AS date))",
        next=_next(month),
    )


async def freeze_partition(tx: Transaction, month: date) -> None:
    """Let nothing be added to, changed in or removed from a partition.

    The constraint is checked by no look at the rows, which stay readable. It waits for running
    writers, and not long: whoever comes behind it waits too.
    """
    name = partition_name(month)
    await act_as_owner(tx)
    await tx.run(f"ALTER TABLE {name} ADD CONSTRAINT {FROZEN_CONSTRAINT} CHECK (false) NOT VALID")
    await tx.run(
        f"CREATE TRIGGER frozen_rows BEFORE UPDATE OR DELETE ON {name}"
        " FOR EACH ROW EXECUTE FUNCTION usage_is_frozen()"
    )
    await tx.run(
        f"CREATE TRIGGER frozen_table BEFORE TRUNCATE ON {name}"
        " FOR EACH STATEMENT EXECUTE FUNCTION usage_is_frozen()"
    )


async def lock_late(tx: Transaction, month: date) -> None:
    """Wait for writers of late records, who hold the month; those that come now wait."""
    await tx.one("SELECT 1 FROM archive_month WHERE month = :month FOR UPDATE", month=month)


async def set_step(tx: Transaction, month: date, step: Step, now: datetime) -> bool:
    """Write when a step was done; False if it had been before."""
    return await tx.run(_STEP[step], month=month, now=now) == 1


async def set_published(
    tx: Transaction, month: date, *, revision: int, records: int, now: datetime
) -> None:
    """Let reads go to the archive, or tell of a newer revision."""
    await tx.run(
        "UPDATE archive_month SET published_at = coalesce(published_at, :now),"
        " revision = :revision, records = :records WHERE month = :month",
        month=month,
        revision=revision,
        records=records,
        now=now,
    )


async def collapse_hours(tx: Transaction, month: date, dimensions: int) -> None:
    """Make one sum of a dropped month's hours, for each workspace, key, model and lane.

    What spend limits add up stays the same; when things were used is in the archive only.
    """
    sums = ", ".join(
        f"CAST(sum(quantities[{place}]) AS bigint)" for place in range(1, dimensions + 1)
    )
    await tx.run(
        _COLLAPSE.format(sums=sums),
        start=_start(month),
        stop=_start(_next(month)),
        place=_start(month),
    )


async def drop_partition(tx: Transaction, month: date) -> None:
    """Remove a detached partition."""
    await act_as_owner(tx)
    await tx.run(f"DROP TABLE IF EXISTS {partition_name(month)}")


async def detach_partition(dsn: str, month: date, *, detaching: bool) -> None:
    """Detach a partition on a connection of its own: it may run in no transaction.

    Readers and writers go on; it waits for those that began before. What was cut off in the middle
    is `detaching`, and is brought to its end.

    Raises:
        Unavailable: the lock was not to be had, the connection broke, or another core is at it.
    """
    how = "FINALIZE" if detaching else "CONCURRENTLY"
    statement = f"ALTER TABLE usage_record DETACH PARTITION {partition_name(month)} {how}"
    try:
        await _run_apart(dsn, statement, DETACH_TIMEOUT_MS)
    except (
        psycopg.OperationalError,
        psycopg.errors.ObjectNotInPrerequisiteState,
        psycopg.errors.UndefinedTable,
    ) as error:
        raise Unavailable(sqlstate=error.sqlstate or "none") from None


async def vacuum_partition(dsn: str, month: date) -> None:
    """Let a frozen partition be read from its indexes alone, as far as that can be done now.

    Nothing of it changes any more, so this is once for all. Without it the ids of a workspace,
    which lie all over the partition, are looked for in the table: ten times the work. What fails
    or is cut off here is left to PostgreSQL, which vacuums by itself, later.
    """
    statement = f"VACUUM (ANALYZE, TRUNCATE false) {partition_name(month)}"
    with suppress(psycopg.Error):
        await _run_apart(dsn, statement, VACUUM_TIMEOUT_MS)


async def _run_apart(dsn: str, statement: str, timeout_ms: int) -> None:
    """Run what may run in no transaction, as the owner of the usage tables."""
    async with await psycopg.AsyncConnection.connect(
        dsn, autocommit=True, connect_timeout=CONNECT_SECONDS
    ) as connection:
        await connection.execute("SET ROLE oneapi_partitions")
        await connection.execute(f"SET statement_timeout = {timeout_ms}")
        await connection.execute(f"SET lock_timeout = {DETACH_TIMEOUT_MS}")
        await connection.execute(statement)


async def act_as_owner(tx: Transaction) -> None:
    """Go on as the owner of the usage tables, impatiently."""
    await tx.one(
        "SELECT set_config('role', 'oneapi_partitions', true),"
        " set_config('lock_timeout', :limit, true)",
        limit=f"{LOCK_TIMEOUT_MS}ms",
    )


async def _late_records(tx: Transaction, months: Sequence[date]) -> dict[date, int]:
    rows = await tx.all(_LATE, **_ranges(months))
    return {row.month: row.records for row in rows}


def _ranges(months: Sequence[date]) -> dict[str, Any]:
    ranges = [id_range(month) for month in months]
    return {
        "months": list(months),
        "firsts": [to_uuid(first) for first, _ in ranges],
        "ends": [to_uuid(end) for _, end in ranges],
    }


def _facts(month: date, table: Any | None, written: Any | None) -> MonthFacts:
    facts = MonthFacts(
        month,
        exists=table is not None,
        attached=table is not None and table.attached,
        detaching=table is not None and table.detaching,
    )
    return facts if written is None else replace(facts, **written._asdict())


def _month_of(name: str) -> date:
    year, month = name.removeprefix(PREFIX).split("m")
    return date(int(year), int(month), 1)


def _next(month: date) -> date:
    return add_months(month, 1)


def _start(month: date) -> datetime:
    return datetime(month.year, month.month, 1, tzinfo=UTC)
