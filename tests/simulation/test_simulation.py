"""The short form of `make simulate`: a few stories, of another seed each time."""

from __future__ import annotations

import pytest

from tests.simulation.machine import Machine
from tests.simulation.provider_machine import ProviderMachine
from tests.simulation.run import simulate
from tests.support.postgres import PostgresServer
from tests.support.stripe import StripeSimulator


@pytest.mark.timeout(600)
def test_the_books_balance_after_every_step(
    postgres_server: PostgresServer, migrated_template: str
) -> None:
    """Money adds up whatever is lost, doubled, reordered or dies."""
    tried, came = simulate(Machine, postgres_server, migrated_template, steps=300, seed=None)
    assert sum(tried.values()) >= 150
    assert sum(came.values()) >= 5


@pytest.mark.timeout(600)
def test_the_provider_and_the_ledger_agree_in_the_end(
    postgres_server: PostgresServer, migrated_template: str
) -> None:
    """And so does what is bought, refunded and disputed, whatever the provider tells and when."""
    with StripeSimulator(seed=1) as ProviderMachine.simulator:
        tried, came = simulate(
            ProviderMachine, postgres_server, migrated_template, steps=200, seed=None
        )
    assert sum(tried.values()) >= 100
    assert sum(came.values()) >= 5
