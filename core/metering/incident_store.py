"""All SQL that tells what is known of one request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row

from core.db.database import Transaction
from core.db.values import to_uuid

ALARMS_MAX: Final = 100

_OF_REQUEST: Final = """
SELECT kind, occurred_at, coalesce(edge_id, 0) AS edge_id, coalesce(epoch, 0) AS epoch,
       coalesce(expected, 0) AS expected, coalesce(found, 0) AS found, object_id = '' AS of_spool
  FROM alarm WHERE object_id = :object
 ORDER BY occurred_at, id LIMIT :limit
"""
_OF_SPOOL: Final = """
SELECT kind, occurred_at, edge_id, epoch, coalesce(expected, 0) AS expected,
       coalesce(found, 0) AS found, true AS of_spool
  FROM alarm WHERE object_id = '' AND edge_id = :edge_id AND epoch = :epoch
 ORDER BY occurred_at, id LIMIT :limit
"""
_CLAIM: Final = """
SELECT workspace_id, created_at, expires_at, released, edge_id, epoch FROM idempotency_key
 WHERE request_id = :request_id ORDER BY created_at DESC LIMIT 1
"""
_PROCESS: Final = """
SELECT edge_id, epoch, opened_at, closed_at, acked_sequence, missing_frames FROM edge_epoch
 WHERE edge_id = :edge_id AND epoch = :epoch
"""

_UPSTREAMS: Final = """
SELECT number, name FROM upstream WHERE number = ANY(CAST(:numbers AS integer[]))
"""


async def alarms_of_request(tx: Transaction, object_id: str) -> Sequence[Row[Any]]:
    """Read the alarms that name a request."""
    return await tx.all(_OF_REQUEST, object=object_id, limit=ALARMS_MAX)


async def alarms_of_spool(tx: Transaction, edge_id: int, epoch: int) -> Sequence[Row[Any]]:
    """Read the alarms about the whole spool of an edge process."""
    return await tx.all(_OF_SPOOL, edge_id=edge_id, epoch=epoch, limit=ALARMS_MAX)


async def claim_of(tx: Transaction, request_id: bytes) -> Row[Any] | None:
    """Read the idempotency key that a request claimed, while it is remembered."""
    return await tx.one(_CLAIM, request_id=to_uuid(request_id))


async def upstream_names(tx: Transaction, numbers: Sequence[int]) -> dict[int, str]:
    """Read the names of upstreams."""
    rows = await tx.all(_UPSTREAMS, numbers=list(numbers))
    return {row.number: row.name for row in rows}


async def process_of(tx: Transaction, edge_id: int, epoch: int) -> Row[Any] | None:
    """Read one life of an edge."""
    return await tx.one(_PROCESS, edge_id=edge_id, epoch=epoch)
