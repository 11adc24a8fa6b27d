"""All SQL that examines the installation. Each statement reads; none waits for a lock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row

from core.catalog.providers import DEMO_PATHS
from core.db.database import Transaction

LISTED_MAX: Final = 100
BOOKS_SECONDS_MAX: Final = 900
"""More than any caller waits, so that a statement whose caller is gone ends too."""

# The server notes when a cursor was made: the only look at its clock, which counts nowhere else.
_CURSOR: Final = "DECLARE examination NO SCROLL CURSOR FOR SELECT 1"
_SERVER: Final = """
SELECT CAST(current_setting('server_version_num') AS integer) AS version,
       pg_database_size(current_database()) AS bytes, c.creation_time AS clock
  FROM pg_cursors AS c WHERE c.name = 'examination'
"""
_PARTITIONS: Final = """
SELECT c.relname AS name FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
 WHERE i.inhparent = CAST('usage_record' AS regclass)
"""
_ALARMS: Final = """
SELECT kind, count(*) AS how_many, max(occurred_at) AS last_at FROM alarm
 WHERE occurred_at >= :since GROUP BY kind ORDER BY kind
"""
_NO_CREDENTIAL: Final = """
SELECT u.name FROM upstream AS u
 WHERE u.credential_sealed IS NULL AND u.name <> ALL(:local)
   AND EXISTS (SELECT 1 FROM route_candidate AS c JOIN model AS m ON m.number = c.model_number
                WHERE c.upstream_number = u.number AND m.enabled)
 ORDER BY u.name LIMIT :limit
"""
_UNKNOWN_POLICY: Final = """
SELECT u.name FROM upstream AS u
 WHERE u.enabled AND u.credential_sealed IS NOT NULL AND u.data_policy = 0
   AND EXISTS (SELECT 1 FROM route_candidate AS c JOIN model AS m ON m.number = c.model_number
                WHERE c.upstream_number = u.number AND m.enabled)
 ORDER BY u.name LIMIT :limit
"""
_ZERO_RETENTION_UNSERVED: Final = """
SELECT count(*) AS how_many FROM api_key AS k JOIN workspace AS w ON w.id = k.workspace_id
 WHERE (k.requires_zero_retention OR w.requires_zero_retention) AND k.state = 1 AND w.state = 1
   AND (k.expires_at IS NULL OR k.expires_at > :now)
   AND NOT EXISTS (SELECT 1 FROM upstream AS u
                     JOIN route_candidate AS c ON c.upstream_number = u.number
                     JOIN model AS m ON m.number = c.model_number
                    WHERE u.enabled AND u.credential_sealed IS NOT NULL AND u.data_policy = 3
                      AND m.enabled)
"""
_UNPRICED: Final = """
SELECT m.public_id AS model, r.lane FROM route AS r JOIN model AS m ON m.number = r.model_number
 WHERE m.enabled AND EXISTS (SELECT 1 FROM route_candidate AS c
                              WHERE c.model_number = r.model_number AND c.lane = r.lane)
   AND NOT EXISTS (SELECT 1 FROM price_version AS v
                    WHERE v.model_number = r.model_number AND v.lane = r.lane
                      AND v.effective_from <= :now)
 ORDER BY m.public_id, r.lane LIMIT :limit
"""
# The pool's own limit is for jobs; whoever asks for the books says how long they may take.
_BOOKS_LIMIT: Final = "SELECT set_config('statement_timeout', :limit, true)"
_BOOKS: Final = """
SELECT CAST((SELECT coalesce(sum(amount), 0) FROM ledger_entry) AS text) AS entries_total,
       (SELECT count(*) FROM wallet AS w
          LEFT JOIN (SELECT workspace_id,
                            sum(amount) FILTER (WHERE account IN
                                ('promo', 'paid', 'held', 'frozen')) AS posted,
                            sum(amount) FILTER (WHERE account = 'held') AS held,
                            -sum(amount) FILTER (WHERE account = 'receivable') AS receivable
                       FROM ledger_entry WHERE workspace_id IS NOT NULL
                      GROUP BY workspace_id) AS e USING (workspace_id)
         WHERE (w.posted, w.held, w.receivable) <>
               (coalesce(e.posted, 0), coalesce(e.held, 0), coalesce(e.receivable, 0))
       ) AS wallets_off,
       (SELECT count(*) FROM wallet AS w
          LEFT JOIN (SELECT workspace_id,
                            sum(granted_total - returned_total - settled_total) AS open
                       FROM lease WHERE closed_at IS NULL GROUP BY workspace_id
                    ) AS l USING (workspace_id)
         WHERE w.held <> coalesce(l.open, 0)) AS holds_off
"""
_SILENT: Final = """
SELECT count(*) AS how_many,
       CAST(coalesce(sum(granted_total - returned_total - settled_total), 0) AS bigint) AS held
  FROM lease WHERE closed_at IS NULL AND renewed_at < :before
"""
_LEFT_OPEN: Final = """
SELECT count(*) AS how_many FROM edge_epoch AS e
 WHERE closed_at IS NULL AND opened_at < :before
   AND EXISTS (SELECT 1 FROM edge_epoch AS n WHERE n.edge_id = e.edge_id AND n.epoch > e.epoch)
"""


async def server(tx: Transaction) -> Any:
    """Read the server's version, size and clock."""
    await tx.run(_CURSOR)
    return await tx.one(_SERVER)


async def partition_names(tx: Transaction) -> set[str]:
    """Read the names of the usage partitions."""
    return {row.name for row in await tx.all(_PARTITIONS)}


async def alarms_since(tx: Transaction, since: datetime) -> Sequence[Row[Any]]:
    """Count the alarms by kind."""
    return await tx.all(_ALARMS, since=since)


async def upstreams_without_credential(tx: Transaction) -> list[str]:
    """Read the upstreams that routes of enabled models need and that cannot be called."""
    # The demo provider needs an address only, and is off where there is none.
    local = list(DEMO_PATHS)
    return [row.name for row in await tx.all(_NO_CREDENTIAL, local=local, limit=LISTED_MAX)]


async def upstreams_of_unknown_policy(tx: Transaction) -> list[str]:
    """Read the upstreams in use of which nobody has said what they keep."""
    return [row.name for row in await tx.all(_UNKNOWN_POLICY, limit=LISTED_MAX)]


async def zero_retention_keys_unserved(tx: Transaction, now: datetime) -> int:
    """Count the keys that take only upstreams that keep nothing, if there is no such upstream."""
    row = await tx.one(_ZERO_RETENTION_UNSERVED, now=now)
    return 0 if row is None else int(row.how_many)


async def unpriced(tx: Transaction, now: datetime) -> Sequence[Row[Any]]:
    """Read which models are routed in a lane without a price."""
    return await tx.all(_UNPRICED, now=now, limit=LISTED_MAX)


async def books(tx: Transaction) -> Any:
    """Sum the ledger, and count the wallets whose cached figures are not their sums."""
    await tx.run(_BOOKS_LIMIT, limit=f"{BOOKS_SECONDS_MAX}s")
    return await tx.one(_BOOKS)


async def silent_leases(tx: Transaction, before: datetime) -> Any:
    """Count the open leases that nobody has renewed since."""
    return await tx.one(_SILENT, before=before)


async def epochs_left_open(tx: Transaction, before: datetime) -> int:
    """Count the edge processes that were replaced and whose spool nobody has brought."""
    row = await tx.one(_LEFT_OPEN, before=before)
    return 0 if row is None else int(row.how_many)
