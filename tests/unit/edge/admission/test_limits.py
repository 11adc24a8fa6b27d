"""Limits of keys: slices from core, spent here, given back where they were not used."""

from __future__ import annotations

import asyncio

import pytest

from edge.admission.limits import Limits, LimitState
from kit.reasons import RateLimited
from tests.unit.edge.admission.doubles import CoreLimits, ManualClock, grant


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


async def admitted(limits: Limits, count: int, grant_fields: dict[str, int]) -> int:
    """Return how many of so many requests at once are admitted."""
    key = grant(**grant_fields)
    results = await asyncio.gather(
        *(limits.admit(key, 10, 100) for _ in range(count)), return_exceptions=True
    )
    assert all(isinstance(one, LimitState | RateLimited) for one in results)
    return sum(isinstance(one, LimitState) for one in results)


async def test_a_key_without_limits_costs_nothing(limits: Limits, core: CoreLimits) -> None:
    """No limit, no call, no headers."""
    assert await limits.admit(grant(), 10, 100) is None
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
    await limits.admit(key, 0, 0)
    clock.pass_time(5)
    core.window_ms = 15_000
    with pytest.raises(RateLimited) as refused:
        await limits.admit(key, 0, 0)
    assert refused.value.metadata == {"limit": "requests", "retry_ms": "15001"}


async def test_a_new_minute_has_a_new_allowance(
    limits: Limits, core: CoreLimits, clock: ManualClock
) -> None:
    """What was used up in one minute is there in the next."""
    core.requests = 1
    key = grant(requests_per_minute=1)
    await limits.admit(key, 0, 0)
    with pytest.raises(RateLimited):
        await limits.admit(key, 0, 0)
    clock.pass_time(60)
    core.requests = 1
    assert await limits.admit(key, 0, 0) is not None


async def test_unused_tokens_are_given_back_in_their_minute(
    limits: Limits, core: CoreLimits
) -> None:
    """Worst-case reservations do not eat the limit."""
    core.tokens = 100
    key = grant(tokens_per_minute=100)
    state = await limits.admit(key, 100, 0)
    assert state is not None
    limits.done(key, state, unused_tokens=60, unspent_nanos=0)
    assert await limits.admit(key, 60, 0) is not None


async def test_tokens_given_back_late_are_not_added_to_the_next_minute(
    limits: Limits, core: CoreLimits, clock: ManualClock
) -> None:
    """A minute's limit is never exceeded by what another minute left."""
    key = grant(tokens_per_minute=100)
    core.tokens = 100
    state = await limits.admit(key, 100, 0)
    assert state is not None
    clock.pass_time(61)
    core.tokens = 100
    fresh = await limits.admit(key, 100, 0)
    assert fresh is not None
    limits.done(key, state, unused_tokens=100, unspent_nanos=0)
    with pytest.raises(RateLimited):
        await limits.admit(key, 50, 0)


async def test_concurrency_is_given_back_when_a_request_ends(
    limits: Limits, core: CoreLimits
) -> None:
    """Two at a time means two at a time."""
    core.permits = 2
    key = grant(concurrent_requests=2)
    first = await limits.admit(key, 0, 0)
    await limits.admit(key, 0, 0)
    with pytest.raises(RateLimited) as refused:
        await limits.admit(key, 0, 0)
    assert refused.value.metadata["limit"] == "concurrency"
    assert first is not None
    limits.done(key, first, unused_tokens=0, unspent_nanos=0)
    assert await limits.admit(key, 0, 0) is not None


async def test_spend_that_was_not_charged_is_given_back(limits: Limits, core: CoreLimits) -> None:
    """A spend limit counts charges, not holds."""
    core.spend = 100
    key = grant(has_spend_limit=True)
    state = await limits.admit(key, 0, 100)
    assert state is not None
    with pytest.raises(RateLimited):
        await limits.admit(key, 0, 50)
    limits.done(key, state, unused_tokens=0, unspent_nanos=80)
    assert await limits.admit(key, 0, 50) is not None


async def test_headers_never_promise_more_than_is_left(limits: Limits, core: CoreLimits) -> None:
    """What remains is our slice and what no edge has taken."""
    core.requests = 100
    state = await limits.admit(grant(requests_per_minute=100), 0, 0)
    assert state is not None
    assert (state.limit_requests, state.remaining_requests) == (100, 99)


@pytest.mark.parametrize("limited", ["requests_per_minute", "tokens_per_minute"])
async def test_an_edge_cut_off_goes_on_with_what_it_had_in_a_minute(
    limits: Limits, core: CoreLimits, clock: ManualClock, limited: str
) -> None:
    """An outage of core neither stops keys with limits nor lifts their limits."""
    core.requests, core.tokens = 1, 10
    key = grant(**{limited: 10})
    await limits.admit(key, 10, 0)
    core.away = True
    clock.pass_time(61)
    assert await limits.admit(key, 10, 0) is not None
    for _ in range(3):
        if limited == "tokens_per_minute":
            with pytest.raises(RateLimited):
                await limits.admit(key, 10, 0)


async def test_a_key_that_is_new_while_core_is_away_is_told_to_wait(
    limits: Limits, core: CoreLimits
) -> None:
    """Without any slice nothing is admitted, and a client does not come back at once."""
    core.away = True
    with pytest.raises(RateLimited) as refused:
        await limits.admit(grant(requests_per_minute=10), 0, 0)
    assert int(refused.value.metadata["retry_ms"]) >= 1_000
