"""Clients' idempotency keys: at most one upstream call for a key, within 24 hours.

A key is known by a keyed hash only. It belongs to the request that claimed it first; whether that
one is completed is decided by its usage record, so an edge's crash leaves the key taken until the
request is resolved.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

from core.db.database import Transaction
from core.db.values import from_uuid, to_uuid
from kit.reasons import NotFound

LIFETIME: Final = timedelta(hours=24)

_CLAIM: Final = """
INSERT INTO idempotency_key AS k (workspace_id, key_hash, request_id, created_at, expires_at)
SELECT id, :key_hash, :request_id, :now, :expires_at FROM workspace WHERE id = :workspace_id
ON CONFLICT (workspace_id, key_hash)
DO UPDATE SET request_id = excluded.request_id, created_at = excluded.created_at,
              expires_at = excluded.expires_at
 WHERE k.expires_at <= :now
RETURNING request_id
"""
_HOLDER: Final = """
SELECT request_id FROM idempotency_key
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


async def claim(
    tx: Transaction, *, workspace_id: bytes, key_hash: bytes, request_id: bytes, now: datetime
) -> Claim:
    """Claim a key for a request; a repeated claim of the same request succeeds again.

    Raises:
        NotFound: there is no such workspace.
    """
    place: dict[str, object] = {"workspace_id": to_uuid(workspace_id), "key_hash": key_hash}
    claimed = await tx.one(
        _CLAIM, **place, request_id=to_uuid(request_id), now=now, expires_at=now + LIFETIME
    )
    if claimed is not None:
        return Claim(ClaimResult.CLAIMED, request_id)
    holder = await tx.one(_HOLDER, **place)
    if holder is None:
        raise NotFound
    if from_uuid(holder.request_id) == request_id:
        return Claim(ClaimResult.CLAIMED, request_id)
    record = await tx.one(_CHARGE, request_id=holder.request_id)
    if record is None:
        return Claim(ClaimResult.IN_FLIGHT, from_uuid(holder.request_id))
    return Claim(ClaimResult.COMPLETED, from_uuid(holder.request_id), int(record.charge_nanos))


async def sweep(tx: Transaction, now: datetime) -> int:
    """Forget keys whose time is over; return how many."""
    return await tx.run(_SWEEP, now=now)
