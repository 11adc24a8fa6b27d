"""When what must have happened to a month: the promises, written down apart from the code."""

from __future__ import annotations

import calendar
from datetime import date, datetime, timedelta

from archiver.calendar import end_of, start_of

SECOND = timedelta(seconds=1)
HOT = timedelta(days=90)
"""How old all of a month is when it is read from the archive only."""
DROPPED_BEHIND = timedelta(days=1)
"""How long after that its rows are gone."""
SERVED_HOT_MAX = timedelta(days=122)
"""The oldest that a record that is served hot can be."""
ON_DISK_MAX = timedelta(days=123)
"""The oldest that a record in a table can be."""
KEPT_YEARS = 2


def published_at(month: date) -> datetime:
    """Return from when on a month is read from the archive."""
    return end_of(month) + HOT


def dropped_at(month: date) -> datetime:
    """Return from when on no row of a month is left."""
    return published_at(month) + DROPPED_BEHIND


def expired_at(month: date) -> datetime:
    """Return from when on no file of a month is left: the 29th of February ends on the next day."""
    at = published_at(month)
    year = at.year + KEPT_YEARS
    if (at.month, at.day) == (2, 29) and not calendar.isleap(year):
        return at.replace(year=year, month=3, day=1)
    return at.replace(year=year)


def moments_of(month: date) -> frozenset[datetime]:
    """Return when a month changes, and when it must not have, or must have at the latest."""
    begin = start_of(month)
    return frozenset(
        {
            published_at(month) - SECOND,
            published_at(month),
            begin + SERVED_HOT_MAX + SECOND,
            begin + ON_DISK_MAX + SECOND,
            dropped_at(month),
            expired_at(month) - SECOND,
            expired_at(month),
        }
    )
