"""`python -m tests.simulation [--steps 10000] [--seed N]`: the whole simulation, with its table."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Final

from core.db import bootstrap, migrate
from tests.simulation.machine import Machine
from tests.simulation.provider_machine import ProviderMachine
from tests.simulation.run import simulate
from tests.support.postgres import forgetful_server
from tests.support.stripe import StripeSimulator

MACHINES: Final = {"provider": ProviderMachine, "edges": Machine}


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--machine", choices=MACHINES, default="provider")
    wanted = parser.parse_args()
    with forgetful_server() as server:
        template = server.make_database(name="oneapi_template")
        bootstrap.ensure_roles(template)
        migrate.migrate(template)
        began = time.monotonic()
        with StripeSimulator(seed=1) as ProviderMachine.simulator:
            tried, came = simulate(
                MACHINES[wanted.machine],
                server,
                "oneapi_template",
                steps=wanted.steps,
                seed=wanted.seed,
            )
    for title, counts in (("tried", tried), ("in the books", came)):
        sys.stdout.write(f"{title}\n")
        for name, count in counts.most_common():
            sys.stdout.write(f"  {name:26}{count:>8,}\n")
    total, took = sum(tried.values()), time.monotonic() - began
    sys.stdout.write(f"{total:,} steps in {took:.0f} s: all invariants held\n")


if __name__ == "__main__":
    main()
