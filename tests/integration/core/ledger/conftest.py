"""A migrated database and small worlds of money and usage on it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.db.database import Database
from tests.support.metering_world import MeteringWorld
from tests.support.money_world import MoneyWorld


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[MoneyWorld]:
    """Give a test a world on a database of its own."""
    database = Database.connect(database_url)
    yield MoneyWorld(database)
    await database.close()


@pytest.fixture
async def metering(world: MoneyWorld) -> AsyncIterator[MeteringWorld]:
    """Let usage be reported in the world, by edge 1."""
    await world.edge()
    metering = await MeteringWorld.start(world)
    yield metering
    await metering.stop()
