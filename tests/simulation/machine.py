"""The state machine: what can happen, in any order, and the auditor after each step."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from core.ledger.credits import GrantRequest
from core.ledger.model import GrantKind, LeaseState
from tests.simulation.edges import Edge
from tests.simulation.world import World
from tests.support.postgres import PostgresServer

Result = TypeVar("Result")
CRASHES = st.tuples(st.sampled_from([0, 0, 0, 1, 2, 3]), st.booleans())
"""Most calls end well; the others die at their first to third commit, before or after it."""
AMOUNTS = st.integers(1, 400_000_000)
PLACES = st.integers(0, 7)


class Machine(RuleBasedStateMachine):
    """Edges spend credit that is given, expires, is leased, returned and recalled."""

    server: ClassVar[PostgresServer]
    template: ClassVar[str]
    steps: ClassVar[Counter[str]] = Counter()
    effects: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        """Start with two workspaces and three edges."""
        super().__init__()
        self.runner = asyncio.Runner()
        self.dsn = self.server.make_database(template=self.template)
        self.world = self.runner.run(self.begin())
        self.unanswered: list[Callable[[], Awaitable[object]]] = []

    async def begin(self) -> World:
        """Start the world of this story."""
        return await World.start(self.dsn)

    def teardown(self) -> None:
        """Ship all that is left, check that nothing is missing, and go."""
        try:
            self.runner.run(self.drain())
        finally:
            self.runner.run(self.world.stop())
            self.runner.close()
            self.server.drop_database(self.dsn)

    @rule(
        place=PLACES,
        kind=st.sampled_from(GrantKind),
        amount=AMOUNTS,
        hours=st.sampled_from([None, 1, 30]),
        crash=CRASHES,
    )
    def give_credit(
        self,
        *,
        place: int,
        kind: GrantKind,
        amount: int,
        hours: int | None,
        crash: tuple[int, bool],
    ) -> None:
        """Somebody gives or buys credit; a caller without an answer asks again, later."""
        if self.world.provider is not None and kind is GrantKind.PAID:
            kind = GrantKind.GOODWILL  # there, nothing is bought without a charge
        expires = None if hours is None else self.world.now + timedelta(hours=hours)
        key = f"promo:{self.world.money.ids.new().hex()}"
        request = GrantRequest(
            self._workspace(place), kind, amount, expires, key, "operator", self.world.now
        )
        self._call("give_credit", lambda: self.world.give(key, request), crash)

    @precondition(lambda self: self.unanswered)
    @rule(place=PLACES, crash=CRASHES)
    def ask_again(self, *, place: int, crash: tuple[int, bool]) -> None:
        """A caller whose call had no answer repeats it, whether it was done or not."""
        call = self.unanswered.pop(place % len(self.unanswered))
        self._call("ask_again", call, crash)

    @rule(place=PLACES, edge=PLACES, needed=AMOUNTS, crash=CRASHES, lost=st.booleans())
    def acquire(
        self, *, place: int, edge: int, needed: int, crash: tuple[int, bool], lost: bool
    ) -> None:
        """An edge asks for credit; the answer may be lost."""
        process, workspace_id = self._edge(edge), self._workspace(place)
        state = self._run("acquire", self.world.acquire(process, workspace_id, needed), crash)
        if state is not None and not lost:
            process.lease_of(workspace_id).learn(state)

    @rule(
        place=PLACES,
        edge=PLACES,
        tokens=st.sampled_from([0, 1, 7, 900, 9_000]),
        overrun=st.sampled_from([False, False, False, True]),
    )
    def serve(self, *, place: int, edge: int, tokens: int, overrun: bool) -> None:
        """A request is served inside a lease; one in four costs more than was held for it."""
        process, workspace_id = self._edge(edge), self._workspace(place)
        overruns = overrun and tokens > 1
        if not self.world.serve(process, workspace_id, tokens=tokens, overrun=overruns):
            state = self._run("acquire", self.world.acquire(process, workspace_id, 115_000_000))
            if state is not None:
                process.lease_of(workspace_id).learn(state)
                self.world.serve(process, workspace_id, tokens=tokens, overrun=overruns)
        self.steps["serve"] += 1

    @rule(place=PLACES, needed=AMOUNTS)
    def all_at_once(self, place: int, needed: int) -> None:
        """All edges ask for the same credit and report what they served, at the same time."""
        workspace_id, edges = self._workspace(place), list(self.world.edges)

        async def together() -> list[LeaseState | None]:
            asking = [self.world.acquire(edge, workspace_id, needed) for edge in edges]
            shipping = [self.world.ship(edge.batches([1])) for edge in edges if edge.spool]
            answers = await asyncio.gather(*asking, *shipping)
            return [each for each in answers if not isinstance(each, list)]

        states = self._run("all_at_once", together()) or []
        for edge, state in zip(edges, states, strict=True):
            if state is not None:
                edge.lease_of(workspace_id).learn(state)

    @rule(
        edge=PLACES,
        sizes=st.lists(st.integers(1, 3), max_size=3),
        order=st.sampled_from(["once", "twice", "backwards", "halves"]),
        lost=st.booleans(),
        crash=CRASHES,
    )
    def ship(
        self, *, edge: int, sizes: list[int], order: str, lost: bool, crash: tuple[int, bool]
    ) -> None:
        """An edge reports its spool: doubled, turned around, cut short, with the answer lost."""
        process = self._edge(edge)
        batches = process.batches(sizes)
        if order == "twice":
            batches += process.batches(sizes[::-1])
        elif order == "halves":
            batches = batches[: len(batches) // 2]
        elif order == "backwards":
            # As two deliveries that overtook each other: each range is a stream of its own.
            for each in reversed(batches):
                self._run("ship", self.world.ship([each]), crash)
            return
        if not batches:
            return
        answers = self._run("ship", self.world.ship(batches), crash)
        if answers is not None and not lost:
            assert not any(answer.rejected for answer in answers)
            process.forget(max(answer.through_sequence for answer in answers))

    @rule(edge=PLACES, place=PLACES, crash=CRASHES, share=st.integers(1, 4), lost=st.booleans())
    def renew(
        self, *, edge: int, place: int, crash: tuple[int, bool], share: int, lost: bool
    ) -> None:
        """An edge keeps its leases and gives a part of what is free back."""
        process, workspace_id = self._edge(edge), self._workspace(place)
        lease = process.lease_of(workspace_id)
        if not lease.lease_id:
            return
        lease.returned += lease.free // share
        renewals = [(lease.lease_id, lease.returned)]
        call = self.world.money.renew(renewals, edge_id=process.edge_id, epoch=process.epoch)
        states = self._run("renew", call, crash)
        if states is None or lost:
            return
        lease.silent_seconds = 0
        if not states:
            process.leases.pop(workspace_id)  # closed meanwhile: the edge starts anew

    @rule(edge=PLACES, disk=st.sampled_from([True, True, True, False]), crash=CRASHES)
    def restart_edge(self, *, edge: int, disk: bool, crash: tuple[int, bool]) -> None:
        """An edge dies and starts again; the next one ships its spool, unless the disk is gone."""
        old = self._edge(edge)
        if not disk:
            for _, record in old.spool:
                self.world.auditor.spent[record.request_id].must_arrive = False
            self.world.edges.remove(old)
        else:
            if old.spool and self._run("ship", self.world.ship(old.batches([])), crash) is None:
                return  # core died: the adopter tries again another time
            old.spool = []
            self._call("close_epoch", lambda: self.world.close_epoch(old), crash)
            self.world.edges.remove(old)
        self.runner.run(self.world.start_edge(old.edge_id))

    @rule(seconds=st.sampled_from([1, 20, 700, 5_000, 90_000]), crash=CRASHES)
    def time_passes(self, *, seconds: int, crash: tuple[int, bool]) -> None:
        """Time goes by, and core tidies up."""
        self.world.pass_time(seconds)
        self._run("tidy", self.world.tidy(), crash)

    @invariant()
    def books_balance(self) -> None:
        """Everything adds up, whatever just happened."""
        self.runner.run(self.world.check())

    def _call(
        self, name: str, call: Callable[[], Awaitable[Result]], crash: tuple[int, bool]
    ) -> Result | None:
        """Do a repeatable call; if the process died in it, somebody will ask again."""
        result = self._run(name, call(), crash)
        if self.world.died:
            self.unanswered.append(call)
        return result

    def _run(
        self, name: str, call: Awaitable[Result], crash: tuple[int, bool] = (0, False)
    ) -> Result | None:
        self.steps[name] += 1
        point, after = crash
        return self.runner.run(self.world.attempt(lambda: call, crash=point, after=after))

    def _workspace(self, place: int) -> bytes:
        return self.world.workspaces[place % len(self.world.workspaces)]

    def _edge(self, place: int) -> Edge:
        return self.world.edges[place % len(self.world.edges)]

    async def drain(self) -> None:
        """Repeat what was not answered, ship what is left, and check that nothing is missing."""
        for call in self.unanswered:
            await call()
        await self.ship_all()
        await self.world.tidy()
        await self.world.check()
        await self.world.all_is_there()
        self.effects.update(await self.world.effects())

    async def ship_all(self) -> None:
        """Ship what is in all spools."""
        for edge in self.world.edges:
            if edge.spool:
                await self.world.ship(edge.batches([]))
                edge.spool = []
