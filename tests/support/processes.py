"""Small programs to supervise, and ways to wait for what they do."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from kit.process import Command

PATIENCE_SECONDS: Final = 30.0
_POLL_SECONDS_MIN: Final = 0.01
_POLL_SECONDS_MAX: Final = 0.05

SLEEP: Final = "import time; time.sleep(600)"
IGNORE_TERM: Final = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).touch()
time.sleep(600)
"""


def until(condition: Callable[[], bool], patience_seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until a condition holds; a test that waits in vain fails.

    Who has waited for long is asked less often: what asks would take from what is waited for.
    """
    start = time.monotonic()
    while not condition():
        waited_seconds = time.monotonic() - start
        if waited_seconds > patience_seconds:
            raise AssertionError("waited in vain")
        time.sleep(min(max(_POLL_SECONDS_MIN, waited_seconds / 20), _POLL_SECONDS_MAX))


def python(
    code: str,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    output: Path | None = None,
    run_as: str = "caller",
    kept_descriptors: tuple[int, ...] = (),
    death_signal: signal.Signals = signal.SIGTERM,
) -> Command:
    """Return a command that runs a piece of Python."""
    return Command(
        arguments=(sys.executable, "-I", "-S", "-c", code, *arguments),
        environment=environment or {},
        folder=Path("/"),
        output=output,
        death_signal=death_signal,
        run_as=run_as,
        kept_descriptors=kept_descriptors,
    )


def lives(process_id: int) -> bool:
    """Say whether a process runs; a dead one that nobody has collected does not."""
    try:
        status = Path(f"/proc/{process_id}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in {"Z", "X"}


def children_of(process_id: int) -> list[int]:
    """Return the direct children of a process."""
    tasks = Path(f"/proc/{process_id}/task")
    found = [path.read_text().split() for path in tasks.glob("*/children")]
    return [int(child) for part in found for child in part]


def kill_hard(process: subprocess.Popen[bytes]) -> None:
    """Kill -9 a process and collect it, as a crash would end it; it may have ended by itself."""
    process.kill()
    process.wait(PATIENCE_SECONDS)
