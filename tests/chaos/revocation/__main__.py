"""`python -m tests.chaos.revocation [--rounds N] [CHECK ...]`: take things away, print a table.

within     320 x N changes of keys, workspaces and the catalogue under traffic on three edges
in-flight  200 streams run while their key is revoked
slow-body  a key is revoked between the head and the body of a request
closes     an edge hears nothing of core any more: wires cut in three ways, a core that hangs
stale      keys that are looked up at the moment of their revocation, over late messages
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from tests.chaos.revocation import changes, cuts, races
from tests.chaos.revocation.world import World, world
from tests.support.checks import run_checks

Checks = dict[str, Callable[[], str | Iterable[str]]]
Start = Callable[[Path], AbstractContextManager[World]]


def groups(rounds: int) -> list[tuple[Start, Callable[[World], Checks]]]:
    """Return the clusters of this suite and the checks of each."""
    return [
        (
            world,
            lambda here: {
                "within": lambda: changes.within_a_second(
                    here, (20 * rounds, 40 * rounds, 32 * rounds)
                ),
                "in-flight": lambda: races.in_flight(here),
                "slow-body": lambda: races.slow_body(here),
            },
        ),
        (
            lambda folder: world(folder, disconnected_seconds=cuts.DISCONNECTED_SECONDS),
            lambda here: {"closes": lambda: cuts.closes(here)},
        ),
        (
            lambda folder: world(folder, link="messenger"),
            lambda here: {"stale": lambda: races.stale_look_ups(here, 30 * rounds)},
        ),
    ]


NAMES = ("within", "in-flight", "slow-body", "closes", "stale")
GROUPS = (NAMES[:3], NAMES[3:4], NAMES[4:])


def main() -> int:
    """Attack; 0 if everything held."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=", ".join(NAMES))
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    if unknown := set(given.checks) - set(NAMES):
        parser.error(f"no such check: {', '.join(sorted(unknown))}")
    wanted = set(given.checks or NAMES)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="oneapi-revocation-") as folder:
        for names, (start, checks) in zip(GROUPS, groups(given.rounds), strict=True):
            if wanted.isdisjoint(names):
                continue
            with start(Path(folder) / names[0]) as here:
                every = checks(here)
                failed += run_checks({name: every[name] for name in names if name in wanted})
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
