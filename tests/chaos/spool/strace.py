"""strace on a running process: kills it, or fails its calls, at exactly the call asked for."""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from tests.support.processes import PATIENCE_SECONDS

LEAVES_SECONDS_MAX = 3.0
HOW_TO_GET = "strace is not here or may not trace: apt-get install strace, and run as root"


def available() -> bool:
    """Say whether strace is here and may attach to a process of ours."""
    if shutil.which("strace") is None:
        return False
    child = subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with Strace(child.pid, calls=("fsync",)):
            return True
    except StraceDidNotAttachError:
        return False
    finally:
        child.kill()
        child.communicate()


class StraceDidNotAttachError(Exception):
    """The kernel or the process does not allow it."""


class Strace:
    """Attached from `__enter__` until `stop`, or until the process has ended."""

    def __init__(
        self,
        pid: int,
        *,
        calls: Iterable[str],
        paths: Iterable[Path] = (),
        inject: str = "",
        output: Path = Path(os.devnull),
    ) -> None:
        """Look at these calls on these paths (all, if none is given); `inject` is strace's own."""
        self._command = ["strace", "-f", "-e", f"trace={','.join(calls)}", "-o", str(output)]
        self._command += ["-e", "signal=none", "-p", str(pid)]
        for path in paths:
            self._command += ["-P", str(path)]
        if inject:
            self._command += ["-e", f"inject={inject}"]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        said = self._first_line()
        if b" attached" not in said:
            self.stop()
            raise StraceDidNotAttachError
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let the process go on as if nothing had been."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=LEAVES_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            # It can miss the death of a process with many threads, which nobody else can then reap.
            process.kill()
            process.communicate(timeout=PATIENCE_SECONDS)
        self._process = None

    def let_go(self) -> None:
        """Kill strace itself: whatever it holds goes on, or is at last dead."""
        if self._process is not None:
            self._process.kill()

    def _first_line(self) -> bytes:
        process = self._process
        assert process is not None
        assert process.stderr is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stderr, selectors.EVENT_READ)
            if not selector.select(PATIENCE_SECONDS):
                return b""
        return process.stderr.readline()
