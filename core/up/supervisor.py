"""Keeps children alive: starts them, notices a death at once, starts again with a back-off.

Stopping goes in the reverse order of starting, each child for a bounded time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from typing import Final

from core.up.reporter import Reporter
from core.up.services import Service, StartFailed
from kit.cli import CommandFailed, Exit
from kit.process import RestartPolicy

_WATCH_SECONDS: Final = 0.05
_PROBE_SECONDS: Final = 0.1
_SERVING_SECONDS: Final = 120.0


class Supervisor:
    """The children of one run."""

    def __init__(self, reporter: Reporter, policy: RestartPolicy) -> None:
        """Start with no children."""
        self._reporter = reporter
        self._policy = policy
        self._services: list[Service] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._served: set[str] = set()

    async def start(self, service: Service) -> None:
        """Start a child and keep it; the order of calls decides the order of stopping."""
        self._services.append(service)
        self._reporter.say(service.name, "starting", "starting")
        started = asyncio.Event()
        self._keepers.append(asyncio.create_task(self._keep(service, started)))
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

    async def stop(self) -> None:
        """Stop all children, the last started first, whatever state they are in."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for service in reversed(self._services):
            running = service.exit_code() is None
            began = time.monotonic()
            await service.stop()
            if running:
                seconds = round(time.monotonic() - began, 1)
                self._reporter.say(
                    service.name, "stopped", f"stopped in {seconds} s", seconds=seconds
                )

    async def _keep(self, service: Service, started: asyncio.Event) -> None:
        deaths = 0
        while True:
            began = time.monotonic()
            code = await self._live(service, started)
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

    async def _live(self, service: Service, started: asyncio.Event) -> int:
        """Start a child once and return its exit code when it has died."""
        try:
            await service.start()
        except StartFailed as failure:
            await service.stop()
            return failure.exit_code
        started.set()
        again = asyncio.create_task(self._announce_again(service))
        try:
            while (code := service.exit_code()) is None:  # noqa: ASYNC110 - works on every kernel
                await asyncio.sleep(_WATCH_SECONDS)
            return code
        finally:
            again.cancel()

    async def _announce_again(self, service: Service) -> None:
        """Say when a child that was started again serves; its first time is awaited elsewhere."""
        if service.name in self._served:
            while not await service.serving():  # noqa: ASYNC110 - asks a server
                await asyncio.sleep(_PROBE_SECONDS)
            self._reporter.say(service.name, "serving", "serving again")

    def _give_up_if_hopeless(self, service: Service, code: int, deaths: int) -> None:
        """Raise if starting again cannot help: wrong settings, or it has never served."""
        wrong_settings = code == Exit.SETTINGS
        never_served = service.name not in self._served
        if wrong_settings or (never_served and deaths >= self._policy.attempts_before_serving):
            raise CommandFailed(
                f"{service.name} does not start ({_meaning(code)}); see its log.",
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
                f"{service.name} does not serve after {_SERVING_SECONDS:g} s; see its log.",
                reason="CHILD_DOES_NOT_SERVE",
                child=service.name,
            ) from None
        self._served.add(service.name)
        self._reporter.say(service.name, "serving", "serving")

    async def _or_failure(self, work: Awaitable[object]) -> None:
        """Wait for `work`, or raise as soon as a child is given up."""
        task = asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait(
                {task, *self._keepers}, return_when=asyncio.FIRST_COMPLETED
            )
            for finished in done:
                finished.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _meaning(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
