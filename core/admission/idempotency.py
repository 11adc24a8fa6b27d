"""Clients' idempotency keys: at most one upstream call for a key, within 24 hours.

A key is known by a keyed hash only. It belongs to the request that claimed it first; whether that
one is completed is decided by its usage record, so an edge's crash leaves the key taken until the
request is resolved. A request that never got its INTENT has no record and has called nobody: its
edge gives the claim up, or it ends with the edge's epoch, when all records of that are in.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

from core.admission.epoch_store import check_current
from core.db.database import Transaction
from core.db.values import from_uuid, to_uuid
from kit.reasons import NotFound

LIFETIME: Final = timedelta(hours=24)

_COLUMNS: Final = (
    "workspace_id, key_hash, request_id, created_at, expires_at, edge_id, epoch, released"
)
_CLAIM: Final = f"""
INSERT INTO idempotency_key AS k ({_COLUMNS})
SELECT id, :key_hash, :request_id, :now, :expires_at, :edge_id, :epoch, false
  FROM workspace WHERE id = :workspace_id
ON CONFLICT (workspace_id, key_hash)
DO UPDATE SET request_id = excluded.request_id, created_at = excluded.created_at,
              expires_at = excluded.expires_at, edge_id = excluded.edge_id,
              epoch = excluded.epoch, released = false
 WHERE k.expires_at <= :now OR (k.released AND k.request_id <> excluded.request_id)
RETURNING request_id
"""  # noqa: S608 constant columns
# Also where the claim has not come yet: it may be late, and must find that it is not wanted.
_RELEASE: Final = f"""
INSERT INTO idempotency_key AS k ({_COLUMNS})
SELECT id, :key_hash, :request_id, :now, :expires_at, NULL, NULL, true
  FROM workspace WHERE id = :workspace_id
ON CONFLICT (workspace_id, key_hash)
DO UPDATE SET released = true WHERE k.request_id = excluded.request_id
"""  # noqa: S608 constant columns
# A record that core refused to take has called an upstream all the same: its alarm says so.
_FREE: Final = """
DELETE FROM idempotency_key AS k
 WHERE edge_id = :edge_id AND epoch = :epoch
   AND NOT EXISTS (SELECT 1 FROM usage_record AS r WHERE r.id = k.request_id)
   AND NOT EXISTS (SELECT 1 FROM usage_late AS r WHERE r.id = k.request_id)
   AND NOT EXISTS (SELECT 1 FROM alarm AS a
                    WHERE a.object_id = 'req_' || replace(k.request_id::text, '-', ''))
"""
_HOLDER: Final = """
SELECT request_id, released FROM idempotency_key
 WHERE workspace_id = :workspace_id AND key_hash = :key_hash
"""
_CHARGE: Final = """
SELECT charge_nanos FROM usage_record WHERE id = :request_id
UNION ALL
SELECT charge_nanos FROM usage_late WHERE id = :request_id
"""
_SWEEP: Final = "DELETE FROM idempotency_key WHERE expires_at <= :now"


class ClaimResult(IntEnum):
    """How a claim went; the values are those of the contract."""

    CLAIMED = 1
    IN_FLIGHT = 2
    COMPLETED = 3


@dataclass(frozen=True, slots=True)
class Claim:
    """How a claim went, who holds the key, and its charge once it is completed."""

    result: ClaimResult
    request_id: bytes
    charge_nanos: int = 0


@dataclass(frozen=True, slots=True)
class ClientKey:
    """A client's key in a workspace, and the request that it came with."""

    workspace_id: bytes
    key_hash: bytes
    request_id: bytes

    def place(self) -> dict[str, object]:
        """Return where the key is kept."""
        return {"workspace_id": to_uuid(self.workspace_id), "key_hash": self.key_hash}


async def claim(
    tx: Transaction, key: ClientKey, *, edge_id: int, epoch: int, now: datetime
) -> Claim:
    """Claim a key for a request; a repeated claim of the same request succeeds again.

    Raises:
        EpochFenced: nobody would free the key any more.
        NotFound: there is no such workspace.
    """
    await check_current(tx, edge_id, epoch)
    claimed = await tx.one(
        _CLAIM,
        **key.place(),
        request_id=to_uuid(key.request_id),
        edge_id=edge_id,
        epoch=epoch,
        now=now,
        expires_at=now + LIFETIME,
    )
    if claimed is not None:
        return Claim(ClaimResult.CLAIMED, key.request_id)
    holder = await tx.one(_HOLDER, **key.place())
    if holder is None:
        raise NotFound
    if from_uuid(holder.request_id) == key.request_id and not holder.released:
        return Claim(ClaimResult.CLAIMED, key.request_id)
    record = await tx.one(_CHARGE, request_id=holder.request_id)
    if record is None:
        return Claim(ClaimResult.IN_FLIGHT, from_uuid(holder.request_id))
    return Claim(ClaimResult.COMPLETED, from_uuid(holder.request_id), int(record.charge_nanos))


async def release(tx: Transaction, key: ClientKey, now: datetime) -> None:
    """Free the key of a request that called no upstream; another request's key stays its own."""
    await tx.run(
        _RELEASE,
        **key.place(),
        request_id=to_uuid(key.request_id),
        now=now,
        expires_at=now + LIFETIME,
    )


async def free_of_epoch(tx: Transaction, edge_id: int, epoch: int) -> int:
    """Free what a closed epoch's requests claimed that left no record; return how many keys.

    All records of the epoch are in, and none of its frames is missing.
    """
    return await tx.run(_FREE, edge_id=edge_id, epoch=epoch)


async def sweep(tx: Transaction, now: datetime) -> int:
    """Forget keys whose time is over; return how many."""
    return await tx.run(_SWEEP, now=now)
