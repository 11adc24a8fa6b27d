"""Models that cost nothing are served whatever a workspace has or owes."""

from __future__ import annotations

import pytest

from edge.admission.admit import Admitted
from edge.admission.free_models import PER_MINUTE, FreeModels
from edge.errors import ApiError
from kit.ids import new_request_id
from oneapi.common.v1.lane_pb2 import Lane
from tests.unit.edge.admission.doubles import ManualClock, grant
from tests.unit.edge.admission.world import (
    DOLLAR,
    OUTPUT_RATE,
    AdmissionWorld,
    add_price,
    add_route,
    snapshot,
)

FREE_RATE = 10 * OUTPUT_RATE
"""Rates are divided by it, which leaves nothing."""


@pytest.mark.parametrize("limit", [None, 100])
async def test_case_63_a_free_model_is_served_without_any_credit(limit: int | None) -> None:
    """Whatever the workspace owes: there is nothing to pay, so nobody is asked; limits count."""
    world = AdmissionWorld(wallet=0)
    catalog = snapshot(2)
    add_price(catalog, 1, Lane.LANE_OPPORTUNISTIC, 0, divisor=FREE_RATE)
    add_route(catalog, 1, Lane.LANE_OPPORTUNISTIC, (1,))
    world.mark(catalog=catalog)
    choice = world.choose(lane="opportunistic")
    admitted = await world.admit(limit=limit, choice=choice, requests_per_minute=5)
    assert (admitted.hold.nanos, admitted.limit.tokens) == (0, limit or 8_192)
    assert world.ledger.acquired == []
    assert world.limits.calls == 1
    world.admission.settle(admitted, 0, 50)
    with pytest.raises(ApiError) as refused:
        await world.admit(limit=limit)
    assert refused.value.status == 402


@pytest.mark.parametrize("ending", ["settled", "withdrawn"])
async def test_a_ceiling_on_a_free_request_uses_up_no_spend_limit(ending: str) -> None:
    """What costs nothing takes nothing: else nobody gives it back, and the limit is gone."""
    world = AdmissionWorld()
    world.limits.spend = 2 * DOLLAR
    catalog = snapshot(2)
    add_price(catalog, 1, Lane.LANE_OPPORTUNISTIC, 0, divisor=FREE_RATE)
    add_route(catalog, 1, Lane.LANE_OPPORTUNISTIC, (1,))
    world.mark(catalog=catalog)
    free = world.choose(lane="opportunistic")
    paid = await world.admit(limit=1, has_spend_limit=True)
    world.admission.settle(paid, 0, 0)
    assert paid.limits is not None
    assert paid.limits.spend is not None
    for _ in range(3):
        admitted = await world.admit(choice=free, max_cost="1.00", has_spend_limit=True)
        if ending == "settled":
            world.admission.settle(admitted, 0, 0)
        else:
            world.admission.withdraw(admitted)
    assert paid.limits.spend.taken == 0


async def test_case_63_whoever_calls_free_models_too_often_comes_again() -> None:
    """Without a limit on the key, too; what is paid for goes on, and so does everybody else."""
    world = AdmissionWorld()
    catalog = snapshot(2)
    add_price(catalog, 1, Lane.LANE_OPPORTUNISTIC, 0, divisor=FREE_RATE)
    add_route(catalog, 1, Lane.LANE_OPPORTUNISTIC, (1,))
    world.mark(catalog=catalog)
    free = world.choose(lane="opportunistic")
    for _ in range(PER_MINUTE):
        world.admission.settle(await world.admit(choice=free, limit=1), 0, 0)
    with pytest.raises(ApiError) as refused:
        await world.admit(choice=free, limit=1, requests_per_minute=5)
    assert (refused.value.status, refused.value.code) == (429, "rate_limit_exceeded")
    assert refused.value.headers[b"retry-after"] == b"60"
    assert (await world.admit(limit=1)).hold.nanos > 0
    world.clock.pass_time(60)
    assert (await world.admit(choice=free, limit=1)).hold.nanos == 0


def test_each_workspace_has_its_own_share() -> None:
    """And 0 means any number."""
    clock = ManualClock()
    few, any_number = FreeModels(clock, 2), FreeModels(clock, 0)
    assert [few.count(b"a") > 0 for _ in range(3)] == [False, False, True]
    assert few.count(b"b") == 0
    assert [any_number.count(b"a") for _ in range(100)] == [0] * 100
    any_number.give_back(b"a")
    few.give_back(b"a")
    assert [few.count(b"a") > 0 for _ in range(2)] == [False, True]
    clock.pass_time(60)
    few.count(b"b")
    few.give_back(b"a")
    assert [few.count(b"a") > 0 for _ in range(3)] == [False, False, True]


async def test_counting_tokens_takes_a_share_as_well() -> None:
    """It costs nothing, but its upstream is asked; what is not served gives its share back."""
    world = AdmissionWorld()
    world.limits.requests = 2 * PER_MINUTE
    choice = world.choose()

    async def count() -> Admitted:
        key = grant(requests_per_minute=2 * PER_MINUTE)
        return await world.admission.admit_free(key, choice, new_request_id())

    for _ in range(PER_MINUTE - 1):
        world.admission.settle(await count(), 0, 0)
    for _ in range(3):
        world.admission.withdraw(await count())
    world.admission.settle(await count(), 0, 0)
    with pytest.raises(ApiError) as refused:
        await count()
    assert (refused.value.status, refused.value.code) == (429, "rate_limit_exceeded")
    assert refused.value.headers[b"retry-after"] == b"60"
    assert (await world.admit(limit=1)).hold.nanos > 0
