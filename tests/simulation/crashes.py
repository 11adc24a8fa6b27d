"""Processes that die: before or after the n-th thing that outlives them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from core.db.database import Pool, Role, Transaction

Result = TypeVar("Result")


class Crash(BaseException):
    """The process ended here; nothing of it runs on, so no handler of errors may see it."""


class CrashPlan:
    """At which lasting act, counted from now, the process dies, and on which side of it."""

    def __init__(self) -> None:
        """Nothing dies until `arm`."""
        self._left = 0
        self._after = False
        self.crashed = asyncio.Event()

    def arm(self, point: int, *, after: bool) -> None:
        """Die at the `point`-th act from now (1 is the next), or never (0)."""
        self._left, self._after = point, after
        self.crashed = asyncio.Event()

    async def around(self, act: Callable[[], Awaitable[Result]]) -> Result:
        """Do a lasting act: a commit, or a call that changes something elsewhere.

        Raises:
            Crash: it was its turn, or the process is dead already.
        """
        if self.crashed.is_set():
            raise Crash
        self._left -= 1
        if self._left == 0 and not self._after:
            self._die()
        result = await act()
        if self._left == 0:
            self._die()
        return result

    def _die(self) -> None:
        self.crashed.set()
        raise Crash


class CrashingTransaction(Transaction):
    """A transaction whose commit may be the last thing its process does, or not get so far."""

    def __init__(self, inner: Transaction, plan: CrashPlan) -> None:
        """Stand before a transaction."""
        super().__init__(inner._outer, inner.connection)
        self._plan = plan

    async def commit(self) -> None:
        """Commit, unless the process dies before; die after it, if that is the plan."""
        await self._plan.around(super().commit)


class CrashingPool(Pool):
    """A pool of such transactions."""

    def __init__(self, inner: Pool, plan: CrashPlan) -> None:
        """Stand before a pool."""
        self._inner = inner
        self._plan = plan

    @asynccontextmanager
    async def transaction(
        self, role: Role, workspace_id: bytes | None = None, *, snapshot: bool = False
    ) -> AsyncIterator[Transaction]:
        """Open a transaction."""
        async with self._inner.transaction(role, workspace_id, snapshot=snapshot) as tx:
            yield CrashingTransaction(tx, self._plan)

    async def close(self) -> None:
        """Close all connections."""
        await self._inner.close()
