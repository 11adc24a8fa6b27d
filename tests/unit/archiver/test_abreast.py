"""Work side by side: so much at once, in order, and ended by the first failure."""

from __future__ import annotations

import asyncio

import pytest

from archiver.abreast import Abreast


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
