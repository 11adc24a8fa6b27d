"""Runs what is to be done again and again, for as long as the process lives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from kit.log import EventLog

LONGEST_PAUSE_FACTOR: Final = 30
"""What cannot be done now is tried less and less often, down to a thirtieth of the pace."""


async def every(
    seconds: float, name: str, step: Callable[[], Awaitable[Any]], log: EventLog
) -> None:
    """Repeat a step with a pause in between; one that fails is logged and repeated.

    Not even a fault of ours ends it: what is looked at comes from outside, and one object that
    cannot be read must not keep the process from all others.
    """
    failures = 0
    while True:
        await asyncio.sleep(seconds * min(2**failures, LONGEST_PAUSE_FACTOR))
        try:
            await step()
        except Exception as error:  # noqa: BLE001 - the boundary of what comes from outside
            failures = min(failures + 1, 10)
            log.fault("loop_step_failed", error, step=name)
        else:
            failures = 0
