"""`make leaktest`: every request's content and every secret is looked for everywhere.

`--short`: the form that `make test` runs. `--plant`: the deliberate leaks of tests/breaks/leak too.
Exit code 0: nothing was found (and each planted leak was); 3: something leaked.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.leaktest.planted import plant_all
from tests.leaktest.report import tell
from tests.leaktest.suite import run

EXIT_LEAK = 3


def main() -> int:
    """Run the suite and tell what it found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="oneapi-leaktest-") as folder:
        found = run(Path(folder), short=options.short)
    tell(found)
    if found.failed:
        return EXIT_LEAK
    if options.short:
        return 0
    return 0 if plant_all() else 1


if __name__ == "__main__":
    sys.exit(main())
