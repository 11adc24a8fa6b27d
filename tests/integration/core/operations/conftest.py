"""The same small world as metering's."""

from __future__ import annotations

from tests.integration.core.metering.conftest import (
    database_url,
    migrated_template,
    postgres_server,
    world,
)

__all__ = ["database_url", "migrated_template", "postgres_server", "world"]
