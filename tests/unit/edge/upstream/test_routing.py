"""Which upstream next."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from edge.admission.catalog import Candidate, Policy, Route, Upstream
from edge.upstream.routing import PAUSE_SECONDS, Router
from oneapi.catalog.v1.catalog_pb2 import RoutePolicy
from tests.unit.edge.admission.doubles import ManualClock

WEIGHTED = RoutePolicy.BALANCE_WEIGHTED
STICKY = RoutePolicy.BALANCE_STICKY
LATENCY = RoutePolicy.BALANCE_LOWEST_LATENCY
NOTHING_SPECIAL = (1, True, False, False, b"")
"""Dialect, a terminal frame, no drain, no bill for the refused, no credential."""


def candidate(
    number: int, *, weight: int = 1, priority: int = 0, max_running: int = 0
) -> Candidate:
    """Return a candidate of the upstream of that number."""
    upstream = Upstream(number, f"up{number}", "http://x/v1", *NOTHING_SPECIAL)
    return Candidate(upstream, "model", weight, priority, 1.0, 1.0, max_running)


def route(*candidates: Candidate) -> Route:
    """Return a route."""
    return Route(candidates, 3)


@pytest.fixture
def clock() -> ManualClock:
    """Give a clock that stands still."""
    return ManualClock()


@pytest.fixture
def router(clock: ManualClock) -> Router:
    """Give a router that has seen nothing."""
    return Router(clock)


def numbers(
    router: Router, asked: Route, balance: int = WEIGHTED, sticky_to: bytes = b"key"
) -> list[int]:
    """Return the order as upstream numbers."""
    asked = replace(asked, policy=Policy(balance=balance))
    return [one.upstream.number for one in router.order(asked, sticky_to)]


def test_priority_decides_before_weight(router: Router) -> None:
    """A backup stays one, however heavy."""
    asked = route(candidate(2, priority=1, weight=1_000_000), candidate(1))
    assert all(numbers(router, asked) == [1, 2] for _ in range(50))


def test_weight_decides_the_share_of_the_first_place(router: Router) -> None:
    """Nine to one is nine to one."""
    asked = route(candidate(1, weight=9), candidate(2, weight=1))
    firsts = Counter(numbers(router, asked)[0] for _ in range(2_000))
    assert 1_700 < firsts[1] < 1_900


def test_an_upstream_that_failed_three_times_goes_last_for_a_while(
    router: Router, clock: ManualClock
) -> None:
    """It is still tried where nothing else is left."""
    asked = route(candidate(1), candidate(2, priority=1))
    for _ in range(2):
        router.failed(1)
    assert numbers(router, asked) == [1, 2]
    router.failed(1)
    assert numbers(router, asked) == [2, 1]
    clock.pass_time(PAUSE_SECONDS)
    assert numbers(router, asked) == [1, 2]


def test_a_success_ends_the_pause(router: Router) -> None:
    """Failures must come in a row."""
    asked = route(candidate(1), candidate(2, priority=1))
    for _ in range(3):
        router.failed(1)
    router.succeeded(1, 0.1)
    router.failed(1)
    assert numbers(router, asked) == [1, 2]


def test_spare_capacity_needs_a_healthy_upstream(router: Router) -> None:
    """Spare capacity is none while all pause."""
    asked = route(candidate(1))
    assert router.has_spare(asked)
    for _ in range(3):
        router.failed(1)
    assert not router.has_spare(asked)


def test_lowest_latency_takes_the_quickest(router: Router, clock: ManualClock) -> None:
    """A peak counts at once and fades."""
    asked = route(candidate(1), candidate(2))
    router.succeeded(1, 0.2)
    router.succeeded(2, 0.5)
    assert numbers(router, asked, LATENCY) == [1, 2]
    router.succeeded(1, 3.0)
    assert numbers(router, asked, LATENCY) == [2, 1]
    clock.pass_time(120)
    router.succeeded(1, 0.1)
    assert numbers(router, asked, LATENCY) == [1, 2]


def test_sticky_means_one_upstream_for_a_key(router: Router) -> None:
    """Prompt caches are at one provider; keys spread over all."""
    asked = route(*(candidate(number) for number in range(1, 5)))
    for key in (b"a", b"b"):
        assert len({tuple(numbers(router, asked, STICKY, key)) for _ in range(20)}) == 1
    firsts = {numbers(router, asked, STICKY, bytes([key]))[0] for key in range(100)}
    assert firsts == {1, 2, 3, 4}


async def test_a_full_candidate_goes_behind_its_equals(router: Router) -> None:
    """Who has room is asked before anybody waits; a backup stays a backup."""
    asked = route(candidate(1, max_running=1), candidate(2), candidate(3, priority=1))
    await router.capacity.enter(asked.candidates[0], Policy())
    assert numbers(router, asked) == [2, 1, 3]


async def test_what_is_full_is_not_spare(router: Router) -> None:
    """Of several candidates one with room is enough."""
    full, free = candidate(1, max_running=1), candidate(2, max_running=1)
    place = await router.capacity.enter(full, Policy())
    assert not router.has_spare(route(full))
    assert router.has_spare(route(full, free))
    assert place is not None
    place.leave()
    assert router.has_spare(route(full))
