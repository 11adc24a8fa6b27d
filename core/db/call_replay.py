"""Calls that carry a request id are answered the same when repeated (AIP-155).

Promised for 24 hours and kept for 48, so that a caller's clock and its last retry do not matter.
Credit is given once for ever: its request id is a business key of the ledger.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from core.db.database import Transaction
from core.db.values import from_uuid, to_uuid
from kit.canonical import Canonical, content_hash
from kit.reasons import RequestIdReused

_CLAIM: Final = """
INSERT INTO call_replay (method, request_id, content_hash, object_id, created_at)
VALUES (:method, :request_id, :content_hash, :object_id, :now)
ON CONFLICT (method, request_id) DO NOTHING
RETURNING object_id
"""
KEPT: Final = timedelta(hours=48)
_SWEEP: Final = "DELETE FROM call_replay WHERE created_at < :before"
_STORED: Final = """
SELECT content_hash, object_id FROM call_replay
 WHERE method = :method AND request_id = :request_id
"""


async def claim_call(
    tx: Transaction,
    *,
    method: str,
    request_id: str,
    content: dict[str, Canonical],
    object_id: bytes,
    now: datetime,
) -> bytes | None:
    """Return None for a new call, or the id of the object that the first one made.

    A second call that runs at the same time waits for the first one's commit.

    Raises:
        RequestIdReused: the id was used before with other content.
    """
    digest = content_hash(content)
    claimed = await tx.one(
        _CLAIM,
        method=method,
        request_id=request_id,
        content_hash=digest,
        object_id=to_uuid(object_id),
        now=now,
    )
    if claimed is not None:
        return None
    stored = await tx.one(_STORED, method=method, request_id=request_id)
    if stored is None or bytes(stored.content_hash) != digest:
        raise RequestIdReused
    return from_uuid(stored.object_id)


async def sweep(tx: Transaction, now: datetime) -> int:
    """Forget calls that nobody repeats any more; return how many."""
    return await tx.run(_SWEEP, before=now - KEPT)
