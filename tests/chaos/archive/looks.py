"""Looks at months while they are on their way: each record is in one place, whatever goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import date
from typing import Any

import grpc

from archiver.calendar import start_of
from archiver.core_link import CoreLink
from oneapi.partitions.v1.partition_pb2 import ArchiveFile
from tests.chaos.archive.fingerprint import Fingerprint
from tests.chaos.archive.shelves import HotShelf, Sums

PAUSE_SECONDS_MIN = 0.1
PAUSES = 4
"""A pause is so much longer than the look before it: most of the time is the work's."""
Asks = Callable[[date, date], Awaitable[Sums]]


class SeenLink(CoreLink):
    """The archiver's link to core, with a look right before and right after each step."""

    def __init__(
        self, channel: grpc.aio.Channel, look: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Call over the channel; look by the function that is given, here or later."""
        super().__init__(channel)
        self.look = look

    async def _long(self, method: str, request: Any, month: date, **fields: Any) -> Any:
        # Signatures change nothing that anybody reads, and there is one for each workspace.
        is_step = method != "SignManifest" and self.look is not None
        if is_step and self.look is not None:
            await self.look()
        answer = await super()._long(method, request, month, **fields)
        if is_step and self.look is not None:
            await self.look()
        return answer


class Looks:
    """Reads months as a customer would: what is hot, and what is not hot in the archive."""

    def __init__(self, hot: HotShelf, link: CoreLink) -> None:
        """Ask the services; files are asked for over a link that looks at nothing."""
        self._hot = hot
        self._link = link
        self._months: Sequence[tuple[date, Fingerprint]] = ()
        self.count = 0

    async def during(
        self, work: Awaitable[None], months: Sequence[tuple[date, Fingerprint]]
    ) -> None:
        """Look at months, again and again, until the work is done.

        Raises:
            ExceptionGroup: what a look, or the work, has failed with.
        """
        self._months = months
        done = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            if months:
                tasks.create_task(self._until(done))
            await work
            done.set()

    async def look(self) -> None:
        """Look at each month once."""
        for month, truth in self._months:
            self.count += 1
            is_hot = await self._is_hot(month, truth, self._hot.records)
            assert is_hot or await self._in_files(month) == (truth.rows, truth.nanos), (
                "not in files"
            )
            await self._is_hot(month, truth, self._hot.hours)

    async def _is_hot(self, month: date, truth: Fingerprint, ask: Asks) -> bool:
        """Say whether a month is read from the hot store; all of it is there then, else nothing."""
        sums = await ask(month, month)
        # One answer, of one moment, says what is hot and that the rest is in the archive.
        is_hot = sums.archived_before is None or sums.archived_before <= start_of(month)
        expected = (truth.rows, truth.nanos) if is_hot else (0, 0)
        assert (sums.rows, sums.nanos) == expected, "not all or nothing of a month is hot"
        return is_hot

    async def _in_files(self, month: date) -> tuple[int, int]:
        usage = [
            file
            for file in await self._link.files(month, newest_only=True)
            if file.kind == ArchiveFile.KIND_USAGE_PARQUET
        ]
        return sum(file.rows for file in usage), sum(file.charges.amount_nanos for file in usage)

    async def _until(self, done: asyncio.Event) -> None:
        while not done.is_set():
            began = time.monotonic()
            await self.look()
            pause = max(PAUSE_SECONDS_MIN, PAUSES * (time.monotonic() - began))
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), pause)
