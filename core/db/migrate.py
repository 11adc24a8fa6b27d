"""Migrations: one transaction each, as the role `oneapi_owner`, one process at a time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import errors
from sqlalchemy import Connection, Engine, create_engine, exc
from sqlalchemy.pool import NullPool

from core.db.database import Transaction

MIGRATIONS: Final = Path(__file__).parent / "migrations"
VERSION_TABLE: Final = "alembic_version"
_ATTEMPTS: Final = 60
_WAIT_SECONDS: Final = 0.5
_OPTIONS: Final = "-c lock_timeout=5s -c timezone=UTC -c search_path=public"


def migrate(dsn: str) -> None:
    """Bring the schema to the newest version; returns at once when it is there.

    Raises:
        sqlalchemy.exc.DBAPIError: a migration failed; the ones before it stay applied.
    """
    engine = _engine(dsn)
    try:
        _retrying(engine, _make_version_table)
        while _retrying(engine, _apply_next):
            pass
    finally:
        engine.dispose()


def current_revision(dsn: str) -> str | None:
    """Return the schema's version, None before the first migration."""
    engine = _engine(dsn)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("SET LOCAL ROLE oneapi_owner")
            return _context(connection).get_current_revision()
    finally:
        engine.dispose()


def head_revision() -> str:
    """Return the newest version that this code knows."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


async def revision_of(tx: Transaction) -> str | None:
    """Return the schema's version as a running service reads it."""
    row = await tx.one(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608 - constant
    return None if row is None else str(row.version_num)


def _engine(dsn: str) -> Engine:
    def connect() -> psycopg.Connection[Any]:
        return psycopg.connect(dsn, options=_OPTIONS, connect_timeout=5)

    return create_engine(
        "postgresql+psycopg://",
        creator=connect,
        poolclass=NullPool,
        hide_parameters=True,
        use_native_hstore=False,
    )


def _retrying(engine: Engine, step: Any) -> bool:
    """Run a step in a transaction of its own; while another process holds the lock, wait."""
    for attempt in range(_ATTEMPTS):
        try:
            with engine.begin() as connection:
                connection.exec_driver_sql("SET LOCAL ROLE oneapi_owner")
                return bool(step(connection))
        except exc.DBAPIError as error:
            if not isinstance(error.orig, _BUSY) or attempt == _ATTEMPTS - 1:
                raise
        time.sleep(_WAIT_SECONDS)
    return False


_BUSY: Final = (
    errors.LockNotAvailable,
    errors.DeadlockDetected,
    # Two processes make the version table: in the same instant, or one right after the other.
    errors.UniqueViolation,
    errors.DuplicateTable,
    # The table's row type comes first.
    errors.DuplicateObject,
)


def _make_version_table(connection: Connection) -> None:
    _context(connection)._ensure_version_table()  # noqa: SLF001 alembic has no public name for it


def _apply_next(connection: Connection) -> bool:
    """Apply the migration after the current one; say whether there was one."""
    connection.exec_driver_sql(f"LOCK TABLE {VERSION_TABLE} IN ACCESS EXCLUSIVE MODE")
    config = _config()
    scripts = ScriptDirectory.from_config(config)
    current = _context(connection).get_current_revision()
    pending = list(scripts.iterate_revisions("head", current or "base"))
    if not pending:
        return False
    config.attributes["connection"] = connection
    command.upgrade(config, pending[-1].revision)
    return True


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _context(connection: Connection) -> MigrationContext:
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
