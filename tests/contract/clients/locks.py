"""`python -m tests.contract.clients.locks`: lock every client anew, to versions a week old.

Python: `locks/NAME.in` -> `NAME.txt`, every archive hashed. Node: `package.json` -> its lock,
without the address of a registry (`.npmrc`).
"""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from tests.contract.clients.environments import HERE, PYTHON

LOCKS: Final = HERE / "locks"
NODE_FOLDERS: Final = (HERE / "node", HERE / "agents")
COOL_DOWN: Final = timedelta(weeks=1)
_PYTHONS: Final = {"aider": "3.12"}
"""Where a client needs another Python than ours."""


def lock_python(asked: Path) -> None:
    """Pin what a file asks for."""
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--upgrade", "--universal"),
        *("--python-version", _PYTHONS.get(asked.stem, PYTHON), "--generate-hashes"),
        *("--no-header", "--no-annotate", "--no-emit-index-url"),
        *("--exclude-newer", before().isoformat()),
        *("--output-file", str(asked.with_suffix(".txt")), str(asked)),
    ]
    subprocess.run(command, cwd=LOCKS, check=True)


def lock_node(folder: Path) -> None:
    """Pin what a package.json asks for."""
    (folder / "package-lock.json").unlink(missing_ok=True)
    quiet = ("--silent", "--no-audit", "--no-fund", "--ignore-scripts")
    command = ("npm", "install", "--package-lock-only", "--before", before().isoformat(), *quiet)
    subprocess.run(command, cwd=folder, check=True)


def before() -> datetime:
    """Return the moment after which a release is too young."""
    return (datetime.now(UTC) - COOL_DOWN).replace(microsecond=0)


def main() -> None:
    """Lock all of them, one after the other."""
    for asked in sorted(LOCKS.glob("*.in")):
        lock_python(asked)
    for folder in NODE_FOLDERS:
        lock_node(folder)


if __name__ == "__main__":
    main()
