"""A world in which workspaces pay and use."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.db.database import Database
from tests.support.metering_world import MeteringWorld
from tests.support.money_world import MoneyWorld
from tests.support.paid_world import PaidWorld


@pytest.fixture
async def metering(database_url: str) -> AsyncIterator[MeteringWorld]:
    """Give a test a metering world on a database of its own."""
    database = Database.connect(database_url)
    money = MoneyWorld(database)
    await money.edge()
    world = await MeteringWorld.start(money)
    yield world
    await world.stop()
    await database.close()


@pytest.fixture
def world(metering: MeteringWorld) -> PaidWorld:
    """Give payments to the same world."""
    return PaidWorld(metering.money)
