"""One request and its answer: uvicorn's receiving half, and a sending half of ours.

Ours joins the head with the first piece of the body, which saves a system call and a packet for
each answer, and reports a fault by its exception object only, never by a text.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any, Final

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from edge.server.refusal import INTERNAL

DEPARTURE: Final = "oneapi.departure"
"""The scope's key of `Cycle.watch_departure`, our extension of ASGI."""
WHOLE: Final = "oneapi.whole"
"""The scope's key of `Cycle.send_whole`, another one."""
_NO_LINGER: Final = struct.pack("ii", 1, 0)
_BODILESS_STATUSES: Final = frozenset({204, 304})
# Below this, one write is cheaper than two; above, copying the body is dearer, and a body that many
# are sent would be copied for each who does not read it.
_JOIN_BYTES: Final = 16 * 1024


class AnswerInvalid(Exception):
    """The application's answer is missing, out of order, of another length or not HTTP."""


class AnswerCut(Exception):
    """Raised by an application whose answer must not look whole: the connection is closed."""


class Arrival:
    """Says that the one reader of a request has something to take: a small `asyncio.Event`."""

    __slots__ = ("_is_set", "_loop", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._is_set = False
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Wake the reader, or spare it its next wait."""
        self._is_set = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def clear(self) -> None:
        """Note that all of it was taken."""
        self._is_set = False

    async def wait(self) -> None:
        """Return when there is something."""
        while not self._is_set:
            self._waiter = self._loop.create_future()
            await self._waiter


class Cycle(RequestResponseCycle):
    """Runs the application on one request and writes its answer."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        on_fault: Callable[[BaseException], None],
        close: Callable[[], None],
        **options: Any,
    ) -> None:
        super().__init__(access_log=False, **options)
        self._loop = loop
        self._on_fault = on_fault
        self._close = close
        self._head = b""
        self._departed: Callable[[], None] | None = None
        # What an application needs to hear of a lost connection without a task that waits for it.
        self.scope[DEPARTURE] = self.watch_departure  # type: ignore[typeddict-unknown-key]
        self.scope[WHOLE] = self.send_whole  # type: ignore[typeddict-unknown-key]

    def watch_departure(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back once if the client leaves before its answer is complete, at once if it has.

        Returns what ends the connection at once, whatever of the answer the client has not taken:
        closing it waits for a client that takes a byte now and then.
        """
        if self.disconnected:
            callback()
        else:
            self._departed = callback
        return self._cut

    def _cut(self) -> None:
        if self.response_complete and not self.transport.get_write_buffer_size():
            return
        sock = self.transport.get_extra_info("socket")
        if sock is not None and not self.disconnected:
            # Reset: else the kernel keeps what the client has not taken, for as long as it likes.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    async def run_asgi(self, app: ASGI3Application) -> None:
        """Run the application on this request; its exceptions end here."""
        try:
            await app(self.scope, self.receive, self.send)
            if not self.response_complete and not self.disconnected:
                raise AnswerInvalid  # noqa: TRY301 - a fault like one that the application raises
        except AnswerCut:
            self._flush_head()
            self._close()
        except asyncio.CancelledError:
            self._close()
            raise
        except Exception as error:  # noqa: BLE001 - the last line of defence
            self._on_fault(error)
            await self._end_badly()
        finally:
            self.on_response = self._close = _nothing
            self._departed = None
            # The body of a request that was refused unread must not stay on an idle connection.
            self.body = bytearray()
            self.scope.pop(DEPARTURE, None)  # type: ignore[typeddict-item]
            self.scope.pop(WHOLE, None)  # type: ignore[typeddict-item]

    async def _end_badly(self) -> None:
        """Answer 500 if nothing was sent; else cut, so that nobody takes the part for the whole."""
        if self._head:
            self._head, self.response_started = b"", False
        if self.response_started or self.disconnected:
            self._close()
            return
        body = INTERNAL.body()
        headers = [*INTERNAL.headers(), (b"content-length", b"%d" % len(body))]
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    def hang_up(self) -> None:
        """Tell the application that the client is gone."""
        self.disconnected = True
        self.message_event.set()
        departed, self._departed = self._departed, None
        if departed is not None and not self.response_complete:
            departed()

    async def send(self, message: Any) -> None:
        """Write a part of the answer, waiting while the client takes too little.

        Raises:
            AnswerInvalid: the part does not fit what was sent before.
        """
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if kind == "http.response.body" and self.response_started and not self.response_complete:
            self._send_body(message.get("body", b""), more=message.get("more_body", False))
        elif kind == "http.response.start" and not self.response_started:
            self._send_start(message["status"], message.get("headers", ()))
            # An application that waits before its first byte still gets its head out.
            self._loop.call_soon(self._flush_head)
        else:
            raise AnswerInvalid

    async def send_whole(self, status: int, headers: Any, body: bytes) -> None:
        """Write a whole answer, as two calls of `send` do.

        Raises:
            AnswerInvalid: an answer was begun before, or this is none.
        """
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if self.response_started:
            raise AnswerInvalid
        self._send_start(status, headers)
        self._send_body(body, more=False)

    def _send_start(self, status: int, headers: Any) -> None:
        self.chunked_encoding = None
        lines = [b"%s: %s" % each for each in self.default_headers]
        for raw_name, value in headers:
            name = raw_name.lower()
            if name == b"connection":
                self.keep_alive = self.keep_alive and b"close" not in value.lower()
                continue
            if name == b"transfer-encoding":
                continue  # framing is ours
            if name == b"content-length":
                self.expected_content_length = int(value)
                self.chunked_encoding = False
            lines.append(b"%s: %s" % (name, value))
        if not self.keep_alive:
            lines.append(b"connection: close")
        if self.scope["method"] == "HEAD" or status in _BODILESS_STATUSES:
            self.expected_content_length, self.chunked_encoding = 0, False
        elif self.chunked_encoding is None:
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked")
        self._head = _joined(status, lines)
        self.response_started = True
        self.waiting_for_100_continue = False

    def _flush_head(self) -> None:
        head, self._head = self._head, b""
        if head and not self.disconnected:
            self.transport.write(head)

    def _send_body(self, body: bytes, *, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            body = b""
        data = self._framed(body, more=more)
        if self._head and len(data) > _JOIN_BYTES:
            self._flush_head()
        head, self._head = self._head, b""
        if head or data:
            self.transport.write(head + data if head else data)
        if not more:
            self._complete()

    def _framed(self, body: bytes, *, more: bool) -> bytes:
        if not self.chunked_encoding:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0 or (self.expected_content_length and not more):
                raise AnswerInvalid
            return body
        last = b"" if more else b"0\r\n\r\n"
        return b"%x\r\n%b\r\n%b" % (len(body), body, last) if body else last

    def _complete(self) -> None:
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


def _joined(status: int, lines: list[bytes]) -> bytes:
    head = STATUS_LINE[status] + b"\r\n".join(lines) + b"\r\n\r\n"
    # One count over the whole head instead of a look at every value: a smuggled line end shows.
    ends = len(lines) + 2
    if head.count(b"\r") != ends or head.count(b"\n") != ends or b"\0" in head:
        raise AnswerInvalid
    return head


def _nothing() -> None:
    """Break the cycle between the answer and its connection."""
