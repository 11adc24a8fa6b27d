"""Small upstreams on real sockets: each test scripts what one says on each of its connections."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from edge.upstream.client import Origin, Timeouts, UpstreamClient, UpstreamRequest

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

PATIENT = Timeouts(connect_seconds=5, first_byte_seconds=5, idle_seconds=5)
HASTY = Timeouts(connect_seconds=5, first_byte_seconds=0.05, idle_seconds=0.05)
HASTY_INSIDE = Timeouts(connect_seconds=5, first_byte_seconds=5, idle_seconds=0.3)
"""For answers that begin: a busy machine may take its time for that."""
SHORT_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@dataclass
class Upstream:
    """A listening server: where it is, and what it has seen."""

    origin: Origin
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)

    def request(
        self,
        *,
        method: bytes = b"POST",
        body: bytes = b"{}",
        timeouts: Timeouts = PATIENT,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> UpstreamRequest:
        """Return a request to this server."""
        return UpstreamRequest(self.origin, method, b"/v1/x", headers, body, timeouts)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Read one request with a Content-Length or none; b"" if the client is gone."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            length = int(value)
    return head + await reader.readexactly(length)


@contextlib.asynccontextmanager
async def upstream(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
    """Listen on a free port of loopback and run the script on each connection."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        seen.connections += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await script(reader, writer)
        finally:
            writer.transport.abort() if tls is not None else writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    seen = Upstream(Origin("http" if tls is None else "https", "127.0.0.1", port))
    try:
        yield seen
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def closing(client: UpstreamClient) -> AsyncIterator[UpstreamClient]:
    """Close the client at the end of the block."""
    try:
        yield client
    finally:
        await client.aclose()


def says(*parts: bytes, seconds_between: float = 0, then_hang: bool = False) -> Script:
    """Answer each request on a connection with these writes, then close, hang or go on."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_request(reader):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(seconds_between)
            if then_hang:
                await asyncio.Event().wait()

    return script


def says_and_closes(*parts: bytes) -> Script:
    """Answer one request with these writes, then close in good order."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for part in parts:
            writer.write(part)
            await writer.drain()

    return script


def says_and_resets(*parts: bytes) -> Script:
    """Answer one request with these writes, then reset the connection."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for part in parts:
            writer.write(part)
            await writer.drain()
        reset(writer)

    return script


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def until(holds: Callable[[], bool], *, pause_seconds: float = 0.001) -> None:
    """Wait, a bounded number of turns, for something that the test cannot await."""
    for _ in range(5_000):
        if holds():
            return
        await asyncio.sleep(pause_seconds)
    raise AssertionError("it never came true")


def chunk(data: bytes) -> bytes:
    """Frame data as one chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def sse_frames(count: int) -> Iterator[bytes]:
    """Yield server-sent events, none like another."""
    return (b'data: {"n":%d}\n\n' % number for number in range(count))
