"""Writes down that keys have expired; that they stop working is decided on read."""

from __future__ import annotations

from typing import Final

from core.audit import Act
from core.db.database import Pool
from core.keys import service, store

BATCH: Final = 100


async def record_expiries(pool: Pool, act: Act) -> int:
    """Record up to a hundred expiries, each in its own transaction; return how many."""
    async with pool.transaction("system") as tx:
        expired = await store.unrecorded_expiries(tx, act.now, BATCH)
    for key_id in expired:
        async with pool.transaction("system") as tx:
            await service.record_expiry(tx, act, key_id)
            await tx.commit()
    return len(expired)
