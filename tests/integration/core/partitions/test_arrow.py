"""Exports on connections that break or do not answer: an outage, and never core's to wait for."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

import psycopg
import pyarrow as pa
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from core.partitions.arrow import arrow_parts
from kit.reasons import Unavailable

MANY = "SELECT CAST(n AS bigint) AS n FROM generate_series(1, 3000000) AS n"
STUCK = f"{MANY} WHERE n < 200000 OR pg_sleep(60) IS NOT NULL"
BACKENDS = "FROM pg_stat_activity WHERE query LIKE 'COPY (SELECT CAST(n AS bigint)%%'"
HELD_SECONDS = 1.5
DRIVER_CONNECTIONS = 2
UNBROKEN_SECONDS_MAX = 0.75


def same(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Leave rows as they are."""
    return batch


@dataclass
class Road:
    """A way to PostgreSQL on which all but the first connections wait before they get there.

    The driver makes two of its own: one to learn the types, one to read on.
    """

    dsn: str
    connections: int = 0

    def serve(self, listener: socket.socket, target: dict[str, str]) -> None:
        """Forward connections until the listener is closed."""
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            pause = HELD_SECONDS if self.connections > DRIVER_CONNECTIONS else 0
            threading.Thread(target=_forward, args=(near, target, pause), daemon=True).start()


def _forward(near: socket.socket, target: dict[str, str], pause_seconds: float) -> None:
    time.sleep(pause_seconds)
    far = _reach(target)
    back = threading.Thread(target=_copy, args=(far, near), daemon=True)
    back.start()
    _copy(near, far)
    back.join()
    near.close()
    far.close()


def _reach(target: dict[str, str]) -> socket.socket:
    host, port = target.get("host", "127.0.0.1"), target.get("port", "5432")
    if not host.startswith("/"):
        return socket.create_connection((host, int(port)))
    far = socket.socket(socket.AF_UNIX)
    far.connect(f"{host}/.s.PGSQL.{port}")
    return far


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def road(dsn: str) -> Iterator[Road]:
    """Open a way."""
    target = {key: str(value) for key, value in conninfo_to_dict(dsn).items()}
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
        way = Road(make_conninfo(dsn, host="127.0.0.1", port=port, sslmode="disable"))
        accepting = threading.Thread(target=way.serve, args=(listener, target), daemon=True)
        accepting.start()
        yield way
        # Wakes it up, which closing alone does not.
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()


async def longest_pause() -> float:
    """Return, once cancelled, for how long the event loop served nobody else at most."""
    longest, last = 0.0, time.monotonic()
    try:
        while True:
            await asyncio.sleep(0.01)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
    except asyncio.CancelledError:
        return max(longest, time.monotonic() - last)


async def nobody_is_left(dsn: str) -> None:
    """Wait until no backend runs an export; one that was told to end takes a moment."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for _ in range(200):
            if connection.execute(f"SELECT pid {BACKENDS}", ()).fetchall() == []:
                return
            await asyncio.sleep(0.05)
    raise AssertionError


async def test_a_connection_that_breaks_is_an_outage(database_url: str) -> None:
    """Who reads is told to come back, whichever library noticed."""
    parts = arrow_parts(database_url, MANY, same)
    await anext(parts)
    with psycopg.connect(database_url, autocommit=True) as connection:
        ended = connection.execute(f"SELECT pg_terminate_backend(pid) {BACKENDS}", ()).fetchall()
    assert ended == [(True,)]
    with pytest.raises(Unavailable):
        async for _ in parts:
            pass


async def test_nobody_waits_for_an_export_that_is_given_up(database_url: str) -> None:
    """PostgreSQL is asked to end it from a thread; the event loop goes on meanwhile."""
    with road(database_url) as way:
        parts = arrow_parts(way.dsn, STUCK, same)
        await anext(parts)
        watching = asyncio.create_task(longest_pause())
        await asyncio.sleep(0)
        await parts.aclose()  # type: ignore[attr-defined]
        watching.cancel()
        assert await watching < UNBROKEN_SECONDS_MAX
        assert way.connections > DRIVER_CONNECTIONS
    await nobody_is_left(database_url)


async def test_an_export_that_is_done_asks_for_nothing(database_url: str) -> None:
    """Its connection is closed, and no other one is made to end what has ended."""
    with road(database_url) as way:
        rows = 0
        async for part in arrow_parts(way.dsn, "SELECT 1 AS n", same):
            rows += pa.ipc.open_stream(part).read_all().num_rows
        assert (rows, way.connections) == (1, DRIVER_CONNECTIONS)


async def test_a_reader_that_is_cancelled_leaves_no_connection(database_url: str) -> None:
    """While PostgreSQL thinks: the thread that waits for it is through before all is closed."""
    parts = arrow_parts(database_url, STUCK, same)

    async def read() -> None:
        async for _ in parts:
            pass

    reading = asyncio.create_task(read())
    await asyncio.sleep(1)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await parts.aclose()  # type: ignore[attr-defined]
    await nobody_is_left(database_url)
