"""The short form of `python -m tests.chaos.exactly_once`: one round, a few deaths of each kind."""

from __future__ import annotations

import pytest

from tests.chaos.exactly_once.__main__ import details
from tests.chaos.exactly_once.rounds import Plan, play
from tests.chaos.exactly_once.schedule import Shape, schedule

SHAPE = Shape(edges=2, cores=1, link="messenger")
PLAN = Plan("short-994", SHAPE, kills=7, clients=30, pause_seconds=0.3, pace_ms=(10, 100))


def test_the_schedule_is_of_its_seed() -> None:
    """The same seed kills the same; another one does not."""
    kills = [schedule(seed, 65, SHAPE, 0.8) for seed in ("a", "a", "b")]
    assert kills[0] == kills[1] != kills[2]
    assert [sum(len(step.victims) for step in steps) for steps in kills] == [65] * 3


@pytest.mark.slow
def test_whatever_dies_every_accepted_request_is_charged_exactly_once() -> None:
    """P7, P8: clients, provider, dead spools, records and ledger agree, request by request."""
    result = play(PLAN)
    assert result.holds, "\n".join(details(result))
    assert min(result.kills[kind] for kind in ("edge", "core", "postgres")) >= 1
    assert result.verdict.crashes > 0
    assert result.charged == result.revenue == result.drop > 0
