"""Room at upstreams: counted over all lanes, and a queue by rank with bounded patience."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest

from edge.admission.catalog import Candidate, Policy
from edge.upstream import capacity as capacity_module
from edge.upstream.capacity import Capacity, Place
from tests.unit.edge.upstream.test_routing import candidate

PATIENT = Policy(queue_rank=10, queue_wait_seconds=60)
AHEAD = Policy(queue_rank=0, queue_wait_seconds=60)
BEHIND = Policy(queue_rank=20, queue_wait_seconds=60)
BRIEF = Policy(queue_wait_seconds=0.01)
SPARE = Policy(spare_only=True)
ONE = candidate(1, max_running=1)


async def entered(capacity: Capacity, asked: Candidate = ONE, policy: Policy = PATIENT) -> Place:
    """Go in where there must be room."""
    place = await capacity.enter(asked, policy)
    assert place is not None
    return place


async def queue(capacity: Capacity, *policies: Policy) -> list[asyncio.Task[Place | None]]:
    """Let requests wait, in this order."""
    tasks = [asyncio.create_task(capacity.enter(ONE, policy)) for policy in policies]
    await asyncio.sleep(0)
    return tasks


async def test_without_a_limit_nobody_waits() -> None:
    """0 is no limit; what runs is counted all the same."""
    capacity, free = Capacity(), candidate(1)
    for _ in range(3):
        await entered(capacity, free, SPARE)
    assert capacity.at(free).running == 3


async def test_all_lanes_count_and_each_has_its_own_limit() -> None:
    """A lane with a smaller limit gets only what others leave of it."""
    capacity, large = Capacity(), candidate(1, max_running=3)
    await entered(capacity, large)
    assert await capacity.enter(ONE, BRIEF) is None
    await entered(capacity, large)
    await entered(capacity, large)
    assert await capacity.enter(large, BRIEF) is None


async def test_another_model_of_the_upstream_has_its_own_room() -> None:
    """Providers limit models."""
    capacity = Capacity()
    other = replace(ONE, upstream_model="other")
    await entered(capacity)
    await entered(capacity, other)


async def test_who_waits_goes_in_by_rank_and_then_in_order() -> None:
    """Priority is ahead in the queue, economy behind all others."""
    capacity = Capacity()
    place = await entered(capacity)
    tasks = await queue(capacity, BEHIND, PATIENT, AHEAD, PATIENT)
    order = []
    for _ in tasks:
        place.leave()
        await asyncio.sleep(0.001)
        (done,) = [index for index, task in enumerate(tasks) if task.done() and index not in order]
        order.append(done)
    assert order == [2, 1, 3, 0]


async def test_patience_ends() -> None:
    """Then the next candidate is asked; nothing is left in the queue."""
    capacity = Capacity()
    place = await entered(capacity)
    assert await capacity.enter(ONE, BRIEF) is None
    assert (place.running, place.waiting) == (1, [])


async def test_a_request_that_is_cancelled_leaves_the_queue() -> None:
    """Its client left, or its time was up."""
    capacity = Capacity()
    place = await entered(capacity)
    first, second = await queue(capacity, PATIENT, PATIENT)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    place.leave()
    assert await second is place
    assert (place.running, place.waiting) == (1, [])


async def test_a_request_that_is_cancelled_as_it_goes_in_takes_no_room() -> None:
    """Both happen in one turn of the loop."""
    capacity = Capacity()
    place = await entered(capacity)
    (waiting,) = await queue(capacity, PATIENT)
    place.leave()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert (place.running, place.waiting) == (0, [])


async def test_spare_capacity_is_what_nobody_waits_for() -> None:
    """Room that becomes free belongs to those in the queue; it never waits itself."""
    capacity = Capacity()
    place = await entered(capacity)
    assert await capacity.enter(ONE, SPARE) is None
    await queue(capacity, PATIENT)
    assert await capacity.enter(candidate(1, max_running=9), SPARE) is None
    place.leave()
    await asyncio.sleep(0)
    assert place.running == 1
    place.leave()
    await entered(capacity, ONE, SPARE)


async def test_a_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more turns to the next candidate at once."""
    monkeypatch.setattr(capacity_module, "MAX_WAITING", 2)
    capacity = Capacity()
    await entered(capacity)
    tasks = await queue(capacity, PATIENT, PATIENT)
    assert await capacity.enter(ONE, PATIENT) is None
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_no_limit_is_exceeded_and_no_room_is_lost_in_random_lives() -> None:
    """Requests that come, wait, lose patience, are cancelled and end, in any order."""
    chance, capacity = random.Random(3), Capacity()
    asked = [candidate(1, max_running=limit) for limit in (2, 4, 6)]
    most = 0

    async def live() -> None:
        nonlocal most
        policy = Policy(
            queue_rank=chance.randint(0, 3), queue_wait_seconds=chance.choice([0, 0.001, 0.05])
        )
        place = await capacity.enter(chance.choice(asked), policy)
        if place is None:
            return
        try:
            most = max(most, place.running)
            await asyncio.sleep(chance.choice([0, 0.001, 0.003]))
        finally:
            place.leave()

    tasks = [asyncio.create_task(live()) for _ in range(400)]
    for task in tasks:
        if chance.random() < 0.2:
            await asyncio.sleep(0)
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    place = capacity.at(asked[0])
    assert (place.running, place.waiting) == (0, [])
    assert 2 <= most <= 6
