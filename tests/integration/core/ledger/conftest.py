"""A migrated database and a small world of money on it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.db.database import Database
from tests.support.money_world import MoneyWorld


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[MoneyWorld]:
    """Give a test a world on a database of its own."""
    database = Database.connect(database_url)
    yield MoneyWorld(database)
    await database.close()
