"""Which step of a month is due: pure, decided by what core says of it and the time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from archiver.calendar import droppable_at, eligible_at, parse_month
from kit.clock import from_micros
from oneapi.partitions.v1.partition_pb2 import Month

FREEZE: Final = "freeze"
EXPORT: Final = "export"
LATE: Final = "late"
DETACH: Final = "detach"
DROP: Final = "drop"
EXPIRE: Final = "expire"
IN_ORDER: Final = frozenset({FREEZE, EXPORT})
"""Steps that a month may take only after all older ones."""
_NEXT: Final = {
    Month.STATE_ELIGIBLE: FREEZE,
    Month.STATE_FROZEN: EXPORT,
    Month.STATE_PUBLISHED: DETACH,
    # Core agrees that two years are over.
    Month.STATE_EXPIRING: EXPIRE,
}


def due(month: Month, now: datetime) -> str | None:
    """Return the step that a month is due for, None if it has to wait."""
    if month.state in _NEXT:
        return _NEXT[month.state]
    if month.state == Month.STATE_DROPPED:
        return _of_dropped(month, now)
    if month.state == Month.STATE_EXPIRED:
        # What came for it since then is kept no longer than what came in time.
        return EXPIRE if month.late_records or month.HasField("late_removable_at") else None
    if month.state != Month.STATE_DETACHED:
        return None
    if month.late_records:
        return LATE
    return DROP if now >= droppable_at(published_at(month)) else None


def _of_dropped(month: Month, now: datetime) -> str | None:
    if _has_removable(month, now):
        return DROP
    return LATE if month.late_records else None


def may_wait(month: Month, younger: Iterable[Month]) -> bool:
    """Say whether a month that may be frozen has nothing to archive, nor has any behind it yet.

    Months go in order, so it is frozen with the first younger one that has something. Until then
    what comes for it is in time.
    """
    if month.state != Month.STATE_ELIGIBLE or not month.empty:
        return False
    return all(each.state == Month.STATE_HOT or _is_idle(each) for each in younger)


def _is_idle(month: Month) -> bool:
    return month.state == Month.STATE_ELIGIBLE and month.empty


def is_in_files(month: Month) -> bool:
    """Say whether a month is read from the archive, and is not to go from there."""
    leaving = {Month.STATE_EXPIRING, Month.STATE_EXPIRED}
    return month.HasField("published_at") and month.state not in leaving


def due_at(month: Month, now: datetime) -> datetime | None:
    """Return since or from when a month's next step is due; None if nothing is left to do."""
    step = due(month, now)
    if step == LATE or (step is not None and month.state == Month.STATE_EXPIRED):
        # What came late is due at once; since when is written nowhere.
        return now
    if month.state in {Month.STATE_HOT, Month.STATE_ELIGIBLE, Month.STATE_FROZEN}:
        return eligible_at(parse_month(month.month))
    if month.state in {Month.STATE_UNSPECIFIED, Month.STATE_EXPIRED}:
        return None
    return _due_in_files(month)


def _due_in_files(month: Month) -> datetime:
    if month.state == Month.STATE_PUBLISHED:
        return published_at(month)
    if month.state == Month.STATE_DETACHED:
        return droppable_at(published_at(month))
    if month.state == Month.STATE_DROPPED and month.HasField("late_removable_at"):
        return min(_moment(month.late_removable_at), _moment(month.expires_at))
    return _moment(month.expires_at)


def published_at(month: Month) -> datetime:
    """Return when a month's first revision was published."""
    return _moment(month.published_at)


def _moment(at: Timestamp) -> datetime:
    return from_micros(at.ToMicroseconds())


def _has_removable(month: Month, now: datetime) -> bool:
    """Say whether late records that are in files for long enough still have rows."""
    if not month.HasField("late_removable_at"):
        return False
    return now >= _moment(month.late_removable_at)


def state_word(month: Month) -> str:
    """Return a month's state as a word."""
    return Month.State.Name(month.state).removeprefix("STATE_").lower()
