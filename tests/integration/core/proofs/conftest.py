"""A world in which requests were charged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.db.database import Database
from core.platform_key import PlatformKey, load_or_make_platform_key
from tests.support.metering_world import MeteringWorld
from tests.support.money_world import MoneyWorld


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[MeteringWorld]:
    """Give a test a metering world on a database of its own."""
    database = Database.connect(database_url)
    money = MoneyWorld(database)
    await money.edge()
    metering = await MeteringWorld.start(money)
    yield metering
    await metering.stop()
    await database.close()


@pytest.fixture
def key(tmp_path: Path) -> PlatformKey:
    """A platform key of the test's own."""
    return load_or_make_platform_key(tmp_path / "keys" / "platform.json")
