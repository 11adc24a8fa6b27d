"""Runs the tables of bad input against a running service: each row gets its documented answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from tests.contract.bad_inputs import BadInput, Target
from tests.support.wire import ANSWER_SECONDS_MAX, Answer, Line, WrongAnswer

AT_ONCE: Final = 24
_NEXT: Final = b"GET /v1/models HTTP/1.1\r\nHost: %b\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Finding:
    """A row whose answer is not the documented one."""

    name: str
    told: str


def target_of(base_url: str, api_key: str, model: str) -> Target:
    """Return where the rows go: `base_url` as in ready.json."""
    place = urlsplit(base_url)
    return Target(place.hostname or "", place.port or 0, api_key, model)


async def run(rows: Sequence[BadInput], target: Target) -> list[Finding]:
    """Send all rows, a few at once; return those that went wrong."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(row: BadInput) -> Finding | None:
        async with gate:
            return await check(row, target)

    found = await asyncio.gather(*(one(row) for row in rows))
    return [finding for finding in found if finding is not None]


async def check(row: BadInput, target: Target) -> Finding | None:
    """Send one row; return what is wrong with its answer, if anything."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX), Line(target.host, target.port) as line:
            line.send(row.wire(target))
            told = await _wrong(row, target, line)
    except WrongAnswer as error:
        told = str(error)
    except TimeoutError:
        told = "no answer in time"
    return Finding(row.name, told) if told else None


async def _wrong(row: BadInput, target: Target, line: Line) -> str:
    answer = await line.answer()
    code = answer.error()["code"]
    if (answer.status, code) != (row.status, row.code):
        return f"{answer.status} {code} instead of {row.status} {row.code}"
    says_close = answer.headers.get(b"connection") == b"close"
    if row.closes:
        # Nothing of what was hidden behind the bad part may have been served.
        return f"{len(rest)} bytes behind the answer" if (rest := await line.rest()) else ""
    if says_close:
        return "the connection ends although it need not"
    return await _next(line, target)


async def _next(line: Line, target: Target) -> str:
    line.send(_NEXT % target.authority)
    following: Answer = await line.answer()
    return "" if following.status == 200 else f"the next request got {following.status}"
