"""Clients that send too slowly, connections over the bound, and draining."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

from tests.unit.edge.server.conftest import (
    PATIENCE_SECONDS,
    Running,
    bodies,
    echo,
    running,
    until,
    until_disconnect,
)

_GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
_CLOSE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


async def until_cut(reader: asyncio.StreamReader) -> bytes:
    """Return all that comes until the front ends the connection; a reset ends it too."""
    got = b""
    with contextlib.suppress(ConnectionError):
        while part := await asyncio.wait_for(reader.read(65_536), PATIENCE_SECONDS):
            got += part
    return got


async def read_one(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read one answer with a length; return its head and body."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_SECONDS)
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head, await reader.readexactly(length)


class TestSlowSenders:
    """Each way to dawdle has its deadline."""

    async def test_a_connection_that_never_speaks_is_closed(self) -> None:
        """An idle connection costs a descriptor; there is nobody to answer."""
        async with running(echo, header_seconds=0.05) as server:
            reader, writer = await server.connect()
            assert await until_cut(reader) == b""
            assert server.front.missed["head"] == 1
            writer.close()

    async def test_a_dripping_head_is_answered_408(self) -> None:
        """Each byte must not buy time."""
        async with running(echo, header_seconds=0.1) as server:
            reader, writer = await server.connect()

            async def drip() -> None:
                with contextlib.suppress(ConnectionError):
                    for _ in range(1_000):
                        writer.write(b"x")
                        await asyncio.sleep(0.01)

            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
            dripping = asyncio.ensure_future(drip())
            wire = await until_cut(reader)
            dripping.cancel()
            assert wire.startswith(b"HTTP/1.1 408 ")
            assert bodies(wire)[0]["error"]["code"] == "request_timeout"
            writer.close()

    async def test_a_next_request_has_its_own_header_deadline(self) -> None:
        """Between two requests the longer keep-alive time holds."""
        async with running(echo, header_seconds=0.4, keep_alive_seconds=20) as server:
            reader, writer = await server.connect()
            writer.write(_GET)
            await read_one(reader)
            await asyncio.sleep(0.6)
            writer.write(_GET)
            await read_one(reader)
            writer.write(b"GET / HT")
            assert (await until_cut(reader)).startswith(b"HTTP/1.1 408 ")
            writer.close()

    async def test_a_kept_connection_is_closed_after_its_time(self) -> None:
        """Without an answer to nobody."""
        async with running(echo, keep_alive_seconds=0.05) as server:
            reader, writer = await server.connect()
            writer.write(_GET)
            await read_one(reader)
            assert await until_cut(reader) == b""
            assert not server.front.missed
            writer.close()

    async def test_a_body_that_stops_is_answered_408_and_the_application_told(self) -> None:
        """The application must not wait for a client that does not go on."""
        told = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            told.set()

        async with running(app, body_idle_seconds=0.05) as server:
            reader, writer = await server.connect()
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
            wire = await until_cut(reader)
            assert wire.startswith(b"HTTP/1.1 408 ")
            assert told.is_set()
            assert server.front.missed["body"] == 1
            writer.close()

    async def test_framing_bytes_do_not_keep_a_body_alive(self) -> None:
        """A chunk extension without end is no progress."""
        async with running(echo, body_idle_seconds=0.1) as server:
            reader, writer = await server.connect()
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;")

            async def drip() -> None:
                with contextlib.suppress(ConnectionError):
                    for _ in range(1_000):
                        writer.write(b"x")
                        await asyncio.sleep(0.01)

            dripping = asyncio.ensure_future(drip())
            assert (await until_cut(reader)).startswith(b"HTTP/1.1 408 ")
            dripping.cancel()
            writer.close()

    async def test_a_slow_but_steady_body_passes(self) -> None:
        """The deadline runs between bytes."""
        async with running(echo, body_idle_seconds=0.8) as server:
            reader, writer = await server.connect()
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n")
            for _ in range(20):
                writer.write(b"x")
                await asyncio.sleep(0.06)
            _, body = await read_one(reader)
            assert b'"body": "' + b"x" * 20 in body
            writer.close()

    async def test_a_body_that_drips_has_an_end_as_well(self) -> None:
        """A byte now and then would hold the memory of a large body for hours."""
        async with running(echo, body_idle_seconds=0.2, body_seconds=0.3) as server:
            reader, writer = await server.connect()
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n")

            async def drip() -> None:
                with contextlib.suppress(ConnectionError):
                    for _ in range(1_000):
                        writer.write(b"x")
                        await asyncio.sleep(0.01)

            dripping = asyncio.ensure_future(drip())
            assert (await until_cut(reader)).startswith(b"HTTP/1.1 408 ")
            assert server.front.missed["body"] == 1
            dripping.cancel()
            writer.close()

    async def test_a_client_waits_for_a_slow_application_as_long_as_it_likes(self) -> None:
        """No deadline of the client's runs while it is our turn, unread body or not."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await asyncio.sleep(0.8)
            await echo(scope, receive, send)

        async with running(
            app, header_seconds=0.4, body_idle_seconds=0.4, keep_alive_seconds=0.1
        ) as server:
            size = 3_000_000
            head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size
            reader, writer = await server.connect(limit=2 * size)
            writer.write(head + b"x" * size)
            _, body = await read_one(reader)
            assert len(body) > size
            assert not server.front.missed
            writer.close()

    async def test_a_body_gets_its_full_time_after_a_pause_of_ours(self) -> None:
        """What we did not read for a while is not counted against the client."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await asyncio.sleep(1.1)
            await echo(scope, receive, send)

        async with running(app, body_idle_seconds=0.9) as server:
            reader, writer = await server.connect(limit=1_000_000)
            # One read is more than the application may leave unread: we pause.
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 80001\r\n\r\n")
            writer.write(b"x" * 80_000)
            await asyncio.sleep(1.4)
            writer.write(b"x")
            head, _ = await read_one(reader)
            assert head.startswith(b"HTTP/1.1 200 ")
            writer.close()

    async def test_the_rest_of_a_refused_body_is_read_for_a_bounded_time(self) -> None:
        """The client gets its 413 instead of a reset, but cannot go on for ever."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            length = (b"content-length", b"2")
            await send({"type": "http.response.start", "status": 413, "headers": [length]})
            await send({"type": "http.response.body", "body": b"no"})

        async with running(app, linger_seconds=0.2, body_idle_seconds=0.05) as server:
            reader, writer = await server.connect()
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n")
            head, body = await read_one(reader)
            assert head.startswith(b"HTTP/1.1 413 ")
            assert body == b"no"

            async def upload() -> None:
                with contextlib.suppress(ConnectionError):
                    for _ in range(1_000):
                        writer.write(b"x")
                        await asyncio.sleep(0.01)

            uploading = asyncio.ensure_future(upload())
            assert await until_cut(reader) == b""
            uploading.cancel()
            writer.close()


class TestConnections:
    """How many, and how they end."""

    async def test_connections_are_counted_and_capped(self) -> None:
        """Beyond the bound a client is told so at once; room is made when one leaves."""
        async with running(echo, max_connections=2) as server:
            kept = [await server.connect() for _ in range(2)]
            await until(lambda: server.front.open_connections == 2)
            reader, writer = await server.connect()
            wire = await until_cut(reader)
            writer.close()
            assert wire.startswith(b"HTTP/1.1 503 ")
            assert bodies(wire)[0]["error"]["code"] == "too_many_connections"
            for _, each in kept:
                each.close()
            await until(lambda: server.front.open_connections == 0)
            assert (await server.exchange(_CLOSE)).startswith(b"HTTP/1.1 200 ")
            assert server.front.accepted_connections == 4

    async def test_accepted_connections_have_small_kernel_buffers(self) -> None:
        """Thousands of stalled readers must not fill the kernel's memory."""
        async with running(echo) as server:
            _, writer = await server.connect()
            await until(lambda: server.front.open_connections == 1)
            (connection,) = server.state.connections
            sock = connection.transport.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 128 * 1024
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 16 * 1024
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            writer.close()

    async def test_bytes_behind_a_last_request_do_not_hide_that_the_client_left(self) -> None:
        """They are never run, and the connection is still watched."""
        entered, gone = asyncio.Event(), asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            entered.set()
            await until_disconnect(receive)
            gone.set()

        async with running(app) as server:
            _, writer = await server.connect()
            writer.write(_CLOSE + _GET)
            await entered.wait()
            writer.close()
            await asyncio.wait_for(gone.wait(), PATIENCE_SECONDS)

    async def test_every_application_of_a_lost_connection_is_told(self) -> None:
        """The one that runs, and not only the last in the queue."""
        entered, gone = asyncio.Event(), asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            entered.set()
            await until_disconnect(receive)
            gone.set()

        async with running(app) as server:
            _, writer = await server.connect()
            writer.write(_GET * 3)
            await entered.wait()
            (connection,) = server.state.connections
            connection.transport.abort()
            await asyncio.wait_for(gone.wait(), PATIENCE_SECONDS)
            writer.close()

    async def test_a_client_that_leaves_is_reported_to_the_application(self) -> None:
        """The upstream must be cancelled within 250 ms."""
        gone = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await until_disconnect(receive)
            gone.set()

        async with running(app) as server:
            _, writer = await server.connect()
            writer.write(_GET)
            await writer.drain()
            writer.close()
            await asyncio.wait_for(gone.wait(), PATIENCE_SECONDS)


class TestDraining:
    """What the server asks of connections when it goes away."""

    async def test_an_answer_under_way_ends_and_says_close(self) -> None:
        """The client's pool learns not to reuse the connection."""
        entered, go_on = asyncio.Event(), asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            entered.set()
            await go_on.wait()
            await echo(scope, receive, send)

        async with running(app) as server:
            reader, writer = await server.connect()
            writer.write(_GET)
            await entered.wait()
            drain(server)
            go_on.set()
            wire = await until_cut(reader)
            assert wire.startswith(b"HTTP/1.1 200 ")
            assert b"connection: close\r\n" in wire
            writer.close()

    async def test_a_request_already_on_its_way_is_served(self) -> None:
        """An idle connection gets a moment, so that no request is lost between us and a client."""
        async with running(echo, stop_idle_seconds=5) as server:
            reader, writer = await server.connect()
            writer.write(_GET)
            await read_one(reader)
            drain(server)
            writer.write(_GET)
            wire = await until_cut(reader)
            assert wire.startswith(b"HTTP/1.1 200 ")
            assert b"connection: close\r\n" in wire
            writer.close()

    async def test_idle_connections_are_closed_soon(self) -> None:
        """Stopping does not wait for the keep-alive time."""
        async with running(echo, stop_idle_seconds=0.02, keep_alive_seconds=60) as server:
            fresh, fresh_writer = await server.connect()
            used, used_writer = await server.connect()
            used_writer.write(_GET)
            await read_one(used)
            drain(server)
            assert await until_cut(fresh) == await until_cut(used) == b""
            fresh_writer.close()
            used_writer.close()

    async def test_a_retiring_worker_closes_no_idle_connection_before_its_time(self) -> None:
        """A client may be sending on it just now; it learns from its next answer."""
        async with running(echo, stop_idle_seconds=0.01, keep_alive_seconds=60) as server:
            reader, writer = await server.connect()
            writer.write(_GET)
            await read_one(reader)
            drain(server, for_good=False)
            await asyncio.sleep(0.2)
            writer.write(_GET)
            wire = await until_cut(reader)
            assert wire.startswith(b"HTTP/1.1 200 ")
            assert b"connection: close\r\n" in wire
            writer.close()

    async def test_an_answer_that_had_begun_before_the_drain_is_not_the_last(self) -> None:
        """Its head did not say so, and the client may send the next request at its last byte."""
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
            begun.set()
            await go_on.wait()
            await send({"type": "http.response.body", "body": b"b"})

        async with running(app, keep_alive_seconds=60) as server:
            reader, writer = await server.connect()
            writer.write(_GET)
            await begun.wait()
            drain(server, for_good=False)
            go_on.set()
            first = await reader.readuntil(b"0\r\n\r\n")
            assert b"connection: close" not in first
            await asyncio.sleep(0.2)
            writer.write(_GET)
            assert b"connection: close\r\n" in await until_cut(reader)
            writer.close()


def drain(server: Running, *, for_good: bool = True) -> None:
    """Do what the server does at SIGTERM, or when another worker takes its place."""
    server.front.draining, server.front.stopping = True, for_good
    for connection in list(server.state.connections):
        connection.shutdown()
