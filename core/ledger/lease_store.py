"""All SQL of leases and their slices. Every writer holds the wallet's row lock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row

from core.db.database import Transaction
from core.db.values import to_uuid
from core.ledger.burn import Part
from core.ledger.model import GrantKind, Lease, Slice

_LEASE: Final = (
    "id, workspace_id, edge_id, epoch, acquire_number, opened_at, renewed_at, granted_total,"
    " returned_total, settled_total, recalled_at, closed_at"
)
_LATEST: Final = f"""
SELECT {_LEASE} FROM lease
 WHERE edge_id = :edge_id AND epoch = :epoch AND workspace_id = :workspace_id
 ORDER BY acquire_number DESC LIMIT 1
"""  # noqa: S608 - constant
_INSERT: Final = f"""
INSERT INTO lease ({_LEASE})
VALUES (:id, :workspace_id, :edge_id, :epoch, :acquire_number, :opened_at, :renewed_at,
        :granted_total, :returned_total, :settled_total, :recalled_at, :closed_at)
"""  # noqa: S608 - constant
_UPDATE: Final = """
UPDATE lease SET acquire_number = :acquire_number, renewed_at = :renewed_at,
       granted_total = :granted_total, returned_total = :returned_total,
       settled_total = :settled_total, recalled_at = :recalled_at, closed_at = :closed_at
 WHERE id = :id AND closed_at IS NULL
"""
_SLICES: Final = """
SELECT s.lease_id, s.grant_id, g.kind, s.amount, s.used, s.returned
  FROM lease_slice AS s JOIN credit_grant AS g ON g.id = s.grant_id
 WHERE s.lease_id = ANY(CAST(:ids AS uuid[])) AND s.amount > s.used + s.returned
 ORDER BY g.priority, g.expires_at NULLS LAST, g.id
"""
_ADD_SLICES: Final = """
INSERT INTO lease_slice (lease_id, grant_id, amount, used, returned)
SELECT :lease_id, part.id, part.amount, 0, 0
  FROM unnest(CAST(:ids AS uuid[]), CAST(:amounts AS bigint[])) AS part (id, amount)
ON CONFLICT (lease_id, grant_id) DO UPDATE SET amount = lease_slice.amount + excluded.amount
"""
_UPDATE_SLICES: Final = """
UPDATE lease_slice AS s SET used = part.used, returned = part.returned
  FROM unnest(CAST(:ids AS uuid[]), CAST(:used AS bigint[]), CAST(:returned AS bigint[]))
       AS part (id, used, returned)
 WHERE s.lease_id = :lease_id AND s.grant_id = part.id
"""
_RECALL: Final = """
UPDATE lease SET recalled_at = :now
 WHERE workspace_id = :workspace_id AND closed_at IS NULL AND recalled_at IS NULL
   AND (CAST(:other AS uuid) IS NULL OR id <> CAST(:other AS uuid))
   AND granted_total > returned_total + settled_total
"""


async def latest(tx: Transaction, edge_id: int, epoch: int, workspace_id: bytes) -> Lease | None:
    """Read the newest lease of an edge process for a workspace, open or closed."""
    row = await tx.one(_LATEST, edge_id=edge_id, epoch=epoch, workspace_id=to_uuid(workspace_id))
    return None if row is None else _lease_of(row)


async def open_of_workspace(tx: Transaction, workspace_id: bytes) -> list[Lease]:
    """Read the open leases of a workspace, one at most for each edge process."""
    rows = await tx.all(
        f"SELECT {_LEASE} FROM lease WHERE workspace_id = :id AND closed_at IS NULL ORDER BY id",  # noqa: S608 - constant
        id=to_uuid(workspace_id),
    )
    return [_lease_of(row) for row in rows]


async def open_of_epoch(tx: Transaction, edge_id: int, epoch: int) -> list[Lease]:
    """Read the open leases of an edge process."""
    rows = await tx.all(
        f"SELECT {_LEASE} FROM lease WHERE edge_id = :edge_id AND epoch = :epoch"  # noqa: S608 - constant
        " AND closed_at IS NULL ORDER BY id",
        edge_id=edge_id,
        epoch=epoch,
    )
    return [_lease_of(row) for row in rows]


async def of_ids(tx: Transaction, lease_ids: Sequence[bytes]) -> list[Lease]:
    """Read leases by their ids."""
    rows = await tx.all(
        f"SELECT {_LEASE} FROM lease WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id",  # noqa: S608 - constant
        ids=[to_uuid(lease_id) for lease_id in lease_ids],
    )
    return [_lease_of(row) for row in rows]


async def workspaces_with_silent(tx: Transaction, before: datetime, limit: int) -> list[bytes]:
    """Find workspaces that have leases without a sign of life since `before`."""
    rows = await tx.all(
        "SELECT DISTINCT workspace_id FROM lease WHERE closed_at IS NULL AND renewed_at < :before"
        " ORDER BY workspace_id LIMIT :limit",
        before=before,
        limit=limit,
    )
    return [row.workspace_id.bytes for row in rows]


async def insert(tx: Transaction, lease: Lease) -> None:
    """Write a new lease."""
    await tx.run(
        _INSERT,
        id=to_uuid(lease.lease_id),
        workspace_id=to_uuid(lease.workspace_id),
        edge_id=lease.edge_id,
        epoch=lease.epoch,
        opened_at=lease.opened_at,
        **_changing(lease),
    )


async def update(tx: Transaction, lease: Lease) -> None:
    """Write what may change of an open lease."""
    if await tx.run(_UPDATE, id=to_uuid(lease.lease_id), **_changing(lease)) != 1:
        raise RuntimeError("a lease was written without its wallet's lock")


async def keep_alive(tx: Transaction, lease_ids: Sequence[bytes], now: datetime) -> None:
    """Note a sign of life of open leases; what was asked back has been answered."""
    await tx.run(
        "UPDATE lease SET renewed_at = greatest(renewed_at, :now), recalled_at = NULL"
        " WHERE id = ANY(CAST(:ids AS uuid[])) AND closed_at IS NULL",
        ids=[to_uuid(lease_id) for lease_id in lease_ids],
        now=now,
    )


async def recall(
    tx: Transaction, workspace_id: bytes, except_lease: bytes | None, now: datetime
) -> int:
    """Ask the free part of a workspace's leases back; return of how many."""
    other = None if except_lease is None else to_uuid(except_lease)
    return await tx.run(_RECALL, workspace_id=to_uuid(workspace_id), other=other, now=now)


async def slices(tx: Transaction, lease_ids: Sequence[bytes]) -> list[tuple[bytes, Slice]]:
    """Read the slices of leases that have something open, with their leases, in burn order."""
    rows = await tx.all(_SLICES, ids=[to_uuid(lease_id) for lease_id in lease_ids])
    return [(row.lease_id.bytes, _slice_of(row)) for row in rows]


async def open_of_grant(tx: Transaction, grant_id: bytes) -> int:
    """Sum up what leases have open of a grant."""
    row = await tx.one(
        "SELECT CAST(coalesce(sum(s.amount - s.used - s.returned), 0) AS bigint) AS open"
        "  FROM lease_slice AS s JOIN lease AS l ON l.id = s.lease_id"
        " WHERE s.grant_id = :grant_id AND l.closed_at IS NULL",
        grant_id=to_uuid(grant_id),
    )
    return 0 if row is None else int(row.open)


async def add_slices(tx: Transaction, lease_id: bytes, parts: Sequence[Part]) -> None:
    """Note which grants a lease's new credit came from."""
    await tx.run(
        _ADD_SLICES,
        lease_id=to_uuid(lease_id),
        ids=[to_uuid(part.grant_id) for part in parts],
        amounts=[part.amount for part in parts],
    )


async def update_slices(tx: Transaction, lease_id: bytes, changed: Sequence[Slice]) -> None:
    """Write what was used of slices and given back to their grants."""
    if changed:
        await tx.run(
            _UPDATE_SLICES,
            lease_id=to_uuid(lease_id),
            ids=[to_uuid(piece.grant_id) for piece in changed],
            used=[piece.used for piece in changed],
            returned=[piece.returned for piece in changed],
        )


def _slice_of(row: Row[Any]) -> Slice:
    account = GrantKind(row.kind).account
    return Slice(row.grant_id.bytes, account, row.amount, row.used, row.returned)


def _changing(lease: Lease) -> dict[str, Any]:
    return {
        "acquire_number": lease.acquire_number,
        "renewed_at": lease.renewed_at,
        "granted_total": lease.granted_total,
        "returned_total": lease.returned_total,
        "settled_total": lease.settled_total,
        "recalled_at": lease.recalled_at,
        "closed_at": lease.closed_at,
    }


def _lease_of(row: Row[Any]) -> Lease:
    return Lease(
        lease_id=row.id.bytes,
        workspace_id=row.workspace_id.bytes,
        edge_id=row.edge_id,
        epoch=row.epoch,
        acquire_number=row.acquire_number,
        opened_at=row.opened_at,
        renewed_at=row.renewed_at,
        granted_total=row.granted_total,
        returned_total=row.returned_total,
        settled_total=row.settled_total,
        recalled_at=row.recalled_at,
        closed_at=row.closed_at,
    )
