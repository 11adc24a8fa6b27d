"""Keeps children alive: starts them, notices a death at once, starts again with a back-off.

Stopping goes in the reverse order of starting, each child for a bounded time. A child is replaced
by starting its twin first: only when that one serves is the old one told to finish.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from core.up.reporter import Reporter
from core.up.services import ProcessService, Service, StartFailed
from kit.cli import CommandFailed, Exit
from kit.process import RestartPolicy

_WATCH_SECONDS: Final = 0.05
_PROBE_SECONDS: Final = 0.1
_SERVING_SECONDS: Final = 120.0
# Less than an edge waits before it accepts requests that it can only refuse.
_REPLACEMENT_SECONDS: Final = 40.0


@dataclass(frozen=True, slots=True)
class Replacement:
    """One process took another one's place; `leaving` is done when the old one has ended."""

    name: str
    old_process_id: int
    new_process_id: int
    leaving: asyncio.Task[None]


class ReplacementFailed(Exception):
    """A replacement did not serve; the process that it was for goes on."""


class Supervisor:
    """The children of one run."""

    def __init__(self, reporter: Reporter, policy: RestartPolicy) -> None:
        """Start with no children."""
        self._reporter = reporter
        self._policy = policy
        self._services: list[Service] = []
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._retiring: dict[ProcessService, asyncio.Task[None]] = {}
        self._served: set[str] = set()
        self._failed = asyncio.Event()
        self._failure: Exception | None = None

    @property
    def names(self) -> list[str]:
        """Return the names of the children, in the order in which they were started."""
        return [service.name for service in self._services]

    async def start(self, service: Service) -> None:
        """Start a child and keep it; the order of calls decides the order of stopping."""
        self._services.append(service)
        self._reporter.say(service.name, "starting", "starting")
        started = asyncio.Event()
        self._keep_from_now(service, started)
        await self._or_failure(started.wait())

    async def until_serving(self, services: Sequence[Service]) -> None:
        """Wait until all of them serve.

        Raises CommandFailed if one of our children was given up or 120 s were not enough.
        """
        waiting = [self._wait_serving(service) for service in services]
        await self._or_failure(asyncio.gather(*waiting))

    async def watch(self) -> None:
        """Wait for the first child that has to be given up, and raise its CommandFailed."""
        await self._or_failure(asyncio.Event().wait())

    async def replace(self, name: str) -> Replacement:
        """Start a twin of a child, wait until it serves, then let the old one finish in peace.

        Raises:
            ReplacementFailed: the twin did not serve; nothing has changed.
        """
        twin = self._replaceable(name).twin()
        self._reporter.say(name, "replacing", "starting its replacement")
        try:
            await self._start_twin(twin)
        except BaseException:
            await twin.stop()
            raise
        old = self._replaceable(name)
        self._services[self._services.index(old)] = twin
        self._keepers[name].cancel()
        self._keep_from_now(twin, asyncio.Event(), running=True)
        leaving = asyncio.create_task(self._retire(old))
        self._retiring[old] = leaving
        leaving.add_done_callback(lambda _: self._retiring.pop(old, None))
        self._reporter.say(name, "replaced", "replaced; the old one finishes")
        return Replacement(name, old.process_id, twin.process_id, leaving)

    async def restart(self, name: str) -> None:
        """Stop a child that cannot have a twin, and start it again.

        Raises:
            CommandFailed: it does not end, and is watched as before; or it does not come back.
        """
        (service,) = (each for each in self._services if each.name == name)
        keeper = self._keepers.pop(name)
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        started, ended = asyncio.Event(), False
        try:
            await service.stop()
            ended = True
            self._reporter.say(name, "restarting", "stopped; starting again")
        except (OSError, subprocess.SubprocessError):
            raise CommandFailed(
                f"{name} does not end.", reason="CHILD_DOES_NOT_END", child=name
            ) from None
        finally:
            # Whatever became of it: nobody goes unwatched.
            self._keep_from_now(service, started, running=not ended)
        await self._or_failure(started.wait())
        await self.until_serving([service])

    def retiring(self, name: str) -> int:
        """Return how many replaced processes of that name have not ended yet."""
        return sum(service.name == name for service in self._retiring)

    async def stop(self) -> None:
        """Stop all children, the last started first, whatever state they are in.

        Workers of one kind stop at the same time, and so do those that were replaced.
        """
        for task in (*self._keepers.values(), *self._retiring.values()):
            task.cancel()
        retiring = list(self._retiring)
        await asyncio.gather(
            *self._keepers.values(), *self._retiring.values(), return_exceptions=True
        )
        await asyncio.gather(*(service.stop() for service in retiring))
        for _, group in groupby(reversed(self._services), key=_kind):
            await asyncio.gather(*map(self._stop_one, group))

    async def _stop_one(self, service: Service) -> None:
        running = service.exit_code() is None
        began = time.monotonic()
        await service.stop()
        if running:
            seconds = round(time.monotonic() - began, 1)
            self._reporter.say(service.name, "stopped", f"stopped in {seconds} s", seconds=seconds)

    def _replaceable(self, name: str) -> ProcessService:
        for service in self._services:
            if service.name == name and isinstance(service, ProcessService):
                return service
        raise ReplacementFailed

    async def _start_twin(self, twin: ProcessService) -> None:
        try:
            await twin.start()
            async with asyncio.timeout(_REPLACEMENT_SECONDS):
                while not await twin.serving():
                    if twin.exit_code() is not None:
                        raise ReplacementFailed
                    await asyncio.sleep(_WATCH_SECONDS)
        except (StartFailed, TimeoutError):
            raise ReplacementFailed from None

    async def _retire(self, service: ProcessService) -> None:
        began = time.monotonic()
        await service.retire()
        seconds = round(time.monotonic() - began, 1)
        self._reporter.say(
            service.name,
            "retired",
            f"the replaced one has ended after {seconds} s",
            seconds=seconds,
        )

    def _keep_from_now(
        self, service: Service, started: asyncio.Event, *, running: bool = False
    ) -> None:
        keeper = asyncio.create_task(self._keep(service, started, running=running))
        keeper.add_done_callback(self._note_failure)
        self._keepers[service.name] = keeper

    def _note_failure(self, keeper: asyncio.Task[None]) -> None:
        if not keeper.cancelled() and isinstance(failure := keeper.exception(), Exception):
            self._failure = self._failure or failure
            self._failed.set()

    async def _keep(self, service: Service, started: asyncio.Event, *, running: bool) -> None:
        deaths = 0
        while True:
            began = time.monotonic()
            code = await self._live(service, started, running=running)
            running = False
            deaths = self._policy.deaths_in_a_row(deaths, time.monotonic() - began)
            self._give_up_if_hopeless(service, code, deaths)
            pause = self._policy.delay_seconds(deaths)
            self._reporter.say(
                service.name,
                "died",
                f"ended ({_meaning(code)}); starting again in {pause:g} s",
                exit_code=code,
                restart_in_seconds=pause,
            )
            await asyncio.sleep(pause)

    async def _live(self, service: Service, started: asyncio.Event, *, running: bool) -> int:
        """Start a child once, unless it runs, and return its exit code when it has died."""
        try:
            if not running:
                await service.start()
        except StartFailed as failure:
            await service.stop()
            return failure.exit_code
        started.set()
        again = asyncio.create_task(self._announce_again(service, running=running))
        try:
            while (code := service.exit_code()) is None:  # noqa: ASYNC110 - works on every kernel
                await asyncio.sleep(_WATCH_SECONDS)
            return code
        finally:
            again.cancel()

    async def _announce_again(self, service: Service, *, running: bool) -> None:
        """Say when a child that was started again serves; its first time is awaited elsewhere."""
        if service.name in self._served and not running:
            while not await service.serving():  # noqa: ASYNC110 - asks a server
                await asyncio.sleep(_PROBE_SECONDS)
            self._reporter.say(service.name, "serving", "serving again")

    def _give_up_if_hopeless(self, service: Service, code: int, deaths: int) -> None:
        """Raise if starting again cannot help: wrong settings, or it has never served."""
        wrong_settings = code == Exit.SETTINGS
        never_served = service.name not in self._served
        if wrong_settings or (never_served and deaths >= self._policy.attempts_before_serving):
            raise CommandFailed(
                f"{service.name} does not start ({_meaning(code)}); see logs/{service.name}.log.",
                code=Exit.SETTINGS if wrong_settings else Exit.FAILED,
                reason="CHILD_DOES_NOT_START",
                child=service.name,
            )

    async def _wait_serving(self, service: Service) -> None:
        try:
            async with asyncio.timeout(_SERVING_SECONDS):
                while not await service.serving():  # noqa: ASYNC110 - asks a server
                    await asyncio.sleep(_PROBE_SECONDS)
        except TimeoutError:
            raise CommandFailed(
                f"{service.name} does not serve after {_SERVING_SECONDS:g} s;"
                f" see logs/{service.name}.log.",
                reason="CHILD_DOES_NOT_SERVE",
                child=service.name,
            ) from None
        self._served.add(service.name)
        self._reporter.say(service.name, "serving", "serving")

    async def _or_failure(self, work: Awaitable[object]) -> None:
        """Wait for `work`, or raise as soon as a child is given up."""
        task = asyncio.ensure_future(work)
        failing = asyncio.create_task(self._failed.wait())
        try:
            await asyncio.wait({task, failing}, return_when=asyncio.FIRST_COMPLETED)
            if self._failure is not None:
                raise self._failure
            task.result()
        finally:
            task.cancel()
            failing.cancel()
            await asyncio.gather(task, failing, return_exceptions=True)


def _kind(service: Service) -> str:
    return service.name.partition("-")[0]


def _meaning(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
