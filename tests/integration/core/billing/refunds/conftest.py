"""Workspaces that pay at a simulated provider, which is empty and faultless before each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from core.db.database import Database
from tests.support.money_world import MoneyWorld
from tests.support.stripe import StripeSimulator
from tests.support.stripe_world import StripeWorld, stripe_world


@pytest.fixture(scope="module")
def process() -> Iterator[StripeSimulator]:
    """Start a simulator for a file of tests; its webhooks go nowhere."""
    with StripeSimulator(seed=7) as simulator:
        yield simulator


@pytest.fixture
async def world(database_url: str, process: StripeSimulator) -> AsyncIterator[StripeWorld]:
    """Give a test a world on a database of its own."""
    process.order("reset")
    database = Database.connect(database_url)
    async with stripe_world(MoneyWorld(database), process) as world:
        yield world
    await database.close()
