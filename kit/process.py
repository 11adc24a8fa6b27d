"""Child processes that never outlive us, in groups of their own, and when to start them again.

Every child gets a *death signal* (Linux `PR_SET_PDEATHSIG`): even after `kill -9` of its parent
the kernel tells it to go. Its own process group keeps a terminal's Ctrl-C away from it, so that
the parent alone decides the order in which everything stops.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kit.process_entry import die_with_parent

_ENTRY: Final = Path(__file__).with_name("process_entry.py")
_KILL_WAIT_SECONDS: Final = 10.0
_LOCK_POLL_SECONDS: Final = 0.05

READY: Final = b"1"
"""What a child writes to its pipe when it serves."""

RETIRE_SIGNAL: Final = signal.SIGUSR1
"""Tells a worker on a passed socket that another one has taken its place."""

CALLER: Final = "caller"
"""The child runs as the same user as we do."""

USER_NAMESPACE: Final = "namespace"
"""The child is user 1000 in a user namespace of its own; files it makes belong to the caller."""


class NotOnMainThread(RuntimeError):
    """A death signal fires when the starting *thread* ends, so only the main thread may launch."""


class LockHeld(RuntimeError):
    """Another process holds the lock on `path`."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. The environment is the whole of it: nothing is inherited unsaid."""

    arguments: tuple[str, ...]
    """Absolute path of the program, then its arguments."""
    environment: Mapping[str, str] = field(repr=False)
    folder: Path
    output: Path | None = None
    """File, made with mode 0600, to which stdout and stderr are appended; None throws them away."""
    death_signal: signal.Signals = signal.SIGTERM
    run_as: str = CALLER
    """`CALLER`, `USER_NAMESPACE` or the result of `account`."""
    kept_descriptors: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How long to wait before a dead child is started again, in seconds."""

    first_seconds: float = 0.2
    factor: float = 2.0
    max_seconds: float = 10.0
    stable_seconds: float = 30.0
    """A child that lived this long is forgiven its earlier deaths."""
    attempts_before_serving: int = 5
    """Deaths in a row after which a child that has never served is given up."""

    def delay_seconds(self, deaths: int) -> float:
        """Return the pause after the `deaths`-th death in a row (1 is the first)."""
        exponent = min(max(deaths, 1) - 1, 64)
        return float(min(self.first_seconds * self.factor**exponent, self.max_seconds))

    def deaths_in_a_row(self, earlier: int, lived_seconds: float) -> int:
        """Return the new count of deaths in a row, after a life of `lived_seconds`."""
        return 1 if lived_seconds >= self.stable_seconds else earlier + 1


def account(user_id: int, group_id: int) -> str:
    """Name an ordinary account to run as; only root can ask for it."""
    return f"{user_id}:{group_id}"


def launch(command: Command) -> subprocess.Popen[bytes]:
    """Start a long-lived child: own process group, death signal, standard input closed.

    Raises NotOnMainThread elsewhere than on the main thread. Exit code 126 or 127 says that the
    identity could not be taken on or that the program could not be executed.
    """
    if threading.current_thread() is not threading.main_thread():
        raise NotOnMainThread
    return _start(command)


def run_to_end(command: Command, *, timeout_seconds: float) -> int:
    """Run a short command on any thread and return its exit code; -9 if it took too long."""
    process = _start(command)
    try:
        return process.wait(timeout_seconds)
    except subprocess.TimeoutExpired:
        return end(process, stop_signal=signal.SIGKILL, grace_seconds=0.0)


def end(
    process: subprocess.Popen[bytes], *, stop_signal: signal.Signals, grace_seconds: float
) -> int:
    """Stop a child: `stop_signal`, a bounded wait, SIGKILL to its group; return its exit code.

    Takes at most `grace_seconds` + 10 s, else TimeoutExpired: even SIGKILL did not end it.
    """
    if process.poll() is not None:
        return process.returncode
    process.send_signal(stop_signal)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace_seconds)
    kill_group(process)
    return process.wait(_KILL_WAIT_SECONDS)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a child's process group; call it only right after the child ended."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def announce_ready(descriptor: int | None) -> None:
    """Tell whoever started us that we serve, on the pipe that they gave us (None: they did not).

    A question to the port could not tell: during an exchange two processes listen on it.
    """
    if descriptor is None:
        return
    with contextlib.suppress(OSError):
        os.write(descriptor, READY)
    os.close(descriptor)


def stop_with_parent() -> None:
    """Ask for SIGTERM when the program that started us ends (on Linux only)."""
    die_with_parent(os.getppid(), signal.SIGTERM)


def hold_lock(path: Path, *, wait_seconds: float) -> int:
    """Lock `path` (flock) and return the descriptor that holds the lock, or raise LockHeld.

    Children that keep the descriptor hold the lock with us: it is free when the last one is gone,
    which no process id in a file can prove.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise LockHeld(path) from None
        time.sleep(_LOCK_POLL_SECONDS)


def _start(command: Command) -> subprocess.Popen[bytes]:
    output = subprocess.DEVNULL if command.output is None else _open_log(command.output)
    prepare = (str(os.getpid()), str(int(command.death_signal)), command.run_as)
    try:
        return subprocess.Popen(  # noqa: S603 - the callers' own commands, no shell
            (sys.executable, "-I", "-S", str(_ENTRY), *prepare, *command.arguments),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL if command.output is None else subprocess.STDOUT,
            cwd=command.folder,
            env=dict(command.environment),
            pass_fds=command.kept_descriptors,
            process_group=0,
        )
    finally:
        if output >= 0:
            os.close(output)


def _open_log(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
