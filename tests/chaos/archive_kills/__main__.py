"""`python -m tests.chaos.archive_kills --rounds N [--seed S]`: blows at every step of the archive.

Each round is a month's life, from day 90 until its files are gone, with real processes: core,
archivers, PostgreSQL, and moto's S3 server. At points dealt from a shuffled deck a process is
killed by -9, an archiver falls asleep while a second one works, the store refuses, loses an answer,
is slow, or flips a bit; old usage is reported all the time. What is dead is started again, until
the month is where it belongs. Then every record is looked for, and every file proved.

`--all` deals the whole deck; `--first N` leaves out the rounds before, for another run beside this.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from oneapi.partitions.v1.partition_pb2 import Month
from tests.chaos.archive_kills import books
from tests.chaos.archive_kills.full import full_disks
from tests.chaos.archive_kills.points import Phase, Point, all_points, dealt
from tests.chaos.archive_kills.world import Site, World, site, world
from tests.chaos.spool.disk import NEEDS_ROOT, may_mount
from tests.support.checks import run_checks

BLOWS_A_ROUND = 12
State = Month.State


def life(here: Site, number: int, blows: Sequence[Point], seed: int) -> Iterator[str]:
    """Bring one month from day 90 to its end while blows fall, and look at it in between."""
    chance = random.Random(seed)
    with world(here, number, seed) as found:
        found.trap.arm(blows)
        found.revive()
        found.reporter.start()
        _archive(found)
        yield books.each_record_once(found, found.made)
        yield books.only_what_is_published(found)
        yield books.flips_are_found(found, chance)
        yield books.command_verifies(found, chance)
        found.enter(Phase.DROP)
        found.bring_to(State.STATE_DROPPED)
        found.reporter.wait()
        yield f"dropped: {books.each_record_once(found, found.made)}"
        yield books.only_what_is_published(found)
        yield books.audit_verifies(found)
        found.enter(Phase.EXPIRE)
        found.bring_to(State.STATE_EXPIRED)
        found.reporter.end()
        found.bring_to(State.STATE_EXPIRED, without_late=True)
        yield books.nothing_is_left(found)
        yield books.audit_verifies(found)
        counts = Counter(str(point.blow) for point in found.trap.sprung)
        yield ", ".join(f"{blow} {count}" for blow, count in sorted(counts.items()))
        left = found.trap.left()
        assert not left, f"not reached: {'; '.join(map(str, left))}"


def _archive(found: World) -> None:
    """Until publication and detachment, then until all that came late is in a revision too."""
    found.enter(Phase.ARCHIVE)
    found.bring_to(State.STATE_DETACHED)
    found.enter(Phase.LATE)
    found.reporter.nudge()
    found.reporter.wait()
    found.bring_to(State.STATE_DETACHED, without_late=True)


def attack(
    here: Site, hands: Sequence[Sequence[Point]], seed: int, first: int = 0
) -> dict[str, Callable[[], Iterator[str]]]:
    """Return a check for each round; `first` is the number of the first one."""
    return {
        f"month {number}": lambda number=number, blows=blows: life(  # type: ignore[misc]
            here, number, blows, seed + number
        )
        for number, blows in enumerate(hands, first)
    }


def main() -> int:
    """Strike and count; 0 if everything held."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=1, help=f"{BLOWS_A_ROUND} blows each")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the round to begin with")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--all", action="store_true", help="every point once, however long it takes"
    )
    given = parser.parse_args()
    points = all_points(with_objects=True)
    whole = math.ceil(len(points) / BLOWS_A_ROUND)
    rounds = whole - given.first if given.all else given.rounds
    hands = dealt(points, given.first + rounds, BLOWS_A_ROUND, given.seed)[given.first :]
    sys.stdout.write(f"{len(points)} points, {sum(map(len, hands))} blows, seed {given.seed}\n")
    # Before there is any other thread: each has the mounts of the one that made it.
    has_mounts = may_mount()
    if not has_mounts:
        sys.stdout.write(f"left out: a full store ({NEEDS_ROOT})\n")
    with site() as here:
        checks = attack(here, hands, given.seed, given.first)
        return 1 if run_checks(checks | full_disks(here, rounds, may_mount=has_mounts)) else 0


if __name__ == "__main__":
    sys.exit(main())
