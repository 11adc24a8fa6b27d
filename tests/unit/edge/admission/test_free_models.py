"""Models that cost nothing are served whatever a workspace has or owes."""

from __future__ import annotations

import pytest

from edge.errors import ApiError
from oneapi.common.v1.lane_pb2 import Lane
from tests.unit.edge.admission.world import (
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
