"""`python -m tests.chaos.exactly_once`: rounds of kills and lost messages, a table, an exit code.

The same seed kills the same processes in the same order, loses the same share of messages and sends
the same requests; when each of them happens is up to the machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from kit.money import format_dollars
from tests.chaos.exactly_once.rounds import Plan, Result, play
from tests.chaos.exactly_once.schedule import SHAPES

COLUMNS = (
    ("round", 5),
    ("link", 9),
    ("edges", 5),
    ("cores", 5),
    ("kill:edge", 9),
    ("core", 4),
    ("pg", 4),
    ("requests", 8),
    ("whole", 6),
    ("left", 5),
    ("broken", 6),
    ("refused", 7),
    ("accepted", 8),
    ("records", 7),
    ("crash", 5),
    ("lost", 4),
    ("double", 6),
    ("charges = revenue = drop", 24),
    ("ready", 6),
    ("closed", 6),
)


def row(number: str, results: list[Result]) -> list[str]:
    """Return a line of the table for one or several rounds."""
    kills = sum((Counter(one.kills) for one in results), Counter[str]())
    shapes = {(one.plan.shape.link, one.plan.shape.edges, one.plan.shape.cores) for one in results}
    link, edges, cores = shapes.pop() if len(shapes) == 1 else ("", "", "")
    money = {(one.charged, one.revenue, one.drop) for one in results}
    sums = [sum(column) for column in zip(*money, strict=True)]
    same = len(set(sums)) == 1
    counts = (
        sum(one.requests for one in results),
        sum(one.whole for one in results),
        sum(one.left for one in results),
        sum(one.broken for one in results),
        sum(one.refused for one in results),
        sum(one.verdict.accepted + one.verdict.unseen for one in results),
        sum(one.records for one in results),
        sum(one.verdict.crashes for one in results),
        sum(len(one.verdict.lost) for one in results),
        sum(len(one.verdict.double) for one in results),
    )
    return [
        *map(str, (number, link, edges, cores)),
        *map(str, (kills["edge"], kills["core"], kills["postgres"], *counts)),
        format_dollars(sums[0]) if same else "DIFFER",
        f"{max(one.alone_ready_seconds for one in results):.1f} s",
        f"{max(one.alone_terminal_seconds for one in results):.1f} s",
    ]


def say(text: str = "") -> None:
    """Write a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def line(cells: list[str]) -> str:
    """Return cells in their columns."""
    return " ".join(f"{cell:>{width}}" for cell, (_, width) in zip(cells, COLUMNS, strict=True))


def details(result: Result) -> list[str]:
    """Return what was done to the round's messages, and whatever contradicts a claim."""
    faults = ", ".join(f"{name} {count}" for name, count in sorted(result.faults.items()))
    starts = sorted(result.edge_ready_seconds)
    median = starts[len(starts) // 2] if starts else 0.0
    verdict, alone = result.verdict, dict(result.ended_by_themselves) or "none"
    words = [
        f"      links: {faults}",
        f"      edge ready after {median:.1f} s (median of {len(starts)} starts, all faults on)",
        f"      unseen {verdict.unseen}, crashes charged {verdict.crashes_charged}",
        f"      ended by themselves: {alone}; refusals: {dict(result.refusals) or 'none'}",
    ]
    for name in ("lost", "double", "wrong"):
        words += [f"      {name.upper()}: {one}" for one in getattr(result.verdict, name)[:20]]
    return words + [f"      PROBLEM: {one}" for one in result.problems[:20]]


def main() -> int:
    """Play the rounds; 0 if every claim held in each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--kills", type=int, default=65, help="in each round")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=3_600, help="the longest storm of a round")
    parser.add_argument("--seed", default=str(time.time_ns() % 1_000_000))
    parser.add_argument("--first", type=int, default=1, help="leave out the rounds before this")
    parser.add_argument("--keep", type=Path, help="leave the files of the round here")
    options = parser.parse_args()
    say(f"seed {options.seed}; kill -9 of {options.kills} processes a round")
    say(line([name for name, _ in COLUMNS]))
    results = []
    for number in range(options.first, options.rounds + 1):
        shape = SHAPES[(number - 1) % len(SHAPES)]
        seed = f"{options.seed}-{number}"
        plan = Plan(seed, shape, options.kills, options.clients, options.seconds, keep=options.keep)
        results.append(play(plan))
        say(line(row(str(number), results[-1:])))
        for text in details(results[-1]):
            say(text)
    say(line(row("all", results)))
    kills = sum(sum(one.kills.values()) for one in results)
    held = all(one.holds for one in results)
    say(f"{kills} kills: {'every claim held' if held else 'A CLAIM FAILED'}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
