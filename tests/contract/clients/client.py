"""What a client of the matrix is, and how its cases are run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from tests.contract.clients.environments import (
    BUILD,
    HERE,
    NodeEnvironment,
    PythonEnvironment,
)
from tests.contract.clients.served import CASES, Served, model

CASE_NAMES: Final = ("text", "stream", "tools", "error", "cut", "cancel")
OK: Final = "ok"
VERSION: Final = "version"
SEEN: Final = "_seen"
"""Ends the name of a line that says how a client shows what happened in a case."""
PROGRAM_SECONDS_MAX: Final = 300
_PROGRAMS: Final = HERE / "programs"


class Client(Protocol):
    """A program that developers already use."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def api(self) -> str:
        """The API that it speaks, one of `served.APIS`."""

    @property
    def environment(self) -> PythonEnvironment | NodeEnvironment:
        """Where it runs."""

    @property
    def setting(self) -> str:
        """How it is pointed at us."""

    @property
    def note(self) -> str:
        """What its users should know, as half a sentence; empty where nothing."""

    @property
    def lacks(self) -> Mapping[str, str]:
        """Why a case cannot be green, by case: what the client itself lacks."""

    def run(self, served: Served, key: str, models: Mapping[str, str]) -> dict[str, str]:
        """Run the cases; return what each came to, and the client's version.

        Raises:
            NotHere: its environment cannot be made on this machine.
        """


@dataclass(frozen=True, slots=True)
class Library:
    """A library, used by a program of ours that runs in the library's own environment."""

    name: str
    api: str
    environment: PythonEnvironment | NodeEnvironment
    program: str
    setting: str
    arguments: tuple[str, ...] = ()
    note: str = ""
    lacks: Mapping[str, str] = field(default_factory=dict)

    def run(self, served: Served, key: str, models: Mapping[str, str]) -> dict[str, str]:
        """Run the program, whose lines are `case<TAB>ok` or `case<TAB>what went wrong`."""
        return cells_of_program(self._command(), program_environment(served, key, models))

    def _command(self) -> list[str]:
        folder = self.environment.folder()
        if isinstance(self.environment, PythonEnvironment):
            python = str(folder / "bin" / "python")
            return command_of(python, self.program, *self.arguments)
        for program in _PROGRAMS.glob("*.mjs"):
            shutil.copy(program, folder)
        return [str(self.environment.node()), str(folder / self.program), *self.arguments]


def command_of(python: str, program: str, *arguments: str) -> list[str]:
    """Return the command of a Python program; it imports `cases.py` beside it, nothing else of us.

    Nothing of the caller's environment counts.
    """
    return [python, "-E", "-s", str(_PROGRAMS / program), *arguments]


def models_of(api: str) -> dict[str, str]:
    """Return the public models of the cases at an upstream API."""
    return {case: model(api, case) for case in CASES}


def program_environment(served: Served, key: str, models: Mapping[str, str]) -> dict[str, str]:
    """Return what a program finds the service by, and nothing else but paths."""
    kept = {name: os.environ[name] for name in ("PATH", "CLIENT_TRACES") if name in os.environ}
    home = BUILD / "home"
    home.mkdir(parents=True, exist_ok=True)
    return {
        **kept,
        "HOME": str(home),
        "CLIENT_ORIGIN": served.origin,
        "CLIENT_KEY": key,
        "CLIENT_MODELS": json.dumps(dict(models)),
    }


def cells_of_program(command: list[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Run a program; one that ends early or takes too long has a cell that says so."""
    try:
        done = subprocess.run(
            command,
            env=dict(environment),
            cwd=Path(environment["HOME"]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=PROGRAM_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"program": "did not end in time"}
    lines = [line.partition("\t") for line in done.stdout.decode().splitlines() if "\t" in line]
    cells = {case: told for case, _, told in lines}
    if VERSION not in cells:
        cells["program"] = f"ended with {done.returncode}"
    return cells
