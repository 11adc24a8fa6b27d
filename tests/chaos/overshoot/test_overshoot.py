"""The short form of `python -m tests.chaos.overshoot`, at the ledger."""

from __future__ import annotations

from tests.chaos.overshoot.books import at_the_ledger


def test_overshoot_is_what_exceeds_its_hold_and_no_more(database_url: str) -> None:
    """Three edges at once on each of four wallets; P9."""
    lines = list(at_the_ledger(database_url, 1_000))
    assert len(lines) == 3
