"""The same small world as metering's."""

from __future__ import annotations

from tests.integration.core.metering.conftest import world

__all__ = ["world"]
