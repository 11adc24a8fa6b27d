"""docs/clients.md: the matrix as a table, made from what a run found."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Final

from tests.contract.clients.run import Row
from tests.support.recordings import PROJECT

PAGE: Final = PROJECT / "docs" / "clients.md"


def rendered(done: Iterable[Row], day: date) -> str:
    """Return the page."""
    return f"{day}\n" + "\n".join(f"{one.client.name} {one.cells}" for one in done)
