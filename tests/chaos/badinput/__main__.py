"""`python -m tests.chaos.badinput [--rounds N] [--clients N] [PART ...]`: attack, print a table.

tables     every row of the tables of bad input; nothing is charged, recorded or sent on
upstreams  every row of the tables of hostile upstreams
storms     garbled keys, unknown keys, unknown keys while core is slow; core's calls are counted
slow       thousands of clients that are silent, drip or do not read; memory of edge and kernel
large      bodies, heads and answers far over every limit; the edge's highest memory
smuggling  random mutations of framings; a hidden request is never served
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.chaos.badinput import large, slow, smuggling, storms, tables, upstreams
from tests.chaos.badinput.world import Row, World, world_in

PARTS: dict[str, Callable[[World, argparse.Namespace], Iterator[Row]]] = {
    "tables": lambda world, options: tables.attack(world, options.rounds),
    "upstreams": lambda world, _: upstreams.attack(world),
    "storms": lambda world, _: storms.attack(world),
    "slow": lambda world, options: slow.attack(world, options.clients),
    "large": lambda world, _: large.attack(world),
    "smuggling": lambda world, options: smuggling.attack(world, options.rounds),
}


def main() -> int:
    """Run the parts named, or all; 0 if every attack was withstood."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--clients", type=int, default=9_000)
    options = parser.parse_args()
    unknown = set(options.parts) - PARTS.keys()
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    wrong = 0
    temporary = tempfile.TemporaryDirectory(prefix="oneapi-badinput-")
    with temporary as folder, world_in(Path(folder)) as world:
        for name in options.parts or PARTS:
            for row in PARTS[name](world, options):
                wrong += row.wrong
                sys.stdout.write(f"{row}\n")
                sys.stdout.flush()
        for finding in world.findings:
            sys.stdout.write(f"  {finding}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
