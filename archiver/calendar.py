"""When a month is archived and trimmed: pure, in calendar months of UTC.

When its files are deleted is core's rule: it says so of each month.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

HOT_DAYS: Final = 90
"""A month is archived once all of it is older."""
DROP_AFTER: Final = timedelta(hours=24)
"""Between publication and the drop of what was published, with a second check in between."""
_MONTH: Final = re.compile(r"^([0-9]{4})-(0[1-9]|1[0-2])$", re.ASCII)


class NoMonth(ValueError):
    """A text is no month such as `2026-08`; carries no part of it."""


def parse_month(text: str) -> date:
    """Return the first day of a month.

    Raises:
        NoMonth: not of the form `2026-08`, or before year 1.
    """
    match = _MONTH.fullmatch(text)
    if match is None or match.group(1) == "0000":
        raise NoMonth
    return date(int(match.group(1)), int(match.group(2)), 1)


def format_month(month: date) -> str:
    """Return a month as `2026-08`."""
    return f"{month.year:04d}-{month.month:02d}"


def add_months(month: date, count: int) -> date:
    """Return the first day of the month so many months later."""
    years, index = divmod(month.month - 1 + count, 12)
    return date(month.year + years, index + 1, 1)


def start_of(month: date) -> datetime:
    """Return the first moment of a month."""
    return datetime(month.year, month.month, 1, tzinfo=UTC)


def end_of(month: date) -> datetime:
    """Return the first moment after a month."""
    return start_of(add_months(month, 1))


def eligible_at(month: date) -> datetime:
    """Return when all of a month is older than 90 days."""
    return end_of(month) + timedelta(days=HOT_DAYS)


def droppable_at(published_at: datetime) -> datetime:
    """Return when what was published may leave the hot store for good."""
    return published_at + DROP_AFTER
