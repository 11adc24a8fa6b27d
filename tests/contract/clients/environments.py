"""Environments of the clients, made from locked versions under build/clients, once each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.recordings import PROJECT

HERE: Final = Path(__file__).resolve().parent
BUILD: Final = PROJECT / "build" / "clients"
PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
INSTALL_SECONDS_MAX: Final = 600


class NotHere(Exception):
    """The environment cannot be made on this machine; `reason` is what the cells say."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PythonEnvironment:
    """An environment of hash-locked packages; `version` where another Python is needed."""

    lock: str
    version: str = PYTHON

    def folder(self) -> Path:
        """Make it, if need be, and return where it is.

        Raises:
            NotHere: there is no such Python, or the packages have no wheel for it.
        """
        folder, locked = BUILD / self.lock, HERE / "locks" / f"{self.lock}.txt"
        if _is_made(folder, locked):
            return folder
        uv = str(Path(sys.executable).parent / "uv")
        python, venv = _interpreter(uv, self.version), str(folder)
        _make(uv, "venv", "--quiet", "--clear", "--python", python, venv)
        install = ("pip", "install", "--quiet", "--python", str(folder / "bin" / "python"))
        _make(uv, *install, "--require-hashes", "--requirement", str(locked))
        _mark(folder, locked)
        return folder


@dataclass(frozen=True, slots=True)
class NodeEnvironment:
    """Packages of a package lock, without any install script, and a Node that is new enough."""

    name: str

    def folder(self) -> Path:
        """Make it, if need be, and return where it is.

        Raises:
            NotHere: npm is missing, or a package is.
        """
        folder, locked = BUILD / self.name, HERE / self.name / "package-lock.json"
        if _is_made(folder, locked):
            return folder
        if shutil.which("npm") is None:
            raise NotHere("needs npm")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(HERE / self.name / name, folder)
        quiet = ("--silent", "--no-audit", "--no-fund")
        _make("npm", "ci", "--ignore-scripts", *quiet, folder=folder)
        _mark(folder, locked)
        return folder

    def node(self) -> Path:
        """Return the Node of this environment (22; the newest clients need it).

        Raises:
            NotHere: there is none for this system.
        """
        found = sorted((self.folder() / "node_modules").glob("node-*/bin/node"))
        if not found:
            raise NotHere("no Node 22 for this system")
        return found[0]


def _interpreter(uv: str, version: str) -> str:
    if version == PYTHON:
        return sys.executable
    offline = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    asked = (uv, "python", "find", "--no-project", version)
    done = subprocess.run(asked, env=offline, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotHere(f"needs Python {version}")
    return done.stdout.strip()


def _is_made(folder: Path, locked: Path) -> bool:
    mark = folder / ".made-of"
    return mark.exists() and mark.read_bytes() == locked.read_bytes()


def _mark(folder: Path, locked: Path) -> None:
    (folder / ".made-of").write_bytes(locked.read_bytes())


def _make(*command: str, folder: Path = PROJECT) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, check=False, stdout=sys.stderr, timeout=INSTALL_SECONDS_MAX
        )
    except subprocess.TimeoutExpired:
        raise NotHere("its packages could not be installed in time") from None
    if done.returncode != 0:
        raise NotHere("its locked packages are not to be had here")
