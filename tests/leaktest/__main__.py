"""`make leaktest`: every request's content and every secret is looked for everywhere.

`--short` is what `make test` runs; `--only PHASE ...` some of it. Without either, everything: all
phases, the scrubbed edge, and the deliberate leaks of `tests/breaks/leak`, which must be caught.
Exit code 0: nothing was found; 3: something leaked; 1: a deliberate leak was not caught.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.leaktest.planted import EXIT_LEAK, plant_all
from tests.leaktest.report import tell
from tests.leaktest.suite import MEMORY_REQUESTS, PHASES, SHORT, run, scrubbed_residue


def main() -> int:
    """Run the suite and tell what it found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--only", nargs="+", choices=[*PHASES, "memory"])
    parser.add_argument("--every", type=int, default=1, help="make each so many-th place fail")
    options = parser.parse_args()
    everything = not options.short and not options.only
    chosen = options.only or (SHORT if options.short else list(PHASES))
    requests = MEMORY_REQUESTS if everything or "memory" in chosen else 0
    phases = [name for name in chosen if name != "memory"]
    with tempfile.TemporaryDirectory(prefix="oneapi-leaktest-") as folder:
        found = run(Path(folder), phases, memory_requests=requests, every=options.every)
    if everything:
        with tempfile.TemporaryDirectory(prefix="oneapi-leaktest-") as folder:
            found.residues["scrubbed"] = scrubbed_residue(Path(folder), requests)
    tell(found)
    if found.failed:
        return EXIT_LEAK
    return 0 if not everything or plant_all() else 1


if __name__ == "__main__":
    sys.exit(main())
