"""A loop goes on, whatever one step meets."""

from __future__ import annotations

import asyncio
import io
import json

from core.billing.loops import every
from kit.log import EventLog
from kit.reasons import Unavailable


async def test_a_step_that_fails_is_logged_and_repeated() -> None:
    """By type and place, never by its text."""
    stream, done = io.StringIO(), asyncio.Event()
    failures: list[Exception] = [Unavailable(), KeyError("a prompt"), ZeroDivisionError()]

    async def step() -> None:
        if failures:
            raise failures.pop()
        done.set()

    loop = asyncio.create_task(every(0.001, "money", step, EventLog("core", stream=stream)))
    await asyncio.wait_for(done.wait(), 10)
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["exception"] for line in lines] == ["ZeroDivisionError", "KeyError", "Unavailable"]
    assert "prompt" not in stream.getvalue()
