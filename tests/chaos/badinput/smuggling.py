"""Random mutations of request framings, each with a whole request hidden behind it.

A second, strict reader (`tests.support.strict_http`) says where requests begin. The hidden one may
be served only where that reader finds it as well: what two readers could frame differently is
refused, and ends the connection.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from tests.chaos.badinput.world import Row, World
from tests.contract.bad_inputs import Target
from tests.support.strict_http import targets
from tests.support.wire import Line

PER_ROUND: Final = 5_000
AT_ONCE: Final = 48
SEED: Final = 20_261_126
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_LENGTHS = (
    b"0",
    b"3",
    b"+3",
    b"-3",
    b" 3",
    b"3 ",
    b"3,3",
    b"0x3",
    b"3_0",
    b"03",
    b"\t3",
    b"3;a",
    b"",
)
_CODINGS = (
    *(b"chunked", b"Chunked", b" chunked", b"chunked ", b"\tchunked", b"xchunked", b"chunkedx"),
    *(b"identity", b"gzip", b"gzip, chunked", b"chunked, identity", b"chunked;a=b", b'"chunked"'),
    *(b"\x0bchunked", b"chunked,", b",chunked", b"chunked\r\n ", b""),
)
_NAMES = {
    b"Content-Length": (
        b"content-length",
        b"Content-length",
        b"Content_Length",
        b"Content-Length ",
    ),
    b"Transfer-Encoding": (b"transfer-encoding", b"Transfer_Encoding", b"Transfer-Encoding "),
}
_ENDS = (b"\r\n",) * 12 + (b"\n", b"\r", b"\r\r\n", b"\n\r\n", b" \r\n", b"\0\r\n", b"\r\n ", b"")
_BODIES = (
    b"",
    b"abc",
    b"3\r\nabc\r\n0\r\n\r\n",
    b"0\r\n\r\n",
    b"3\nabc\n0\n\n",
    b"3;x\r\nabc\r\n0\r\n\r\n",
)
HIDDEN_TARGET: Final = b"/v1/models/hidden"
HIDDEN: Final = b"GET " + HIDDEN_TARGET + b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
_HIDDEN_ANSWER: Final = b"model_not_found"


def mutation(chance: random.Random) -> bytes:
    """Return a request with a mutated framing."""
    framings: list[bytes] = []
    for name, values in ((b"Content-Length", _LENGTHS), (b"Transfer-Encoding", _CODINGS)):
        for _ in range(chance.choice((0, 0, 1, 1, 1, 2))):
            value = chance.choice(values) if chance.random() < 0.5 else values[0]
            spelled = chance.choice(_NAMES[name]) if chance.random() < 0.2 else name
            framings.append(spelled + b": " + value)
    chance.shuffle(framings)
    lines = [b"POST /v1/nothing HTTP/1.1", b"Host: a", *framings]
    sound = chance.random() < 0.5
    ends = [b"\r\n" if sound or chance.random() < 0.7 else chance.choice(_ENDS) for _ in lines]
    last = b"\r\n" if sound else chance.choice(_ENDS)
    head = b"".join(line + end for line, end in zip(lines, ends, strict=True)) + last
    return head + chance.choice(_BODIES)


async def _one(target: Target, raw: bytes) -> bytes:
    async with asyncio.timeout(30), Line(target.host, target.port) as line:
        line.send(raw + HIDDEN)
        return await line.rest()


def judged(raw: bytes, wire: bytes) -> str:
    """Say what is wrong with the answers to a case, if anything."""
    statuses = [int(one) for one in _STATUS.findall(wire)]
    if any(status >= 500 for status in statuses):
        return "a fault"
    if wire and not statuses:
        return "no HTTP"
    if _HIDDEN_ANSWER in wire and HIDDEN_TARGET not in targets(raw + HIDDEN):
        return "the hidden request was served"
    return ""


def attack(world: World, rounds: int) -> Iterator[Row]:
    """Send mutations; a framing in doubt ends the connection."""
    chance = random.Random(SEED)
    cases = [mutation(chance) for _ in range(PER_ROUND * rounds)]
    counts, wrong = asyncio.run(run(world.target, cases))
    world.findings += wrong[:20]
    told = f"{counts['refused']:,} refused, {counts['both served']:,} without doubt, seed {SEED}"
    yield Row("smuggling", "mutated framings", len(cases), len(wrong), told)


async def run(target: Target, cases: list[bytes]) -> tuple[Counter[str], list[str]]:
    """Send all cases; count what became of them, and return what was wrong."""
    gate = asyncio.Semaphore(AT_ONCE)
    wrong: list[str] = []
    counts: Counter[str] = Counter()

    async def one(raw: bytes) -> None:
        async with gate:
            try:
                wire = await _one(target, raw)
            except TimeoutError:
                wrong.append(f"no end: {raw!r}")
                return
            counts["refused"] += wire.startswith(b"HTTP/1.1 400 ")
            counts["both served"] += _HIDDEN_ANSWER in wire
            if told := judged(raw, wire):
                wrong.append(f"{told}: {raw!r}")

    await asyncio.gather(*map(one, cases))
    return counts, wrong
