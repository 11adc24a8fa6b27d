"""Environments of their own for tools that not every Python has wheels for, made from locks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.support.recordings import PROJECT

LOCKS: Final = Path(__file__).parent / "locks"
BUILD: Final = PROJECT / "build" / "fuzz"


class NotHere(Exception):
    """The environment cannot be made on this machine: no wheel for this Python or system."""


def python_with(name: str) -> Path:
    """Make the environment of a lock, if need be; return its interpreter.

    Raises:
        NotHere: it cannot be made.
    """
    folder, locked = BUILD / name, LOCKS / f"{name}.txt"
    python, mark = folder / "bin" / "python", folder / ".made-of"
    if mark.exists() and mark.read_bytes() == locked.read_bytes():
        return python
    uv = str(Path(sys.executable).parent / "uv")
    make = (uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
    install = (uv, "pip", "install", "--quiet", "--python", str(python), "--require-hashes")
    only = ("--only-binary", ":all:", "--requirement", str(locked))
    for command in (make, (*install, *only)):
        done = subprocess.run(command, cwd=PROJECT, stdout=sys.stderr, check=False)
        if done.returncode != 0:
            raise NotHere(name)
    mark.write_bytes(locked.read_bytes())
    return python
