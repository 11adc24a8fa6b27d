"""A small world of money for tests: workspaces with wallets, edge processes, credit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from core.db.database import Database
from core.db.values import to_uuid
from core.ledger import credits as ledger_credits
from core.ledger import leases, store
from core.ledger.model import Balance, CreditGrant, GrantKind, LeaseState
from core.ledger.proofs.finding import Finding, Tally
from core.ledger.proofs.verify import verify
from core.ledger.wallets import open_wallet
from core.metering.proofs import UsageProofs
from kit.clock import to_micros
from kit.ids import IdSource

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DOLLAR = 1_000_000_000
_T = TypeVar("_T")


@dataclass(slots=True)
class MoneyWorld:
    """Runs use cases of the ledger, a transaction each, at a time that the test sets."""

    database: Database
    now: datetime = START
    ids: IdSource = field(default_factory=IdSource)

    def pass_time(self, seconds: float) -> None:
        """Let time go by."""
        self.now += timedelta(seconds=seconds)

    async def workspace(self, dollars: int = 0) -> bytes:
        """Make a workspace with a wallet and, if asked for, promotional credit."""
        workspace_id = self.ids.new()
        async with self.database.rpc.transaction("system") as tx:
            await tx.run(
                "INSERT INTO workspace VALUES (:id, 'Test', 1, 1, :now, 0)",
                id=to_uuid(workspace_id),
                now=self.now,
            )
            await open_wallet(tx, workspace_id)
            await tx.commit()
        if dollars:
            await self.grant(workspace_id, dollars * DOLLAR)
        return workspace_id

    async def edge(self, edge_id: int = 1, epoch: int = 1) -> None:
        """Open an epoch of an edge."""
        async with self.database.rpc.transaction("system") as tx:
            await tx.run(
                "INSERT INTO edge_epoch VALUES (:edge, :epoch, :nonce, :now, NULL, 0, 0)",
                edge=edge_id,
                epoch=epoch,
                nonce=self.ids.new(),
                now=self.now,
            )
            await tx.commit()

    async def grant(
        self,
        workspace_id: bytes,
        amount: int,
        kind: GrantKind = GrantKind.PROMOTIONAL,
        *,
        key: str | None = None,
        expires_at: datetime | None = None,
        tax: int = 0,
    ) -> CreditGrant:
        """Give credit."""
        key = key or f"promo:{self.ids.new().hex()}"
        request = ledger_credits.GrantRequest(
            workspace_id, kind, amount, expires_at, key, "operator", self.now, tax
        )
        async with self.database.rpc.transaction("system") as tx:
            given = await ledger_credits.grant_with_balance(tx, request)
            await tx.commit()
        return given.grant

    async def acquire(
        self,
        workspace_id: bytes,
        number: int,
        needed: int,
        *,
        edge_id: int = 1,
        epoch: int = 1,
        spend_rate: int = 0,
        edges: int = 1,
        returned: tuple[bytes, int] | None = None,
    ) -> LeaseState:
        """Open a lease or make it larger."""
        async with self.database.rpc.transaction("system") as tx:
            state = await leases.acquire(
                tx,
                edge_id=edge_id,
                epoch=epoch,
                workspace_id=workspace_id,
                acquire_number=number,
                needed=needed,
                spend_rate=spend_rate,
                lifetime_s=600,
                edges=edges,
                now=self.now,
                returned=returned,
            )
            await tx.commit()
        return state

    async def renew(
        self, renewals: list[tuple[bytes, int]], *, edge_id: int = 1, epoch: int = 1
    ) -> list[LeaseState]:
        """Keep leases alive and give free parts back."""
        async with self.database.rpc.transaction("system") as tx:
            states = await leases.renew(
                tx, edge_id=edge_id, epoch=epoch, renewals=renewals, now=self.now
            )
            await tx.commit()
        return states

    async def give_back(self, lease_id: bytes, returned_total: int) -> LeaseState | None:
        """Give part of a lease back."""
        async with self.database.rpc.transaction("system") as tx:
            state = await leases.give_back(tx, lease_id, returned_total, self.now)
            await tx.commit()
        return state

    async def close_epoch(self, edge_id: int = 1, epoch: int = 1) -> int:
        """Close the leases of an edge process."""
        async with self.database.rpc.transaction("system") as tx:
            released = await leases.close_epoch(tx, edge_id, epoch, self.now)
            await tx.commit()
        return released

    async def run(self, step: Callable[..., Awaitable[_T]], **words: object) -> _T:
        """Run a use case as finance, in a transaction of its own."""
        async with self.database.rpc.transaction("system") as tx:
            made = await step(tx, **words, actor="finance", now=self.now)
            await tx.commit()
        return made

    async def account(self, name: str) -> int:
        """Return the sum of an account's entries."""
        sql = "SELECT CAST(coalesce(sum(amount), 0) AS bigint) AS total FROM ledger_entry"
        async with self.database.jobs.transaction("system") as tx:
            row = await tx.one(f"{sql} WHERE account = :name", name=name)
        assert row is not None
        return int(row.total)

    async def remaining(self, grant: CreditGrant) -> int:
        """Return what is free of a grant."""
        async with self.database.jobs.transaction("system") as tx:
            found = await store.read_grant(tx, grant.grant_id)
        assert found is not None
        return found.remaining

    async def findings(self) -> list[Finding]:
        """Prove everything."""
        async with self.database.jobs.transaction("system", snapshot=True) as tx:
            return [found async for found in verify(tx, None, UsageProofs(), Tally())]

    async def balance(self, workspace_id: bytes) -> Balance:
        """Read a balance as the workspace itself may."""
        async with self.database.rpc.transaction("app", workspace_id) as tx:
            return await ledger_credits.balance(tx, workspace_id, self.now)

    @property
    def now_ms(self) -> int:
        """The time in milliseconds since 1970."""
        return to_micros(self.now) // 1_000
