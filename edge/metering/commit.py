"""Group commit: many finishers share one fdatasync in one dedicated thread."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final

_THREAD_NAME: Final = "spool-sync"

Sync = Callable[[int], None]
"""Makes a file's data durable, as `os.fdatasync` does; raises OSError if it could not."""


@dataclass(frozen=True, slots=True)
class Job:
    """The files of one commit, and the sequence up to which it makes everything durable."""

    descriptors: tuple[int, ...]
    through: int


class GroupCommit:
    """Gathers who waits for durability while a sync runs, and serves them all by the next one.

    A sync that failed is never tried again: the kernel may have dropped the pages, and a second
    try would say they are safe.
    """

    def __init__(
        self,
        collect: Callable[[], Job],
        finished: Callable[[Job, bool], None],
        *,
        sync: Sync = os.fdatasync,
    ) -> None:
        """Ask `collect` for the files of each commit and tell `finished` how it went.

        Both are called in the running loop.
        """
        self._collect = collect
        self._finished = finished
        self._sync = sync
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._waiting: list[asyncio.Future[bool]] = []
        self._served: list[asyncio.Future[bool]] = []
        self._busy = False
        self._failed = False
        self._thread = threading.Thread(target=self._work, name=_THREAD_NAME, daemon=True)
        self._thread.start()

    async def durable(self) -> bool:
        """Return True when all that was written before this call is durable, else False."""
        if self._failed:
            return False
        future: asyncio.Future[bool] = self._loop.create_future()
        self._waiting.append(future)
        self.request()
        return await future

    def request(self) -> None:
        """Start a commit soon, without waiting for it."""
        if not self._busy and not self._failed:
            self._busy = True
            # Those who finish in this turn of the loop share the commit.
            self._loop.call_soon(self._start)

    async def close(self) -> None:
        """Serve who waits, then stop the thread; later callers get False."""
        while self._busy and not self._failed:
            await self.durable()
        self._failed = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _start(self) -> None:
        self._served, self._waiting = self._waiting, []
        self._queue.put(self._collect())

    def _work(self) -> None:
        for job in iter(self._queue.get, None):
            durable = self._synced(job)
            try:
                self._loop.call_soon_threadsafe(self._done, job, durable)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return

    def _synced(self, job: Job) -> bool:
        try:
            for descriptor in job.descriptors:
                self._sync(descriptor)
        except OSError:
            return False
        return True

    def _done(self, job: Job, durable: bool) -> None:  # noqa: FBT001  called by the loop
        self._busy = False
        self._failed = self._failed or not durable
        try:
            self._finished(job, durable)
        finally:
            # Who waits is answered whatever becomes of the report: a request must not hang on it.
            self._answer(self._served, durable=durable)
            if self._failed:
                self._answer(self._waiting, durable=False)
            elif self._waiting:
                self.request()

    @staticmethod
    def _answer(futures: list[asyncio.Future[bool]], *, durable: bool) -> None:
        for future in futures:
            if not future.done():
                future.set_result(durable)
        futures.clear()
