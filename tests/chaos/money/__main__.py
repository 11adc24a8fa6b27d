"""`python -m tests.chaos.money [--kills N]`: kill core while money moves, then read the books.

Customers buy credit on the provider's page and by saved card, use it, ask for it back, get refunds
made at the provider, and dispute; the provider's webhooks come when they come. Core dies by kill -9
at random moments. In the end nobody was charged twice, no credit is lost, and the provider's
account, our rows and the ledger agree to the cent.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from tests.chaos.money import books
from tests.chaos.money.customers import Customer
from tests.chaos.money.world import World, world
from tests.support.checks import run_checks

KILLS_A_ROUND = 20
CUSTOMERS = 6
ALIVE_SECONDS = (0.3, 4.0)
"""How long core lives at least and at most before it is killed again."""


def attack(
    here: World, *, kills: int, customers: int, seed: int
) -> dict[str, Callable[[], str | Iterable[str]]]:
    """Return the checks; the first one is the killing itself."""
    price = here.price()
    everybody = [Customer(here, number, seed, price) for number in range(customers)]
    return {
        "kills": lambda: _kill(here, everybody, kills, seed),
        "drain": lambda: books.drain(here),
        "once": lambda: books.nobody_twice(here, everybody),
        "objects": lambda: books.same_objects(here),
        "credit": lambda: books.no_credit_lost(here, everybody),
        "clearing": lambda: books.stripe_agrees(here),
        "audit": lambda: books.audit_verifies(here),
    }


def _kill(here: World, everybody: list[Customer], kills: int, seed: int) -> Iterator[str]:
    chance = random.Random(seed)
    for customer in everybody:
        customer.start()
    for _ in range(kills):
        time.sleep(chance.uniform(*ALIVE_SECONDS))
        here.kill()
        here.start()
    for customer in everybody:
        customer.stop()
    for customer in everybody:
        customer.join(300)
        assert not customer.is_alive()
    done = sum((one.tally.done for one in everybody), Counter[str]())
    wrong = [one for customer in everybody for one in customer.tally.wrong]
    assert not wrong, f"{len(wrong)}: {'; '.join(wrong[:5])}"
    assert here.link.faults == 0, f"{here.link.faults} answers were faults of ours"
    yield f"{here.kills} kills, {here.link.repeated:,} calls repeated"
    yield ", ".join(f"{name} {count:,}" for name, count in done.most_common(14))


def main() -> int:
    """Kill and count; 0 if everything held."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int)
    parser.add_argument("--rounds", type=int, default=5, help=f"{KILLS_A_ROUND} kills each")
    parser.add_argument("--customers", type=int, default=CUSTOMERS)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    kills = KILLS_A_ROUND * given.rounds if given.kills is None else given.kills
    with world(given.seed) as here:
        checks = attack(here, kills=kills, customers=given.customers, seed=given.seed)
        return 1 if run_checks(checks) else 0


if __name__ == "__main__":
    sys.exit(main())
