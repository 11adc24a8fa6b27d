"""The short form of `python -m tests.chaos.money`: two kills, all of the books."""

from __future__ import annotations

import pytest

from tests.chaos.money.__main__ import attack
from tests.chaos.money.world import world
from tests.support.checks import run_checks


@pytest.mark.slow
def test_case_22_core_dies_while_money_moves() -> None:
    """Nobody is charged twice, no credit is lost, and the provider and the ledger agree."""
    with world(seed=1) as here:
        assert run_checks(attack(here, kills=2, customers=3, seed=1)) == 0
