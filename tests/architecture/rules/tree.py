"""The files that the house rules look at: what is in the repository or about to be."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SOURCE_FOLDERS = ("kit", "edge", "core", "archiver", "tools")


@dataclass(frozen=True, slots=True)
class Finding:
    """One place that breaks a rule."""

    line: int
    rule: str


def tracked_files() -> list[str]:
    """Every path that git tracks or would add, relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [path for path in sorted(set(listed.split("\0"))) if path and (ROOT / path).is_file()]


def sources(*suffixes: str, folders: tuple[str, ...] = SOURCE_FOLDERS) -> Iterator[tuple[str, str]]:
    """Path and text of the project's own files in these folders."""
    for path in tracked_files():
        if path.split("/")[0] in folders and path.endswith(suffixes):
            yield path, (ROOT / path).read_text()


def report(path: str, findings: list[Finding]) -> list[str]:
    """Findings as `path:line: rule`, which a terminal makes clickable."""
    return [f"{path}:{finding.line}: {finding.rule}" for finding in findings]
