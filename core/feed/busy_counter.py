"""Calls that change what edges are told, while other writers hold the change counter.

A writer waits 250 ms for the counter at most, and is ended if it holds it for longer. Under load
both happen to calls that are right: nothing of them was written, so they are done again from the
start, a few times and with pauses that differ, before the caller is told to come back.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from kit.reasons import Unavailable

_PAUSES_SECONDS: Final = (0.05, 0.1, 0.2)
# Not had a lock in time, held it for too long, deadlock: PostgreSQL has rolled all of it back.
_NOTHING_WRITTEN: Final = frozenset({"55P03", "25P03", "40P01"})

_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")


def repeat_while_busy(
    call: Callable[_Arguments, Awaitable[_Answer]],
) -> Callable[_Arguments, Awaitable[_Answer]]:
    """Do a call of one transaction again while the change counter cannot be had."""

    @wraps(call)
    async def repeated(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Answer:
        for pause in _PAUSES_SECONDS:
            try:
                return await call(*args, **kwargs)
            except Unavailable as failure:
                if failure.metadata.get("sqlstate") not in _NOTHING_WRITTEN:
                    raise
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 no secret
        return await call(*args, **kwargs)

    return repeated
