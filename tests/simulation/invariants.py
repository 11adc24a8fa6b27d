"""What must hold after every step, read from the rows themselves (I1 to I7 of the ledger's proofs).

The sums here are the auditor's own SQL, apart from the hash chain, which the product's own proof
replays: a fault in that proof shows in its tests, where rows are tampered with.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any, Final

from core.db.database import Pool, Transaction
from core.ledger.proofs.finding import Tally
from core.ledger.proofs.verify import verify
from core.metering.proofs import UsageProofs
from kit.money import NANOS_PER_CENT
from tests.simulation.auditor import Auditor

_UNBALANCED: Final = """
SELECT txn_id FROM ledger_entry GROUP BY txn_id HAVING sum(amount) <> 0
UNION ALL
SELECT NULL FROM ledger_entry HAVING sum(amount) <> 0
"""
_WALLETS: Final = """
SELECT w.workspace_id AS id, w.posted, w.held, w.frozen, w.receivable,
       coalesce(e.posted, 0) AS sum_posted, coalesce(e.held, 0) AS sum_held,
       coalesce(e.frozen, 0) AS sum_frozen, coalesce(e.owed, 0) AS sum_owed,
       coalesce(l.held, 0) AS leased, coalesce(g.free, 0) AS free
  FROM wallet AS w
  LEFT JOIN (SELECT workspace_id,
                    sum(amount) FILTER (WHERE account IN ('promo', 'paid', 'held', 'frozen'))
                        AS posted,
                    sum(amount) FILTER (WHERE account = 'held') AS held,
                    sum(amount) FILTER (WHERE account = 'frozen') AS frozen,
                    -sum(amount) FILTER (WHERE account = 'receivable') AS owed
               FROM ledger_entry WHERE workspace_id IS NOT NULL GROUP BY workspace_id) AS e
    ON e.workspace_id = w.workspace_id
  LEFT JOIN (SELECT workspace_id, sum(granted_total - returned_total - settled_total) AS held
               FROM lease WHERE closed_at IS NULL GROUP BY workspace_id) AS l
    ON l.workspace_id = w.workspace_id
  LEFT JOIN (SELECT workspace_id, sum(remaining) AS free
               FROM credit_grant GROUP BY workspace_id) AS g
    ON g.workspace_id = w.workspace_id
"""
_GIVEN: Final = """
SELECT t.business_key, t.workspace_id AS id, g.amount, g.expires_at, p.request_id
  FROM ledger_txn AS t JOIN credit_grant AS g ON g.id = t.id
  LEFT JOIN payment AS p ON p.grant_id = g.id
"""
# Credit that was taken back: refunds that are set aside or gone, and lost disputes.
_TAKEN_BACK: Final = """
SELECT id, sum(minor) AS minor FROM (
    SELECT r.workspace_id AS id, r.net_minor AS minor
      FROM refund AS r
     WHERE (EXISTS (SELECT 1 FROM ledger_txn
                     WHERE business_key = 'refund:' || replace(r.id::text, '-', ''))
            AND NOT EXISTS (SELECT 1 FROM ledger_txn WHERE business_key = ANY (ARRAY[
                'refund:' || replace(r.id::text, '-', '') || ':' || 'release',
                'stripe:' || r.stripe_id || ':' || 'returned'])))
        OR (EXISTS (SELECT 1 FROM ledger_txn
                     WHERE business_key = 'stripe:' || r.stripe_id || ':' || 'clawback')
            AND NOT EXISTS (SELECT 1 FROM ledger_txn
                     WHERE business_key = 'stripe:' || r.stripe_id || ':' || 'clawback_returned'))
    UNION ALL
    SELECT d.workspace_id, d.amount_minor FROM dispute AS d
     WHERE EXISTS (SELECT 1 FROM ledger_txn
                    WHERE business_key = 'stripe:' || d.stripe_id || ':' || 'lost')
) AS taken GROUP BY id
"""
_CHARGES: Final = "SELECT id, workspace_id, charge_nanos FROM usage_record"
_EXPIRED: Final = """
SELECT t.workspace_id AS id, sum(e.amount) AS amount
  FROM ledger_txn AS t JOIN ledger_entry AS e ON e.txn_id = t.id
 WHERE t.kind = 'grant_expiry' AND e.amount > 0 GROUP BY t.workspace_id
"""
_NOT_TAKEN: Final = "SELECT id FROM credit_grant WHERE remaining > 0 AND expires_at <= :now"
_TOO_EARLY: Final = """
SELECT e.grant_id FROM ledger_txn AS t JOIN ledger_entry AS e ON e.txn_id = t.id
  JOIN credit_grant AS g ON g.id = e.grant_id
 WHERE t.kind = 'grant_expiry' AND (g.expires_at IS NULL OR g.expires_at > t.created_at)
"""


async def check(pool: Pool, auditor: Auditor, now: datetime) -> dict[str, int]:
    """Check all invariants on one moment of the database; return counts for the table.

    Raises:
        AssertionError: one does not hold.
    """
    async with pool.transaction("system", snapshot=True) as tx:
        assert await tx.all(_UNBALANCED) == []  # I1
        wallets = await tx.all(_WALLETS)
        for row in wallets:
            _check_wallet(row)  # I2, I3, I7
        charged = await _check_requests(tx, auditor)  # I4
        await _check_conservation(tx, auditor, wallets, charged)
        assert await tx.all(_TOO_EARLY) == []
        tally = Tally()
        findings = [finding async for finding in verify(tx, None, UsageProofs(), tally)]
        assert findings == []  # I6
    return {"transactions": tally.transactions, "records": tally.records}


async def nothing_is_missing(pool: Pool, auditor: Auditor, now: datetime) -> None:
    """Check that all is there: everything was shipped, repeated and tidied (I4 after a drain).

    Raises:
        AssertionError: a request was never charged, credit never given, expired credit not taken.
    """
    async with pool.transaction("system") as tx:
        there = {row.id.bytes for row in await tx.all(_CHARGES)}
        given = {row.business_key for row in await tx.all(_GIVEN)}
        expired = await tx.all(_NOT_TAKEN, now=now)
    missing = [key for key, spent in auditor.spent.items() if spent.must_arrive]
    assert [key.hex() for key in missing if key not in there] == []
    assert auditor.given.keys() - auditor.too_late - given == set()
    assert expired == []


async def count_effects(pool: Pool) -> Counter[str]:
    """Count what is in the books, by what it is."""
    async with pool.transaction("system") as tx:
        kinds = await tx.all("SELECT kind, count(*) AS n FROM ledger_txn GROUP BY kind")
        records = await tx.all(_CHARGES)
        owing = await tx.all("SELECT workspace_id FROM wallet WHERE receivable > 0")
    found = Counter({row.kind: row.n for row in kinds})
    return found + Counter({"usage_record": len(records), "owing": len(owing)})


def _check_wallet(row: Any) -> None:
    assert (row.posted, row.held, row.frozen, row.receivable) == (
        row.sum_posted,
        row.sum_held,
        row.sum_frozen,
        row.sum_owed,
    )
    assert row.held == row.leased
    assert row.free == row.posted - row.held - row.frozen >= 0


async def _check_requests(tx: Transaction, auditor: Auditor) -> dict[bytes, int]:
    """Every record is one that an edge served, at its charge; return the sums by workspace."""
    charged: dict[bytes, int] = {}
    for row in await tx.all(_CHARGES):
        spent = auditor.spent[row.id.bytes]
        assert (row.workspace_id.bytes, row.charge_nanos) == (spent.workspace_id, spent.charge)
        charged[spent.workspace_id] = charged.get(spent.workspace_id, 0) + spent.charge
    return charged


async def _check_conservation(
    tx: Transaction, auditor: Auditor, wallets: list[Any], charged: dict[bytes, int]
) -> None:
    """What a workspace has less what it owes = given - charged - expired - taken back, exactly."""
    given: dict[bytes, int] = {}
    for row in await tx.all(_GIVEN):
        asked = (
            auditor.given[row.business_key]
            if row.request_id is None
            else auditor.grant_of_purchase(row.id.bytes, row.request_id)
        )
        assert (row.id.bytes, row.amount, row.expires_at) == (
            asked.workspace_id,
            asked.amount,
            asked.expires_at,
        )
        given[asked.workspace_id] = given.get(asked.workspace_id, 0) + asked.amount
    expired = {row.id.bytes: int(row.amount) for row in await tx.all(_EXPIRED)}
    taken = {row.id.bytes: int(row.minor) * NANOS_PER_CENT for row in await tx.all(_TAKEN_BACK)}
    for row in wallets:
        own = row.id.bytes
        out = charged.get(own, 0) + expired.get(own, 0) + taken.get(own, 0)
        assert row.posted - row.receivable == given.get(own, 0) - out
        # P9: the overshoot is bounded; beyond it only what was taken back can be owed.
        assert row.receivable <= auditor.beyond_holds(own) + taken.get(own, 0)
