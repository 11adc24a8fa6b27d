"""Compares cached figures with what they are the sum of: grants, leases, slices, free credit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from core.db.database import Transaction
from core.ledger.proofs.finding import Finding, stream
from core.ledger.store import optional_uuid
from kit.ids import format_id

_GRANTS: Final = """
SELECT g.id, CAST(coalesce(sum(e.amount), 0) AS text) AS expected,
       CAST(g.remaining AS text) AS found
  FROM credit_grant AS g LEFT JOIN ledger_entry AS e ON e.grant_id = g.id
 WHERE %(workspace)s::uuid IS NULL OR g.workspace_id = %(workspace)s::uuid
 GROUP BY g.id HAVING coalesce(sum(e.amount), 0) <> g.remaining
"""
_FREE: Final = """
SELECT w.workspace_id AS id, CAST(coalesce(sum(g.remaining), 0) AS text) AS expected,
       CAST(w.posted - w.held - w.frozen AS text) AS found
  FROM wallet AS w LEFT JOIN credit_grant AS g ON g.workspace_id = w.workspace_id
 WHERE %(workspace)s::uuid IS NULL OR w.workspace_id = %(workspace)s::uuid
 GROUP BY w.workspace_id HAVING coalesce(sum(g.remaining), 0) <> w.posted - w.held - w.frozen
"""
_HELD: Final = """
SELECT w.workspace_id AS id,
       CAST(coalesce(sum(l.granted_total - l.returned_total - l.settled_total), 0) AS text)
           AS expected,
       CAST(w.held AS text) AS found
  FROM wallet AS w
  LEFT JOIN lease AS l ON l.workspace_id = w.workspace_id AND l.closed_at IS NULL
 WHERE %(workspace)s::uuid IS NULL OR w.workspace_id = %(workspace)s::uuid
 GROUP BY w.workspace_id
HAVING coalesce(sum(l.granted_total - l.returned_total - l.settled_total), 0) <> w.held
"""
_SLICES: Final = """
SELECT l.id, CAST(coalesce(sum(s.amount - s.used - s.returned), 0) AS text) AS expected,
       CAST(l.granted_total - l.returned_total - l.settled_total AS text) AS found
  FROM lease AS l LEFT JOIN lease_slice AS s ON s.lease_id = l.id
 WHERE %(workspace)s::uuid IS NULL OR l.workspace_id = %(workspace)s::uuid
 GROUP BY l.id
HAVING coalesce(sum(s.amount - s.used - s.returned), 0)
       <> l.granted_total - l.returned_total - l.settled_total
"""
_CLOSED: Final = """
SELECT id, '0' AS expected, CAST(granted_total - returned_total - settled_total AS text) AS found
  FROM lease
 WHERE closed_at IS NOT NULL AND granted_total <> returned_total + settled_total
   AND (%(workspace)s::uuid IS NULL OR workspace_id = %(workspace)s::uuid)
"""
_CHECKS: Final = (
    ("grant_sums", "grant", _GRANTS),
    ("grant_sums", "ws", _FREE),
    ("lease_sums", "ws", _HELD),
    ("lease_sums", "lease", _SLICES),
    ("lease_sums", "lease", _CLOSED),
)


async def check_sums(tx: Transaction, workspace_id: bytes | None) -> AsyncIterator[Finding]:
    """Yield each cached figure that is not the sum it stands for."""
    scope = {"workspace": optional_uuid(workspace_id)}
    for check, prefix, sql in _CHECKS:
        async for row in stream(tx, "sums", sql, scope):
            name = format_id(prefix, row["id"].bytes)
            yield Finding(check, name, row["expected"], row["found"])
