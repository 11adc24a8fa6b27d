"""The short form of `python -m tests.chaos.revocation`: one cluster, a sample of its checks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.revocation import changes, cuts, races
from tests.chaos.revocation.world import world
from tests.support.checks import run_checks

DISCONNECTED_SECONDS = cuts.DISCONNECTED_SECONDS
SECONDS_MAX = 5.0
"""The suite demands one; this is a test that must not depend on the machine's other work."""


@pytest.mark.slow
def test_what_is_taken_away_stops_working_everywhere(tmp_path: Path) -> None:
    """Changes at either core reach every edge; one that is cut off stops by itself (P11)."""
    with world(tmp_path, edges=2, disconnected_seconds=DISCONNECTED_SECONDS) as here:
        failed = run_checks(
            {
                "within": lambda: changes.within_a_second(here, (1, 1, 1), SECONDS_MAX),
                "slow-body": lambda: races.slow_body(here),
                "closes": lambda: cuts.closes(here, cuts.CUTS[2:3]),
            }
        )
    assert failed == 0
