"""The short form of `python -m tests.chaos.credits`: one cluster, a sample of each check."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.credits import leases
from tests.chaos.credits.rounds import seven
from tests.chaos.credits.world import SILENCE_SECONDS, terms, world
from tests.support.checks import run_checks


@pytest.mark.slow
def test_nothing_is_overspent_and_no_credit_gets_stuck(tmp_path: Path) -> None:
    """Seven of two hundred, whatever an edge does; what it does not use comes back (P9)."""
    clock = tmp_path / "clock"
    with world(tmp_path, settings=terms(clock)) as here:
        failed = run_checks(
            {
                "seven": lambda: seven(here, 2),
                "recalled": lambda: leases.recalled(here, 2),
                "last-cent": lambda: leases.last_cent(here, 1),
                "above": lambda: leases.above_the_hold(here),
                "restarted": lambda: leases.restarted(here, 1),
                "expired": lambda: leases.expired(here, clock, SILENCE_SECONDS),
            }
        )
    assert failed == 0
