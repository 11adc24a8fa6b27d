"""Credit for edges: waits a moment for credit that other edges are asked to give back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from core.accounts.model import WorkspaceState
from core.accounts.store import get_workspace
from core.admission.epoch_store import check_current
from core.admission.waiting import CreditWaits
from core.db.database import Pool
from core.ledger import leases
from core.ledger.model import LEASE_GRACE_SECONDS, LeaseState
from kit.clock import Clock, now
from kit.reasons import CreditInUse, WorkspaceNotActive

WAIT_SECONDS: Final = 0.5
"""Long enough for a recall and its answer; an edge asks again for as long as a request waits."""
RENEWALS_PER_TRANSACTION: Final = 200


@dataclass(frozen=True, slots=True)
class CreditWish:
    """What an edge asks for; amounts are nano-US-dollars."""

    edge_id: int
    epoch: int
    workspace_id: bytes
    acquire_number: int
    needed: int
    spend_rate: int
    returned: tuple[bytes, int] | None = None


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """How long leases last: an edge's time without core, and the longest request."""

    disconnected_seconds: int
    request_max_seconds: int

    @property
    def silence(self) -> timedelta:
        """Return after what silence of its edge a lease, or a slice of spend, is over."""
        return timedelta(
            seconds=self.disconnected_seconds + self.request_max_seconds + LEASE_GRACE_SECONDS
        )


class CreditDesk:
    """Grants and renews leases."""

    def __init__(self, pool: Pool, clock: Clock, terms: LeaseTerms) -> None:
        """Work on the pool's database under the terms."""
        self._pool = pool
        self._clock = clock
        self.terms = terms
        self._waits = CreditWaits(pool)

    async def acquire(self, wish: CreditWish, edges: int) -> LeaseState:
        """Grant credit, waiting a moment while other leases are recalled.

        Raises:
            EpochFenced, WorkspaceNotActive, InsufficientCredits
            CreditInUse: other holds still stand after the wait.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + WAIT_SECONDS
        while True:
            try:
                return await self._acquire(wish, edges)
            except CreditInUse:
                left = deadline - loop.time()
                if not await self._waits.until_there(wish.workspace_id, wish.needed, left):
                    raise

    async def renew(
        self, edge_id: int, epoch: int, renewals: Sequence[tuple[bytes, int]]
    ) -> list[LeaseState]:
        """Keep leases alive and take back what was returned on them, 200 in a transaction.

        Raises:
            EpochFenced
        """
        states: list[LeaseState] = []
        for start in range(0, max(1, len(renewals)), RENEWALS_PER_TRANSACTION):
            part = renewals[start : start + RENEWALS_PER_TRANSACTION]
            async with self._pool.transaction("system") as tx:
                await check_current(tx, edge_id, epoch)
                states += await leases.renew(
                    tx, edge_id=edge_id, epoch=epoch, renewals=part, now=now(self._clock)
                )
                await tx.commit()
        return states

    async def _acquire(self, wish: CreditWish, edges: int) -> LeaseState:
        async with self._pool.transaction("system") as tx:
            await check_current(tx, wish.edge_id, wish.epoch)
            workspace = await get_workspace(tx, wish.workspace_id)
            if workspace.state is not WorkspaceState.ACTIVE:
                raise WorkspaceNotActive
            state = await leases.acquire(
                tx,
                edge_id=wish.edge_id,
                epoch=wish.epoch,
                workspace_id=wish.workspace_id,
                acquire_number=wish.acquire_number,
                needed=wish.needed,
                spend_rate=wish.spend_rate,
                lifetime_s=self.terms.disconnected_seconds,
                request_max_s=self.terms.request_max_seconds,
                edges=edges,
                now=now(self._clock),
                returned=wish.returned,
            )
            await tx.commit()
        return state
