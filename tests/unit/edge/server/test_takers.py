"""Clients that take too slowly what they asked for: slow is allowed, standing still is not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.unit.edge.server.conftest import PATIENCE_SECONDS, running, until, until_disconnect

_GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
_CLOSE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


async def test_a_stalled_reader_is_cut_and_holds_little() -> None:
    """Our memory and the kernel's are bounded, and the application is told."""
    written = 0
    gone = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal written
        asking = asyncio.ensure_future(until_disconnect(receive))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not asking.done():
            body = b"x" * 16_384
            await send({"type": "http.response.body", "body": body, "more_body": True})
            written += len(body)
            await asyncio.sleep(0)
        gone.set()

    async with running(app, write_stall_seconds=0.3) as server:
        with server.slow_client(4_096) as client:
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, _GET)
            await asyncio.wait_for(gone.wait(), PATIENCE_SECONDS)
            assert server.front.missed["write"] == 1
            assert written < 512 * 1024


async def test_the_tail_of_a_last_answer_is_not_kept_for_ever() -> None:
    """Closing waits for the client only as long as any write does."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        size = 60_000
        headers = [(b"content-length", b"%d" % size), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * size})

    # Less than what makes the application wait: only the closing connection holds it.
    async with running(app, write_stall_seconds=0.2, send_buffer_bytes=4_096) as server:
        with server.slow_client(4_096) as client:
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, _GET)
            await until(lambda: server.front.missed["write"] == 1)
            await until(lambda: server.front.open_connections == 0)


async def test_a_reader_that_makes_progress_is_not_cut() -> None:
    """Slow is allowed; standing still is not."""
    size = 1_200_000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        length = (b"content-length", b"%d" % size)
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": b"x" * size})

    async with running(app, write_stall_seconds=0.5) as server:
        with server.slow_client(16_384) as client:
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, _CLOSE)
            got = 0
            while part := await asyncio.wait_for(loop.sock_recv(client, 16_384), 5):
                got += len(part)
                await asyncio.sleep(0.02)
            assert got > size
            assert not server.front.missed


@pytest.mark.parametrize("stopping", [False, True])
async def test_an_answer_that_is_being_taken_is_not_cut_by_the_wait_for_the_next(
    stopping: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """The wait for a next request begins when the client has all of this answer."""
    size = 600_000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        length = (b"content-length", b"%d" % size)
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": b"x" * size})

    async with running(app, keep_alive_seconds=0.1, stop_idle_seconds=0.1) as server:
        with server.slow_client(16_384) as client:
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, _GET)
            got = len(await loop.sock_recv(client, 1))
            server.front.stopping = stopping
            for connection in list(server.state.connections):
                connection.shutdown()
            while part := await asyncio.wait_for(loop.sock_recv(client, 16_384), 5):
                got += len(part)
                await asyncio.sleep(0.02)
            assert got > size
            assert not server.front.missed


async def test_a_tail_that_is_not_taken_does_not_hold_a_kept_connection() -> None:
    """Too little to make the application wait: what the client leaves there is noticed."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        size = 60_000
        length = (b"content-length", b"%d" % size)
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": b"x" * size})

    async with running(
        app,
        keep_alive_seconds=0.1,
        write_stall_seconds=0.2,
        send_buffer_bytes=4_096,
        write_buffer_bytes=1_000_000,
    ) as server:
        with server.slow_client(4_096) as client:
            await asyncio.get_running_loop().sock_sendall(client, _GET)
            await until(lambda: server.front.missed["write"] == 1)
            await until(lambda: server.front.open_connections == 0)
