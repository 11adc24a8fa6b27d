"""Deliberate leaks, one for each kind of sink: `tests/breaks/leak/<sink>[-<what>].patch`.

Each is applied to a copy of the tree, the short form runs there, and must find it in that very
sink: a suite that fails for another reason has not caught it.
"""

from __future__ import annotations

import sys

from tests.support.breaks import Break, apply, breaks_of, copy_of_the_tree, run_in

SUITE = "leak"
EXIT_LEAK = 3


def plant_all() -> bool:
    """Try every planted leak, print a line for each, and say whether all were caught."""
    planted = breaks_of(SUITE)
    caught = [plant(one) for one in planted]
    sys.stdout.write(f"planted leaks caught {sum(caught)}/{len(planted)}\n")
    return bool(planted) and all(caught)


def plant(one: Break) -> bool:
    """Plant one leak and say whether it was caught where it is."""
    sink = one.path.stem.partition("-")[0].replace("_", " ")
    with copy_of_the_tree() as copy:
        apply(one, copy)
        done = run_in(copy, one.command)
    named = any(line.startswith(f"LEAK {sink}") for line in done.stdout.splitlines())
    caught = done.returncode == EXIT_LEAK and named
    word = "caught" if caught else f"NOT CAUGHT (exit code {done.returncode})"
    sys.stdout.write(f"{word:<12} {one.path.stem:<24} {one.sentence}\n")
    sys.stdout.flush()
    return caught
