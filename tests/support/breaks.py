"""Deliberate breaks: a patch on a copy of the tree, under which a suite must fail.

A break is `tests/breaks/<suite>/<name>.patch`. Its first lines, before the diff, say in a sentence
what it breaks and, after `fails:`, the command that has to fail, without the interpreter: a module
with arguments (`-m tests.chaos.spool --rounds 1`) or a test (`-m pytest -q tests/e2e/test_x.py`).

`python -m tests.support.breaks [SUITE ...]` tries all and prints a table: exit code 0 if every
command succeeds on the sound copy and fails on the broken one.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.recordings import PROJECT

FOLDER = PROJECT / "tests" / "breaks"
FAILS = "fails: "
RUN_SECONDS_MAX = 900.0
TOOK_TOO_LONG = 124
PARTS = ("kit", "edge", "core", "archiver", "tests", "tools", "generated", "protos", "docs")
FILES = ("pyproject.toml", "README.md", "Makefile", "buf.yaml", "buf.gen.yaml")


class BreakIsBadError(Exception):
    """The patch names no command, or does not apply to this tree."""


@dataclass(frozen=True, slots=True)
class Break:
    """One deliberate break."""

    path: Path
    sentence: str
    command: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Break:
        """Read a patch file; raises BreakIsBadError."""
        head = []
        for line in path.read_text().splitlines():
            if line.startswith(("diff ", "--- ")):
                break
            head.append(line)
        command = [line.removeprefix(FAILS) for line in head if line.startswith(FAILS)]
        words = [line for line in head if line and not line.startswith(FAILS)]
        if len(command) != 1 or not words:
            raise BreakIsBadError(path.name)
        return cls(path, " ".join(words), tuple(shlex.split(command[0])))

    @property
    def name(self) -> str:
        """`<suite>/<name>`."""
        return f"{self.path.parent.name}/{self.path.stem}"

    def applies(self, root: Path = PROJECT) -> bool:
        """Say whether the patch fits the tree as it is, without touching it."""
        return _git_apply("--check", self.path, root)


def breaks_of(*suites: str) -> list[Break]:
    """Return the breaks of the suites named, or of all."""
    found = sorted(FOLDER.glob("*/*.patch"))
    return [Break.read(path) for path in found if not suites or path.parent.name in suites]


@contextmanager
def copy_of_the_tree() -> Iterator[Path]:
    """Copy what tests need into a folder that has `../shared` beside it, as the tree has."""
    with tempfile.TemporaryDirectory(prefix="oneapi-break-") as folder:
        copy = Path(folder) / "tree"
        copy.mkdir()
        ignored = shutil.ignore_patterns("__pycache__", "node_modules", "*.pyc")
        for part in PARTS:
            if (PROJECT / part).exists():
                shutil.copytree(PROJECT / part, copy / part, ignore=ignored)
        for name in FILES:
            shutil.copy(PROJECT / name, copy / name)
        shared = PROJECT.parent / "shared"
        if shared.exists():
            (Path(folder) / "shared").symlink_to(shared)
        yield copy


def run_in(copy: Path, command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Run a command of ours on the copy's code; a run that takes too long counts as failed."""
    given = {name: os.environ[name] for name in ("PATH", "HOME", "CI") if name in os.environ}
    stubs = copy / "generated" / "python" / "src"
    variables = {**given, "PYTHONPATH": f"{copy}:{stubs}", "PYTHONDONTWRITEBYTECODE": "1"}
    arguments = [sys.executable, *command]
    try:
        return subprocess.run(
            arguments,
            cwd=copy,
            env=variables,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(arguments, TOOK_TOO_LONG, "", "")


def apply(one: Break, copy: Path) -> None:
    """Break the copy; raises BreakIsBadError where the patch does not fit."""
    if not _git_apply("--apply", one.path, copy):
        raise BreakIsBadError(one.name)


def _git_apply(word: str, path: Path, root: Path) -> bool:
    # One line of context is enough, so that a patch survives what changes around it.
    arguments = ["git", "apply", word, "-C1", "--whitespace=nowarn", str(path)]
    done = subprocess.run(arguments, cwd=root, capture_output=True, check=False)
    return done.returncode == 0


def is_noticed(one: Break) -> bool:
    """Say whether the command fails on a tree with this break, by its own verdict.

    A run that took too long says nothing, nor does pytest if it found or could load no test.
    """
    with copy_of_the_tree() as copy:
        apply(one, copy)
        code = run_in(copy, one.command).returncode
    return code == 1 if "pytest" in one.command else code not in {0, TOOK_TOO_LONG}


def main() -> int:
    """Try the breaks; 0 if the suites notice all and fail on nothing else."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="*", help="folders of tests/breaks; default: all")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    every = breaks_of(*options.suites)
    rows = [{"break": "(none)", "command": shlex.join(command)} for command in _commands(every)]
    with copy_of_the_tree() as copy:
        for row in rows:
            sound = run_in(copy, tuple(shlex.split(row["command"]))).returncode == 0
            row["result"] = "passes" if sound else "FAILS ON THE SOUND TREE"
            _say(row, as_json=options.json)
    for one in every:
        noticed = "noticed" if is_noticed(one) else "NOT NOTICED"
        row = {"break": one.name, "command": shlex.join(one.command), "result": noticed}
        rows.append(row)
        _say(row, as_json=options.json)
    good = {"passes", "noticed"}
    return 0 if every and all(row["result"] in good for row in rows) else 1


def _commands(every: list[Break]) -> list[tuple[str, ...]]:
    return list(dict.fromkeys(one.command for one in every))


def _say(row: dict[str, str], *, as_json: bool) -> None:
    text = (
        json.dumps(row) if as_json else f"{row['result']:<24} {row['break']:<40} {row['command']}"
    )
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
