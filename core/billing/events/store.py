"""All SQL of the inbox and of how far sweeps came."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from core.billing.stripe.gateway import BalanceTransaction, StripeEvent
from core.db.database import Transaction

KEPT: Final = timedelta(days=45)
"""Longer than the provider lists events (30 days), so that a sweep finds them handled."""
_INSERT: Final = """
INSERT INTO stripe_inbox (event_id, type, object_id, occurred_at, received_at, not_before)
SELECT event_id, type, object_id, occurred_at, :now, :now
  FROM unnest(CAST(:ids AS text[]), CAST(:types AS text[]), CAST(:objects AS text[]),
              CAST(:moments AS timestamptz[])) AS row (event_id, type, object_id, occurred_at)
ON CONFLICT (event_id) DO NOTHING
"""
# Oldest first; who takes one has a minute at least, then it is somebody else's turn. What is about
# an object that is being looked into waits for that.
_TAKE: Final = """
UPDATE stripe_inbox SET attempts = attempts + 1, not_before = CAST(:now AS timestamptz) +
       least(greatest(power(2, attempts), 60), 3600) * CAST('1 second' AS interval)
 WHERE event_id IN (SELECT event_id FROM stripe_inbox
                     WHERE handled_at IS NULL AND not_before <= :now
                       AND object_id <> ALL (CAST(:busy AS text[]))
                     ORDER BY not_before, occurred_at LIMIT :limit FOR UPDATE SKIP LOCKED)
RETURNING event_id, type, object_id, attempts, occurred_at, received_at
"""
_HANDLED: Final = """
UPDATE stripe_inbox SET handled_at = :now, failure = :failure
 WHERE event_id = :id AND handled_at IS NULL
"""
_AGAIN: Final = """
UPDATE stripe_inbox SET not_before = :not_before, failure = :failure
 WHERE event_id = :id AND handled_at IS NULL
"""
_SWEEP: Final = "DELETE FROM stripe_inbox WHERE handled_at < :before"
_OPEN: Final = "INSERT INTO stripe_cursor VALUES (:name, '', :never) ON CONFLICT DO NOTHING"
_CLAIM: Final = """
UPDATE stripe_cursor SET updated_at = :now WHERE name = :name AND updated_at <= :before
RETURNING position
"""
_READ: Final = "SELECT position FROM stripe_cursor WHERE name = :name"
_MOVE: Final = "UPDATE stripe_cursor SET position = :position, updated_at = :now WHERE name = :name"
_CLEARING: Final = """
SELECT CAST(coalesce(sum(amount), 0) AS bigint) AS total FROM ledger_entry
 WHERE workspace_id IS NULL AND account = 'psp.stripe_clearing'
"""
# A charge is explained by the credit that it gave, a refund by its posting, all else by its name.
_EXPLAINED: Final = """
SELECT m.id FROM unnest(CAST(:ids AS text[]), CAST(:sources AS text[]), CAST(:kinds AS text[]))
       AS m (id, source, kind)
 WHERE CASE
       WHEN m.kind IN ('charge', 'payment') THEN
           EXISTS (SELECT 1 FROM payment WHERE charge_id = m.source AND state = 4)
           OR EXISTS (SELECT 1 FROM payment_surplus WHERE charge_id = m.source)
       WHEN m.kind LIKE '%refund%' THEN
           EXISTS (SELECT 1 FROM ledger_txn WHERE business_key = ANY (ARRAY[
               'stripe:' || m.source || ':' || 'sent', 'stripe:' || m.source || ':' || 'clawback',
               'stripe:' || m.source || ':' || 'returned',
               'stripe:' || m.source || ':' || 'surplus_sent',
               'stripe:' || m.source || ':' || 'surplus_returned']))
       ELSE EXISTS (SELECT 1 FROM ledger_txn WHERE business_key = ANY (ARRAY[
               'stripe:' || m.id || ':' || 'fee', 'stripe:' || m.id || ':' || 'payout',
               'stripe:' || m.id || ':' || 'withdrawal',
               'stripe:' || m.id || ':' || 'reinstatement']))
       END
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event that waits to be handled."""

    event_id: str
    type: str
    object_id: str
    attempts: int
    occurred_at: datetime
    received_at: datetime


async def insert(tx: Transaction, events: Sequence[StripeEvent], now: datetime) -> int:
    """Write events down, each once; return how many are new."""
    if not events:
        return 0
    return await tx.run(
        _INSERT,
        ids=[event.id for event in events],
        types=[event.type for event in events],
        objects=[event.object_id for event in events],
        moments=[event.created_at for event in events],
        now=now,
    )


async def take(
    tx: Transaction, now: datetime, limit: int, *, busy: Collection[str] = ()
) -> list[Waiting]:
    """Take events that are due, in the order in which they happened; none about a busy object."""
    rows = await tx.all(_TAKE, now=now, limit=limit, busy=list(busy))
    taken = [
        Waiting(
            event_id=row.event_id,
            type=row.type,
            object_id=row.object_id,
            attempts=row.attempts,
            occurred_at=row.occurred_at,
            received_at=row.received_at,
        )
        for row in rows
    ]
    return sorted(taken, key=lambda event: (event.occurred_at, event.event_id))


async def handled(tx: Transaction, event_id: str, now: datetime, failure: str = "") -> None:
    """Write that an event is done; `failure` says why if nothing could be done."""
    await tx.run(_HANDLED, id=event_id, now=now, failure=failure)


async def again(tx: Transaction, event_id: str, not_before: datetime, failure: str) -> None:
    """Let an event come again later."""
    await tx.run(_AGAIN, id=event_id, not_before=not_before, failure=failure)


async def sweep(tx: Transaction, now: datetime) -> int:
    """Forget events that were handled long ago; return how many."""
    return await tx.run(_SWEEP, before=now - KEPT)


async def claim_cursor(tx: Transaction, name: str, *, now: datetime, rest: timedelta) -> str | None:
    """Take a sweep that has rested long enough, and keep others from it; None if it has not.

    The empty text is the position of one that never ran.
    """
    await tx.run(_OPEN, name=name, never=now - timedelta(days=3_650))
    row = await tx.one(_CLAIM, name=name, now=now, before=now - rest)
    return None if row is None else str(row.position)


async def read_cursor(tx: Transaction, name: str) -> str:
    """Read how far a sweep came."""
    row = await tx.one(_READ, name=name)
    return "" if row is None else str(row.position)


async def move_cursor(tx: Transaction, name: str, position: str, now: datetime) -> None:
    """Write how far a sweep came."""
    await tx.run(_MOVE, name=name, position=position, now=now)


async def clearing(tx: Transaction) -> int:
    """Return what the provider owes us by the ledger, in nano-dollars."""
    row = await tx.one(_CLEARING)
    return 0 if row is None else -int(row.total)


async def explained(tx: Transaction, movements: Sequence[BalanceTransaction]) -> set[str]:
    """Return the ids of those movements of our balance that a posting of ours explains."""
    rows = await tx.all(
        _EXPLAINED,
        ids=[movement.id for movement in movements],
        sources=[movement.source_id for movement in movements],
        kinds=[movement.type for movement in movements],
    )
    return {row.id for row in rows}
