"""When a month is archived, trimmed and deleted."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.calendar import (
    NoMonth,
    add_months,
    eligible_at,
    end_of,
    format_month,
    parse_month,
    start_of,
)

MONTHS = st.dates(date(2000, 1, 1), date(2100, 12, 31)).map(lambda day: day.replace(day=1))


@given(MONTHS)
def test_all_of_a_month_is_90_days_old_and_nothing_is_122(month: date) -> None:
    """Hot for 90 to 121 days, and a day more until it is served from the archive."""
    last = end_of(month) - timedelta(microseconds=1)
    assert eligible_at(month) - last > timedelta(days=90)
    assert eligible_at(month) - start_of(month) <= timedelta(days=121)


@given(MONTHS)
def test_a_month_is_written_and_read(month: date) -> None:
    """There and back."""
    assert parse_month(format_month(month)) == month


@pytest.mark.parametrize(
    "text", ["", "2026", "2026-00", "2026-13", "2026-1", "0000-01", "\uff12026-01"]
)
def test_what_is_no_month_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(NoMonth):
        parse_month(text)


@given(MONTHS, st.integers(-500, 500))
def test_adding_months_can_be_undone(month: date, count: int) -> None:
    """In either direction."""
    assert add_months(add_months(month, count), -count) == month
