"""The data plane's own HTTP/1.1 client: pooled, bounded, cancel-safe, one wake-up per chunk.

It does what the relay of a model's answer needs and no more: no redirects, no proxies from the
environment, no cookies, no decompression. Measured: general HTTP clients reach a tenth of its rate;
httpx 0.28's pool moreover loses its slots when many requests are cancelled while they connect.
"""

from __future__ import annotations

import asyncio
import ssl

from edge.upstream.addresses import is_any_address
from edge.upstream.connection import READ_BYTES
from edge.upstream.errors import ConnectFailed, WriteFailed
from edge.upstream.exchange import Exchange
from edge.upstream.message import Limits, Origin, Timeouts, UpstreamRequest, encode_head
from edge.upstream.pool import AddressRule, OriginPool, PoolStats
from edge.upstream.response import UpstreamResponse
from edge.upstream.tls import default_tls_context

__all__ = [
    "Limits",
    "Origin",
    "PoolStats",
    "Timeouts",
    "UpstreamClient",
    "UpstreamRequest",
    "UpstreamResponse",
]

_DEFAULT_LIMITS = Limits()
_CLOSE_TURNS = 20


class UpstreamClient:
    """Sends requests to upstreams over kept-alive connections; belongs to one event loop."""

    def __init__(
        self,
        *,
        limits: Limits = _DEFAULT_LIMITS,
        tls: ssl.SSLContext | None = None,
        allows_address: AddressRule = is_any_address,
    ) -> None:
        """Take the bounds, a TLS context where the public authorities do not fit, and a rule.

        `allows_address` sees the IP address after the connection is made and before a byte of the
        request, with its credentials, is sent: see `edge.upstream.addresses`.
        """
        self._limits = limits
        self._tls = tls
        self._allows_address = allows_address
        self._pools: dict[tuple[str, str, int], OriginPool] = {}
        self._scratch = memoryview(bytearray(READ_BYTES))
        self._closed = False

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send a request and return its answer as soon as the headers are complete.

        A kept connection that turns out closed when the request is written is replaced; nothing is
        sent twice otherwise. The answer must be read to its end, cancelled or closed.

        Raises:
            UpstreamError: one of its classes, see `edge.upstream.errors`.
        """
        head = encode_head(request)
        exchange = await self._begin(request, head)
        try:
            await exchange.wait_for_head()
        except BaseException:
            exchange.cancel()
            raise
        return UpstreamResponse(exchange)

    async def _begin(self, request: UpstreamRequest, head: bytes) -> Exchange:
        """Write the request on a connection; each turn uses up one dead connection."""
        if self._closed:
            raise ConnectFailed
        pool = self._pool(request.origin)
        timeouts = request.timeouts
        deadline = None
        while True:
            connection = pool.take_idle()
            if connection is None:
                deadline = deadline or asyncio.get_running_loop().time() + timeouts.connect_seconds
                connection = await pool.acquire(deadline)
            exchange = Exchange(timeouts, self._limits, is_head=request.method == b"HEAD")
            fresh = not connection.used
            if connection.begin(exchange, head, request.body):
                return exchange
            if fresh:
                raise WriteFailed(request_sent_whole=False)

    def _pool(self, origin: Origin) -> OriginPool:
        pool = self._pools.get(origin.key)
        if pool is None:
            self._drop_empty_pools()
            tls = self._tls_context() if origin.scheme == "https" else None
            pool = self._pools[origin.key] = OriginPool(
                origin, self._limits, self._scratch, tls, self._allows_address
            )
        return pool

    def _drop_empty_pools(self) -> None:
        """Forget origins that no longer have a connection: the catalogue changes, we stay."""
        for key in [key for key, pool in self._pools.items() if pool.is_empty()]:
            del self._pools[key]

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = default_tls_context()
        return self._tls

    def stats(self) -> PoolStats:
        """Return the counts over all origins."""
        each = [pool.stats() for pool in self._pools.values()]
        return PoolStats(
            sum(stats.active for stats in each),
            sum(stats.idle for stats in each),
            sum(stats.waiting for stats in each),
        )

    async def aclose(self) -> None:
        """Close every connection; exchanges under way end with an error. Idempotent."""
        self._closed = True
        for pool in self._pools.values():
            pool.close()
        for _ in range(_CLOSE_TURNS):  # let the loop tell the transports
            await asyncio.sleep(0)
