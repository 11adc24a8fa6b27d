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
  FROM credit_grant AS g
  LEFT JOIN ledger_entry AS e ON e.grant_id = g.id AND e.account IN ('promo', 'paid')
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
# Wallets that are older than the grants' names on leased credit are left out: their chains hold.
_LEASED: Final = """
SELECT g.id, CAST(coalesce(s.open, 0) AS text) AS expected,
       CAST(coalesce(e.held, 0) AS text) AS found
  FROM credit_grant AS g
  LEFT JOIN (SELECT grant_id, sum(amount - used - returned) AS open
               FROM lease_slice GROUP BY grant_id) AS s ON s.grant_id = g.id
  LEFT JOIN (SELECT grant_id, sum(amount) AS held
               FROM ledger_entry WHERE account = 'held' GROUP BY grant_id) AS e
    ON e.grant_id = g.id
 WHERE (%(workspace)s::uuid IS NULL OR g.workspace_id = %(workspace)s::uuid)
   AND coalesce(s.open, 0) <> coalesce(e.held, 0)
   AND NOT EXISTS (SELECT 1 FROM ledger_entry AS old WHERE old.workspace_id = g.workspace_id
                      AND old.account = 'held' AND old.grant_id IS NULL)
"""
_FROZEN: Final = """
SELECT g.id, CAST(coalesce(d.frozen, 0) AS text) AS expected,
       CAST(coalesce(e.frozen, 0) AS text) AS found
  FROM credit_grant AS g
  LEFT JOIN (SELECT p.grant_id, sum(d.frozen_nanos) AS frozen
               FROM dispute AS d JOIN payment AS p ON p.id = d.payment_id
              WHERE d.closed_at IS NULL GROUP BY p.grant_id) AS d ON d.grant_id = g.id
  LEFT JOIN (SELECT grant_id, sum(amount) AS frozen
               FROM ledger_entry WHERE account = 'frozen' GROUP BY grant_id) AS e
    ON e.grant_id = g.id
 WHERE (%(workspace)s::uuid IS NULL OR g.workspace_id = %(workspace)s::uuid)
   AND coalesce(d.frozen, 0) <> coalesce(e.frozen, 0)
"""
_PENDING: Final = """
SELECT g.id, '0 or more' AS expected, CAST(sum(e.amount) AS text) AS found
  FROM credit_grant AS g JOIN ledger_entry AS e ON e.grant_id = g.id
 WHERE e.account = 'refund_pending'
   AND (%(workspace)s::uuid IS NULL OR g.workspace_id = %(workspace)s::uuid)
 GROUP BY g.id HAVING sum(e.amount) < 0
"""
# The table against the entries; the transaction's key names the record and the request.
_CORRECTIONS: Final = """
SELECT t.id, coalesce(c.key || ' ' || c.amount, 'none') AS expected,
       t.business_key || ' ' || coalesce(e.amount, 0) AS found
  FROM ledger_txn AS t
  LEFT JOIN (SELECT txn_id, amount, workspace_id,
                    'correction:' || replace(record_id::text, '-', '') || ':' || request_id AS key
               FROM charge_correction) AS c
    ON c.txn_id = t.id AND c.workspace_id = t.workspace_id
  LEFT JOIN (SELECT txn_id, -sum(amount) AS amount
               FROM ledger_entry WHERE account = 'rev.corrections' GROUP BY txn_id) AS e
    ON e.txn_id = t.id
 WHERE t.kind = 'correction'
   AND (%(workspace)s::uuid IS NULL OR t.workspace_id = %(workspace)s::uuid)
   AND (c.key IS DISTINCT FROM t.business_key OR c.amount IS DISTINCT FROM e.amount)
"""
# More given back than was charged; records that are in the archive only are not looked at.
_OVERCORRECTED: Final = """
SELECT r.id, CAST(r.charge_nanos AS text) AS expected, CAST(sum(c.amount) AS text) AS found
  FROM charge_correction AS c JOIN usage_record AS r ON r.id = c.record_id
 WHERE %(workspace)s::uuid IS NULL OR c.workspace_id = %(workspace)s::uuid
 GROUP BY r.id, r.charge_nanos HAVING sum(c.amount) > r.charge_nanos
"""
_CHECKS: Final = (
    ("grant_sums", "grant", _GRANTS),
    ("grant_sums", "grant", _LEASED),
    ("grant_sums", "grant", _FROZEN),
    ("grant_sums", "grant", _PENDING),
    ("grant_sums", "ws", _FREE),
    ("lease_sums", "ws", _HELD),
    ("lease_sums", "lease", _SLICES),
    ("lease_sums", "lease", _CLOSED),
    ("corrections", "txn", _CORRECTIONS),
    ("corrections", "req", _OVERCORRECTED),
)


async def check_sums(tx: Transaction, workspace_id: bytes | None) -> AsyncIterator[Finding]:
    """Yield each cached figure that is not the sum it stands for."""
    scope = {"workspace": optional_uuid(workspace_id)}
    for check, prefix, sql in _CHECKS:
        async for row in stream(tx, "sums", sql, scope):
            name = format_id(prefix, row["id"].bytes)
            yield Finding(check, name, row["expected"], row["found"])
