"""Rows of PostgreSQL as Arrow: binary COPY decoded outside of Python, a bounded part at a time.

A connection of its own in a thread, for as long as an export takes; the parts go out as they come,
so that memory holds two of them, however long the month.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote, urlencode

import adbc_driver_manager
import pyarrow as pa
from psycopg.conninfo import conninfo_to_dict

from core.db.database import CONNECT_SECONDS
from kit.reasons import Unavailable

PART_BYTES_MAX: Final = 1024 * 1024
_ROWS_BYTES: Final = 900_000
"""Of PostgreSQL's binary rows: less than that as Arrow."""
_PACKED: Final = pa.ipc.IpcWriteOptions(compression="lz4")
"""A quarter of the bytes to be copied from process to process, for less work than copying them."""
_SNAPSHOT: Final = ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",)
_OPTIONS: Final = (
    "-c role=oneapi_system -c timezone=UTC -c statement_timeout=0 -c search_path=public -c jit=off"
    " -c work_mem=64MB"
)

_BROKEN: Final = (adbc_driver_manager.Error, OSError, pa.ArrowException)
"""What a connection ends with: the driver's error while asked, pyarrow's while rows are read."""

Shape = Callable[[pa.RecordBatch], pa.RecordBatch]


async def arrow_parts(dsn: str, sql: str, shape: Shape) -> AsyncIterator[bytes]:
    """Yield the rows of a statement as self-contained Arrow IPC streams of at most 1 MiB.

    The statement takes no parameters: who calls puts ids and dates of ours into it, never text.

    Raises:
        Unavailable: PostgreSQL could not be reached, or went away meanwhile.
    """
    reading = _Reading(dsn, sql, shape)
    upcoming = asyncio.create_task(asyncio.to_thread(reading.next_parts))
    try:
        while True:
            # Not cancelled with us: its thread goes on, and only one may use the connection.
            await asyncio.wait({upcoming})
            parts = upcoming.result()
            if parts is None:
                return
            # While these are sent, the next ones are read.
            upcoming = asyncio.create_task(asyncio.to_thread(reading.next_parts))
            for part in parts:
                yield part
    finally:
        # If we are cancelled once more, it ends by itself.
        await asyncio.wait({asyncio.create_task(_put_away(reading, upcoming))})


async def _put_away(reading: _Reading, upcoming: asyncio.Task[list[bytes] | None]) -> None:
    """Let a read that is under way end, and give everything back, whatever fails of it."""
    if not upcoming.done():
        # A connection of its own to PostgreSQL, which may not answer.
        await asyncio.gather(asyncio.to_thread(reading.cancel), upcoming, return_exceptions=True)
    await asyncio.gather(upcoming, return_exceptions=True)
    await asyncio.to_thread(reading.close)


class _Reading:
    """One statement on a connection of its own. One thread at a time."""

    def __init__(self, dsn: str, sql: str, shape: Shape) -> None:
        self._dsn = dsn
        self._sql = sql
        self._shape = shape
        self._opened: list[Any] = []
        self._statement: Any = None
        self._batches: Any = None

    def next_parts(self) -> list[bytes] | None:
        """Return the next rows; None after the last.

        Raises:
            Unavailable: PostgreSQL could not be reached, or went away meanwhile.
        """
        try:
            batch = self._next_batch()
        except _BROKEN as error:
            # Its text quotes the server's, which may quote a row.
            raise Unavailable(sqlstate=getattr(error, "sqlstate", None) or "none") from None
        return None if batch is None else ipc_parts(self._shape(batch))

    def cancel(self) -> None:
        """Let a read that waits for PostgreSQL end; one that is done does not mind."""
        if self._statement is not None:
            self._statement.cancel()

    def close(self) -> None:
        """Give everything back; of a broken connection some of it is gone already."""
        for each in reversed(self._opened):
            with suppress(*_BROKEN):
                each.close()

    def _next_batch(self) -> pa.RecordBatch | None:
        if self._batches is None:
            self._open()
        try:
            return self._batches.read_next_batch()
        except StopIteration:
            return None

    def _open(self) -> None:
        # Not needed to start. The layer for Python's database interface is left out: it would
        # bring pandas along where that is at hand, some forty megabytes for nothing.
        import adbc_driver_postgresql  # noqa: PLC0415

        database = self._keep(adbc_driver_postgresql.connect(_url(self._dsn)))
        connection = self._keep(adbc_driver_manager.AdbcConnection(database))
        self._statement = self._keep(adbc_driver_manager.AdbcStatement(connection))
        for sql in _SNAPSHOT:
            self._statement.set_sql_query(sql)
            self._statement.execute_update()
        hint = {"adbc.postgresql.batch_size_hint_bytes": str(_ROWS_BYTES)}
        self._statement.set_options(**hint)
        self._statement.set_sql_query(self._sql)
        stream, _ = self._statement.execute_query()
        self._batches = self._keep(pa.RecordBatchReader.from_stream(stream))

    def _keep(self, opened: Any) -> Any:
        self._opened.append(opened)
        return opened


def ipc_parts(batch: pa.RecordBatch) -> list[bytes]:
    """Return a batch as one self-contained stream, or as several where it is too large for one."""
    if batch.num_rows == 0:
        return []
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=_PACKED) as writer:
        writer.write_batch(batch)
    part = sink.getvalue().to_pybytes()
    if len(part) <= PART_BYTES_MAX or batch.num_rows == 1:
        return [part]
    middle = batch.num_rows // 2
    return ipc_parts(batch.slice(0, middle)) + ipc_parts(batch.slice(middle))


def _url(dsn: str) -> str:
    """Return the URL of a connection as the role that serves all tenants.

    All of it stands in the query, where libpq takes every parameter.
    """
    parameters = {key: str(value) for key, value in conninfo_to_dict(dsn).items()}
    ours = {"options": _OPTIONS, "connect_timeout": str(CONNECT_SECONDS)}
    return f"postgresql:///?{urlencode(parameters | ours, quote_via=quote)}"
