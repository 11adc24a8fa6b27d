"""Months of usage to be archived: some thousand records settled by core, and copies of them.

Settling millions takes longer than what is measured. So the first month is made by core itself,
and each further one has as many copies of it as are wanted: rows with ids and days of their own, in
the order in which they would have come; settlements with ids of their own and the sums of their
rows. What is copied cannot be proved by its settlements' roots, for these are of the first month's
ids; the archiver and core compare everything else of it as ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from archiver.calendar import add_months, start_of
from core.db.database import Database
from core.demo_usage.maker import Maker, Plan
from core.keyring import load_or_make_keyring
from core.metering.partitions import ensure_month, partition_name
from kit.clock import to_micros
from kit.ids import IdSource

FIRST: Final = date(2026, 2, 1)
"""The shortest month: its days fit into every other."""
ORIGINALS_MAX: Final = 10_000
DAY_MS: Final = 86_400_000
_CHANGED: Final = {
    "id": "CAST(lpad(to_hex(c.unix_ms), 12, '0') || substr(c.digits, 13, 4) || 'a'"
    " || substr(c.noise, 1, 15) AS uuid)",
    "settlement_id": "CAST(md5(CAST(r.settlement_id AS text) || c.copy) AS uuid)",
    "started_at": "r.started_at + (c.unix_ms - c.was_ms) * interval '1 ms'",
    "recorded_at": "r.recorded_at + (c.unix_ms - c.was_ms) * interval '1 ms'",
}
_ROWS: Final = """
INSERT INTO usage_record ({columns}) SELECT {values} FROM {original} AS r
 CROSS JOIN generate_series(1, {copies}) AS n
 CROSS JOIN LATERAL (
       SELECT replace(CAST(r.id AS text), '-', '') AS digits, {name} || n AS copy) AS a
 CROSS JOIN LATERAL (
       SELECT a.copy, a.digits, md5(a.digits || a.copy) AS noise,
              CAST(CAST('x' || lpad(substr(a.digits, 1, 12), 16, '0') AS bit(64)) AS bigint)
              AS was_ms) AS b
 CROSS JOIN LATERAL (
       SELECT b.*, {start_ms} + (b.was_ms - {first_ms} + {day_ms}
              * CAST(CAST('x' || substr(b.noise, 21, 4) AS bit(16)) AS bigint))
              % {all_days_ms}
              + CAST(CAST('x' || substr(b.noise, 16, 5) AS bit(20)) AS integer) AS unix_ms) AS c
 ORDER BY c.unix_ms
"""
_SETTLEMENTS: Final = """
INSERT INTO ledger_txn (id, workspace_id, kind, business_key, content_hash, effective_at,
                        created_at, actor, usage_month, records_root, record_count)
SELECT CAST(md5(CAST(t.id AS text) || {name} || n) AS uuid), workspace_id, kind,
       business_key || ':' || {name} || n, content_hash, effective_at, created_at, actor, {month},
       records_root, record_count
  FROM ledger_txn AS t CROSS JOIN generate_series(1, {copies}) AS n
 WHERE usage_month = {first} AND records_root IS NOT NULL
"""
_ENTRIES: Final = """
INSERT INTO ledger_entry (txn_id, position, account, workspace_id, grant_id, amount)
SELECT CAST(md5(CAST(t.id AS text) || {name} || n) AS uuid), e.position, e.account,
       e.workspace_id, e.grant_id, e.amount
  FROM ledger_txn AS t JOIN ledger_entry AS e ON e.txn_id = t.id
 CROSS JOIN generate_series(1, {copies}) AS n
 WHERE t.usage_month = {first} AND t.records_root IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Made:
    """Months that were made, the first one small, and how many rows each of the others has."""

    first: date
    months: list[date]
    rows: int


async def make_months(
    dsn: str, superuser_dsn: str, folder: Path, *, rows: int, workspaces: int, months: int
) -> Made:
    """Make so many months of so many rows each behind a small first one."""
    originals = min(rows, ORIGINALS_MAX)
    copies = rows // originals
    database = Database.connect(dsn)
    try:
        plan = Plan(FIRST, 1, originals, workspaces, "bench")
        peppers = load_or_make_keyring(folder / "keys" / "pepper.json")
        maker = Maker(database.jobs, IdSource(), peppers, plan)
        await maker.make(lambda _month, _rows: None)
        others = [add_months(FIRST, number) for number in range(1, months + 1)]
        for month in others:
            async with database.jobs.transaction("partitions") as tx:
                await ensure_month(tx, month)
                await tx.commit()
    finally:
        await database.close()
    for month in others:
        _copy(superuser_dsn, month, copies)
    return Made(FIRST, others, originals * copies)


def _copy(superuser_dsn: str, month: date, copies: int) -> None:
    start_ms, first_ms = (to_micros(start_of(each)) // 1_000 for each in (month, FIRST))
    with psycopg.connect(superuser_dsn, autocommit=True) as connection:
        # The copies' own sums hold; the checks of each row would take most of the time.
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET work_mem = '256MB'")
        found = connection.execute(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_name = 'usage_record' ORDER BY ordinal_position"
        )
        names = [str(name) for (name,) in found]
        parts = {
            "columns": sql.SQL(", ").join(map(sql.Identifier, names)),
            "values": sql.SQL(", ").join(
                sql.SQL(_CHANGED[name]) if name in _CHANGED else sql.Identifier("r", name)
                for name in names
            ),
            "original": sql.Identifier(partition_name(FIRST)),
            "copies": sql.Literal(copies),
            "name": sql.Literal(f"{month:%Y%m}."),
            "start_ms": sql.Literal(start_ms),
            "first_ms": sql.Literal(first_ms),
            "day_ms": sql.Literal(DAY_MS),
            "all_days_ms": sql.Literal((add_months(FIRST, 1) - FIRST).days * DAY_MS),
            "month": sql.Literal(month),
            "first": sql.Literal(FIRST),
        }
        for statement in (_ROWS, _SETTLEMENTS, _ENTRIES):
            connection.execute(sql.SQL(statement).format(**parts))
        # As they are months later: nothing is left to do for the server's own vacuum meanwhile.
        for name in (partition_name(month), "ledger_txn", "ledger_entry"):
            connection.execute(sql.SQL("VACUUM ANALYZE {}").format(sql.Identifier(name)))
