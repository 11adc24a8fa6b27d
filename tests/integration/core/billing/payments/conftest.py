"""A database with workspaces that can pay, and a simulated account to pay into."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from core.db.database import Database
from tests.support.payment_world import PaymentWorld
from tests.support.stripe import StripeSimulator


@pytest.fixture(scope="module")
def simulator() -> Iterator[StripeSimulator]:
    """Run one simulated account for the tests of a file."""
    with StripeSimulator() as simulator:
        yield simulator


@pytest.fixture
async def world(database_url: str, simulator: StripeSimulator) -> AsyncIterator[PaymentWorld]:
    """Give a test a world on a database and an account of its own."""
    simulator.order("reset")
    world = PaymentWorld(Database.connect(database_url), simulator)
    yield world
    await world.close()
