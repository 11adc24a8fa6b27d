"""A migrated database, a small world of money on it, and an intake."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.db.database import Database
from tests.support.metering_world import MeteringWorld
from tests.support.money_world import MoneyWorld


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[MeteringWorld]:
    """Give a test a world with a running intake on a database of its own."""
    database = Database.connect(database_url)
    money = MoneyWorld(database)
    await money.edge()
    metering = await MeteringWorld.start(money)
    yield metering
    await metering.stop()
    await database.close()
