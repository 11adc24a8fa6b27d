"""Money: exact, bounded, never a float."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.money import (
    MAX_NANOS,
    InvalidAmountError,
    checked_nanos,
    divide_half_even,
    divide_up,
    format_dollars,
    parse_dollars,
)


@given(st.integers(-MAX_NANOS, MAX_NANOS))
def test_a_formatted_amount_reads_back(amount: int) -> None:
    """No unit is lost between ledger and text."""
    assert parse_dollars(format_dollars(amount)) == amount


@pytest.mark.parametrize(
    ("text", "nanos"),
    [("5.00", 5_000_000_000), ("0.000000001", 1), ("-0.1", -100_000_000), ("7", 7_000_000_000)],
)
def test_decimal_strings_are_read(text: str, nanos: int) -> None:
    """Plain decimals with up to nine places."""
    assert parse_dollars(text) == nanos


@pytest.mark.parametrize(
    "text",
    ["", "1e3", "1\n", "1.0000000001", "NaN", "\u0661", "1,5", " 1", "1.", ".5", "99999999999"],
)
def test_other_texts_are_no_amount(text: str) -> None:
    """Exponents, other digits, too many places or too much money are refused."""
    with pytest.raises(InvalidAmountError):
        parse_dollars(text)


@given(st.integers(0, 10**24), st.integers(1, 10**9))
def test_rounding_is_half_even(numerator: int, denominator: int) -> None:
    """The integer rule equals the decimal one."""
    exact = (Decimal(numerator) / Decimal(denominator)) if numerator < 10**15 else None
    rounded = divide_half_even(numerator, denominator)
    assert abs(2 * (rounded * denominator - numerator)) <= denominator
    if exact is not None and numerator * 2 % denominator == 0:
        assert rounded == exact.quantize(Decimal(1), ROUND_HALF_EVEN)
    assert 0 <= divide_up(numerator, denominator) * denominator - numerator < denominator


def test_an_amount_beyond_the_ledger_is_refused() -> None:
    """A signed 64-bit integer holds every amount."""
    with pytest.raises(InvalidAmountError):
        checked_nanos(MAX_NANOS + 1)
