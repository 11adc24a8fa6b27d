"""Limits of keys: slices from core, spent here, given back where they were not used."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from edge.admission.limits import Limits, LimitState, SpendNeed
from kit.reasons import RateLimited
from tests.unit.edge.admission.doubles import CoreLimits, ManualClock, grant

TODAY = 20_000


@pytest.fixture
def clock() -> ManualClock:
    """Give a clock that stands still."""
    return ManualClock()


@pytest.fixture
def core() -> CoreLimits:
    """Give a core with plenty."""
    return CoreLimits(requests=1_000, tokens=100_000, permits=100, spend=10**12)


@pytest.fixture
def limits(core: CoreLimits, clock: ManualClock) -> Limits:
    """Give the limits of an edge that has nothing yet."""
    return Limits(core, clock)


def need(nanos: int, day: int = TODAY) -> SpendNeed:
    """Return what a request asks of spend limits."""
    return SpendNeed(day, nanos)


async def admitted(limits: Limits, count: int, grant_fields: dict[str, int]) -> int:
    """Return how many of so many requests at once are admitted."""
    key = grant(**grant_fields)
    results = await asyncio.gather(
        *(limits.admit(key, 10, need(100)) for _ in range(count)), return_exceptions=True
    )
    assert all(isinstance(one, LimitState | RateLimited) for one in results)
    return sum(isinstance(one, LimitState) for one in results)


async def test_a_key_without_limits_costs_nothing(limits: Limits, core: CoreLimits) -> None:
    """No limit, no call, no headers."""
    assert await limits.admit(grant(), 10, need(100)) is None
    assert core.calls == 0


async def test_a_slice_serves_several_requests_without_asking(
    limits: Limits, core: CoreLimits
) -> None:
    """A twentieth of the minute at a time."""
    assert await admitted(limits, 5, {"requests_per_minute": 100}) == 5
    assert core.calls == 1


async def test_a_burst_never_exceeds_the_minute(limits: Limits, core: CoreLimits) -> None:
    """What core has not granted is refused."""
    core.requests = 30
    assert await admitted(limits, 200, {"requests_per_minute": 30}) == 30


async def test_a_refusal_says_which_limit_and_when(
    limits: Limits, core: CoreLimits, clock: ManualClock
) -> None:
    """The client is told when the minute ends."""
    core.requests = core.window_ms = 0
    core.requests, core.window_ms = 1, 20_000
    key = grant(requests_per_minute=1)
    await limits.admit(key, 0, need(0))
    clock.pass_time(5)
    core.window_ms = 15_000
    with pytest.raises(RateLimited) as refused:
        await limits.admit(key, 0, need(0))
    assert refused.value.metadata == {"limit": "requests", "retry_ms": "15001"}


async def test_a_new_minute_has_a_new_allowance(
    limits: Limits, core: CoreLimits, clock: ManualClock
) -> None:
    """What was used up in one minute is there in the next."""
    core.requests = 1
    key = grant(requests_per_minute=1)
    await limits.admit(key, 0, need(0))
    with pytest.raises(RateLimited):
        await limits.admit(key, 0, need(0))
    clock.pass_time(60)
    core.requests = 1
    assert await limits.admit(key, 0, need(0)) is not None


async def test_unused_tokens_are_given_back_in_their_minute(
    limits: Limits, core: CoreLimits
) -> None:
    """Worst-case reservations do not eat the limit."""
    core.tokens = 100
    key = grant(tokens_per_minute=100)
    state = await limits.admit(key, 100, need(0))
    assert state is not None
    limits.done(key, state, unused_tokens=60, unspent_nanos=0)
    assert await limits.admit(key, 60, need(0)) is not None


async def test_tokens_given_back_late_are_not_added_to_the_next_minute(
    limits: Limits, core: CoreLimits, clock: ManualClock
) -> None:
    """A minute's limit is never exceeded by what another minute left."""
    key = grant(tokens_per_minute=100)
    core.tokens = 100
    state = await limits.admit(key, 100, need(0))
    assert state is not None
    clock.pass_time(61)
    core.tokens = 100
    fresh = await limits.admit(key, 100, need(0))
    assert fresh is not None
    limits.done(key, state, unused_tokens=100, unspent_nanos=0)
    with pytest.raises(RateLimited):
        await limits.admit(key, 50, need(0))


async def test_concurrency_is_given_back_when_a_request_ends(
    limits: Limits, core: CoreLimits
) -> None:
    """Two at a time means two at a time."""
    core.permits = 2
    key = grant(concurrent_requests=2)
    first = await limits.admit(key, 0, need(0))
    await limits.admit(key, 0, need(0))
    with pytest.raises(RateLimited) as refused:
        await limits.admit(key, 0, need(0))
    assert refused.value.metadata["limit"] == "concurrency"
    assert first is not None
    limits.done(key, first, unused_tokens=0, unspent_nanos=0)
    assert await limits.admit(key, 0, need(0)) is not None


async def test_permits_live_as_long_as_their_requests(
    limits: Limits, core: CoreLimits, clock: ManualClock
) -> None:
    """Core, which forgets a permit after a minute, is told of those that run for longer."""
    key = grant(concurrent_requests=2)
    first = await limits.admit(key, 0, need(0))
    await limits.admit(key, 0, need(0))
    await limits.admit(replace(grant(requests_per_minute=5), key_id=b"o" * 16), 0, need(0))
    clock.pass_time(45)
    await limits.renew_permits()
    assert core.concurrent == [1, 2, 0, 2]
    assert first is not None
    limits.done(key, first, unused_tokens=0, unspent_nanos=0)
    clock.pass_time(45)
    core.away = True
    assert await limits.admit(key, 0, need(0)) is not None


async def test_nobody_keeps_permits_without_requests(limits: Limits, core: CoreLimits) -> None:
    """They are another edge's."""
    key = grant(concurrent_requests=2)
    state = await limits.admit(key, 0, need(0))
    assert state is not None
    limits.done(key, state, unused_tokens=0, unspent_nanos=0)
    await limits.renew_permits()
    assert core.concurrent == [1]


async def test_spend_that_was_not_charged_is_given_back(limits: Limits, core: CoreLimits) -> None:
    """A spend limit counts charges, not holds."""
    core.spend = 100
    key = grant(has_spend_limit=True)
    state = await limits.admit(key, 0, need(100))
    assert state is not None
    with pytest.raises(RateLimited):
        await limits.admit(key, 0, need(50))
    limits.done(key, state, unused_tokens=0, unspent_nanos=80)
    assert await limits.admit(key, 0, need(50)) is not None


async def test_headers_never_promise_more_than_is_left(limits: Limits, core: CoreLimits) -> None:
    """What remains is our slice and what no edge has taken."""
    core.requests = 100
    state = await limits.admit(grant(requests_per_minute=100), 0, need(0))
    assert state is not None
    assert (state.limit_requests, state.remaining_requests) == (100, 99)


@pytest.mark.parametrize("limited", ["requests_per_minute", "tokens_per_minute"])
async def test_an_edge_cut_off_goes_on_with_what_it_had_in_a_minute(
    limits: Limits, core: CoreLimits, clock: ManualClock, limited: str
) -> None:
    """An outage of core neither stops keys with limits nor lifts their limits."""
    core.requests, core.tokens = 1, 10
    key = grant(**{limited: 10})
    await limits.admit(key, 10, need(0))
    core.away = True
    clock.pass_time(61)
    assert await limits.admit(key, 10, need(0)) is not None
    for _ in range(3):
        if limited == "tokens_per_minute":
            with pytest.raises(RateLimited):
                await limits.admit(key, 10, need(0))


async def test_a_key_that_is_new_while_core_is_away_is_told_to_wait(
    limits: Limits, core: CoreLimits
) -> None:
    """Without any slice nothing is admitted, and a client does not come back at once."""
    core.away = True
    with pytest.raises(RateLimited) as refused:
        await limits.admit(grant(requests_per_minute=10), 0, need(0))
    assert int(refused.value.metadata["retry_ms"]) >= 1_000


SPENDER = {"has_spend_limit": True}


async def test_a_used_up_spend_limit_tells_nobody_to_come_again(
    limits: Limits, core: CoreLimits
) -> None:
    """Not within the minute, nor within the moment in which core is not asked again."""
    core.spend = 100
    for _ in range(2):
        with pytest.raises(RateLimited) as refused:
            await limits.admit(grant(**SPENDER), 0, need(200))
        assert refused.value.metadata == {"limit": "spend"}
    with pytest.raises(RateLimited) as refused:
        await limits.admit(grant(**SPENDER), 0, need(50))
    assert refused.value.metadata == {"limit": "spend", "retry_ms": "1000"}


async def test_spend_that_may_come_back_is_waited_for(limits: Limits, core: CoreLimits) -> None:
    """From other edges, from requests that run here, once core is back; not by the minute."""
    core.spend, core.others_have_spend = 100, True
    key = grant(**SPENDER)
    told = []
    with pytest.raises(RateLimited) as refused:
        await limits.admit(key, 0, need(200))
    told.append(refused.value.metadata)
    core.others_have_spend = False
    other = replace(key, key_id=b"o" * 16)
    await limits.admit(other, 0, need(100))
    with pytest.raises(RateLimited) as refused:
        await limits.admit(other, 0, need(100))
    told.append(refused.value.metadata)
    core.away = True
    with pytest.raises(RateLimited) as refused:
        await limits.admit(replace(key, key_id=b"p" * 16), 0, need(100))
    told.append(refused.value.metadata)
    assert told == [{"limit": "spend", "retry_ms": "1000"}] * 3


async def test_what_another_day_has_free_may_come_back(limits: Limits, core: CoreLimits) -> None:
    """The limit may be a month's."""
    core.spend = 400
    await spent(limits, 100, 10)
    with pytest.raises(RateLimited) as refused:
        await limits.admit(grant(**SPENDER), 0, need(100, TODAY + 1))
    assert refused.value.metadata == {"limit": "spend", "retry_ms": "1000"}


async def test_a_slice_that_was_overspent_is_made_good(limits: Limits, core: CoreLimits) -> None:
    """A charge beyond its hold is asked for together with the next request's worst case."""
    core.spend = 400
    await spent(limits, 100, 450)
    core.spend = 1_000
    assert await limits.admit(grant(**SPENDER), 0, need(10)) is not None


async def test_a_request_that_was_refused_after_all_is_not_counted(
    limits: Limits, core: CoreLimits
) -> None:
    """Requests per minute are those that were served."""
    core.requests = 1
    key = grant(requests_per_minute=1)
    state = await limits.admit(key, 0, need(0))
    assert state is not None
    limits.done(key, state, unused_tokens=0, unspent_nanos=0, unserved=1)
    assert await limits.admit(key, 0, need(0)) is not None


async def spent(limits: Limits, hold: int, charge: int, day: int = TODAY) -> None:
    """Let a request hold so much and be charged so much."""
    key = grant(**SPENDER)
    state = await limits.admit(key, 0, need(hold, day))
    assert state is not None
    limits.done(key, state, unused_tokens=0, unspent_nanos=hold - charge)


async def test_an_idle_edge_gives_unspent_spend_back(
    limits: Limits, core: CoreLimits, clock: ManualClock
) -> None:
    """What a slice has free is another edge's after a while without requests."""
    core.spend = 1_000
    await spent(limits, 100, 30)
    await limits.spend.renew()
    assert core.spend == 600
    clock.pass_time(30)
    await limits.spend.renew()
    assert core.spend == 970


async def test_recalled_spend_goes_back_at_once_but_for_what_runs(
    limits: Limits, core: CoreLimits
) -> None:
    """A hold stays; what it did not spend can be had again."""
    core.spend = 400
    key = grant(**SPENDER)
    running = await limits.admit(key, 0, need(100))
    assert running is not None
    await limits.spend.renew({core.slices[TODAY].slice_id})
    assert core.spend == 300
    limits.done(key, running, unused_tokens=0, unspent_nanos=60)
    await limits.spend.renew({core.slices[TODAY].slice_id})
    assert core.spend == 360


async def test_spend_whose_grant_was_never_heard_of_is_not_lost(
    limits: Limits, core: CoreLimits, clock: ManualClock
) -> None:
    """Totals bring what a lost answer granted."""
    core.spend, core.lose_answers = 400, 1
    with pytest.raises(RateLimited):
        await limits.admit(grant(**SPENDER), 0, need(100))
    clock.pass_time(1)
    core.spend = 100
    for _ in range(5):
        await spent(limits, 100, 100)
    with pytest.raises(RateLimited):
        await limits.admit(grant(**SPENDER), 0, need(100))


async def test_spend_of_one_day_is_of_no_use_on_the_next(limits: Limits, core: CoreLimits) -> None:
    """The slice of the day that is over goes back to that day."""
    core.spend = 400
    await spent(limits, 100, 10)
    core.spend = 100
    await spent(limits, 100, 100, TODAY + 1)
    await limits.spend.renew()
    assert core.slices[TODAY].returned == 390
    assert core.slices[TODAY + 1].returned == 0


async def test_a_slice_that_core_has_closed_is_asked_for_anew(
    limits: Limits, core: CoreLimits
) -> None:
    """Nothing of the closed one is spent; what still runs in it settles all the same."""
    core.spend = 800
    key = grant(**SPENDER)
    running = await limits.admit(key, 0, need(100))
    core.slices.clear()
    await limits.spend.renew()
    await spent(limits, 100, 50)
    assert running is not None
    limits.done(key, running, unused_tokens=0, unspent_nanos=100)
    assert core.slices[TODAY].granted == 400
    await limits.spend.renew({core.slices[TODAY].slice_id})
    assert core.slices[TODAY].returned == 350


async def test_no_request_is_admitted_on_a_slice_that_core_may_have_closed(
    limits: Limits, core: CoreLimits, clock: ManualClock
) -> None:
    """Its lifetime ends on the edge long before it does at core."""
    core.spend = 400
    await spent(limits, 100, 10)
    core.away = True
    clock.pass_time(594)
    await spent(limits, 100, 10)
    clock.pass_time(2)
    with pytest.raises(RateLimited):
        await limits.admit(grant(**SPENDER), 0, need(100))


async def test_a_request_that_cannot_cost_anything_needs_no_spend(
    limits: Limits, core: CoreLimits
) -> None:
    """A model may be free."""
    state = await limits.admit(grant(**SPENDER), 0, need(0))
    assert state is not None
    assert state.spend is None
