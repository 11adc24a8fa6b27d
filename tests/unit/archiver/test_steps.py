"""Which step is due is decided by what core says of a month and the time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from archiver.steps import due, due_at, may_wait, state_word
from oneapi.partitions.v1.partition_pb2 import Month

PUBLISHED = datetime(2026, 7, 1, 3, tzinfo=UTC)
TWO_YEARS = datetime(2028, 7, 1, 3, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


def month(state: Month.State.ValueType, late: int = 0) -> Month:
    """A month in a state."""
    made = Month(month="2026-03", state=state, late_records=late)
    made.published_at.FromDatetime(PUBLISHED)
    made.expires_at.FromDatetime(TWO_YEARS)
    return made


@pytest.mark.parametrize(
    ("state", "now", "late", "step"),
    [
        (Month.STATE_HOT, TWO_YEARS, 0, None),
        (Month.STATE_ELIGIBLE, PUBLISHED, 0, "freeze"),
        (Month.STATE_FROZEN, PUBLISHED, 0, "export"),
        (Month.STATE_PUBLISHED, PUBLISHED, 3, "detach"),
        (Month.STATE_DETACHED, PUBLISHED + DAY - SECOND, 0, None),
        (Month.STATE_DETACHED, PUBLISHED + DAY - SECOND, 1, "late"),
        (Month.STATE_DETACHED, PUBLISHED + DAY, 0, "drop"),
        (Month.STATE_DROPPED, TWO_YEARS - SECOND, 0, None),
        (Month.STATE_DROPPED, TWO_YEARS - SECOND, 2, "late"),
        (Month.STATE_DROPPED, TWO_YEARS, 0, None),
        (Month.STATE_EXPIRING, TWO_YEARS - DAY, 2, "expire"),
        (Month.STATE_EXPIRED, TWO_YEARS, 0, None),
        (Month.STATE_EXPIRED, TWO_YEARS, 2, "expire"),
        (Month.STATE_UNSPECIFIED, TWO_YEARS, 0, None),
    ],
)
def test_a_step_is_due_when_it_may_be_taken(
    state: Month.State.ValueType, now: datetime, late: int, step: str | None
) -> None:
    """And not a second before."""
    assert due(month(state, late), now) == step


def test_rows_of_late_records_go_when_their_files_are_old_enough() -> None:
    """Also of a month whose own rows are long gone, before its files go."""
    dropped = month(Month.STATE_DROPPED)
    dropped.late_removable_at.FromDatetime(PUBLISHED + 40 * DAY)
    assert due(dropped, PUBLISHED + 40 * DAY - SECOND) is None
    assert due(dropped, PUBLISHED + 40 * DAY) == "drop"
    assert due(dropped, TWO_YEARS) == "drop"


def test_a_month_without_anything_waits_for_one_that_has_something() -> None:
    """A new installation archives nothing; what is frozen, or has records, goes on."""
    idle = month(Month.STATE_ELIGIBLE)
    idle.empty = True
    full, hot = month(Month.STATE_ELIGIBLE), month(Month.STATE_HOT)
    assert may_wait(idle, [idle, hot, hot])
    assert may_wait(idle, [])
    assert not may_wait(idle, [idle, full])
    assert not may_wait(idle, [month(Month.STATE_FROZEN)])
    assert not may_wait(full, [hot])
    frozen = month(Month.STATE_FROZEN)
    frozen.empty = True
    assert not may_wait(frozen, [hot])


@pytest.mark.parametrize(
    ("state", "at"),
    [
        (Month.STATE_HOT, datetime(2026, 6, 30, tzinfo=UTC)),
        (Month.STATE_FROZEN, datetime(2026, 6, 30, tzinfo=UTC)),
        (Month.STATE_PUBLISHED, PUBLISHED),
        (Month.STATE_DETACHED, PUBLISHED + DAY),
        (Month.STATE_DROPPED, TWO_YEARS),
        (Month.STATE_EXPIRING, TWO_YEARS),
        (Month.STATE_EXPIRED, None),
    ],
)
def test_an_operator_is_told_when_the_next_step_is_due(
    state: Month.State.ValueType, at: datetime | None
) -> None:
    """Until nothing is left to do."""
    assert due_at(month(state), PUBLISHED) == at


def test_what_comes_late_is_due_at_once() -> None:
    """Not when the month's next step of its own would be; rows of it leave at a time of theirs."""
    for state in (Month.STATE_DETACHED, Month.STATE_DROPPED, Month.STATE_EXPIRED):
        assert due_at(month(state, late=1), PUBLISHED + 5 * DAY) == PUBLISHED + 5 * DAY
    dropped = month(Month.STATE_DROPPED)
    dropped.late_removable_at.FromDatetime(PUBLISHED + 40 * DAY)
    assert due_at(dropped, PUBLISHED + 50 * DAY) == PUBLISHED + 40 * DAY


def test_a_state_has_a_word() -> None:
    """That of the contract, small."""
    assert state_word(month(Month.STATE_FROZEN)) == "frozen"
