"""Far over every limit: heads, bodies and answers of hundreds of megabytes; the edge's peak."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

from tests.chaos.badinput.world import Row, Served, World, serve_meanwhile
from tests.contract.bad_inputs import Target, request
from tests.support.wire import Line, WrongAnswer

MIB = 1024 * 1024
AT_ONCE = 8
GROWTH_MIB_MAX = 512
"""Of the worker, whatever comes: its room for large bodies, and what parsing makes of a few."""
ATTACK_SECONDS = 8.0
_POST = b"POST /v1/chat/completions HTTP/1.1"
_CHUNKED = b"Transfer-Encoding: chunked"


@dataclass(frozen=True, slots=True)
class Flood:
    """What is sent, again and again up to a size, and how it may be answered."""

    name: str
    head: Callable[[Target], bytes]
    piece: bytes
    megabytes: int
    statuses: frozenset[int]
    tail: bytes = b""


def _json(target: Target, size: int) -> bytes:
    return request(_POST, b"Content-Length: %d" % size, length=False)(target)


def _bomb() -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return packer.compress(bytes(64 * MIB)) + packer.flush()


_BOMB = _bomb()
_FULL = 32 * MIB
_CHUNK = b"100000\r\n" + b"[" * MIB + b"\r\n"


def floods() -> list[Flood]:
    """Return what is sent."""
    lists = b"[]," * (MIB // 3)
    return [
        Flood(
            "one header line of 200 MB",
            lambda to: request(b"GET / HTTP/1.1", b"X: ")(to)[:-4],
            b"y" * MIB,
            200,
            frozenset({431}),
        ),
        Flood(
            "headers of 200 MB",
            lambda to: request(b"GET / HTTP/1.1")(to)[:-2],
            b"X: y\r\n" * (MIB // 6),
            200,
            frozenset({431}),
        ),
        Flood("a target of 200 MB", lambda _: b"GET /", b"a" * MIB, 200, frozenset({414})),
        Flood(
            "a body of 200 MB in chunks",
            request(_POST, _CHUNKED, length=False),
            _CHUNK,
            200,
            frozenset({413, 503}),
        ),
        Flood(
            "a depth bomb of 32 MiB",
            lambda to: _json(to, _FULL),
            b"[" * MIB,
            32,
            frozenset({400, 503}),
        ),
        Flood(
            "11 million lists in 32 MiB",
            lambda to: _json(to, 6 + len(lists) * 32 + 3) + b'{"x":[',
            lists,
            32,
            frozenset({400, 503}),
            b"1]}",
        ),
        Flood(
            "one text of 32 MiB",
            lambda to: _json(to, 6 + 31 * MIB + 2) + b'{"x":"',
            b"a" * MIB,
            31,
            frozenset({400, 503}),
            b'"}',
        ),
        Flood(
            "a gzip bomb as the body",
            request(_POST, b"Content-Encoding: gzip", body=_BOMB),
            b"",
            0,
            frozenset({415}),
        ),
    ]


async def _pieces(flood: Flood, target: Target) -> AsyncIterator[bytes]:
    yield flood.head(target)
    for _ in range(flood.megabytes):
        yield flood.piece
    yield flood.tail


async def _send(flood: Flood, target: Target) -> str:
    """Send one flood; return what was wrong with the answer, if anything."""
    async with Line(target.host, target.port) as line:
        writing = asyncio.create_task(_write(line, flood, target))
        try:
            async with asyncio.timeout(60):
                answer = await line.answer()
                answer.error()
        except (WrongAnswer, TimeoutError) as error:
            return str(error) or "no answer in time"
        finally:
            writing.cancel()
        return "" if answer.status in flood.statuses else f"status {answer.status}"


async def _write(line: Line, flood: Flood, target: Target) -> None:
    with contextlib.suppress(ConnectionError):
        async for piece in _pieces(flood, target):
            line.writer.write(piece)
            await line.writer.drain()


async def _attack(world: World, flood: Flood) -> tuple[list[str], Served]:
    serving = asyncio.create_task(serve_meanwhile(world, ATTACK_SECONDS))
    told = await asyncio.gather(*(_send(flood, world.target) for _ in range(AT_ONCE)))
    return list(told), await serving


def attack(world: World) -> Iterator[Row]:
    """Send each flood over several connections at once, while others behave."""
    world.serve_one()
    for flood in floods():
        world.forget_peak()
        before = world.memory_kib()
        told, served = asyncio.run(_attack(world, flood))
        peak, after = world.memory_kib("VmHWM"), world.memory_kib()
        wrong = sum(map(bool, told)) + served.refused + (peak - before > GROWTH_MIB_MAX * 1024)
        world.findings += [f"{flood.name}: {one}" for one in told if one]
        figures = f"RSS {before >> 10} -> {after >> 10} MiB, peak {peak >> 10} MiB; {served}"
        yield Row("large", f"{AT_ONCE} x {flood.name}", AT_ONCE, wrong, figures)
