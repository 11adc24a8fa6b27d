"""Credit on the edge: holds never exceed what core granted, whatever gets lost or repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.admission.credit import (
    IDLE_SECONDS,
    REFUSED_SECONDS,
    TOP_UP_SECONDS,
    Credit,
    Hold,
    WorkspaceCredit,
)
from kit.reasons import CreditInUse, DomainError, InsufficientCredits, Unavailable
from tests.unit.edge.admission.doubles import LIFETIME_MS, WORKSPACE, CoreLedger, ManualClock


class World:
    """One edge, one workspace, one wallet."""

    def __init__(self, wallet: int, **core: Any) -> None:
        self.clock = ManualClock()
        self.core = CoreLedger(wallet, **core)
        self.credit = Credit(self.core, self.clock, wait_seconds=REFUSED_SECONDS + 0.05)

    @property
    def account(self) -> WorkspaceCredit:
        """Return the workspace's credit on the edge."""
        return self.credit.of(WORKSPACE)


async def outcomes(attempts: list[Coroutine[Any, Any, Hold]]) -> tuple[list[Hold], list[Exception]]:
    """Run attempts together; return the holds and the refusals."""
    results = await asyncio.gather(*attempts, return_exceptions=True)
    holds = [one for one in results if isinstance(one, Hold)]
    return holds, [one for one in results if isinstance(one, Exception)]


async def test_a_hold_inside_the_lease_needs_no_call() -> None:
    """The common path stays on this machine."""
    world = World(1_000, extra=1_000)
    (await world.account.take(10)).settle(10)
    assert world.account.try_take(10) is not None
    assert len(world.core.acquired) == 1


async def test_a_burst_gets_exactly_as_many_holds_as_there_is_credit_for() -> None:
    """Of 200 requests at once with credit for seven, seven go on; one refusal serves the rest."""
    world = World(7 * 100)
    holds, refusals = await outcomes([world.account.take(100) for _ in range(200)])
    assert len(holds) == 7
    assert {type(one) for one in refusals} == {CreditInUse}
    assert len(world.core.acquired) <= 9


async def test_credit_that_running_requests_hold_comes_back() -> None:
    """Who comes while others run is told to come again; once it is spent, that there is none."""
    world = World(100)
    hold = await world.account.take(100)
    with pytest.raises(CreditInUse):
        await world.account.take(100)
    hold.settle(100)
    world.clock.pass_time(1)
    with pytest.raises(InsufficientCredits):
        await world.account.take(100)


async def test_settling_frees_what_was_not_charged() -> None:
    """A hold of 100 that cost 30 leaves 70."""
    world = World(100)
    (await world.account.take(100)).settle(30)
    assert world.account.free == 70


async def test_a_hold_is_settled_once() -> None:
    """A second settlement changes nothing."""
    world = World(100)
    hold = await world.account.take(100)
    hold.settle(30)
    hold.settle(99)
    assert world.account.free == 70


async def test_a_charge_beyond_its_hold_is_taken_from_what_is_free() -> None:
    """The edge never hands out what was overspent already."""
    world = World(1_000, extra=900)
    hold = await world.account.take(100)
    hold.settle(150)
    assert world.account.free == 850


async def test_a_lost_answer_loses_no_credit() -> None:
    """Totals only grow: the next answer contains what the lost one had granted."""
    world = World(1_000, lose_answers=1)
    with pytest.raises(Unavailable):
        await world.account.take(100)
    world.clock.pass_time(REFUSED_SECONDS)
    await world.account.take(100)
    assert world.core.current is not None
    assert world.account.free == world.core.current.granted - 100


async def test_all_who_wait_while_core_is_away_learn_it_together() -> None:
    """Nobody queues for a call of their own that will fail as well."""
    world = World(1_000, away=True)
    _, refusals = await outcomes([world.account.take(10) for _ in range(100)])
    assert {type(one) for one in refusals} == {Unavailable}
    assert len(world.core.acquired) == 1


async def test_a_refusal_is_repeated_for_a_moment_only() -> None:
    """A storm of refused requests stays here, and a top-up helps soon."""
    world = World(50)
    for _ in range(3):
        with pytest.raises(InsufficientCredits):
            await world.account.take(100)
    assert len(world.core.acquired) == 1
    world.core.wallet = 500
    world.clock.pass_time(REFUSED_SECONDS)
    await world.account.take(100)


async def test_a_refusal_does_not_stop_smaller_requests() -> None:
    """What is refused is the amount, not the workspace."""
    world = World(50)
    with pytest.raises(InsufficientCredits):
        await world.account.take(100)
    assert (await world.account.take(50)).nanos == 50


async def test_a_refusal_brings_the_balance_up_to_date() -> None:
    """What core says of the wallet while refusing counts for the next choice of a limit."""
    world = World(50)
    world.account.wallet_available = 10_000
    with pytest.raises(InsufficientCredits):
        await world.account.take(100)
    assert world.account.available == 50


async def test_credit_in_use_elsewhere_is_told_apart() -> None:
    """Other edges' holds are no reason for a 402."""
    world = World(50, held_elsewhere=500)
    with pytest.raises(CreditInUse):
        await world.account.take(100)


async def test_an_expired_lease_admits_nothing() -> None:
    """The edge stops before core may free the lease, by its own clock."""
    world = World(100)
    (await world.account.take(100)).settle(0)
    world.clock.pass_time(LIFETIME_MS / 1000 - 5)
    assert world.account.free == 0
    assert world.account.try_take(1) is None


async def test_a_renewal_prolongs_the_lease() -> None:
    """Leases live as long as the edge is in touch."""
    world = World(100)
    (await world.account.take(100)).settle(0)
    world.clock.pass_time(400)
    assert world.account.try_take(1) is not None
    await world.credit.renew()
    world.clock.pass_time(400)
    assert world.account.try_take(1) is not None


async def test_an_idle_lease_gives_its_free_part_back() -> None:
    """Credit that nobody uses here is there for other edges; running holds keep theirs."""
    world = World(100, extra=40)
    await world.account.take(60)
    world.clock.pass_time(IDLE_SECONDS)
    await world.credit.renew()
    assert (world.core.wallet, world.account.free) == (40, 0)


async def test_a_busy_lease_gives_nothing_back_by_itself() -> None:
    """A pause between two requests is no idleness."""
    world = World(100, extra=40)
    await world.account.take(60)
    world.clock.pass_time(IDLE_SECONDS - 1)
    await world.credit.renew()
    assert world.core.wallet == 0


async def test_a_recall_gives_the_free_part_back_once() -> None:
    """A repeated recall, or a renewal after it, returns nothing twice."""
    world = World(100, extra=40)
    hold = await world.account.take(60)
    assert world.core.current is not None
    for _ in range(2):
        await world.credit.recall(frozenset([world.core.current.lease_id]))
    await world.credit.renew()
    assert (world.core.wallet, world.account.free) == (40, 0)
    hold.settle(10)
    assert world.account.free == 50


async def test_a_return_whose_answer_was_lost_is_said_again() -> None:
    """Core gets the same total, not a second return."""
    world = World(100, extra=40)
    await world.account.take(60)
    world.clock.pass_time(IDLE_SECONDS)
    world.core.lose_answers = 1
    with pytest.raises(Unavailable):
        await world.credit.renew()
    await world.credit.renew()
    assert (world.core.wallet, world.account.free) == (40, 0)


async def test_a_lease_that_core_ended_is_replaced() -> None:
    """The next request opens a new one; a running one settles on the old."""
    world = World(200)
    running = await world.account.take(100)
    world.core.end_lease()
    await world.credit.renew()
    assert world.account.lease is None
    await world.account.take(100)
    running.settle(100)
    assert world.account.free == 0


async def test_the_lease_is_made_larger_before_it_is_used_up() -> None:
    """A busy workspace does not wait for core."""
    world = World(1_000, extra=50)
    await world.account.take(100)
    assert world.account.try_take(50) is not None
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(world.core.acquired) == 2
    assert world.account.free > 0


async def test_learning_the_balance_holds_nothing() -> None:
    """A default limit is chosen from the balance before any credit is set aside."""
    world = World(500)
    await world.account.learn()
    assert (world.account.available, world.credit.held_nanos()) == (500, 0)


async def test_who_waits_is_served_when_a_hold_here_ends() -> None:
    """Credit that comes back on this edge needs no call to core."""
    world = World(100)
    running = await world.account.take(100)
    waiting = asyncio.create_task(world.account.take(60))
    await asyncio.sleep(0.02)
    running.settle(30)
    assert (await waiting).nanos == 60
    assert len(world.core.acquired) == 2


async def test_who_came_first_is_served_first() -> None:
    """A request that would fit does not overtake one that waits for more."""
    world = World(100)
    running = await world.account.take(90)
    first = asyncio.create_task(world.account.take(100))
    await asyncio.sleep(0.02)
    assert world.account.try_take(1) is None
    second = asyncio.create_task(world.account.take(1))
    await asyncio.sleep(0.02)
    running.settle(0)
    assert (await first).nanos == 100
    with pytest.raises(CreditInUse):
        await second


async def test_a_part_of_a_hold_is_not_kept_from_other_edges() -> None:
    """What is free here and too little goes back while a request waits for a whole hold."""
    world = World(100, held_elsewhere=100)
    (await world.account.take(100)).settle(60)
    with pytest.raises(CreditInUse):
        await world.account.take(50)
    assert (world.core.wallet, world.account.free) == (40, 0)


async def test_a_part_of_a_hold_stays_for_smaller_requests_while_core_is_away() -> None:
    """Nothing is given back before core is known to listen."""
    world = World(100)
    (await world.account.take(100)).settle(60)
    world.core.away = True
    with pytest.raises(Unavailable):
        await world.account.take(50)
    assert (await world.account.take(40)).nanos == 40


async def test_holds_here_and_leases_elsewhere_together_are_credit_in_use() -> None:
    """Half comes back from this edge, half from another: no reason for a 402."""
    world = World(50, held_elsewhere=50)
    await world.account.take(50)
    with pytest.raises(CreditInUse):
        await world.account.take(100)


async def test_a_slow_core_is_not_waited_for_any_longer() -> None:
    """The wait ends in time; what core grants afterwards is there for the next request."""
    world = World(100, delay_seconds=2 * REFUSED_SECONDS)
    with pytest.raises(Unavailable):
        await world.account.take(100)
    await asyncio.sleep(2 * REFUSED_SECONDS)
    assert world.account.try_take(100) is not None


async def test_a_request_that_leaves_the_line_keeps_nothing() -> None:
    """Its client is gone: the next one gets the credit."""
    world = World(100)
    running = await world.account.take(100)
    gone = asyncio.create_task(world.account.take(100))
    stays = asyncio.create_task(world.account.take(100))
    await asyncio.sleep(0.02)
    gone.cancel()
    running.settle(0)
    assert (await stays).nanos == 100
    assert world.credit.held_nanos() == 100


async def test_who_comes_first_now_gets_what_was_too_little_for_one_that_left() -> None:
    """The lease has room for the next one: core, which has none, is not asked."""
    world = World(100)
    await world.account.take(40)
    (await world.account.take(60)).settle(0)
    gone = asyncio.create_task(world.account.take(100))
    await asyncio.sleep(0.02)
    stays = asyncio.create_task(world.account.take(50))
    await asyncio.sleep(0.02)
    asked = len(world.core.acquired)
    gone.cancel()
    assert (await stays).nanos == 50
    assert len(world.core.acquired) == asked


@pytest.mark.parametrize("away", [False, True])
async def test_a_refusal_does_not_reach_those_for_whom_the_lease_has_room(*, away: bool) -> None:
    """Neither a 402 nor a 503 while there is credit on this edge."""
    world = World(100)
    await world.account.take(40)
    (await world.account.take(60)).settle(0)
    gone = asyncio.create_task(world.account.take(100))
    await asyncio.sleep(0.02)
    refused = asyncio.create_task(world.account.take(1_000))
    stays = asyncio.create_task(world.account.take(50))
    await asyncio.sleep(0.02)
    world.core.away = away
    gone.cancel()
    with pytest.raises(Unavailable if away else InsufficientCredits):
        await refused
    assert (await stays).nanos == 50


async def test_a_refusal_that_is_repeated_remembers_nobody() -> None:
    """Each is refused by an error of its own: one for all would keep the frames of all."""
    world = World(50)
    seen = []
    for _ in range(3):
        with pytest.raises(InsufficientCredits) as refused:
            await world.account.take(100)
        seen.append(refused.value)
    assert len({id(one) for one in seen}) == 3
    assert {tuple(one.metadata.items()) for one in seen} == {tuple(seen[0].metadata.items())}
    assert world.account._refused is not None
    assert world.account._refused[2].__traceback__ is None


async def test_a_hold_that_came_as_its_request_left_goes_back() -> None:
    """Granted and cancelled in the same moment."""
    world = World(100)
    running = await world.account.take(100)
    gone = asyncio.create_task(world.account.take(100))
    await asyncio.sleep(0.02)
    running.settle(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert world.credit.held_nanos() == 0


async def test_a_fault_of_ours_reaches_who_waits() -> None:
    """Nobody waits for an answer that will not come."""
    world = World(100)
    world.core.leases = None  # type: ignore[assignment]
    with pytest.raises(TypeError):
        await world.account.take(100)


AMOUNTS = st.integers(1, 300)
STEPS = st.one_of(
    st.tuples(st.just("take"), AMOUNTS),
    st.tuples(st.just("settle"), st.integers(0, 400)),
    st.tuples(st.just("time"), st.integers(1, 700)),
    st.tuples(st.just("lose"), st.integers(1, 2)),
    st.tuples(st.just("renew"), st.just(0)),
    st.tuples(st.just("recall"), st.just(0)),
)


@given(
    wallet=st.integers(0, 1_000),
    extra=st.integers(0, 200),
    steps=st.lists(STEPS, max_size=40),
)
def test_holds_and_charges_never_exceed_what_core_granted(
    wallet: int, extra: int, steps: list[tuple[str, int]]
) -> None:
    """With true holds nothing is overspent, in any order of calls, losses and recalls (P9)."""
    asyncio.run(_walk(World(wallet, extra=extra), wallet, steps))


async def _walk(world: World, wallet: int, steps: list[tuple[str, int]]) -> None:
    running: list[Hold] = []
    spent = 0
    for kind, number in steps:
        try:
            if kind == "take":
                running.append(await world.account.take(number))
            elif kind == "settle" and running:
                hold = running.pop(0)
                spent += min(number, hold.nanos)
                hold.settle(min(number, hold.nanos))
            elif kind == "time":
                world.clock.pass_time(number)
            elif kind == "lose":
                world.core.lose_answers = number
            elif kind == "renew":
                await world.credit.renew()
            elif kind == "recall" and world.core.current is not None:
                await world.credit.recall(frozenset([world.core.current.lease_id]))
        except DomainError:
            pass
        granted = sum(one.granted - one.returned for one in world.core.leases.values())
        assert spent + sum(hold.nanos for hold in running) <= granted
        assert granted + world.core.wallet == wallet


async def spend(world: World, *, seconds: int, charge: int, per_second: int) -> None:
    """Run requests that cost their whole hold."""
    for _ in range(seconds * per_second):
        (await world.account.take(charge)).settle(charge)
        world.clock.pass_time(1 / per_second)
        await asyncio.sleep(0)


async def test_after_a_minute_the_lease_covers_its_lifetime_at_the_rate_of_that_minute() -> None:
    """An edge that loses its core at any moment can go on for as long as it may."""
    world = World(10**12, by_rate=True)
    await spend(world, seconds=60, charge=1_000, per_second=10)
    for _ in range(40):
        await spend(world, seconds=3, charge=1_000, per_second=10)
        assert world.account.free >= 10_000 * (LIFETIME_MS / 1000 - TOP_UP_SECONDS)
    assert world.account.free <= 10_000 * LIFETIME_MS / 1000 * 1.5


async def test_a_lease_that_cannot_cover_its_lifetime_asks_seldom() -> None:
    """A small wallet costs a call in fifteen seconds, not one in each request."""
    world = World(40_000, by_rate=True)
    await spend(world, seconds=60, charge=1, per_second=10)
    assert len(world.core.acquired) <= 2 + 60 / TOP_UP_SECONDS + 10
