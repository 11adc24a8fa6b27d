"""A migrated database on a server of its own, for commands that are no tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.db import bootstrap, embedded, migrate
from tests.support.postgres import PostgresServer, chosen_bin_dir, forgetful_server


@contextmanager
def scratch_database(*, durable: bool = False) -> Iterator[str]:
    """Run a server, `durable` as in production or else forgetful, and yield the database's URL."""
    with _durable_server() if durable else forgetful_server() as server:
        bootstrap.ensure_roles(server.dsn)
        migrate.migrate(server.dsn)
        yield server.dsn


@contextmanager
def _durable_server() -> Iterator[PostgresServer]:
    with tempfile.TemporaryDirectory(prefix="oneapi-scratch-") as folder:
        server = embedded.EmbeddedPostgres(Path(folder), bin_dir=chosen_bin_dir())
        try:
            dsn = server.start()
            yield PostgresServer(dsn=dsn, superuser_dsn=server.superuser_dsn)
        finally:
            server.stop()
