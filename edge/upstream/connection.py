"""One TCP or TLS connection to an upstream: reads, writes, deadlines, back-pressure.

Works on uvloop and asyncio. One timer per connection, re-armed only when it fires too early or
would fire too late: no task and no timer per request or chunk.
"""

from __future__ import annotations

import asyncio
import math
import select
from typing import Final, Protocol, cast

from edge.upstream.errors import (
    BodyCut,
    ConnectionReset,
    FirstByteTimeout,
    IdleTimeout,
    ProtocolViolation,
    UpstreamError,
    WriteFailed,
)
from edge.upstream.exchange import Exchange

READ_BYTES: Final = 64 * 1024
_BLANK: Final = memoryview(bytes(READ_BYTES))
# Below this, one write of head and body is cheaper than two; above, copying the body is dearer.
_JOIN_BYTES: Final = 64 * 1024


class Owner(Protocol):
    """The pool, as its connections see it."""

    def give_back(self, connection: Connection) -> None:
        """Take back a leased connection that is fit for reuse."""

    def forget(self, connection: Connection) -> None:
        """Strike a connection that is gone, leased or parked. May be told twice."""


class Connection(asyncio.BufferedProtocol):
    """A connection is parked (kept for reuse), leased to one exchange, or closed."""

    __slots__ = (
        "_armed_at",
        "_buffer_high_bytes",
        "_deadline",
        "_eof",
        "_exchange",
        "_idle_seconds",
        "_loop",
        "_owner",
        "_poll",
        "_reading_paused",
        "_scratch",
        "_timer",
        "_unsent_bytes",
        "closed",
        "leased",
        "peer_idle_seconds",
        "sent_whole",
        "transport",
        "used",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        owner: Owner,
        scratch: memoryview,
        buffer_high_bytes: int,
    ) -> None:
        self._loop = loop
        self._owner = owner
        # Every connection of a client reads into the same memory: a read is parsed before the
        # next one begins, so 1,000 silent streams hold one buffer and not 1,000.
        self._scratch = scratch
        self._buffer_high_bytes = buffer_high_bytes
        self.transport: asyncio.Transport | None = None
        self.leased = True
        self.used = False
        self.closed = False
        self.sent_whole = True
        self.peer_idle_seconds = 0
        self._exchange: Exchange | None = None
        self._idle_seconds = math.inf
        self._reading_paused = False
        self._eof = False
        self._unsent_bytes = 0
        self._poll: select.poll | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed_at = math.inf
        self._deadline = math.inf

    # What the pool calls.

    def is_usable(self) -> bool:
        """Say whether the upstream still holds the connection open, as far as the kernel knows.

        The event loop may not have read a FIN yet; asking the kernel narrows the race between our
        next request and the upstream's idle time-out to the time on the wire.
        """
        if self.closed or self.transport is None or self.transport.is_closing():
            return False
        return self._poll is None or not self._poll.poll(0)

    def begin(self, exchange: Exchange, head: bytes, body: bytes) -> bool:
        """Write a request; False if the connection was closed by then and did not take it whole."""
        transport = self.transport
        assert transport is not None
        assert self._exchange is None
        self._exchange = exchange
        self._idle_seconds = exchange.timeouts.idle_seconds
        exchange.feeder = self
        if len(body) <= _JOIN_BYTES:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)
        if transport.is_closing():
            self.abort()
            return False
        self.used = True
        wait = exchange.timeouts.first_byte_seconds if self.sent_whole else self._idle_seconds
        self._set_deadline(wait)
        return True

    def peer_address(self) -> str:
        """Return the IP address that we are connected to."""
        peer = None if self.transport is None else self.transport.get_extra_info("peername")
        return str(peer[0]) if peer else ""

    def park(self, idle_seconds: float) -> None:
        """Keep the connection for reuse, for so long."""
        self._set_deadline(idle_seconds)

    def close(self) -> None:
        """End an exchange under way with an error, and close."""
        if self._exchange is not None and self._exchange.head_complete:
            self._fail(BodyCut(clean_close=False))
        else:
            self._fail(ConnectionReset(request_sent_whole=self.sent_whole))

    def abort(self) -> None:
        """Close now, without a good-bye, and leave the pool. Idempotent."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.feeder = None
        if self.transport is not None:
            self.transport.abort()
        self._leave()

    def _leave(self) -> None:
        self.closed = True
        self._stop_timer()
        self._owner.forget(self)

    # What the exchange calls.

    def resume_reading(self) -> None:
        """Read on after a pause; the silence so far was ours, not the upstream's."""
        if self._reading_paused and self.transport is not None:
            self._reading_paused = False
            self._set_deadline(self._idle_seconds)
            self.transport.resume_reading()

    def abandon(self) -> None:
        """Give up the exchange and with it the connection."""
        self.abort()

    def wake_by(self, when: float) -> None:
        """Make sure that the timer fires no later than this."""
        if when < self._armed_at:
            self._arm(when)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the transport, unless the caller has gone."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit
        if self.closed:  # given up while it was being made
            self.transport.abort()
            return
        # With no allowance, `resume_writing` means: the last byte has left our memory. TLS pauses
        # at the mark and not above it, so zero would leave it paused.
        over_tls = transport.get_extra_info("ssl_object") is not None
        self.transport.set_write_buffer_limits(high=1 if over_tls else 0, low=0)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            self._poll = select.poll()
            self._poll.register(sock.fileno(), select.POLLIN)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the loop's signature
        """Say where the next read goes."""
        return self._scratch

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what was read, before anything else can be read."""
        exchange = self._exchange
        if exchange is None:
            self.abort()  # a parked upstream has nothing to say
            return
        is_sound = exchange.feed(self._scratch[:nbytes])
        # What was read is content: the shared memory keeps none of it.
        self._scratch[:nbytes] = _BLANK[:nbytes]
        if not is_sound:
            self._fail(ProtocolViolation(request_sent_whole=self.sent_whole))
        elif exchange.complete:
            self._finish(exchange)
        elif exchange.head_complete:
            self._await_more(exchange)

    def _await_more(self, exchange: Exchange) -> None:
        self._set_deadline(self._idle_seconds)
        if exchange.buffered_bytes > self._buffer_high_bytes and not self._reading_paused:
            assert self.transport is not None
            self._reading_paused = True
            self.transport.pause_reading()

    def _finish(self, exchange: Exchange) -> None:
        """Let the connection go at the proper end; what is buffered stays with the exchange."""
        self._exchange = None
        exchange.feeder = None
        if exchange.keep_alive and self.sent_whole and not self._is_closing():
            self.resume_reading()
            self.peer_idle_seconds = exchange.peer_idle_seconds
            self._owner.give_back(self)
            return
        if self.transport is not None and self.sent_whole:
            self.transport.close()
        elif self.transport is not None:
            self.transport.abort()  # nobody reads the rest of a request that is answered
        self._leave()

    def pause_writing(self) -> None:
        """Note that part of the request is still in our memory."""
        self.sent_whole = False
        self._unsent_bytes = self._pending_bytes()

    def resume_writing(self) -> None:
        """Note that the last byte has left; the wait for an answer begins."""
        self.sent_whole = True
        exchange = self._exchange
        if exchange is not None and not exchange.head_complete:
            self._set_deadline(exchange.timeouts.first_byte_seconds)

    def eof_received(self) -> None:
        """Note that the upstream closed in good order."""
        self._eof = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Turn the end of the connection into the error of the stage that it hit."""
        exchange = self._exchange
        if exchange is None:
            self._leave()
        elif exchange.head_complete:
            self._fail(BodyCut(clean_close=self._eof and exc is None))
        elif self.sent_whole:
            self._fail(ConnectionReset(request_sent_whole=True))
        else:
            self._fail(WriteFailed(request_sent_whole=False))
        self.transport = None

    def _fail(self, failure: UpstreamError) -> None:
        exchange = self._exchange
        self.abort()
        if exchange is not None:
            exchange.fail(failure)

    def _is_closing(self) -> bool:
        return self.transport is None or self.transport.is_closing()

    def _pending_bytes(self) -> int:
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    # Time.

    def _set_deadline(self, seconds: float) -> None:
        self._deadline = self._loop.time() + seconds
        if self._deadline < self._armed_at:
            self._arm(self._deadline)

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_at = when
        self._timer = self._loop.call_at(when, self._on_timer)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._armed_at = math.inf

    def _on_timer(self) -> None:
        self._timer, self._armed_at = None, math.inf
        exchange = self._exchange
        now = self._loop.time()
        if exchange is not None and exchange.quiet_at <= now:
            exchange.quiet_at = math.inf
            exchange.wake()
        if now >= self._deadline:
            self._on_deadline(exchange)
        if not self.closed:
            quiet_at = math.inf if exchange is None else exchange.quiet_at
            self._arm(min(self._deadline, quiet_at))

    def _on_deadline(self, exchange: Exchange | None) -> None:
        if exchange is None:
            self.abort()  # parked long enough
        elif exchange.buffered_bytes:
            self._set_deadline(self._idle_seconds)  # the reader is slow, not the upstream
        elif exchange.head_complete:
            self._fail(IdleTimeout(request_sent_whole=self.sent_whole))
        elif self.sent_whole:
            self._fail(FirstByteTimeout(request_sent_whole=True))
        else:
            self._on_write_deadline()

    def _on_write_deadline(self) -> None:
        pending = self._pending_bytes()
        if pending >= self._unsent_bytes:
            self._fail(WriteFailed(request_sent_whole=False))
            return
        self._unsent_bytes = pending
        self._set_deadline(self._idle_seconds)
