"""One request's answer as it arrives: parsing, the bounded buffer, and the single waiting reader.

Holds content in memory only, until the reader takes it. Does no I/O: the connection feeds it.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final, Literal, Protocol

import httptools

from edge.upstream.errors import BodyCut, UpstreamError
from edge.upstream.message import Limits, Timeouts

Framing = Literal["chunked", "length", "close", "none"]

_BODILESS_STATUSES: Final = frozenset({204, 304})
_UNANNOUNCED_IDLE_SECONDS: Final = 3600


class Feeder(Protocol):
    """The connection, as its exchange sees it."""

    def resume_reading(self) -> None:
        """Read on: the reader has taken what was buffered."""

    def abandon(self) -> None:
        """End the exchange now and give the connection up."""

    def wake_by(self, when: float) -> None:
        """Look at the exchange's `quiet_at` no later than this loop time."""


class Refused(Exception):
    """Stops the parser: what arrives is over a limit or cannot be trusted."""


class Exchange:
    """The state of one answer. The names of the `on_` methods are the parser's."""

    __slots__ = (
        "_header_bytes",
        "_limits",
        "_parser",
        "_sizeless_bytes",
        "buffered_bytes",
        "chunks",
        "complete",
        "failure",
        "feeder",
        "framing",
        "head_complete",
        "headers",
        "is_head",
        "keep_alive",
        "on_body",
        "peer_idle_seconds",
        "quiet_at",
        "status",
        "timeouts",
        "waiter",
    )

    def __init__(self, timeouts: Timeouts, limits: Limits, *, is_head: bool) -> None:
        self.timeouts = timeouts
        self._limits = limits
        self.is_head = is_head
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.framing: Framing = "none"
        self.head_complete = False
        self.complete = False
        self.keep_alive = False
        self.peer_idle_seconds = _UNANNOUNCED_IDLE_SECONDS
        self.failure: UpstreamError | None = None
        self.chunks: list[bytes] = []
        # The parser calls this for every piece of the body: the list's own method is the fastest.
        self.on_body = self.chunks.append
        self.buffered_bytes = 0
        self.waiter: asyncio.Future[None] | None = None
        self.quiet_at = math.inf
        self.feeder: Feeder | None = None
        self._header_bytes = 0
        self._sizeless_bytes = 0
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    def feed(self, data: memoryview) -> bool:
        """Parse one read and wake the reader; False if it is not what HTTP/1.1 allows here."""
        assert self._parser is not None
        before = len(self.chunks)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.keep_alive = False
            if not self.complete:
                return False
        if len(self.chunks) > before:
            self._count_body(len(data))
        elif not self._is_small_overhead(len(data)):
            return False
        if self.complete:
            self._parser = None  # parser and exchange point at each other: spare the collector
        if self.head_complete:
            self.wake()
        return True

    def _count_body(self, count: int) -> None:
        """Count a read with body in it; its framing counts too, which errs on the safe side."""
        self._sizeless_bytes = 0
        self.buffered_bytes += count
        if self.is_head:
            self.chunks.clear()

    def _is_small_overhead(self, count: int) -> bool:
        """Bound what arrives without a byte of body: headers, trailers, chunk extensions."""
        self._sizeless_bytes += count
        return self.complete or self._sizeless_bytes <= 2 * self._limits.max_header_bytes

    def fail(self, failure: UpstreamError) -> None:
        """End the answer with an error, which the reader gets after what is buffered."""
        self.failure = failure
        self._parser = None
        self.wake()

    def wait(self) -> asyncio.Future[None]:
        """Return what the one reader awaits until something has changed."""
        assert self.waiter is None or self.waiter.done(), "one reader at a time"
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiter = waiter
        return waiter

    async def wait_for_head(self) -> None:
        """Wait until status and headers are there.

        Raises:
            UpstreamError: they will not come.
        """
        while not self.head_complete:
            if self.failure is not None:
                raise self.failure.anew() from None
            await self.wait()

    def wake(self) -> None:
        """Let the reader look again."""
        waiter = self.waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def take(self) -> bytes:
        """Hand over everything that is buffered, and read on."""
        chunks = self.chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self.buffered_bytes = 0
        if self.feeder is not None:
            self.feeder.resume_reading()
        return data

    def cancel(self) -> None:
        """Give the answer up and drop what is buffered; a reader gets BodyCut. Idempotent."""
        if self.failure is None and (self.chunks or not self.complete):
            self.complete = False  # dropped bytes must not look like a proper end
            self.fail(BodyCut(clean_close=False))
        self.chunks.clear()
        self.buffered_bytes = 0
        if self.feeder is not None:
            self.feeder.abandon()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Refuse a second answer that nobody asked for."""
        if self.complete:
            raise Refused

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, within the limits."""
        self._header_bytes += len(name) + len(value) + 4
        if (
            self._header_bytes > self._limits.max_header_bytes
            or len(self.headers) >= self._limits.max_header_count
        ):
            raise Refused
        if not self.head_complete:  # a trailer must not pass for a header
            self.headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Settle the status, and how the body ends."""
        parser = self._parser
        assert parser is not None
        status: int = parser.get_status_code()
        if status == 101:
            raise Refused
        if status < 200:
            self.headers.clear()  # 100 and 103; their bytes stay counted, which bounds them
            return
        self.status = status
        self.framing = self._read_framing()
        self.keep_alive = parser.should_keep_alive()
        self.head_complete = True
        if self.is_head:
            # The parser cannot know that a HEAD's Content-Length has no body behind it.
            self.framing, self.keep_alive, self.complete = "none", False, True

    def on_message_complete(self) -> None:
        """Note the proper end; an interim answer (100, 103) has none."""
        self.complete = self.head_complete

    def _read_framing(self) -> Framing:
        framing: Framing = "close"
        for name, value in self.headers:
            if name == b"content-length":
                framing = "length"
            elif name == b"transfer-encoding":
                if value.lower() != b"chunked":
                    raise Refused  # a second coding would reach the client undecoded
                framing = "chunked"
            elif name == b"keep-alive":
                self.peer_idle_seconds = _announced_idle_seconds(value)
        return "none" if self.status in _BODILESS_STATUSES else framing


def _announced_idle_seconds(value: bytes) -> int:
    """Read `timeout=N` of a Keep-Alive header; an hour if there is none."""
    for part in value.split(b","):
        name, _, seconds = part.strip().partition(b"=")
        if name.lower() == b"timeout" and seconds.isdigit() and len(seconds) < 5:
            return int(seconds)
    return _UNANNOUNCED_IDLE_SECONDS
