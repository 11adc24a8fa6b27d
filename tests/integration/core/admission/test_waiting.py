"""Calls that wait for credit are woken in their order, for what is there."""

from __future__ import annotations

import asyncio

from core.admission.waiting import CreditWaits
from core.db.database import Database
from tests.support.money_world import DOLLAR, MoneyWorld


async def ended() -> None:
    """Let the looking end, which does so when nobody waits."""
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))


async def test_who_can_be_served_is_woken(database: Database) -> None:
    """The others go on waiting until their time is over."""
    world = MoneyWorld(database)
    workspace = await world.workspace(2)
    waits = CreditWaits(database.rpc)
    calls = [waits.until_there(workspace, dollars * DOLLAR, 0.4) for dollars in (2, 3)]
    assert await asyncio.gather(*calls) == [True, False]
    await ended()


async def test_credit_that_comes_later_wakes(database: Database) -> None:
    """Whoever gave it: the wallet is looked at."""
    world = MoneyWorld(database)
    workspace = await world.workspace(0)
    waits = CreditWaits(database.rpc)
    waiting = asyncio.create_task(waits.until_there(workspace, DOLLAR, 20))
    await asyncio.sleep(0.15)
    await world.grant(workspace, DOLLAR)
    assert await waiting
    await ended()


async def test_time_that_is_over_waits_for_nothing(database: Database) -> None:
    """A call whose wait was used up before."""
    world = MoneyWorld(database)
    workspace = await world.workspace(1)
    assert not await CreditWaits(database.rpc).until_there(workspace, DOLLAR, -1)
    await ended()
