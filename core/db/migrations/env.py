"""Runs migrations on the connection, and in the transaction, that `core.db.migrate` hands over."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"], version_table="alembic_version"
)
context.run_migrations()
