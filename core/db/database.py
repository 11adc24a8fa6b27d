"""Connections to PostgreSQL: three small pools, and transactions that name their role.

A transaction that is left without `commit` is rolled back. Ids are bytes outside and uuid inside
(`core.db.values`); time is always a parameter, for the process clock is the only one that counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

import psycopg
from sqlalchemy import Row, TextClause, exc, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from core.db.values import to_uuid
from kit.reasons import Unavailable

Role = Literal["app", "system", "partitions"]

CHECKOUT_SECONDS: Final = 5
CONNECT_SECONDS: Final = 5
IDLE_IN_TRANSACTION_MS: Final = 10_000
RECYCLE_SECONDS: Final = 1_800
PREPARE_AFTER: Final = 2
PREPARED_STATEMENTS: Final = 256
_STATEMENTS_KEPT: Final = 1_024

_ENTER: Final = (
    "SELECT set_config('role', :role, true), set_config('oneapi.workspace_id', :workspace, true)"
)


@lru_cache(maxsize=_STATEMENTS_KEPT)
def _statement(sql: str) -> TextClause:
    return text(sql)


class Transaction:
    """An open transaction in one role. Parameters are written `:name`."""

    def __init__(self, outer: AsyncConnection, driver: psycopg.AsyncConnection[Any]) -> None:
        """Wrap a connection whose role is set; `Pool.transaction` makes these."""
        self._outer = outer
        self._driver = driver

    @property
    def connection(self) -> psycopg.AsyncConnection[Any]:
        """The psycopg connection below, for COPY."""
        return self._driver

    async def all(self, sql: str, **parameters: object) -> list[Row[Any]]:
        """Return all rows of a statement."""
        result = await self._outer.execute(_statement(sql), parameters)
        return list(result.all())

    async def one(self, sql: str, **parameters: object) -> Row[Any] | None:
        """Return the first row of a statement, if there is one."""
        result = await self._outer.execute(_statement(sql), parameters)
        return result.first()

    async def run(self, sql: str, **parameters: object) -> int:
        """Run a statement and return how many rows it touched."""
        result = await self._outer.execute(_statement(sql), parameters)
        return int(result.rowcount)

    async def commit(self) -> None:
        """Make the transaction's writes durable; nothing may follow."""
        await self._outer.commit()


class Pool:
    """A few connections for one kind of work."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Take the connections from the engine."""
        self._engine = engine

    @asynccontextmanager
    async def transaction(
        self, role: Role, workspace_id: bytes | None = None, *, snapshot: bool = False
    ) -> AsyncIterator[Transaction]:
        """Open a transaction as `role`; `app` sees the rows of the workspace and no others.

        With `snapshot` all its statements see the database of one moment (REPEATABLE READ).

        Raises:
            asyncio.CancelledError: the task was cancelled, whatever the connection says of it.
            Unavailable: PostgreSQL cannot be reached, or a time limit or lock stood in the way;
                the call may be repeated.
        """
        try:
            async with self._engine.connect() as connection:
                if snapshot:
                    await connection.execution_options(isolation_level="REPEATABLE READ")
                raw = await connection.get_raw_connection()
                workspace = "" if workspace_id is None else str(to_uuid(workspace_id))
                parameters = {"role": f"oneapi_{role}", "workspace": workspace}
                await connection.execute(_statement(_ENTER), parameters)
                yield Transaction(connection, _psycopg(raw.driver_connection))
        except exc.TimeoutError:
            _end_if_cancelled()
            raise Unavailable(cause="pool") from None
        except exc.DBAPIError as error:
            _end_if_cancelled()
            if not _may_be_repeated(error.orig):
                raise
            raise _unavailable(error.orig) from None
        except psycopg.Error as error:
            # COPY and other calls on the driver's own connection come unwrapped.
            _end_if_cancelled()
            if not _may_be_repeated(error):
                raise
            raise _unavailable(error) from None

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


def _end_if_cancelled() -> None:
    """Put back a cancellation that an error of the connection's clean-up has replaced.

    A loop that repeats what was unavailable would never end otherwise, nor whoever stops it.

    Raises:
        asyncio.CancelledError: the task was asked to end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError from None


def _psycopg(connection: object) -> psycopg.AsyncConnection[Any]:
    if not isinstance(connection, psycopg.AsyncConnection):
        raise TypeError
    return connection


def _may_be_repeated(error: BaseException | None) -> bool:
    """Tell a server that is away, busy or out of patience from a statement that is wrong."""
    kinds = (
        psycopg.OperationalError,
        psycopg.InterfaceError,
        psycopg.errors.IdleInTransactionSessionTimeout,
    )
    return isinstance(error, kinds)


def _unavailable(error: BaseException | None) -> Unavailable:
    """Keep the five-letter SQLSTATE, never the text: it may quote a row."""
    return Unavailable(sqlstate=getattr(error, "sqlstate", None) or "none")


@dataclass(frozen=True, slots=True)
class Database:
    """The pools of a core process, apart so that none can starve another."""

    rpc: Pool
    metering: Pool
    jobs: Pool

    @classmethod
    def connect(
        cls, dsn: str, *, rpc_pool: int = 8, metering_pool: int = 4, jobs_pool: int = 4
    ) -> Database:
        """Make the pools; connections are opened when first needed."""
        return cls(
            rpc=open_pool(dsn, size=rpc_pool, statement_timeout_ms=10_000),
            metering=open_pool(dsn, size=metering_pool, statement_timeout_ms=30_000),
            jobs=open_pool(dsn, size=jobs_pool, statement_timeout_ms=60_000),
        )

    async def close(self) -> None:
        """Close all connections of all pools."""
        for pool in (self.rpc, self.metering, self.jobs):
            await pool.close()


def open_pool(dsn: str, *, size: int, statement_timeout_ms: int) -> Pool:
    """Make one pool of at most `size` connections."""
    engine = create_async_engine(
        "postgresql+psycopg://",
        async_creator=_connector(dsn, statement_timeout_ms),
        pool_size=size,
        max_overflow=0,
        pool_timeout=CHECKOUT_SECONDS,
        pool_recycle=RECYCLE_SECONDS,
        hide_parameters=True,
        use_native_hstore=False,
    )
    return Pool(engine)


def _connector(
    dsn: str, statement_timeout_ms: int
) -> Callable[[], Awaitable[psycopg.AsyncConnection[Any]]]:
    settings = {
        "statement_timeout": statement_timeout_ms,
        "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_MS,
        "timezone": "UTC",
        "search_path": "public",
        "jit": "off",
    }
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())

    async def connect() -> psycopg.AsyncConnection[Any]:
        connection = await psycopg.AsyncConnection.connect(
            dsn,
            options=options,
            connect_timeout=CONNECT_SECONDS,
            prepare_threshold=PREPARE_AFTER,
        )
        connection.prepared_max = PREPARED_STATEMENTS
        return connection

    return connect
