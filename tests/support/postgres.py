"""A real PostgreSQL for tests: one server per session, a fresh database per test.

`ONEAPI_TEST_POSTGRES=15` picks another major version among those at hand (the wheel's and
Debian's); without it the wheel's newest runs.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from core.db import bootstrap, embedded, embedded_binaries, migrate
from core.db.embedded_login import DATABASE, LOGIN

# A crash of the test machine costs nothing, so tests do not wait for the disk.
FAST_AND_FORGETFUL = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
LOCK_WAITS = (
    "SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE NOT granted AND datname = current_database()"
)
"""Who waits for a lock in this database, whichever role asks. Those of other tests do not count.

A wait for a row is one for its transaction, of which `pg_locks` names no database.
"""
_TEMPLATE = "oneapi_template"
_MEMORY = Path("/dev/shm")
_MEMORY_BYTES_MIN = 4 << 30


@dataclass(slots=True)
class PostgresServer:
    """The session's server. Databases come from a template, in milliseconds."""

    dsn: str = field(repr=False)
    superuser_dsn: str = field(repr=False)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def make_database(self, *, template: str = DATABASE, name: str | None = None) -> str:
        """Copy `template` (the default is empty but for its owner) and return the copy's URL."""
        name = name or f"test_{next(self.numbers)}"
        # Hundreds of small files: copied as they are, without a word in the write-ahead log.
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY FILE_COPY")
        self._as_superuser(statement.format(*map(sql.Identifier, (name, template, LOGIN))))
        return self.url_of(name)

    def drop_database(self, dsn: str) -> None:
        """Remove a database together with the connections that a test left open."""
        name = urlsplit(dsn).path.removeprefix("/")
        self._as_superuser(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def url_of(self, database: str) -> str:
        """Return the ordinary login's URL of another database of this server."""
        return urlunsplit(urlsplit(self.dsn)._replace(path=f"/{database}"))

    def superuser_url_of(self, dsn: str) -> str:
        """Return the superuser's URL of the database behind `dsn`, to tamper with rows."""
        return urlunsplit(urlsplit(self.superuser_dsn)._replace(path=urlsplit(dsn).path))

    def _as_superuser(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.superuser_dsn, autocommit=True) as connection:
            connection.execute(statement)


def bin_dirs() -> dict[int, Path]:
    """Return the PostgreSQL binaries at hand by major version, the wheel's before Debian's."""
    return {**embedded_binaries.system_bin_dirs(), **embedded_binaries.wheel_bin_dirs()}


def chosen_bin_dir() -> Path:
    """Return the binaries of the version that `ONEAPI_TEST_POSTGRES` names, else the newest."""
    found = bin_dirs()
    return found[int(os.environ.get("ONEAPI_TEST_POSTGRES") or max(found))]


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """Run a server until the block ends."""
    with tempfile.TemporaryDirectory(prefix="oneapi-test-") as folder:
        server = embedded.EmbeddedPostgres(
            Path(folder), bin_dir=chosen_bin_dir(), settings=FAST_AND_FORGETFUL
        )
        try:
            dsn = server.start()
            yield PostgresServer(dsn=dsn, superuser_dsn=server.superuser_dsn)
        finally:
            server.stop()


@contextmanager
def forgetful_server() -> Iterator[PostgresServer]:
    """Run a server that a crash of the machine would ruin, in memory where there is room."""
    with tempfile.TemporaryDirectory(prefix="oneapi-test-", dir=fast_folder()) as folder:
        server = embedded.EmbeddedPostgres(
            Path(folder), bin_dir=chosen_bin_dir(), settings=FAST_AND_FORGETFUL
        )
        try:
            dsn = server.start()
            yield PostgresServer(dsn=dsn, superuser_dsn=server.superuser_dsn)
        finally:
            server.stop()


def fast_folder() -> Path | None:
    """Return a folder in memory if there is room, else None."""
    if not _MEMORY.is_dir() or not os.access(_MEMORY, os.W_OK):
        return None
    return _MEMORY if shutil.disk_usage(_MEMORY).free >= _MEMORY_BYTES_MIN else None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Run one server for the whole session."""
    with forgetful_server() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_template(postgres_server: PostgresServer) -> str:
    """Migrate one database for the session and return its name, to copy from."""
    dsn = postgres_server.make_database(name=_TEMPLATE)
    bootstrap.ensure_roles(dsn)
    migrate.migrate(dsn)
    return _TEMPLATE


@pytest.fixture
def empty_database(postgres_server: PostgresServer) -> Iterator[str]:
    """Give a test the URL of a database of its own without any table."""
    dsn = postgres_server.make_database()
    yield dsn
    postgres_server.drop_database(dsn)


@pytest.fixture
def database_url(postgres_server: PostgresServer, migrated_template: str) -> Iterator[str]:
    """Give a test the URL of a migrated database of its own."""
    dsn = postgres_server.make_database(template=migrated_template)
    yield dsn
    postgres_server.drop_database(dsn)
