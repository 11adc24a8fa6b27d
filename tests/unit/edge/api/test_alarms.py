"""Deadlines of many requests by one timer."""

from __future__ import annotations

import asyncio
from functools import partial

from edge.api.alarms import Alarms

QUICK_SECONDS = 0.02


async def test_alarms_are_called_in_order_unless_called_off() -> None:
    """Each once, not before its time."""
    alarms = Alarms(QUICK_SECONDS)
    called: list[int] = []
    three = [partial(called.append, number) for number in range(3)]
    began = asyncio.get_running_loop().time()
    for alarm in three:
        alarms.set(alarm)
    alarms.call_off(three[1])
    done = asyncio.Event()
    alarms.set(done.set)
    await done.wait()
    assert called == [0, 2]
    assert asyncio.get_running_loop().time() - began >= QUICK_SECONDS


async def test_an_alarm_set_later_has_its_full_time() -> None:
    """The timer of the first goes on to the next."""
    alarms = Alarms(QUICK_SECONDS)
    rung: list[float] = []
    loop = asyncio.get_running_loop()
    alarms.set(lambda: rung.append(loop.time()))
    await asyncio.sleep(QUICK_SECONDS / 2)
    began = loop.time()
    done = asyncio.Event()
    alarms.set(done.set)
    await done.wait()
    assert len(rung) == 1
    assert loop.time() - began >= QUICK_SECONDS


async def test_calling_off_what_was_called_does_nothing() -> None:
    """A request ends while its deadline passes."""
    alarms = Alarms(0.0)
    called = asyncio.Event()
    alarms.set(called.set)
    await called.wait()
    alarms.call_off(called.set)


async def test_an_alarm_called_off_by_the_one_before_it_stays_silent() -> None:
    """Also where both are due in the same turn of the loop."""
    alarms = Alarms(0.0)
    called: list[str] = []
    done = asyncio.Event()

    def second() -> None:
        called.append("second")

    def first() -> None:
        called.append("first")
        alarms.call_off(second)

    for alarm in (first, second, done.set):
        alarms.set(alarm)
    await done.wait()
    assert called == ["first"]


async def test_an_alarm_that_fails_does_not_silence_the_others() -> None:
    """The loop reports it and the timer goes on."""
    alarms = Alarms(0.0)
    done = asyncio.Event()
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)

    def fails() -> None:
        raise ValueError

    alarms.set(fails)
    alarms.set(done.set)
    await done.wait()
