"""Clients that take too slowly what they asked for: slow is allowed, standing still is not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import pytest

from edge.server.cycle import AnswerCut
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


def large(size: int) -> Any:
    """Return an application that answers at once with so many bytes."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        length = (b"content-length", b"%d" % size)
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": b"x" * size})

    return app


async def taken(client: socket.socket, at_once: int) -> int:
    """Return how much a client got that takes so many bytes each 20 ms, until it was all or cut."""
    loop = asyncio.get_running_loop()
    got = 0
    with contextlib.suppress(ConnectionError):
        while part := await asyncio.wait_for(loop.sock_recv(client, at_once), PATIENCE_SECONDS):
            got += len(part)
            await asyncio.sleep(0.02)
    return got


async def test_a_reader_that_makes_progress_is_not_cut() -> None:
    """Slow is allowed; standing still is not."""
    size = 1_200_000
    async with running(large(size), write_stall_seconds=0.5) as server:
        with server.slow_client(16_384) as client:
            await asyncio.get_running_loop().sock_sendall(client, _CLOSE)
            assert await taken(client, 16_384) > size
            assert not server.front.missed


async def test_a_byte_now_and_then_does_not_hold_an_answer() -> None:
    """It is no progress: the kernel hands on what it holds in larger pieces."""
    async with running(large(1_200_000), write_stall_seconds=0.5) as server:
        with server.slow_client(4_096) as client:
            await asyncio.get_running_loop().sock_sendall(client, _GET)
            taking = asyncio.ensure_future(taken(client, 1))
            await until(lambda: server.front.missed["write"] == 1)
            await until(lambda: server.front.open_connections == 0)
            taking.cancel()


@pytest.mark.parametrize("ask", [_GET, _CLOSE])
async def test_progress_below_the_least_rate_does_not_hold_an_answer(ask: bytes) -> None:
    """Whether the connection is kept or not; a client that is in time may take what it likes."""
    size = 4_000_000
    for rate, is_cut in ((2_000_000, True), (20_000, False)):
        async with running(
            large(size),
            write_stall_seconds=0.3,
            send_buffer_bytes=4_096,
            min_take_bytes_per_second=rate,
        ) as server:
            with server.slow_client(16_384) as client:
                await asyncio.get_running_loop().sock_sendall(client, ask)
                taking = asyncio.ensure_future(taken(client, 8_192))
                await asyncio.sleep(1.0)
                assert (server.front.missed["write"] == 1) is is_cut
                assert (server.front.open_connections == 0) is is_cut
                taking.cancel()


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


def cut(how: str, size: int) -> Any:
    """Return an application whose answer of so many bytes ends by a cut, the client taking none."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * size, "more_body": True})
        if how == "fault":
            raise RuntimeError
        if how == "cancelled":
            raise asyncio.CancelledError
        raise AnswerCut

    return app


@pytest.mark.parametrize("how", ["cut", "fault", "cancelled"])
async def test_a_cut_answer_that_nobody_takes_is_not_kept_for_ever(how: str) -> None:
    """So little was written that the application never had to wait for its client."""
    limits = {"send_buffer_bytes": 4_096, "write_buffer_bytes": 1_000_000}
    async with running(cut(how, 200_000), write_stall_seconds=0.2, **limits) as server:
        with server.slow_client(4_096) as client:
            await asyncio.get_running_loop().sock_sendall(client, _GET)
            await until(lambda: server.front.missed["write"] == 1)
            await until(lambda: server.front.open_connections == 0)


async def test_the_rest_of_a_cut_answer_is_watched_when_most_of_it_was_taken() -> None:
    """Below the mark at which an application may go on writing nobody writes any more."""
    limits = {"send_buffer_bytes": 4_096, "write_buffer_bytes": 400_000}
    async with running(cut("cut", 1_000_000), write_stall_seconds=0.4, **limits) as server:
        with server.slow_client(16_384) as client:
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, _GET)
            await until(lambda: bool(server.state.connections))
            (connection,) = server.state.connections
            await until(lambda: connection.transport.get_write_buffer_size() > 400_000)
            while connection.transport.get_write_buffer_size() > 80_000:
                await asyncio.wait_for(loop.sock_recv(client, 16_384), PATIENCE_SECONDS)
            assert connection.transport.get_write_buffer_size() > 0
            await until(lambda: server.front.missed["write"] == 1)
            await until(lambda: server.front.open_connections == 0)
