"""The connections to one origin: bounded, reused last-in first-out, with a bounded queue.

A connection or the right to open one (a slot) has exactly one holder at any time: a caller, the
idle stack, or nobody. Whatever is cancelled, and when, the holder passes it on.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from edge.upstream.connection import Connection
from edge.upstream.errors import ConnectFailed, ConnectTimeout, PoolFull
from edge.upstream.message import Limits, Origin

AddressRule = Callable[[str], bool]

# Give up a connection this long before the upstream says that it will.
_PEER_IDLE_MARGIN_SECONDS = 1


@dataclass(frozen=True, slots=True)
class PoolStats:
    """Connections in use (being opened counts), kept for reuse, and callers in the queue."""

    active: int
    idle: int
    waiting: int


class OriginPool:
    """All connections to one origin. Nothing here awaits while it holds a slot unrecorded."""

    def __init__(
        self,
        origin: Origin,
        limits: Limits,
        scratch: memoryview,
        tls: ssl.SSLContext | None,
        allows_address: AddressRule,
    ) -> None:
        self._origin = origin
        self._limits = limits
        self._scratch = scratch
        self._tls = tls
        self._allows_address = allows_address
        self._active = 0
        # Dictionaries as ordered sets: last in first out for connections, first come first
        # served for waiters, and both can be left from the middle.
        self._leased: dict[Connection, None] = {}
        self._idle: dict[Connection, None] = {}
        self._waiters: dict[asyncio.Future[Connection | None], None] = {}

    def stats(self) -> PoolStats:
        """Return the counts of this moment."""
        return PoolStats(self._active, len(self._idle), len(self._waiters))

    async def acquire(self, deadline: float) -> Connection:
        """Return an open connection by the deadline (loop time): a kept one, else a new one.

        Raises:
            PoolFull: the queue is full, or no connection came free in time.
            ConnectFailed: no connection can be made, or the client is closed.
            ConnectTimeout: none could be made in time.
        """
        while True:
            connection = self.take_idle()
            if connection is not None:
                return connection
            if self._active < self._limits.max_connections:
                self._active += 1
                return await self._open(deadline)
            connection = await self._wait(deadline)
            if connection is None:
                return await self._open(deadline)
            if connection.is_usable():
                return connection
            connection.abort()

    def take_idle(self) -> Connection | None:
        """Return a kept connection, None if there is none."""
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.is_usable():
                connection.leased = True
                self._leased[connection] = None
                self._active += 1
                return connection
            connection.abort()
        return None

    async def _wait(self, deadline: float) -> Connection | None:
        """Queue for a connection, or for a slot (None)."""
        if len(self._waiters) >= self._limits.max_waiters:
            raise PoolFull
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        try:
            async with asyncio.timeout_at(deadline):
                return await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._pass_on(waiter.result())  # it came at the very moment we gave up
            if isinstance(error, TimeoutError):
                raise PoolFull from None
            raise
        finally:
            self._waiters.pop(waiter, None)

    def _pass_on(self, connection: Connection | None) -> None:
        if connection is None:
            self._release_slot()
        elif connection.is_usable():
            self.give_back(connection)
        else:
            connection.abort()

    async def _open(self, deadline: float) -> Connection:
        """Open a connection on a slot that is ours; the slot goes on whatever happens."""
        loop = asyncio.get_running_loop()
        connection = Connection(loop, self, self._scratch, self._limits.buffer_high_bytes)
        self._leased[connection] = None
        host = self._origin.host
        try:
            async with asyncio.timeout_at(deadline):
                await loop.create_connection(
                    lambda: connection,
                    host,
                    self._origin.port,
                    ssl=self._tls,
                    server_hostname=host if self._tls is not None else None,
                )
        except BaseException as error:
            connection.abort()
            if isinstance(error, TimeoutError):
                raise ConnectTimeout from None
            if isinstance(error, OSError | UnicodeError):  # ssl.SSLError; a name no DNS can hold
                raise ConnectFailed from None
            raise
        if connection.closed or not self._allows_address(connection.peer_address()):
            connection.abort()
            raise ConnectFailed
        return connection

    # What connections call.

    def give_back(self, connection: Connection) -> None:
        """Hand a reusable connection to the next in the queue, else keep it."""
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(connection)
            return
        connection.leased = False
        del self._leased[connection]
        self._active -= 1
        seconds = min(
            self._limits.keep_idle_seconds,
            connection.peer_idle_seconds - _PEER_IDLE_MARGIN_SECONDS,
        )
        if seconds <= 0:
            connection.abort()
            return
        self._idle[connection] = None
        connection.park(seconds)

    def forget(self, connection: Connection) -> None:
        """Strike a connection that is gone and free its slot, once."""
        self._idle.pop(connection, None)
        if connection.leased:
            connection.leased = False
            del self._leased[connection]
            self._release_slot()

    def _release_slot(self) -> None:
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(None)
        else:
            self._active -= 1

    def _next_waiter(self) -> asyncio.Future[Connection | None] | None:
        while self._waiters:
            waiter = next(iter(self._waiters))
            del self._waiters[waiter]
            if not waiter.done():
                return waiter
        return None

    def is_empty(self) -> bool:
        """Say whether nobody holds or waits for anything here."""
        return not (self._active or self._idle or self._waiters)

    def close(self) -> None:
        """Close every connection; whoever waits or reads gets an error."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(ConnectFailed())
        self._waiters.clear()
        for connection in (*self._idle, *self._leased):
            connection.close()
