"""The fixtures under test."""

from __future__ import annotations

from tests.support.postgres import (
    database_url,
    empty_database,
    migrated_template,
    postgres_server,
)

__all__ = ["database_url", "empty_database", "migrated_template", "postgres_server"]
