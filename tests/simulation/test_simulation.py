"""The short form of `make simulate`: a few stories, of another seed each time."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.simulation.machine import Machine
from tests.simulation.provider_machine import ProviderMachine
from tests.simulation.run import simulate
from tests.support.postgres import PostgresServer
from tests.support.stripe import StripeSimulator

RUNS_MAX = 5
ENOUGH = 5


@pytest.mark.timeout(600)
def test_the_books_balance_after_every_step(
    postgres_server: PostgresServer, migrated_template: str
) -> None:
    """Money adds up whatever is lost, doubled, reordered or dies."""
    until_enough_came(Machine, postgres_server, migrated_template, steps=300)


@pytest.mark.timeout(600)
def test_the_provider_and_the_ledger_agree_in_the_end(
    postgres_server: PostgresServer, migrated_template: str
) -> None:
    """And so does what is bought, refunded and disputed, whatever the provider tells and when."""
    with StripeSimulator(seed=1) as ProviderMachine.simulator:
        until_enough_came(ProviderMachine, postgres_server, migrated_template, steps=200)


def until_enough_came(
    machine: type[Machine], server: PostgresServer, template: str, *, steps: int
) -> None:
    """Simulate until some misfortunes came: chance may send hardly any in a few stories."""
    tried: Counter[str] = Counter()
    came: Counter[str] = Counter()
    for _ in range(RUNS_MAX):
        for sums, counts in zip(
            (tried, came), simulate(machine, server, template, steps=steps, seed=None), strict=True
        ):
            sums.update(counts)
        if sum(came.values()) >= ENOUGH:
            break
    assert sum(tried.values()) >= steps // 2
    assert sum(came.values()) >= ENOUGH
