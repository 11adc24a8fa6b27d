"""A migrated database and a small world of money on it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.db.database import Database
from tests.support.money_world import MoneyWorld
from tests.support.postgres import database_url, migrated_template, postgres_server

__all__ = ["database_url", "migrated_template", "postgres_server"]


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[MoneyWorld]:
    """Give a test a world on a database of its own."""
    database = Database.connect(database_url)
    yield MoneyWorld(database)
    await database.close()
