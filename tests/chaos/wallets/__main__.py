"""`python -m tests.chaos.wallets [--seconds 600] [--wallets 1000] [--rounds N] [--seed N]`.

In `make chaos` a round is a minute; `--seconds` says another length of all of it.
"""

from __future__ import annotations

import argparse
import sys

from tests.chaos.wallets.storm import storm
from tests.support.checks import run_checks
from tests.support.scratch_database import scratch_database

ROUND_SECONDS = 60


def main() -> int:
    """Storm; 0 if nobody waited for ever and the books balance."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--wallets", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    seconds = given.seconds or given.rounds * ROUND_SECONDS
    with scratch_database(durable=True) as url:
        sizes = {"wallets": given.wallets, "seconds": seconds}
        failed = run_checks({"storm": lambda: storm(url, **sizes, seed=given.seed)})
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
