"""The short form of `python -m tests.chaos.archive`: a few months, two years, every record."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.archive.__main__ import drill, plan_of
from tests.chaos.archive.drill import State


@pytest.mark.slow
async def test_each_record_is_readable_in_exactly_one_place_until_two_years_are_over(
    database_url: str, tmp_path: Path
) -> None:
    """P15, P16: nothing is archived early, kept hot late, lost, doubled, or kept for ever."""
    plan = plan_of(months=2, rows=160, workspaces=3)
    seen = await drill(database_url, tmp_path, plan, side_by_side=True)
    assert seen.expired_rows == plan.rows
    assert seen.hot_rows_max == plan.rows, "both months are hot until the first one is 90 days old"
    assert seen.disk_bytes < seen.disk_bytes_max / 2, "tables outlive their rows"
    assert {State.STATE_HOT, State.STATE_DETACHED, State.STATE_DROPPED} <= seen.states
    assert State.STATE_EXPIRED in seen.states
    assert seen.moments >= 5 * plan.months
    assert seen.looks >= 6 * plan.months, "right before and after each of a month's steps"
