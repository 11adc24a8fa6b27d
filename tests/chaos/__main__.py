"""`python -m tests.chaos [--rounds N] [SUITE ...]`: run the suites, each a program of its own.

A suite is a module or package of this folder that takes `--rounds`, prints a table and ends with 0
if everything that it attacks held. What one of them leaves out on this machine, it says itself.
"""

from __future__ import annotations

import argparse
import pkgutil
import subprocess
import sys
import time
from pathlib import Path

from tests.support.recordings import PROJECT

FOLDER = Path(__file__).parent


def suites() -> list[str]:
    """Return the names of all suites: what can be run with `-m`."""
    found = []
    for module in pkgutil.iter_modules([str(FOLDER)]):
        runs = (FOLDER / module.name / "__main__.py").exists() or not module.ispkg
        if runs and not module.name.startswith(("_", "test_")):
            found.append(module.name)
    return sorted(found)


def run(name: str, rounds: int) -> tuple[int, float]:
    """Run one suite; return its exit code and how many seconds it took."""
    began = time.monotonic()
    command = [sys.executable, "-m", f"tests.chaos.{name}", "--rounds", str(rounds)]
    code = subprocess.run(command, cwd=PROJECT, check=False).returncode
    return code, time.monotonic() - began


def main() -> int:
    """Run the suites named, or all; 0 if every one held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(suites()))
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    unknown = set(options.suites) - set(suites())
    if options.rounds < 1:
        parser.error("at least one round")
    if unknown:
        parser.error(f"no such suite: {', '.join(sorted(unknown))}")
    results = {}
    for name in options.suites or suites():
        sys.stdout.write(f"\n== {name}\n")
        sys.stdout.flush()
        results[name] = run(name, options.rounds)
    sys.stdout.write("\n")
    for name, (code, seconds) in results.items():
        sys.stdout.write(
            f"{name:<16} {'held' if code == 0 else f'FAILED ({code})':<12} {seconds:7.0f} s\n"
        )
    return 0 if all(code == 0 for code, _ in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
