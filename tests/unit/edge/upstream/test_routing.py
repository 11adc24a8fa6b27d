"""Which upstream next."""

from __future__ import annotations

from collections import Counter

import pytest

from edge.admission.catalog import Candidate, Route, Upstream
from edge.upstream.routing import PAUSE_SECONDS, Router
from oneapi.common.v1.lane_pb2 import Lane
from tests.unit.edge.admission.doubles import ManualClock

DEFAULT = Lane.LANE_DEFAULT
NOTHING_SPECIAL = (1, True, False, False, b"")
"""Dialect, a terminal frame, no drain, no bill for the refused, no credential."""


def candidate(number: int, *, weight: int = 1, priority: int = 0) -> Candidate:
    """Return a candidate of the upstream of that number."""
    upstream = Upstream(number, f"up{number}", "http://x/v1", *NOTHING_SPECIAL)
    return Candidate(upstream, "model", weight, priority, 1.0, 1.0)


def route(*candidates: Candidate, attempts: int = 3) -> Route:
    """Return a route."""
    return Route(candidates, attempts)


@pytest.fixture
def clock() -> ManualClock:
    """Give a clock that stands still."""
    return ManualClock()


@pytest.fixture
def router(clock: ManualClock) -> Router:
    """Give a router that has seen nothing."""
    return Router(clock)


def numbers(
    router: Router, asked: Route, lane: int = DEFAULT, sticky_to: bytes = b"key"
) -> list[int]:
    """Return the order as upstream numbers."""
    return [one.upstream.number for one in router.order(asked, lane, sticky_to)]


def test_priority_decides_before_weight(router: Router) -> None:
    """A backup stays one, however heavy."""
    asked = route(candidate(2, priority=1, weight=1_000_000), candidate(1))
    assert all(numbers(router, asked) == [1, 2] for _ in range(50))


def test_no_more_candidates_than_attempts(router: Router) -> None:
    """The route bounds what one request may cause."""
    asked = route(*(candidate(number) for number in range(1, 9)), attempts=2)
    assert len(numbers(router, asked)) == 2


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


def test_the_opportunistic_lane_needs_a_healthy_upstream(router: Router) -> None:
    """Spare capacity is none while all pause."""
    asked = route(candidate(1))
    assert router.has_spare(asked)
    for _ in range(3):
        router.failed(1)
    assert not router.has_spare(asked)


def test_the_priority_lane_takes_the_quickest(router: Router, clock: ManualClock) -> None:
    """A peak counts at once and fades."""
    asked = route(candidate(1), candidate(2))
    router.succeeded(1, 0.2)
    router.succeeded(2, 0.5)
    assert numbers(router, asked, Lane.LANE_PRIORITY) == [1, 2]
    router.succeeded(1, 3.0)
    assert numbers(router, asked, Lane.LANE_PRIORITY) == [2, 1]
    clock.pass_time(120)
    router.succeeded(1, 0.1)
    assert numbers(router, asked, Lane.LANE_PRIORITY) == [1, 2]


def test_the_coding_lane_sticks_to_one_upstream_for_a_key(router: Router) -> None:
    """Prompt caches are at one provider; keys spread over all."""
    asked = route(*(candidate(number) for number in range(1, 5)))
    for key in (b"a", b"b"):
        assert len({tuple(numbers(router, asked, Lane.LANE_CODING, key)) for _ in range(20)}) == 1
    firsts = {numbers(router, asked, Lane.LANE_CODING, bytes([key]))[0] for key in range(100)}
    assert firsts == {1, 2, 3, 4}
