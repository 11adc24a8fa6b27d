"""A server of ours as a child process of a test, which never outlives the test run."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from tests.support.recordings import PROJECT

START_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 10.0


class ServerDidNotStartError(Exception):
    """The process ended, or printed no port in time."""


class ServerProcess:
    """`python -m <module> <arguments>`, whose first line of output is `{"port": N}`.

    A child that takes orders reads JSON lines and answers each with a line once it holds.
    The kernel kills the child when the thread that started it ends, so start it on the main thread.
    """

    def __init__(
        self, module: str, *arguments: str, variables: Mapping[str, str] | None = None
    ) -> None:
        """Describe the process; `with` starts and ends it. Variables are added to ours."""
        self._variables = dict(variables or {})
        self._command = [sys.executable, "-m", module, *arguments]
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:<port>`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """The origin with `/v1`, as an OpenAI client or an upstream of the catalogue wants it."""
        return f"{self.origin}/v1"

    @property
    def pid(self) -> int:
        """Process id of the running child."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        entry = str(PROJECT / "kit" / "process_entry.py")
        prepare = [str(os.getpid()), str(int(signal.SIGKILL)), "caller"]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", entry, *prepare, *self._command],
            cwd=PROJECT,
            env=os.environ | self._variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            self.port = json.loads(self._first_line())["port"]
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self, signal_number: signal.Signals = signal.SIGTERM) -> int:
        """End the child and return its exit code; SIGKILL where it takes too long."""
        process = self._process
        assert process is not None
        if process.poll() is None:
            process.send_signal(signal_number)
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS_MAX)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        return process.returncode

    def tell(self, **order: object) -> dict[str, int]:
        """Write an order to the child's standard input; return what it answers once it holds."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        answer: dict[str, int] = json.loads(self._first_line())
        return answer

    def _first_line(self) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(START_SECONDS_MAX):
                raise ServerDidNotStartError
        line = self._process.stdout.readline()
        if not line:
            raise ServerDidNotStartError
        return line
