"""Restarts parts of a running service one process after the other, without losing a request.

A replacement serves before the process that it replaces stops accepting. Edge workers share the
socket that the supervisor listens on; gRPC servers share their port for the time of the exchange.
PostgreSQL cannot be there twice: it is stopped and started, and core waits for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from core.up.supervisor import ReplacementFailed, Supervisor
from kit.cli import CommandFailed, Exit

ALL: Final = ("core", "archiver", "edge")
"""Servers come before their clients."""
POSTGRES: Final = "postgres"
PARTS: Final = (*ALL, POSTGRES, "all")
GENERATIONS_MAX: Final = 4
"""How many replaced processes of one name may still be finishing."""
_LEAVING_SECONDS: Final = {"core": 60.0, "archiver": 60.0}


@dataclass(frozen=True, slots=True)
class _Leaving:
    """A replaced process that is finishing."""

    row: Mapping[str, Any]
    began: float
    task: asyncio.Task[None]

    def ended(self) -> Mapping[str, Any]:
        """Return the row that says that it has ended."""
        return {**self.row, "state": "ended", "seconds": _since(self.began)}


class Rolling:
    """One exchange at a time."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Restart the supervisor's children."""
        self._supervisor = supervisor
        self._lock = asyncio.Lock()

    async def restart(self, part: str, *, wait: bool) -> AsyncIterator[Mapping[str, Any]]:
        """Restart a part and yield what became of each process; `wait` for the ends of old edges.

        Raises:
            CommandFailed: refused, or a replacement did not serve; what it was for goes on.
        """
        if self._lock.locked():
            raise CommandFailed("A restart is running.", code=Exit.REFUSED, reason="RESTART_RUNS")
        leaving: list[_Leaving] = []
        async with self._lock:
            for name in self._names(part):
                async for row in self._one(name, leaving):
                    yield row
        # Outside of the lock: streams may take long, and who waits for them hinders no other.
        for old in leaving if wait else ():
            await asyncio.wait([old.task])
            yield old.ended()

    def _names(self, part: str) -> list[str]:
        kinds = ALL if part == "all" else (part,)
        known = self._supervisor.names
        names = [name for kind in kinds for name in known if name.partition("-")[0] == kind]
        if not names:
            raise CommandFailed(
                f"There is no {part} in this run.", code=Exit.REFUSED, reason="NO_SUCH_PART"
            )
        if any(self._supervisor.retiring(name) >= GENERATIONS_MAX for name in names):
            raise CommandFailed(
                "Workers that were replaced before are still finishing; try again later.",
                code=Exit.REFUSED,
                reason="STILL_FINISHING",
            )
        return names

    async def _one(self, name: str, leaving: list[_Leaving]) -> AsyncIterator[Mapping[str, Any]]:
        """Exchange one process; an old one that has not ended after that is added to `leaving`."""
        began = time.monotonic()
        if name == POSTGRES:
            await self._supervisor.restart(name)
            yield {"process": name, "state": "restarted", "seconds": _since(began)}
            return
        try:
            done = await self._supervisor.replace(name)
        except ReplacementFailed:
            raise CommandFailed(
                f"The replacement of {name} does not serve; see logs/{name}.log."
                " The old one goes on.",
                reason="REPLACEMENT_FAILED",
                process=name,
            ) from None
        row = {
            "process": name,
            "old_process_id": done.old_process_id,
            "new_process_id": done.new_process_id,
        }
        yield {**row, "state": "replaced", "seconds": _since(began)}
        old = _Leaving(row, began, done.leaving)
        await asyncio.wait([old.task], timeout=_LEAVING_SECONDS.get(name, 0.0))
        if old.task.done():
            yield old.ended()
        else:
            leaving.append(old)


def _since(began: float) -> float:
    return round(time.monotonic() - began, 2)
