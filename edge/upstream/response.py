"""An upstream's answer, for the one task that reads it."""

from __future__ import annotations

import asyncio
import math

from edge.upstream.errors import BodyCut, ResponseTooLarge
from edge.upstream.exchange import Exchange, Framing


class UpstreamResponse:
    """Status and headers are there; the body is read once, by one task at a time.

    Read to its proper end, the connection is kept for reuse; anything else closes it. A response
    that is dropped unread closes it as well, but say so: `cancel()`.
    """

    __slots__ = ("_exchange", "framing", "headers", "status")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.status: int = exchange.status
        # Names in lower case, values as sent, in order, repeated ones repeated.
        self.headers: list[tuple[bytes, bytes]] = exchange.headers
        # `close` has no proper end: next_chunk() raises BodyCut there and the caller decides.
        self.framing: Framing = exchange.framing

    def __del__(self) -> None:
        self._exchange.cancel()

    def header(self, name: bytes) -> bytes:
        """Return the first value of a header (name in lower case), empty where there is none."""
        return next((value for key, value in self.headers if key == name), b"")

    async def next_chunk(self) -> bytes:
        """Return what has arrived, joined, waiting if there is nothing; b"" at the proper end.

        Cancelling the wait loses no byte: call again, or `cancel()`.

        Raises:
            BodyCut: the connection ended before the proper end of the body.
            IdleTimeout: the upstream fell silent.
            ProtocolViolation: the framing is broken.
        """
        exchange = self._exchange
        while not exchange.chunks:
            if exchange.complete:
                return b""
            if exchange.failure is not None:
                raise exchange.failure.anew() from None
            await exchange.wait()
        return exchange.take()

    async def next_chunk_within(self, quiet_seconds: float) -> bytes | None:
        """Return the next chunk, or None if nothing arrived for so long: then call again.

        What a relay needs to send keep-alives, without a task or a timer of its own.
        """
        if not self.buffered() and not await self._wait_within(quiet_seconds):
            return None
        return await self.next_chunk()

    async def _wait_within(self, quiet_seconds: float) -> bool:
        """Wait until `buffered()`; False if it stayed quiet. The connection's timer wakes us."""
        exchange = self._exchange
        exchange.quiet_at = asyncio.get_running_loop().time() + quiet_seconds
        if exchange.feeder is not None:
            exchange.feeder.wake_by(exchange.quiet_at)
        try:
            while not self.buffered() and exchange.quiet_at < math.inf:
                await exchange.wait()
        finally:
            exchange.quiet_at = math.inf
        return self.buffered()

    async def read(self, limit_bytes: int, *, until_close: bool = False) -> bytes:
        """Return the whole body.

        With `until_close` a body without framing ends where the upstream closes in good order.

        Raises:
            ResponseTooLarge: it is longer than `limit_bytes`; the connection is closed.
            UpstreamError: as `next_chunk`.
        """
        exchange = self._exchange
        if exchange.complete and 0 < exchange.buffered_bytes <= limit_bytes:
            return exchange.take()  # most answers are whole in one read
        parts: list[bytes] = []
        size = 0
        try:
            while chunk := await self._next_or_close(until_close=until_close):
                size += len(chunk)
                _check_size(size, limit_bytes)
                parts.append(chunk)
        except BaseException:
            self.cancel()
            raise
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _next_or_close(self, *, until_close: bool) -> bytes:
        try:
            return await self.next_chunk()
        except BodyCut as cut:
            if until_close and cut.clean_close and self.framing == "close":
                return b""
            raise

    def buffered(self) -> bool:
        """Say whether `next_chunk()` would answer (bytes, end or error) without waiting."""
        exchange = self._exchange
        return bool(exchange.chunks) or exchange.complete or exchange.failure is not None

    def cancel(self) -> None:
        """Give the answer up and close the connection now. Idempotent; no-op after the end."""
        self._exchange.cancel()

    async def aclose(self) -> None:
        """Do as `cancel`, for callers that close asynchronously."""
        self._exchange.cancel()


def _check_size(size: int, limit_bytes: int) -> None:
    if size > limit_bytes:
        raise ResponseTooLarge(limit_bytes=limit_bytes)
