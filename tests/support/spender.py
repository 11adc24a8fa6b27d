"""A key with spend limits and the edges that ask for it, on real records."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import uuid4

from core.accounts import service as accounts
from core.accounts.model import SpendLimits
from core.admission import epochs
from core.admission.credit import LeaseTerms
from core.admission.limit_desk import LimitDesk, SpendDealt
from core.admission.limits import Wanted
from core.audit import Act
from core.keyring import Keyring
from core.keys import service as keys
from core.keys import spend
from core.keys.model import KeyLimits, KeySettings
from core.keys.spend import SpendWish
from kit.clock import to_micros
from tests.support.metering_world import MeteringWorld, WorldClock

TERMS: Final = LeaseTerms(disconnected_seconds=600, request_max_seconds=3_600)
PEPPERS: Final = Keyring({1: b"p" * 32})
ONE: Final = 3_500_000
"""The charge of a record of the world."""


@dataclass(slots=True)
class Spender:
    """A key with spend limits, two edge processes, and the desk that deals its slices."""

    world: MeteringWorld
    workspace_id: bytes
    desk: LimitDesk
    key_id: bytes = b""

    @classmethod
    async def of(cls, world: MeteringWorld) -> Spender:
        """Make a workspace with ten dollars and a second edge."""
        workspace_id = await world.money.workspace(10)
        await world.money.edge(2)
        money = world.money
        desk = LimitDesk(money.database.rpc, WorldClock(money), money.ids, TERMS)
        return cls(world, workspace_id, desk)

    async def limit_workspace(self, **limits: int) -> None:
        """Limit what all keys of the workspace spend together."""
        async with self.world.money.database.rpc.transaction("system") as tx:
            await accounts.update_workspace(
                tx,
                self.act,
                self.workspace_id,
                display_name="Test",
                default_lane=0,
                requires_zero_retention=False,
                cors_origins=(),
                spend_limits=SpendLimits(**limits),
                expected_version=0,
            )
            await tx.commit()

    async def limit(self, **limits: int) -> None:
        """Make the key."""
        async with self.world.money.database.rpc.transaction("system") as tx:
            shown = await keys.create_key(
                tx,
                self.act,
                PEPPERS,
                request_id=f"request-{uuid4().hex}",
                workspace_id=self.workspace_id,
                display_name="A key",
                settings=KeySettings(limits=KeyLimits(**limits)),
            )
            await tx.commit()
        self.key_id = shown.key.key_id

    @property
    def act(self) -> Act:
        """An act of now."""
        return Act("operator", self.world.money.now, self.world.money.ids)

    def day(self) -> int:
        """The day of requests that begin now."""
        return to_micros(self.world.money.now) // 86_400_000_000

    async def ask(self, wanted: int, needed: int = 0, edge: int = 1) -> SpendDealt:
        """Ask for spend as an edge."""
        wish = SpendWish(self.key_id, edge, 1, self.day(), wanted, needed or wanted)
        _, dealt = await self.desk.acquire(edge, 1, self.key_id, Wanted(), wish)
        assert dealt is not None
        return dealt

    async def give_back(self, dealt: SpendDealt, total: int, edge: int = 1) -> None:
        """Return spend as an edge."""
        await self.desk.renew(edge, 1, [(dealt.slice.slice_id, total)])

    async def charge(self, edge: int = 1, moment: datetime | None = None, epoch: int = 1) -> None:
        """Let a request of the key be charged `ONE`."""
        record = self.world.record(self.workspace_id, moment=moment, key_id=self.key_id)
        answer = await self.world.report([record], edge_id=edge, epoch=epoch)
        assert not answer.rejected

    async def close_epoch(self, edge: int) -> None:
        """End an edge process whose records are all in."""
        async with self.world.money.database.rpc.transaction("system") as tx:
            await epochs.close_epoch(tx, self.act, edge, 1, 0)
            await tx.commit()

    async def sweep(self) -> None:
        """Let core forget what can matter no more."""
        moment = self.world.money.now
        async with self.world.money.database.jobs.transaction("system") as tx:
            await spend.sweep(tx, moment - TERMS.silence, moment)
            await tx.commit()


async def until_recalled(spender: Spender) -> None:
    """Wait for a recall to be committed."""
    while True:
        if await spender.world.rows("SELECT 1 FROM spend_slice WHERE recalled_at IS NOT NULL"):
            return
        await asyncio.sleep(0.01)
