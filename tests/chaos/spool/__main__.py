"""`python -m tests.chaos.spool [--rounds N] [--short] [PART ...]`: attack the spool, print a table.

damage    every bit flipped, bytes overwritten, files cut at every length
kills     SIGKILL at every write, sync, allocation and deletion, of workers and of adopters
sequence  lost, copied and replayed files and batches; one id with two contents
drain     the backlog of nine minutes without core, and a spool that is full to its cap
disk      full, failing and read-only, under a running edge
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.spool import damage, disk, drain, edge_kills, kills, real_core, sequence, strace
from tests.chaos.spool.real_core import RealCore
from tests.chaos.spool.report import Row
from tests.support.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Options:
    """How much of each part."""

    folder: Path
    rounds: int
    seed: int
    short: bool


def run_damage(options: Options) -> Iterator[Row]:
    """Damage spools in memory."""
    full, rounds, seed = not options.short, options.rounds, options.seed
    with damage.in_memory() as folder:
        yield from damage.attack(folder, full=full, seed=seed, rounds=rounds)


def run_kills(options: Options) -> Iterator[Row]:
    """Kill workers and adopters of a real core."""
    for number in range(options.rounds):
        place = _folder(options, f"kills-{number}")
        with core_in(place) as core:
            only = 2 if options.short else None
            yield from kills.attack(core, _folder(options, f"victims-{number}"), only=only)
    if not options.short:
        row = Row("SIGKILL of a serving edge")
        if strace.available():
            with disk.world_in(_folder(options, "edge-kills")) as cluster:
                asyncio.run(disk.play(cluster, edge_kills.attack, row))
        else:
            row.left_out = strace.HOW_TO_GET
        yield row


def run_sequence(options: Options) -> Iterator[Row]:
    """Lose, copy and replay what a real core should get once."""
    place = _folder(options, "sequence")
    with core_in(place) as core:
        yield from asyncio.run(sequence.attack(core, _folder(options, "left")))


def run_drain(options: Options) -> Iterator[Row]:
    """Drain what an outage of core left."""
    place = _folder(options, "drain")
    with Cluster(place, edge_count=0, link="none") as cluster:
        seconds = 30 if options.short else drain.OUTAGE_SECONDS
        backlog, pid = _folder(options, "backlog"), cluster.cores[0].pid
        yield from asyncio.run(
            drain.attack(_core_of(cluster), backlog, seconds=seconds, core_pid=pid)
        )


def run_disk(options: Options) -> Iterator[Row]:
    """Fill, break and freeze the disk of a running edge."""
    yield from disk.attack(_folder(options, "disk"), short=options.short)


PARTS: dict[str, Callable[[Options], Iterator[Row]]] = {
    "damage": run_damage,
    "kills": run_kills,
    "sequence": run_sequence,
    "drain": run_drain,
    "disk": run_disk,
}


@contextmanager
def core_in(folder: Path) -> Iterator[RealCore]:
    """Run a core on a database of its own."""
    with Cluster(folder, edge_count=0, link="none") as cluster:
        yield _core_of(cluster)


def _core_of(cluster: Cluster) -> RealCore:
    target = f"127.0.0.1:{cluster.cores[0].port}"
    return real_core.of_folder(target, cluster.database_url, cluster.data_dir)


def _folder(options: Options, name: str) -> Path:
    made = options.folder / name
    made.mkdir()
    return made


def main() -> int:
    """Attack; 0 if everything held."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--short", action="store_true", help="a sample of each part")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    rows = []
    with tempfile.TemporaryDirectory(prefix="oneapi-spool-") as folder:
        options = Options(Path(folder), given.rounds, given.seed, given.short)
        for name in given.parts or PARTS:
            for row in PARTS[name](options):
                row.say()
                rows.append(row)
    return 0 if all(row.held for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
