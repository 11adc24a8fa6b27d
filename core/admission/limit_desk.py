"""Slices of limits for edges: waits a moment for spend that other edges are asked to give back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from core.admission.credit import RENEWALS_PER_TRANSACTION, LeaseTerms
from core.admission.epoch_store import check_current
from core.admission.limits import Slices, Wanted, lock_key, take_slices
from core.db.database import Pool, Transaction
from core.keys import spend, workspace_spend
from core.keys.spend import SpendSlice, SpendWish, limited_periods
from kit.clock import Clock, now
from kit.ids import IdSource

WAIT_SECONDS: Final = 2.0
POLL_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class SpendDealt:
    """What became of a wish for spend: what was granted, and the slice as it stands now.

    `may_come_back`: other edges have free what is lacking, and were asked for it.
    """

    granted: int
    slice: SpendSlice
    may_come_back: bool = False


class LimitDesk:
    """Deals slices of keys' limits."""

    def __init__(self, pool: Pool, clock: Clock, ids: IdSource, terms: LeaseTerms) -> None:
        """Work on the pool's database; slices of spend live as long as leases."""
        self._pool = pool
        self._clock = clock
        self._ids = ids
        self.terms = terms

    async def acquire(
        self, edge_id: int, epoch: int, key_id: bytes, wanted: Wanted, wish: SpendWish | None
    ) -> tuple[Slices, SpendDealt | None]:
        """Deal slices, waiting up to two seconds while the spend of other edges is recalled.

        Raises:
            EpochFenced, NotFound
        """
        async with self._pool.transaction("system") as tx:
            await check_current(tx, edge_id, epoch)
            key = await lock_key(tx, key_id)
            moment = now(self._clock)
            slices = await take_slices(
                tx, key, edge_id=edge_id, epoch=epoch, wanted=wanted, now=moment
            )
            dealt = None if wish is None else await self._deal(tx, wish, moment)
            await tx.commit()
        if wish is not None and dealt is not None and dealt.may_come_back:
            dealt = await self._wait_for(wish, dealt)
        return slices, dealt

    async def renew(
        self, edge_id: int, epoch: int, renewals: Sequence[tuple[bytes, int]]
    ) -> list[SpendSlice]:
        """Keep slices of spend alive and take back what was returned on them, part by part.

        Raises:
            EpochFenced
        """
        slices: list[SpendSlice] = []
        for start in range(0, max(1, len(renewals)), RENEWALS_PER_TRANSACTION):
            part = renewals[start : start + RENEWALS_PER_TRANSACTION]
            async with self._pool.transaction("system") as tx:
                await check_current(tx, edge_id, epoch)
                slices += await spend.give_back(tx, edge_id, epoch, part, now(self._clock))
                await tx.commit()
        return slices

    async def _wait_for(self, wish: SpendWish, dealt: SpendDealt) -> SpendDealt:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + WAIT_SECONDS
        while dealt.may_come_back and loop.time() + POLL_SECONDS < deadline:
            await asyncio.sleep(POLL_SECONDS)
            async with self._pool.transaction("system") as tx:
                await check_current(tx, wish.edge_id, wish.epoch)
                dealt = await self._deal(tx, wish, now(self._clock))
                await tx.commit()
        return dealt

    async def _deal(self, tx: Transaction, wish: SpendWish, moment: datetime) -> SpendDealt:
        """Grant what is wanted or what is left of it, or nothing if that does not help."""
        key = await lock_key(tx, wish.key_id)
        alive, workspace_id = moment - self.terms.silence, key.workspace_id
        # Before the key's standing, which may lock the wallet: key, workspace, wallet.
        together = await workspace_spend.lock_limits(tx, workspace_id)
        of_key = limited_periods(key.limits)
        books = [(of_key, await spend.standing(tx, wish, workspace_id, of_key, alive))]
        if together:
            found = await workspace_spend.standing(tx, wish, workspace_id, together, alive)
            books.append((together, found))
        day = spend.date_of(wish.day)
        room = min(found.room(limits, day) for limits, found in books)
        granted = min(wish.wanted, room) if room >= wish.needed else 0
        whole = min(found.room(limits, day, without_others=True) for limits, found in books)
        if granted or whole < wish.needed:
            dealt = await spend.grow(tx, wish, granted, ids=self._ids, now=moment)
            return SpendDealt(granted, dealt)
        # Other keys' slices help only where it is the workspace's own room that is too small.
        is_together = bool(together) and books[-1][1].room(together, day) < wish.needed
        return await self._recall(tx, wish, workspace_id if is_together else None, moment)

    async def _recall(
        self, tx: Transaction, wish: SpendWish, workspace_id: bytes | None, moment: datetime
    ) -> SpendDealt:
        """Ask other slices back: those of the key, or of all keys of a workspace that lacks."""
        if workspace_id is None:
            await spend.lock_slices_of_key(tx, wish.key_id)
        else:
            await workspace_spend.lock_slices(tx, workspace_id)
        dealt = await spend.grow(tx, wish, 0, ids=self._ids, now=moment)
        if workspace_id is None:
            await spend.recall(tx, wish, moment)
        else:
            await workspace_spend.recall(tx, wish, workspace_id, moment)
        return SpendDealt(0, dealt, may_come_back=True)
