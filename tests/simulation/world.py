"""The world of the machine: core's use cases in this process, dying and starting again."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, TypeVar

from core.admission.epochs import close_epoch, open_epoch
from core.audit import Act
from core.db.database import Database
from core.ledger import credits as ledger_credits
from core.ledger import expiry, leases
from core.ledger.credits import GrantRequest
from core.ledger.model import LeaseState
from core.metering.intake import Intake
from kit.clock import SystemClock, now
from kit.ids import IdSource
from kit.log import EventLog
from kit.reasons import CreditInUse, InsufficientCredits, InvalidArgument
from oneapi.metering.v1 import metering_service_pb2 as pb
from tests.simulation.auditor import Auditor, Given, Spent
from tests.simulation.crashes import Crash, CrashingPool, CrashPlan
from tests.simulation.edges import Edge
from tests.simulation.invariants import check, count_effects, nothing_is_missing
from tests.simulation.provider import Provider
from tests.simulation.provider_invariants import check_clearing, check_converged
from tests.support.metering_world import MeteringWorld, WorldClock
from tests.support.money_world import MoneyWorld
from tests.support.stripe import StripeSimulator

LIFETIME_SECONDS: Final = 600
SILENCE: Final = timedelta(seconds=LIFETIME_SECONDS + 3_600 + 60)
CALL_SECONDS: Final = 30.0
Result = TypeVar("Result")


@dataclass(slots=True)
class World:
    """Everything real behind the machine. One at a time; `start` and `stop` it on one loop."""

    money: MoneyWorld
    plan: CrashPlan
    metering: MeteringWorld
    auditor: Auditor = field(default_factory=Auditor)
    edges: list[Edge] = field(default_factory=list)
    workspaces: list[bytes] = field(default_factory=list)
    died: bool = False
    provider: Provider | None = None

    @classmethod
    async def start(cls, dsn: str, simulator: StripeSimulator | None = None) -> World:
        """Start on an empty, migrated database, and with an empty account at the provider."""
        database, plan = Database.connect(dsn), CrashPlan()
        crashing = Database(
            rpc=CrashingPool(database.rpc, plan),
            metering=CrashingPool(database.metering, plan),
            jobs=CrashingPool(database.jobs, plan),
        )
        money = MoneyWorld(crashing, now(SystemClock()))
        world = cls(money, plan, await MeteringWorld.start(money))
        if simulator is not None:
            world.provider = Provider.start(money, simulator, plan)
        world.workspaces = [await money.workspace() for _ in range(2)]
        for edge_id in (1, 2, 3):
            await world.start_edge(edge_id)
        return world

    async def stop(self) -> None:
        """Stop core's loops and leave the database."""
        await self.metering.stop()
        if self.provider is not None:
            await self.provider.stop()
        await self.money.database.close()

    @property
    def now(self) -> datetime:
        """Return the world's time."""
        return self.money.now

    async def attempt(
        self, call: Callable[[], Awaitable[Result]], *, crash: int = 0, after: bool = False
    ) -> Result | None:
        """Do a call; None if the process died in it. Another core takes its place at once."""
        self.plan.arm(crash, after=after)
        task = asyncio.ensure_future(call())
        death = asyncio.ensure_future(self.plan.crashed.wait())
        try:
            await asyncio.wait(
                {task, death}, timeout=CALL_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if not self.plan.crashed.is_set():
                return await asyncio.wait_for(task, timeout=1)
        except Crash:
            pass
        finally:
            self.died = self.plan.crashed.is_set()
            self.plan.arm(0, after=False)
            death.cancel()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Crash, Exception):
                await task
        await self._start_core()
        return None

    async def check(self) -> dict[str, int]:
        """Check what must hold after every step."""
        pool = self.money.database.jobs
        if self.provider is not None:
            await check_clearing(pool, self.provider.simulator)
        return await check(pool, self.auditor, self.now)

    async def all_is_there(self) -> None:
        """Check what must hold when everything has been shipped and repeated."""
        await nothing_is_missing(self.money.database.jobs, self.auditor, self.now)
        if self.provider is not None:
            await check_converged(self.money.database.jobs, self.provider.simulator)

    async def give(self, key: str, request: GrantRequest) -> None:
        """Give credit once for a key."""
        wanted = Given(request.workspace_id, request.amount, request.expires_at)
        self.auditor.given.setdefault(key, wanted)
        async with self.money.database.rpc.transaction("system") as tx:
            try:
                await ledger_credits.grant_with_balance(tx, request)
            except InvalidArgument:
                # Asked for again when its time is over: whoever asked in time was never answered.
                assert request.expires_at is not None
                assert request.expires_at <= self.now
                self.auditor.too_late.add(key)
            await tx.commit()

    async def acquire(self, edge: Edge, workspace_id: bytes, needed: int) -> LeaseState | None:
        """Ask for a lease as an edge does; None if there is no credit for it."""
        lease = edge.lease_of(workspace_id)
        if not lease.unanswered:
            lease.acquire_number += 1
            lease.unanswered = True
        returned = (lease.lease_id, lease.returned) if lease.lease_id else None
        try:
            return await self.money.acquire(
                workspace_id,
                lease.acquire_number,
                needed,
                edge_id=edge.edge_id,
                epoch=edge.epoch,
                spend_rate=needed // 100,
                edges=len(self.edges),
                returned=returned,
            )
        except (InsufficientCredits, CreditInUse):
            return None

    def serve(self, edge: Edge, workspace_id: bytes, *, tokens: int, overrun: bool) -> bool:
        """Serve a request inside the edge's lease, as far as it goes; say whether it did."""
        lease = edge.lease_of(workspace_id)
        record = self.metering.record(workspace_id, output_tokens=tokens, input_tokens=tokens)
        charge = record.charge_nanos
        held = charge - 1_000 if overrun else charge
        if lease.free < held:
            return False
        lease.used += held
        # An edge that hangs and then goes on: core may have closed its lease meanwhile.
        counted = held if lease.silent_seconds <= SILENCE.total_seconds() else 0
        self.auditor.spent[record.request_id] = Spent(workspace_id, charge, counted)
        edge.write(record)
        return True

    async def ship(self, batches: list[pb.RecordUsageRequest]) -> list[pb.RecordUsageResponse]:
        """Report batches in one stream."""
        for position, each in enumerate(batches, 1):
            each.stream_position = position
        return await self.metering.send(*batches)

    async def start_edge(self, edge_id: int) -> Edge:
        """Start an edge process: the next epoch of its slot."""
        act = Act("edge", self.now, self.money.ids)
        async with self.money.database.rpc.transaction("system") as tx:
            epoch = await open_epoch(tx, act, edge_id, self.money.ids.new())
            await tx.commit()
        edge = Edge(edge_id, epoch)
        self.edges.append(edge)
        return edge

    async def close_epoch(self, edge: Edge) -> None:
        """End an edge process whose spool was shipped."""
        act = Act("edge", self.now, self.money.ids)
        async with self.money.database.rpc.transaction("system") as tx:
            await close_epoch(tx, act, edge.edge_id, edge.epoch, edge.sequence)
            await tx.commit()

    async def tidy(self) -> None:
        """Do what core's loop does: close silent leases, post what has expired."""
        async with self.money.database.jobs.transaction("system") as tx:
            await leases.close_expired(tx, None, self.now, lifetime_s=LIFETIME_SECONDS)
            await tx.commit()
        async with self.money.database.jobs.transaction("system") as tx:
            await expiry.expire_due(tx, self.now)
            await tx.commit()

    async def effects(self) -> Counter[str]:
        """Count what has come of it all."""
        return await count_effects(self.money.database.jobs)

    def pass_time(self, seconds: int) -> None:
        """Let time go by. What was not shipped for too long may find its lease gone."""
        self.money.pass_time(seconds)
        if self.provider is not None:
            self.provider.pass_time(seconds)
        for edge in self.edges:
            for lease in edge.leases.values():
                lease.silent_seconds += seconds
            for _, record in edge.spool:
                age = self.now - timedelta(microseconds=record.started_at_micros)
                if age.timestamp() > SILENCE.total_seconds():
                    self.auditor.spent[record.request_id].held = 0

    async def _start_core(self) -> None:
        """Start another core where one died: nothing is left of its memory."""
        old = self.metering
        with contextlib.suppress(Crash, Exception):
            await old.stop()
        log = EventLog("test", stream=io.StringIO())
        clock = WorldClock(self.money)
        intake = Intake(self.money.database.metering, clock, IdSource(), log)
        intake.start()
        self.metering = MeteringWorld(self.money, intake)
        if self.provider is not None:
            self.provider.start_core()
