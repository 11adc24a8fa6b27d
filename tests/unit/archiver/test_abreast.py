"""Work side by side: so much at once, in order, and ended by the first failure."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from archiver.abreast import Abreast, Desk, ahead, to_its_end


async def test_so_much_runs_at_once_and_results_keep_their_order() -> None:
    """However long each takes."""
    running = most = 0

    async def work(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01 * (5 - number))
        running -= 1
        return number

    async with Abreast[int](2) as abreast:
        for number in range(5):
            await abreast.begin(work(number))
        assert await abreast.results() == [0, 1, 2, 3, 4]
    assert most == 2


async def test_the_first_failure_ends_everything() -> None:
    """What still runs is stopped before the failure is told of."""
    stopped = []

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            stopped.append(True)

    async def fail() -> None:
        raise OSError

    async def everything() -> None:
        async with Abreast[None](3) as abreast:
            await abreast.begin(wait())
            await abreast.begin(fail())
            await abreast.results()

    with pytest.raises(OSError):  # noqa: PT011 - it has no text
        await everything()
    assert stopped == [True]


class Source:
    """Makes numbers, and knows how many it has made and whether it was closed."""

    def __init__(self, count: int, fault: Exception | None = None) -> None:
        self.made = 0
        self.closed = False
        self._count = count
        self._fault = fault

    async def items(self) -> AsyncGenerator[int, None]:
        """Yield the numbers, then fail if that is wanted."""
        try:
            for number in range(self._count):
                self.made += 1
                yield number
                await asyncio.sleep(0)
            if self._fault is not None:
                raise self._fault
        finally:
            self.closed = True


async def test_the_next_items_are_made_while_one_is_used() -> None:
    """So many, and no more; all come in their order."""
    source = Source(10)
    found = []
    async with aclosing(ahead(source.items(), 2)) as items:
        async for item in items:
            await asyncio.sleep(0.005)
            found.append(item)
            assert source.made <= len(found) + 2
    assert found == list(range(10))
    assert source.closed


async def test_a_failure_comes_behind_what_was_made_before_it() -> None:
    """Nothing is lost that was whole."""
    source = Source(3, OSError())
    found: list[int] = []

    async def everything() -> None:
        async for item in ahead(source.items(), 5):
            await asyncio.sleep(0.005)
            found.append(item)

    with pytest.raises(OSError):  # noqa: PT011 - it has no text
        await everything()
    assert found == [0, 1, 2]


async def test_who_stops_early_closes_what_makes() -> None:
    """Although it waits for room."""
    source = Source(10)
    async with aclosing(ahead(source.items(), 1)) as items:
        assert await anext(items) == 0
        await asyncio.sleep(0.005)
    assert source.closed
    assert source.made == 2


async def test_small_ones_share_a_desk_and_a_large_one_has_it_alone() -> None:
    """Also if two large ones come at once, with small ones before, between and behind them."""
    desk, seated, most = Desk(2), [], 0

    async def work(*, alone: bool) -> None:
        nonlocal most
        async with desk.seat(alone=alone):
            seated.append(alone)
            most = max(most, len(seated))
            assert len(seated) == 1 or not any(seated)
            await asyncio.sleep(0.005)
            seated.remove(alone)

    async with asyncio.timeout(10):
        await asyncio.gather(*(work(alone=each) for each in (False, True, False, True) * 5))
    assert most == 2


async def test_who_is_cancelled_while_waiting_takes_no_seat() -> None:
    """Neither one nor, half way to all of them, the first."""
    desk = Desk(2)
    async with desk.seat(alone=False):
        waiting = asyncio.create_task(desk.seat(alone=True).__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        async with asyncio.timeout(5), desk.seat(alone=False):
            pass
    async with asyncio.timeout(5), desk.seat(alone=True):
        pass


async def test_who_is_cancelled_waits_for_the_thread() -> None:
    """However often: nothing that it works on is closed under its hands."""
    go, steps = threading.Event(), []

    def work() -> None:
        go.wait(10)
        steps.append("worked")

    async def worker() -> None:
        try:
            await to_its_end(work)
        finally:
            steps.append("closed")

    working = asyncio.create_task(worker())
    await asyncio.sleep(0.01)
    for _ in range(3):
        working.cancel()
        await asyncio.sleep(0.01)
    go.set()
    await asyncio.gather(working, return_exceptions=True)
    assert working.cancelled()
    assert steps == ["worked", "closed"]
    assert await to_its_end(max, 1, 2) == 2
