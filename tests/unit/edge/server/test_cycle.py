"""What our front adds to ASGI: a departure is told, and a cut answer does not look whole."""

from __future__ import annotations

import asyncio
from typing import Any

from edge.server.cycle import DEPARTURE, AnswerCut
from tests.unit.edge.server.conftest import PATIENCE_SECONDS, running

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


async def test_a_departure_is_told_once_while_the_answer_runs() -> None:
    """The call-back cancels the upstream; nobody polls for it."""
    told: list[str] = []
    begun, left = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        def depart() -> None:
            told.append("gone")
            left.set()

        scope[DEPARTURE](depart)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        begun.set()
        await left.wait()

    async with running(app) as server:
        _, writer = await server.connect()
        writer.write(GET)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await begun.wait()
            writer.transport.abort()
            await left.wait()
        await asyncio.sleep(0.05)
    assert told == ["gone"]


async def test_after_a_complete_answer_nobody_is_told() -> None:
    """A client that has its answer may hang up."""
    told: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope[DEPARTURE](lambda: told.append("gone"))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"all"})

    async with running(app) as server:
        wire = await server.exchange(GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
        await asyncio.sleep(0.05)
    assert b"all" in wire
    assert told == []


async def test_a_cut_answer_ends_without_its_last_chunk_and_is_no_fault() -> None:
    """Even a client that ignores the error inside sees that the body is not whole."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"data: error\n\n", "more_body": True})
        raise AnswerCut

    async with running(app) as server:
        wire = await server.exchange(GET)
        assert server.faults == []
    assert b"data: error" in wire
    assert not wire.endswith(b"0\r\n\r\n")
