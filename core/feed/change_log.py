"""The table behind the change feed. Commit order is sequence order.

The counter row is locked in the writing transaction, right before COMMIT, so nobody can commit a
lower sequence later. Only keys, workspaces and the catalogue write here, never requests or money.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Final
from uuid import UUID

from core.db.database import Transaction
from core.db.values import from_uuid, to_uuid


class ChangeKind(IntEnum):
    """What changed."""

    KEY = 1
    WORKSPACE = 2
    CATALOG = 3


@dataclass(frozen=True, slots=True)
class Change:
    """One committed change; the catalogue changes as a whole and has no object id."""

    sequence: int
    kind: ChangeKind
    object_id: bytes | None


class RecallKind(IntEnum):
    """What is asked back; below zero, so that a poll tells it from a change."""

    LEASE = -1
    SPEND = -2


@dataclass(frozen=True, slots=True)
class Recall:
    """A lease, or a slice of a spend limit, whose free part core asks back, and since when."""

    kind: RecallKind
    object_id: bytes
    edge_id: int
    epoch: int
    recalled_at: datetime


# The lock is held for two short statements at most: whoever is slower than this is ended.
_SHORT: Final = """
SELECT set_config('lock_timeout', '250ms', true),
       set_config('idle_in_transaction_session_timeout', '250ms', true)
"""
_APPEND: Final = """
WITH next AS (UPDATE change_counter SET sequence = sequence + 1 WHERE single RETURNING sequence)
INSERT INTO change_log (sequence, kind, object_id, created_at)
SELECT sequence, :kind, :object_id, :now FROM next
RETURNING sequence
"""
# One statement for all, since it runs ten times a second.
_POLL: Final = """
(SELECT sequence, kind, object_id, NULL::integer AS edge_id, NULL::bigint AS epoch,
        NULL::timestamptz AS recalled_at
   FROM change_log WHERE sequence > :after ORDER BY sequence LIMIT :limit)
UNION ALL
(SELECT 0, -1, id, edge_id, epoch, recalled_at
   FROM lease WHERE recalled_at IS NOT NULL AND closed_at IS NULL LIMIT :recall_limit)
UNION ALL
(SELECT 0, -2, id, edge_id, epoch, recalled_at
   FROM spend_slice WHERE recalled_at IS NOT NULL LIMIT :recall_limit)
"""
_NEWEST: Final = """
SELECT sequence, kind, object_id FROM change_log ORDER BY sequence DESC LIMIT :limit
"""
_LAST_CATALOG: Final = """
SELECT sequence FROM change_log WHERE kind = 3 ORDER BY sequence DESC LIMIT 1
"""


async def record_change(
    tx: Transaction, kind: ChangeKind, object_id: bytes | None, *, now: datetime
) -> int:
    """Append a change and return its sequence; only stamping it and the commit may follow.

    Raises:
        Unavailable: another writer held the counter for more than 250 ms.
    """
    await tx.run(_SHORT)
    row = await tx.one(
        _APPEND,
        kind=int(kind),
        object_id=None if object_id is None else to_uuid(object_id),
        now=now,
    )
    if row is None:
        raise LookupError("change_counter has no row")
    return int(row.sequence)


async def newest_changes(tx: Transaction, limit: int) -> list[Change]:
    """Return the last changes, oldest first."""
    rows = await tx.all(_NEWEST, limit=limit)
    return [_change(row.sequence, row.kind, row.object_id) for row in reversed(rows)]


async def last_catalog_sequence(tx: Transaction) -> int:
    """Return the sequence of the last change of the catalogue, 0 if there was none."""
    row = await tx.one(_LAST_CATALOG)
    return 0 if row is None else int(row.sequence)


async def changes_after(
    tx: Transaction, after: int, *, limit: int, recall_limit: int
) -> tuple[list[Change], list[Recall]]:
    """Return the changes after a sequence, in order, and all recalls that stand."""
    rows = await tx.all(_POLL, after=after, limit=limit, recall_limit=recall_limit)
    changes = [_change(row.sequence, row.kind, row.object_id) for row in rows if row.kind > 0]
    recalls = [
        Recall(
            RecallKind(row.kind), from_uuid(row.object_id), row.edge_id, row.epoch, row.recalled_at
        )
        for row in rows
        if row.kind < 0
    ]
    return sorted(changes, key=lambda change: change.sequence), recalls


def _change(sequence: int, kind: int, object_id: object) -> Change:
    identifier = object_id.bytes if isinstance(object_id, UUID) else None
    return Change(sequence, ChangeKind(kind), identifier)
