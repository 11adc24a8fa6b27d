"""Writes and checks the lock files: every package pinned, every archive hashed, no index named.

`lock.py` resolves anew (needs the package index); `lock.py --upgrade` moves to the newest versions
that are a week old; `lock.py --check` says offline whether the locks still answer pyproject.toml.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FINGERPRINT = "# Answers to: "
# Built from this very tree, so never in a lock.
OWN_PACKAGES = frozenset({"oneapi-stubs"})
REQUIREMENT_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Lock:
    """One lock file: what it answers to, and the locks whose pins it must repeat."""

    file: str
    requirements: tuple[str, ...]
    constraints: tuple[str, ...] = ()

    def fingerprint(self, cool_down: str) -> str:
        """Changes whenever the lock has to be resolved anew."""
        question = json.dumps([sorted(self.requirements), self.constraints, cool_down])
        return hashlib.sha256(question.encode()).hexdigest()[:32]


def locks(project: dict[str, Any]) -> tuple[Lock, ...]:
    """Bootstrap installs the installer, runtime is all that `make run` needs, dev adds to it.

    The S3 server of the tests has an environment of its own.
    """
    runtime = [*project["project"]["dependencies"]]
    for extra in project["project"]["optional-dependencies"].values():
        runtime.extend(extra)
    groups = project["dependency-groups"]
    return (
        Lock("requirements-bootstrap.lock", tuple(groups["bootstrap"])),
        Lock("requirements.lock", tuple(r for r in runtime if name_of(r) not in OWN_PACKAGES)),
        Lock("requirements-dev.lock", tuple(groups["dev"]), constraints=("requirements.lock",)),
        Lock("requirements-s3.lock", tuple(groups["s3"])),
    )


def name_of(requirement: str) -> str:
    """The normalised package name of a requirement line."""
    match = REQUIREMENT_NAME.match(requirement)
    if match is None:
        raise ValueError("a requirement starts with a package name")
    return re.sub(r"[-_.]+", "-", match.group()).lower()


def faults(lock: Lock, text: str, cool_down: str) -> list[str]:
    """Every reason why this lock file may not be installed from; none means it is in order."""
    found = []
    if f"{FINGERPRINT}{lock.fingerprint(cool_down)}\n" not in text:
        found.append(f"{lock.file} does not answer pyproject.toml any more: run `make lock`")
    pins = re.findall(r"(?m)^([A-Za-z0-9][^\s=]*)==\S+((?:.*\\\n)*.*)", text)
    pinned = {name_of(pin) for pin, _ in pins}
    found += [
        f"{lock.file}: {pin} has no hash" for pin, rest in pins if "--hash=sha256:" not in rest
    ]
    missing = {name_of(requirement) for requirement in lock.requirements} - pinned
    found += [f"{lock.file}: {name} is not pinned" for name in sorted(missing)]
    if "://" in text or "index-url" in text:
        found.append(f"{lock.file} names a package index; an index is a setting of the machine")
    return found


def resolve(lock: Lock, cool_down: str, *, upgrade: bool) -> None:
    """Let uv pin one lock, keeping earlier pins unless an upgrade is wanted."""
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "-", "--universal"),
        *("--python-version", "3.11", "--generate-hashes", "--no-header", "--quiet"),
        *("--exclude-newer", cool_down, "--output-file", lock.file, "--no-emit-index-url"),
        *("--annotation-style", "line"),
    ]
    command += [part for file in lock.constraints for part in ("--constraints", file)]
    command += ["--upgrade"] if upgrade else []
    subprocess.run(
        command,
        cwd=ROOT,
        input="\n".join(lock.requirements).encode(),
        check=True,
        env=environment(),
    )
    path = ROOT / lock.file
    header = f"# Made by `make lock`.\n{FINGERPRINT}{lock.fingerprint(cool_down)}\n"
    path.write_text(header + without_header(path.read_text()))


def environment() -> dict[str, str]:
    """Let uv never fetch a Python of its own."""
    return {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}


def without_header(text: str) -> str:
    """The pins alone: uv keeps comments of an earlier run."""
    lines = text.splitlines(keepends=True)
    while lines and lines[0].startswith("#"):
        lines.pop(0)
    return "".join(lines)


def main() -> int:
    """Exit code 1 and one line per fault when a check fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--upgrade", action="store_true")
    arguments = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    cool_down = project["tool"]["uv"]["exclude-newer"]
    found = []
    for lock in locks(project):
        if not arguments.check:
            resolve(lock, cool_down, upgrade=arguments.upgrade)
        text = (ROOT / lock.file).read_text()
        found += faults(lock, text, cool_down)
    sys.stderr.writelines(f"{fault}\n" for fault in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
