"""Side by side: while one workspace waits for disk, store or core, another is worked on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def ahead(items: AsyncGenerator[Item, None], room: int) -> AsyncGenerator[Item, None]:
    """Yield items while the next ones, so many at most, are being made."""
    waiting: asyncio.Queue[tuple[Item] | None] = asyncio.Queue()
    free = asyncio.Semaphore(room)

    async def make() -> None:
        await free.acquire()
        async for item in items:
            waiting.put_nowait((item,))
            await free.acquire()

    async with aclosing(items):
        making = asyncio.create_task(make())
        making.add_done_callback(lambda _: waiting.put_nowait(None))
        try:
            while (found := await waiting.get()) is not None:
                free.release()
                yield found[0]
            await making
        finally:
            making.cancel()
            await asyncio.gather(making, return_exceptions=True)


async def to_its_end(work: Callable[..., Result], *args: Any) -> Result:
    """Run work in a thread; who is cancelled meanwhile waits for it, because a thread goes on.

    For work on what is closed next: a file closed under Arrow's hands ends the process. However
    often it is cancelled; and no task, for those end with the loop.
    """
    running = asyncio.get_running_loop().run_in_executor(None, partial(work, *args))
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait({running})
        except asyncio.CancelledError as fault:
            cancelled = fault
    if cancelled is not None:
        running.exception()  # looked at: nobody will be told of it
        raise cancelled
    return running.result()


class Desk:
    """Where files are read and summed in memory: few small ones at a time, a large one alone."""

    def __init__(self, seats: int) -> None:
        """Have room for so many small ones."""
        self._count = seats
        self._seats = asyncio.Semaphore(seats)
        self._large = asyncio.Lock()

    @asynccontextmanager
    async def seat(self, *, alone: bool) -> AsyncIterator[None]:
        """Wait for a seat, or for all of them, and keep it while the block runs."""
        async with AsyncExitStack() as taken:
            if alone:
                # Two that wait for all of them must not hold one each.
                await taken.enter_async_context(self._large)
            for _ in range(self._count if alone else 1):
                await taken.enter_async_context(self._seats)
            yield


class Abreast(Generic[Result]):
    """Does work side by side, so much at once; the first failure ends all of it."""

    def __init__(self, limit: int) -> None:
        """Do nothing yet."""
        self._limit = limit
        self._all: list[asyncio.Task[Result]] = []
        self._running: set[asyncio.Task[Result]] = set()

    async def begin(self, work: Coroutine[Any, Any, Result]) -> None:
        """Begin more work as soon as there is room for it.

        Raises:
            Exception: what work that was begun before has failed with.
        """
        task = asyncio.create_task(work)
        self._all.append(task)
        self._running.add(task)
        while len(self._running) >= self._limit:
            done, self._running = await asyncio.wait(
                self._running, return_when=asyncio.FIRST_COMPLETED
            )
            for each in done:
                each.result()

    async def results(self) -> list[Result]:
        """Return what came out of everything, in the order in which it was begun.

        Raises:
            Exception: what the first of it has failed with.
        """
        return list(await asyncio.gather(*self._all))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._all, return_exceptions=True)
