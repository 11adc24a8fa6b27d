"""Spools in temporary folders, closed after each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edge.metering.spool import Spool
from tests.unit.edge.metering.samples import SMALL, DirectLine, SpoolFactory


@pytest.fixture
async def open_spool(tmp_path: Path) -> AsyncIterator[SpoolFactory]:
    """Give a function that opens small spools of edge 1, epoch 5 in a new folder."""
    opened: list[Spool] = []

    def factory(**options: Any) -> Spool:
        defaults: dict[str, Any] = {"reporter": DirectLine(), "limits": SMALL}
        opened.append(Spool(tmp_path / "5", 1, 5, **(defaults | options)))
        return opened[-1]

    yield factory
    for spool in opened:
        await spool.close()
