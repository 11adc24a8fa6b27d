"""Keeps the archiver from months that are being filled: holds the archive's lease meanwhile."""

from __future__ import annotations

import asyncio
from typing import Final

from core.db.database import Pool, Transaction
from core.partitions import lease
from kit.clock import Clock, now
from kit.ids import IdSource
from kit.reasons import Unavailable

PATIENCE_SECONDS: Final = 75.0
"""An archiver that has done its round keeps the lease for a minute."""
PAUSE_SECONDS: Final = 0.5


class ArchiverWorks(Unavailable):
    """The archiver has the archive's lease."""


class ArchiveHold:
    """The archive's lease, as long as it is renewed."""

    def __init__(self, pool: Pool, clock: Clock, ids: IdSource) -> None:
        """Hold it under a name of its own; nothing is taken yet."""
        self._pool = pool
        self._clock = clock
        self._holder = ids.new().hex()

    async def take(self) -> None:
        """Take the lease, and wait for an archiver that is through.

        Raises:
            ArchiverWorks: an archiver goes on renewing it.
        """
        began = self._clock.monotonic()
        while True:
            async with self._pool.transaction("system") as tx:
                if await lease.acquire(tx, self._holder, now(self._clock)):
                    await tx.commit()
                    return
            if self._clock.monotonic() - began > PATIENCE_SECONDS:
                raise ArchiverWorks
            await asyncio.sleep(PAUSE_SECONDS)

    async def renew(self, tx: Transaction) -> None:
        """Keep the lease, with what this transaction writes.

        Raises:
            ArchiverWorks: it was not renewed in time, and an archiver has taken it.
        """
        if not await lease.acquire(tx, self._holder, now(self._clock)):
            raise ArchiverWorks

    async def release(self) -> None:
        """Let archivers go on at once; of a lease that was lost nothing changes."""
        async with self._pool.transaction("system") as tx:
            await lease.release(tx, self._holder, now(self._clock))
            await tx.commit()
