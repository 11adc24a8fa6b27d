"""A migrated database on a server of its own, for commands that are no tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.db import bootstrap, embedded, migrate
from tests.support.postgres import FAST_AND_FORGETFUL, chosen_bin_dir


@contextmanager
def scratch_database(*, durable: bool = False) -> Iterator[str]:
    """Run a server, `durable` as in production or else forgetful, and yield the database's URL."""
    settings = {} if durable else FAST_AND_FORGETFUL
    with tempfile.TemporaryDirectory(prefix="oneapi-scratch-") as folder:
        server = embedded.EmbeddedPostgres(
            Path(folder), bin_dir=chosen_bin_dir(), settings=settings
        )
        try:
            dsn = server.start()
            bootstrap.ensure_roles(dsn)
            migrate.migrate(dsn)
            yield dsn
        finally:
            server.stop()
