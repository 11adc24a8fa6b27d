"""The short form of `make simulate`: 1,000 steps."""

from __future__ import annotations

from tests.simulation.run import simulate
from tests.support.postgres import PostgresServer


def test_the_books_balance_after_every_step(
    postgres_server: PostgresServer, migrated_template: str
) -> None:
    """Money adds up whatever is lost, doubled, reordered or dies."""
    counts = simulate(postgres_server, migrated_template, steps=1_000, seed=None)
    assert sum(counts.values()) >= 900
