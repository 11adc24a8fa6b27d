"""A core that makes room for another one acknowledges what it has taken, and takes no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from kit.reasons import Unavailable
from oneapi.metering.v1 import metering_service_pb2 as pb
from tests.support.metering_world import MeteringWorld, batch


async def test_a_stream_ends_well_with_all_that_was_taken_acknowledged(
    world: MeteringWorld,
) -> None:
    """The edge opens the next one at whoever serves then, and sends nothing twice."""
    workspace = await world.money.workspace(10)
    sent = batch([world.record(workspace)], first=1, through=1, position=1)

    async def endless() -> AsyncIterator[pb.RecordUsageRequest]:
        yield sent
        await asyncio.Event().wait()

    answers = []
    async with asyncio.timeout(30):
        async for answer in world.intake.take(endless()):
            answers.append(answer.through_sequence)
            world.intake.retire()
    assert answers == [1]
    assert await world.rows("SELECT count(*) FROM usage_record") == [(1,)]


async def test_a_new_stream_is_sent_elsewhere(world: MeteringWorld) -> None:
    """It would only be cut off."""
    workspace = await world.money.workspace(10)
    world.intake.retire()
    with pytest.raises(Unavailable):
        await world.report([world.record(workspace)])
    assert await world.rows("SELECT count(*) FROM usage_record") == [(0,)]
