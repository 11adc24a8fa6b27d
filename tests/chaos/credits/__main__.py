"""`python -m tests.chaos.credits [--rounds N] [CHECK ...]`: attack credit, print a table.

seven      200 requests on a barrier and credit for 7 whole holds, so many times N
recalled   what is free at one edge, asked for at another
idle       what a live edge does not use
last-cent  wallets that are spent to the end
above      answers that report more than they may use
comes-back 200 requests at once that leave most of their holds
restarted  an edge that is killed while requests run
expired    an edge that hangs for longer than its leases last
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.chaos.credits import leases
from tests.chaos.credits.rounds import REQUESTS, seven
from tests.chaos.credits.world import SILENCE_SECONDS, World, terms, world
from tests.support.checks import run_checks


def checks(here: World, clock: Path, rounds: int) -> dict[str, Callable[[], str | Iterable[str]]]:
    """Return all checks by name."""
    return {
        "seven": lambda: seven(here, rounds),
        "recalled": lambda: leases.recalled(here, 20),
        "last-cent": lambda: leases.last_cent(here, 8),
        "above": lambda: leases.above_the_hold(here),
        "comes-back": lambda: leases.comes_back(here, REQUESTS),
        "idle": lambda: leases.idle(here),
        "restarted": lambda: leases.restarted(here, 5),
        "expired": lambda: leases.expired(here, clock, SILENCE_SECONDS),
    }


def main() -> int:
    """Attack; 0 if everything held."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checks", nargs="*", metavar="CHECK")
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="oneapi-credits-") as folder:
        clock = Path(folder) / "clock"
        with world(Path(folder), settings=terms(clock)) as here:
            every = checks(here, clock, given.rounds)
            if unknown := set(given.checks) - set(every):
                parser.error(f"no such check: {', '.join(sorted(unknown))}")
            chosen = {name: every[name] for name in given.checks or every}
            return 1 if run_checks(chosen) else 0


if __name__ == "__main__":
    sys.exit(main())
