"""`python -m tests.leaktest.traced edge --slot 0`: a process whose opening of files is noted.

strace runs as the process's grandchild, so that the process keeps its id and its signals.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

TRACE = "LEAKTEST_TRACE"
CALLS = "open,openat,openat2,creat,memfd_create,mknodat,mkdirat,mkdir,symlinkat,linkat,execve"
_CALL = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)")
_PATH = re.compile(r'"((?:[^"\\]|\\.)*)"')
_WRITES = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TMPFILE")
_OPENS = frozenset({"open", "openat", "openat2"})


def is_possible() -> bool:
    """Say whether strace is here."""
    return shutil.which("strace") is not None


def writes_in(trace: Path, spool: Path) -> tuple[int, list[str]]:
    """Return how many opens were noted, and those for writing outside of the spool."""
    calls = list(_calls_in(trace))
    return len(calls), [line for line in calls if _writes_elsewhere(line, spool)]


def _calls_in(trace: Path) -> Iterator[str]:
    for line in trace.read_text(errors="replace").splitlines():
        if _CALL.match(line):
            yield line


def _writes_elsewhere(line: str, spool: Path) -> bool:
    match = _CALL.match(line)
    assert match is not None
    name, arguments, result = match.groups()
    path = _PATH.search(arguments)
    if int(result) < 0 or name == "execve":
        return False
    if name in _OPENS and not _WRITES.search(arguments):
        return False
    place = path[1] if path is not None else ""
    return place != os.devnull and not place.startswith(str(spool))


def main() -> None:
    """Become strace and the process."""
    strace = shutil.which("strace")
    assert strace is not None
    options = ["-D", "-f", "-qq", "--seccomp-bpf", "-e", f"trace={CALLS}", "-o", os.environ[TRACE]]
    command = [sys.executable, "-B", "-m", *sys.argv[1:]]
    os.execv(strace, [strace, *options, *command])  # noqa: S606  a shell would help nobody


if __name__ == "__main__":
    main()
