"""A world with requests in a month that may be archived, and an archiver that talks to core."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.db.database import Database
from core.metering.usage_rpc import usage_service
from core.platform_key import PlatformKey
from tests.support.archive_world import Archiver, service_of
from tests.support.core_server import calling, serving
from tests.support.metering_world import MeteringWorld, WorldClock
from tests.support.money_world import MoneyWorld

JULY = "2026-07"
"""At the world's time the only month that is old enough."""
IN_JULY = datetime(2026, 7, 9, 8, 30, tzinfo=UTC)


@dataclass
class World:
    """Where months are archived."""

    metering: MeteringWorld
    port: int
    key: PlatformKey
    archiver: Archiver
    dsn: str

    async def requests(self, count: int, *, moment: datetime = IN_JULY) -> bytes:
        """Charge requests to a new workspace and return it."""
        workspace_id = await self.metering.money.workspace(10)
        records = [self.metering.record(workspace_id, moment=moment) for _ in range(count)]
        assert not (await self.metering.report(records)).rejected
        return workspace_id


@pytest.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """Give a test a world of its own."""
    database = Database.connect(database_url)
    money = MoneyWorld(database)
    await money.edge()
    metering = await MeteringWorld.start(money)
    partitions, key = service_of(metering, database_url, tmp_path)
    usage = usage_service(database.rpc, WorldClock(money))
    async with serving([partitions, usage]) as port, calling(port, "archiver") as channel:
        yield World(metering, port, key, Archiver(channel), database_url)
    await metering.stop()
    await database.close()
