"""An edge whose core hangs goes on within its limit, then says when to come again."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.outage import Plan, run


def test_an_edge_bridges_a_hanging_core_and_closes_when_its_time_is_up(tmp_path: Path) -> None:
    """Served inside the limit; then 503 with Retry-After, never 401; every answer is recorded."""
    result = run(Plan("core frozen", 7.0, 4, rate=20, warm_up_seconds=5.0), tmp_path)
    assert result.held, result
