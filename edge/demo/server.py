"""A small HTTP/1.1 server over asyncio and httptools that lets its handler misbehave on purpose.

A demo provider has to stall, cut and pace its answers and must never be the bottleneck of a
measurement; a framework gives neither. A handler gets a `Request` and a `Reply`. It answers at once
and returns None, or returns a coroutine, which is cancelled when the client leaves.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

import httptools

BODY_BYTES_MAX = 64 * 1024 * 1024
HEADER_BYTES_MAX = 64 * 1024
PIPELINED_REQUESTS_MAX = 16
CONNECTIONS_MAX = 8192
WRITE_BUFFER_BYTES_MAX = 1024 * 1024

Header = tuple[bytes, bytes]

_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
_LINGER_ZERO = struct.pack("ii", 1, 0)

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Request:
    """One received request; the path is without the query, header names are in lower case."""

    method: str
    path: str
    headers: dict[bytes, bytes]
    body: bytes
    keep_alive: bool


Handler = Callable[[Request, "Reply"], Coroutine[Any, Any, None] | None]


class Reply:
    """The answer to one request, written whole with `send` or in parts with `start` .. `end`."""

    __slots__ = ("_connection", "_keep_alive", "bytes_written", "finished", "started", "was_cut")

    def __init__(self, connection: Connection, *, keep_alive: bool) -> None:
        """Bind the answer to its connection; the client decides whether that stays open."""
        self._connection = connection
        self._keep_alive = keep_alive
        self.started = False
        self.finished = False
        self.was_cut = False
        self.bytes_written = 0

    def send(self, status: int, body: bytes, headers: Iterable[Header] = ()) -> None:
        """Write a complete answer with its Content-Length."""
        self.started = True
        head = self._head(status, headers, b"content-length: %d" % len(body))
        self.write_raw(head + body)
        self._finish()

    def start(self, status: int, headers: Iterable[Header] = (), length: int | None = None) -> None:
        """Write the head; the body follows in chunks, or as `length` raw bytes where given."""
        self.started = True
        framing = b"transfer-encoding: chunked"
        if length is not None:
            framing = b"content-length: %d" % length
        self.write_raw(self._head(status, headers, framing))

    def write_chunk(self, data: bytes) -> None:
        """Write one HTTP chunk."""
        self.write_raw(b"%x\r\n%b\r\n" % (len(data), data))

    def write_raw(self, data: bytes) -> None:
        """Write bytes as they are, outside any framing."""
        self.bytes_written += len(data)
        self._connection.transport.write(data)

    def end(self) -> None:
        """Write the last chunk: the proper end of a chunked body."""
        self.write_raw(b"0\r\n\r\n")
        self._finish()

    def end_of_length(self) -> None:
        """Say that all the bytes promised to `start` are written."""
        self._finish()

    def cut(self, *, reset: bool = False) -> None:
        """Break off: FIN after what was written, or RST, which may drop some of it."""
        self.was_cut = True
        self._connection.cut(reset=reset)

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was written."""
        await self._connection.writable.wait()

    def _head(self, status: int, headers: Iterable[Header], framing: bytes) -> bytes:
        lines = [b"HTTP/1.1 %d %b" % (status, _REASONS.get(status, b"Unknown")), framing]
        lines += [b"%b: %b" % header for header in headers]
        if not self._keep_alive:
            lines.append(b"connection: close")
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _finish(self) -> None:
        self.finished = True
        if not self._keep_alive:
            self._connection.transport.close()


class Connection(asyncio.Protocol):
    """One client connection; requests are answered one after the other, in order."""

    transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        """Prepare an idle connection of `server`."""
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Request] = deque()
        self._task: asyncio.Task[None] | None = None
        self._lost = False
        self.writable = asyncio.Event()
        self.writable.set()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or refuse it when too many are open."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES_MAX)
        self._server.connections.add(self)
        self._server.connections_opened += 1
        if len(self._server.connections) > CONNECTIONS_MAX:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        """Stop the work for a client that has left."""
        self._lost = True
        self._server.connections.discard(self)
        self._waiting.clear()
        self.writable.set()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Parse what came; a broken or oversized request ends the connection."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.transport.close()

    def pause_writing(self) -> None:
        """Make `Reply.drain` wait."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """Let `Reply.drain` go on."""
        self.writable.set()

    # httptools

    def on_message_begin(self) -> None:
        """Forget the previous request."""
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._header_bytes = 0
        self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Collect the request target, which may come in pieces."""
        self._target += url
        self._limit_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep one header; of a repeated name the last value wins."""
        self._headers[name.lower()] = value
        self._limit_head(len(name) + len(value))

    def on_headers_complete(self) -> None:
        """Tell a client that asks first (curl with a large body) to go on."""
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Collect the body up to its limit."""
        self._body_bytes += len(body)
        if self._body_bytes > BODY_BYTES_MAX:
            self.transport.close()
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Answer now, or after the requests before this one."""
        if self.transport.is_closing():
            return
        request = Request(
            method=self._parser.get_method().decode("ascii"),
            path=self._target.partition(b"?")[0].decode("latin-1"),
            headers=self._headers,
            body=b"".join(self._body),
            keep_alive=self._parser.should_keep_alive(),
        )
        self._waiting.append(request)
        if len(self._waiting) > PIPELINED_REQUESTS_MAX:
            self.transport.close()
        elif self._task is None:
            self._answer_waiting()

    # answering

    def cut(self, *, reset: bool) -> None:
        """End the connection without a proper end of the answer."""
        if not reset:
            self.transport.close()
            return
        raw: socket.socket = self.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self.transport.abort()

    def _limit_head(self, size_bytes: int) -> None:
        self._header_bytes += size_bytes
        if self._header_bytes > HEADER_BYTES_MAX:
            self.transport.close()

    def _answer_waiting(self) -> None:
        while self._waiting and self._task is None and not self.transport.is_closing():
            request = self._waiting.popleft()
            reply = Reply(self, keep_alive=request.keep_alive)
            try:
                work = self._server.handler(request, reply)
            except Exception as error:  # noqa: BLE001 - one request must not end the server
                self._failed(error)
                return
            if work is not None:
                self._task = asyncio.get_running_loop().create_task(self._run(work, reply))

    def _failed(self, error: Exception) -> None:
        """Only the type of the error is told: its text may quote the request."""
        logger.error("a handler failed with %s", type(error).__name__)
        self.transport.close()

    async def _run(self, work: Coroutine[Any, Any, None], reply: Reply) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(error)
        if not reply.finished and not self._lost:
            self.transport.close()
        self._task = None
        self._answer_waiting()


class Server:
    """The open connections of one listening socket and the handler that serves them."""

    def __init__(self, handler: Handler) -> None:
        """Serve with `handler`; nothing listens yet."""
        self.handler = handler
        self.connections: set[Connection] = set()
        self.connections_opened = 0

    async def listen(self, *, port: int = 0, fd: int | None = None) -> asyncio.Server:
        """Listen on loopback at `port` (0: any free one) or on the inherited socket `fd`."""
        loop = asyncio.get_running_loop()
        if fd is not None:
            listener = socket.socket(fileno=fd)
            return await loop.create_server(lambda: Connection(self), sock=listener)
        return await loop.create_server(lambda: Connection(self), "127.0.0.1", port, backlog=1024)

    def close_connections(self) -> None:
        """Drop every open connection, so that the process can end."""
        for connection in list(self.connections):
            connection.transport.abort()
