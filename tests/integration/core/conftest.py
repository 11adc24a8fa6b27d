"""What tests of core work with: a database of their own, a clock that they set, an act."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from core.audit import Act
from core.db.database import Database
from kit.clock import now
from kit.ids import IdSource


class SetClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self._ns = int(datetime(2027, 1, 15, 12, 0, 0, tzinfo=UTC).timestamp()) * 1_000_000_000

    def now_ns(self) -> int:
        """Return the time of day, as a clock does."""
        return self._ns

    def monotonic(self) -> float:
        """Return seconds that only ever grow."""
        return self._ns / 1e9

    def move(self, **interval: float) -> None:
        """Go forward by a timedelta's arguments."""
        self._ns += timedelta(**interval) // timedelta(microseconds=1) * 1_000


class World:
    """The pieces that use cases of core are called with."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.pool = database.rpc
        self.clock = SetClock()
        self.ids = IdSource(now_ns=self.clock.now_ns)

    def act(self, actor: str = "operator") -> Act:
        """An act of now."""
        return Act(actor, now(self.clock), self.ids)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Pools to a migrated database of the test's own."""
    database = Database.connect(database_url)
    yield database
    await database.close()


@pytest.fixture
def world(database: Database) -> World:
    """A small world on that database."""
    return World(database)
