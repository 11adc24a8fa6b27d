"""Makes each month's usage in a process of its own, while older months go their way.

So usage is settled while others are exported, published and dropped, as in real life, and neither
process waits for the other's processor.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Self

from core.db.database import Database
from core.demo_usage.maker import Maker, Plan
from core.keyring import load_or_make_keyring
from kit.ids import IdSource
from tests.chaos.archive.lines import Lines, answer, told


@dataclass(frozen=True, slots=True)
class Made:
    """A month that was made: rows, nano-dollars, and what it took the process in all so far."""

    rows: int
    charged_nanos: int
    computing_seconds: float
    memory_bytes_max: int


class Making:
    """The process that makes usage, from here."""

    def __init__(self, lines: Lines, owners: Sequence[bytes]) -> None:
        """Take a process that has made workspaces; `Making.start` makes it."""
        self._lines = lines
        self.owners = owners

    @classmethod
    async def start(cls, dsn: str, folder: Path, plan: Plan) -> Self:
        """Start the process and wait for its workspaces, the one with the most rows first."""
        words = {"months": plan.months, "rows": plan.rows, "workspaces": plan.workspaces}
        lines = await Lines.start(
            __name__,
            dsn=dsn,
            folder=str(folder),
            last=plan.last.isoformat(),
            seed=plan.seed,
            **words,
        )
        return cls(lines, [bytes.fromhex(each) for each in await lines.heard()])

    def begin(self, month: date) -> None:
        """Let it make a month; months come in their order, one at a time."""
        self._lines.tell(month.isoformat())

    async def made(self) -> Made:
        """Wait for the month that was begun."""
        return Made(**await self._lines.heard())

    async def stop(self) -> None:
        """Let it end once nothing is being made any more, or end it."""
        await self._lines.stop()


async def _main() -> None:
    orders = told()
    words: dict[str, Any] = await anext(orders)
    peppers = load_or_make_keyring(Path(words.pop("folder")) / "keys" / "pepper.json")
    database = Database.connect(words.pop("dsn"))
    plan = Plan(last=date.fromisoformat(words.pop("last")), **words)
    maker = Maker(database.jobs, IdSource(), peppers, plan)
    try:
        await maker.prepare()
        answer([customer.workspace_id.hex() for customer in maker.customers])
        async for order in orders:
            answer(_words_of(*await maker.make_month(date.fromisoformat(order))))
    finally:
        await database.close()


def _words_of(rows: int, charged_nanos: int) -> dict[str, float]:
    return {
        "rows": rows,
        "charged_nanos": charged_nanos,
        "computing_seconds": time.process_time(),
        "memory_bytes_max": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


if __name__ == "__main__":
    asyncio.run(_main())
