"""The short form of `python -m tests.chaos.wallets`, and a settlement's benchmark in small."""

from __future__ import annotations

import asyncio

from tests.bench import settlement
from tests.chaos.wallets.storm import storm


def test_writers_in_any_order_never_wait_for_each_other(database_url: str) -> None:
    """Few wallets, so that they meet often."""
    lines = list(storm(database_url, wallets=8, seconds=3.0))
    assert len(lines) == 3


def test_the_settlement_benchmark_measures_the_same_rows(database_url: str) -> None:
    """It fails by itself if the rows differ or the books do not balance."""
    found = asyncio.run(settlement.run(database_url, batches=2, size=20, rounds=1))
    assert all(each.settled > 0 < each.bare for each in found)
