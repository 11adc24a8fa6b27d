"""A database with workspaces that can pay."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.db.database import Database
from tests.support.money_world import MoneyWorld
from tests.support.paid_world import PaidWorld


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[PaidWorld]:
    """Give a test a world on a database of its own."""
    database = Database.connect(database_url)
    yield PaidWorld(MoneyWorld(database))
    await database.close()
