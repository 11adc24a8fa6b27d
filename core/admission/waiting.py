"""Calls that wait for credit to come back: one look at all their wallets, ten times a second.

Looking takes no lock. Who is woken tries again under the wallet's lock like everybody else.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from core.db.database import Pool
from core.ledger import store
from kit.reasons import Unavailable

LOOK_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class _Wait:
    workspace_id: bytes
    needed: int
    there: asyncio.Future[None]


class CreditWaits:
    """All calls of this core that wait for credit."""

    def __init__(self, pool: Pool) -> None:
        """Look through the pool, while somebody waits."""
        self._pool = pool
        self._waits: dict[_Wait, None] = {}
        self._looking: asyncio.Task[None] | None = None

    async def until_there(self, workspace_id: bytes, needed: int, seconds: float) -> bool:
        """Wait until the wallet has so much available; False if it has not within the time."""
        wait = _Wait(workspace_id, needed, asyncio.get_running_loop().create_future())
        self._waits[wait] = None
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            async with asyncio.timeout(seconds):
                await wait.there
        except TimeoutError:
            return False
        finally:
            self._waits.pop(wait, None)
        return True

    async def _look(self) -> None:
        try:
            while self._waits:
                # Those who wait have a limit of their own.
                with suppress(Unavailable):
                    await self._wake()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self._looking = None

    async def _wake(self) -> None:
        """Wake those for whom there is enough, first come, first served."""
        async with self._pool.transaction("system") as tx:
            available = await store.read_available(tx, {wait.workspace_id for wait in self._waits})
        for wait in list(self._waits):
            if available.get(wait.workspace_id, 0) >= wait.needed and not wait.there.done():
                available[wait.workspace_id] -= wait.needed
                wait.there.set_result(None)
