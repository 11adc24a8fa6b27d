"""Four writers settle, lease, renew and give credit on the same wallets, in any order, for a while.

Core routes a wallet to one writer; here nobody does, as two cores would not either.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator

from core.db.database import Database, Transaction
from core.ledger import credits as ledger_credits
from core.ledger import leases
from core.ledger.model import GrantKind
from core.metering.messages import record_of
from core.metering.model import figure_of
from core.metering.settle import Reported, settle_group
from kit.reasons import CreditInUse, InsufficientCredits, Unavailable
from tests.support.metering_world import PRICE, MeteringWorld
from tests.support.money_world import DOLLAR, MoneyWorld

WRITERS = 4
RENEWED_AT_ONCE = 100
RECORDS_MAX = 5
MAKE_AT_ONCE = 8


class Writer:
    """One writer: an edge process's leases on any wallet, and records for any wallet."""

    def __init__(self, world: MeteringWorld, wallets: list[bytes], number: int, seed: int) -> None:
        self._world, self._wallets, self._edge = world, wallets, number
        self._chance = random.Random(f"{seed}-{number}")
        self._leases: dict[bytes, bytes] = {}
        self._calls: Counter[bytes] = Counter()
        self.done: Counter[str] = Counter()

    async def run(self, until: float) -> None:
        """Do one thing after the other until a monotonic moment."""
        steps = (self._settle, self._settle, self._acquire, self._renew, self._give)
        while time.monotonic() < until:
            step = self._chance.choice(steps)
            try:
                async with self._world.money.database.metering.transaction("system") as tx:
                    await step(tx)
                    await tx.commit()
                self.done[step.__name__.strip("_")] += 1
            except (InsufficientCredits, CreditInUse):
                self.done["refused"] += 1
            except Unavailable as failure:
                self.done[f"stopped {failure.metadata.get('sqlstate', '')}"] += 1

    async def _settle(self, tx: Transaction) -> None:
        wallet, group = self._chance.choice(self._wallets), []
        for _ in range(self._chance.randint(1, RECORDS_MAX)):
            message = self._world.record(wallet, input_tokens=self._chance.randint(0, 5_000))
            record = record_of(message)
            figure = figure_of(record, PRICE) or 0
            group.append(Reported(record, self._edge, 1, 0, message.charge_nanos, figure))
        money = self._world.money
        month = group[0].record.month
        await settle_group(tx, wallet, month, group, ids=money.ids, now=money.now)

    async def _acquire(self, tx: Transaction) -> None:
        wallet = self._chance.choice(self._wallets)
        self._calls[wallet] += 1
        state = await leases.acquire(
            tx,
            edge_id=self._edge,
            epoch=1,
            workspace_id=wallet,
            acquire_number=self._calls[wallet],
            needed=self._chance.randint(1, DOLLAR // 10),
            spend_rate=0,
            lifetime_s=600,
            edges=WRITERS,
            now=self._world.money.now,
        )
        self._leases[wallet] = state.lease_id

    async def _renew(self, tx: Transaction) -> None:
        names = list(self._leases.values())
        some = self._chance.sample(names, min(RENEWED_AT_ONCE, len(names)))
        totals = [(name, self._chance.randint(0, DOLLAR // 20)) for name in some]
        await leases.renew(
            tx, edge_id=self._edge, epoch=1, renewals=totals, now=self._world.money.now
        )

    async def _give(self, tx: Transaction) -> None:
        money = self._world.money
        await ledger_credits.grant_credit(
            tx,
            workspace_id=self._chance.choice(self._wallets),
            kind=self._chance.choice([GrantKind.PAID, GrantKind.PROMOTIONAL]),
            amount=DOLLAR // 10,
            expires_at=None,
            business_key=f"storm:{money.ids.new().hex()}",
            actor="core.payments",
            now=money.now,
        )


async def _run(database_url: str, wallets: int, seconds: float, seed: int) -> list[str]:
    database = Database.connect(database_url, metering_pool=WRITERS)
    money = MoneyWorld(database)
    for number in range(1, WRITERS + 1):
        await money.edge(number)
    world = await MeteringWorld.start(money)
    made: list[bytes] = []
    while len(made) < wallets:
        count = min(MAKE_AT_ONCE, wallets - len(made))
        made += await asyncio.gather(*(money.workspace(1) for _ in range(count)))
    writers = [Writer(world, made, number, seed) for number in range(1, WRITERS + 1)]
    until = time.monotonic() + seconds
    await asyncio.gather(*(writer.run(until) for writer in writers))
    await asyncio.sleep(1.5)  # statistics of the server come a moment late
    ((deadlocks, rollbacks),) = await world.rows(
        "SELECT deadlocks, xact_rollback FROM pg_stat_database WHERE datname = current_database()"
    )
    findings = await money.findings()
    await world.stop()
    await database.close()
    done: Counter[str] = sum((writer.done for writer in writers), Counter())
    stopped = {name: count for name, count in done.items() if name.startswith("stopped")}
    assert deadlocks == 0, deadlocks
    assert not stopped, stopped
    assert findings == [], findings[:5]
    count = sum(done.values())
    return [
        f"{count:,} transactions of {WRITERS} writers on {wallets:,} wallets in {seconds:.0f} s",
        f"{dict(done.most_common())}",
        f"0 deadlocks; {rollbacks} transactions left without a commit; all books balance",
    ]


def storm(
    database_url: str, *, wallets: int = 1_000, seconds: float = 600.0, seed: int = 1
) -> Iterator[str]:
    """No order of wallets, leases and records makes two writers wait for each other."""
    yield from asyncio.run(_run(database_url, wallets, seconds, seed))
