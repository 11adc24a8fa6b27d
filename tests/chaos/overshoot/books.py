"""The same at the ledger, past the edges' own check: excess is charged, and it is bounded."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from core.db.database import Database
from kit.reasons import CreditInUse, InsufficientCredits
from oneapi.metering.v1.usage_record_pb2 import UsageRecord
from tests.chaos.overshoot.mixture import Use, drawn
from tests.support.metering_world import MeteringWorld
from tests.support.money_world import MoneyWorld

EDGES = (1, 2, 3)
HOLD = 1_000_000
"""The hold of each trial; charges are multiples of 10,000."""
CREDIT_HOLDS = 40
TRIALS_OF_A_WALLET = 250
REPORT_EVERY = 20
CHARGES = {Use.TENTH: HOLD // 10, Use.WHOLE: HOLD, Use.MORE: HOLD * 3 // 2}


@dataclass
class Edge:
    """One edge process's lease of one wallet, with its free part, and what it has to report."""

    number: int
    workspace: bytes
    free: int = 0
    granted: int = 0
    returned: int = 0
    calls: int = 0
    lease: bytes = b""
    records: list[UsageRecord] = field(default_factory=list)


@dataclass
class Wallet:
    """A wallet of the run, and what was charged on it."""

    workspace: bytes
    credit: int
    charged: int = 0
    excess: int = 0
    served: int = 0
    refused: int = 0
    exceeding: set[bytes] = field(default_factory=set)


class Books:
    """Edges that believe whatever is reported, on real leases and settlements."""

    def __init__(self, world: MeteringWorld, seed: int) -> None:
        self._world = world
        self._chance = random.Random(seed)

    async def spend(self, wallet: Wallet) -> None:
        """Run a wallet's trials at three edges at once."""
        edges = [Edge(number, wallet.workspace) for number in EDGES]
        share = TRIALS_OF_A_WALLET // len(edges)
        await asyncio.gather(*(self._run(wallet, edge, share) for edge in edges))

    async def _run(self, wallet: Wallet, edge: Edge, trials: int) -> None:
        for _ in range(trials):
            if edge.free >= HOLD or await self._acquire(edge):
                self._serve(wallet, edge)
            else:
                wallet.refused += 1
            if len(edge.records) >= REPORT_EVERY:
                await self._report(edge)
        await self._report(edge)
        if edge.lease:
            edge.returned += max(0, edge.free)
            await self._world.money.give_back(edge.lease, edge.returned)

    def _serve(self, wallet: Wallet, edge: Edge) -> None:
        use = drawn(self._chance)
        charge = CHARGES[use]
        record = self._world.record(
            edge.workspace, input_tokens=0, output_tokens=charge // 10_000, hold_nanos=HOLD
        )
        edge.records.append(record)
        edge.free -= charge
        wallet.served += 1
        wallet.charged += charge
        if use is Use.MORE:
            wallet.excess += charge - HOLD
            wallet.exceeding.add(record.request_id)

    async def _acquire(self, edge: Edge) -> bool:
        edge.calls += 1
        try:
            state = await self._world.money.acquire(
                edge.workspace,
                edge.calls,
                HOLD - edge.free,
                edge_id=edge.number,
                spend_rate=HOLD // 100,
                edges=len(EDGES),
            )
        except (CreditInUse, InsufficientCredits):
            return False
        edge.free += state.granted_total - edge.granted
        edge.granted = state.granted_total
        edge.lease = state.lease_id
        return True

    async def _report(self, edge: Edge) -> None:
        if edge.records:
            answer = await self._world.report(edge.records, edge_id=edge.number)
            assert not answer.rejected
            edge.records = []

    async def check(self, wallet: Wallet) -> int:
        """Compare a wallet with the bound; return its overshoot in nano-dollars."""
        balance = await self._world.money.balance(wallet.workspace)
        overshoot = max(0, wallet.charged - wallet.credit)
        assert overshoot <= wallet.excess, (overshoot, wallet.excess)
        assert balance.total - balance.debt == wallet.credit - wallet.charged, balance
        assert balance.debt == overshoot, (balance, overshoot)
        assert balance.held == 0, balance
        rows = await self._world.rows(
            "SELECT id FROM usage_record WHERE workspace_id = CAST(:id AS uuid)"
            " AND charge_nanos > hold_nanos",
            id=wallet.workspace.hex(),
        )
        assert {row[0].bytes for row in rows} == wallet.exceeding  # type: ignore[attr-defined]
        return overshoot


async def _run(database_url: str, trials: int, seed: int) -> list[str]:
    began = time.monotonic()
    database = Database.connect(database_url)
    money = MoneyWorld(database)
    for number in EDGES:
        await money.edge(number)
    world = await MeteringWorld.start(money)
    books = Books(world, seed)
    wallets = []
    for _ in range(max(1, trials // TRIALS_OF_A_WALLET)):
        workspace = await money.workspace()
        await money.grant(workspace, CREDIT_HOLDS * HOLD)
        wallets.append(Wallet(workspace, CREDIT_HOLDS * HOLD))
    for start in range(0, len(wallets), 4):
        await asyncio.gather(*(books.spend(wallet) for wallet in wallets[start : start + 4]))
    for number in EDGES:
        # A charge beyond its lease came from free credit: what was leased for it instead is left.
        await money.close_epoch(number)
    overshoots = [await books.check(wallet) for wallet in wallets]
    findings = await money.findings()
    await world.stop()
    await database.close()
    assert findings == [], findings[:5]
    served, refused = sum(w.served for w in wallets), sum(w.refused for w in wallets)
    excess, exceeding = sum(w.excess for w in wallets), sum(len(w.exceeding) for w in wallets)
    none = [o for o, w in zip(overshoots, wallets, strict=True) if not w.excess and o]
    assert not none, none
    seconds = time.monotonic() - began
    return [
        f"{served:,} served, {refused:,} refused on {len(wallets)} wallets in {seconds:.0f} s",
        f"{exceeding} exceeded their holds by {excess:,} nano-dollars, all listed by their records",
        f"overshoot {sum(overshoots):,}, booked as debt; at most {max(overshoots):,} on one wallet",
    ]


def at_the_ledger(database_url: str, trials: int, seed: int = 1) -> Iterator[str]:
    """Overshoot of a wallet is never more than its charges beyond their holds, and is its debt."""
    yield from asyncio.run(_run(database_url, trials, seed))
