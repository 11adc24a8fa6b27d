"""One simulator for the tests of this folder, empty and faultless before each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import stripe

from tests.support.stripe import Receiver, StripeSimulator, receiving


@pytest.fixture(scope="session")
def endpoint() -> Iterator[Receiver]:
    """Receive the webhooks of the shared simulator."""
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def process(endpoint: Receiver) -> Iterator[StripeSimulator]:
    """Start the simulator of this folder."""
    with StripeSimulator(webhook_url=endpoint.url, seed=7) as simulator:
        yield simulator


@pytest.fixture
def simulator(process: StripeSimulator, endpoint: Receiver) -> StripeSimulator:
    """Return the simulator as if it had just been started."""
    process.order("reset")
    endpoint.received.clear()
    endpoint.statuses.clear()
    return process


@pytest.fixture
async def client(simulator: StripeSimulator) -> AsyncIterator[stripe.StripeClient]:
    """Return the SDK's client of the simulator."""
    async with simulator.client() as client:
        yield client
