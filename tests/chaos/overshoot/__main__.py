"""`python -m tests.chaos.overshoot [--trials 10000] [--rounds N] [--seed N]`.

edges   trials at three real edges at once: overshoot 0, whatever is reported
ledger  the same past the edges' check: what exceeds its hold is charged, bounded and listed
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.chaos.credits.world import terms, world
from tests.chaos.overshoot.books import at_the_ledger
from tests.chaos.overshoot.edges import at_edges
from tests.support.checks import run_checks
from tests.support.scratch_database import scratch_database


def main() -> int:
    """Attack; 0 if everything held."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=1, help="so many times the trials")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    trials = given.trials * given.rounds
    with tempfile.TemporaryDirectory(prefix="oneapi-overshoot-") as folder:
        with world(Path(folder), settings=terms(Path(folder) / "clock")) as here:
            failed = run_checks({"edges": lambda: at_edges(here, trials, given.seed)})
        with scratch_database() as url:
            failed += run_checks({"ledger": lambda: at_the_ledger(url, trials, given.seed)})
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
