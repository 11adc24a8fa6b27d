"""Statements add up, and say so only when they do."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.billing.statements.model import (
    SECTIONS,
    DayUsage,
    KindSum,
    Section,
    Standing,
    Statement,
    month_of,
    sums_of,
    with_the_rest,
)

MONTH = date(2026, 11, 1)
KINDS = st.sampled_from([*SECTIONS, "lease_grant", "something_new"])


def statement(kinds: list[KindSum], charge: int) -> Statement:
    """A statement of these movements, whose records were charged so much."""
    moved = sum(each.amount for each in kinds)
    return Statement(
        workspace_id=bytes(16),
        month=MONTH,
        opening=Standing(10, 3, 1, b""),
        closing=Standing(10 + moved, 3, 9, b""),
        sums=sums_of(kinds),
        lines=(),
        omitted_lines=0,
        usage=(DayUsage(MONTH, "model", 1, charge),),
    )


@given(st.lists(st.tuples(KINDS, st.integers(-(10**12), 10**12)), max_size=20))
def test_whatever_moved_is_in_a_section(movements: list[tuple[str, int]]) -> None:
    """Of a kind that is new too: then it is among the others, and the statement still adds up."""
    kinds = [KindSum(kind, 1, amount) for kind, amount in movements]
    used = -sum(each.amount for each in kinds if each.kind == "settle")
    good = statement(kinds, used)
    assert good.adds_up
    assert sum(each.amount for each in good.sums) == sum(each.amount for each in kinds)
    assert not replace(good, closing=replace(good.closing, debt=4)).adds_up
    assert not statement(kinds, used + 1).adds_up


def test_leases_are_no_movement() -> None:
    """Unless credit came or went by one, which must not be hidden."""
    assert sums_of([KindSum("lease_grant", 900, 0)]) == ()
    assert sums_of([KindSum("lease_close", 1, 5)])[0].section is Section.OTHER


def test_what_archived_records_were_charged_is_told_without_a_model() -> None:
    """By day, from the entries."""
    first, second = date(2026, 11, 1), date(2026, 11, 2)
    listed = [DayUsage(first, "a", 2, 30), DayUsage(first, "b", 1, 10)]
    assert with_the_rest({first: 40, second: 7}, listed) == (
        *listed,
        DayUsage(second, "", 0, 7),
    )


@pytest.mark.parametrize("text", ["2026-13", "2026-00", "0000-01", "november"])
def test_a_month_that_is_none_is_refused(text: str) -> None:
    """As a wrong value."""
    with pytest.raises(ValueError, match=r"."):
        month_of(text)
