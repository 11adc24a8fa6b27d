"""Money: nano-US-dollars (10^-9 USD) as Python ints, stored as BIGINT; never a float."""

from __future__ import annotations

import re
from typing import Final, NewType

Nanos = NewType("Nanos", int)
"""An amount in nano-US-dollars."""

NANOS_PER_DOLLAR: Final = 1_000_000_000
NANOS_PER_CENT: Final = NANOS_PER_DOLLAR // 100
MAX_NANOS: Final = 2**63 - 1
_DECIMAL = re.compile(r"^(-?)(\d{1,10})(?:\.(\d{1,9}))?$", re.ASCII)


class InvalidAmountError(ValueError):
    """A text or number is not an amount of money; carries no part of the input."""


def parse_dollars(text: str) -> Nanos:
    """Return the nanos of a decimal string such as `5.00` or `0.000000001`.

    Raises:
        InvalidAmountError: not a plain decimal with at most nine places, or out of range.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise InvalidAmountError
    sign, whole, fraction = match.groups()
    amount = int(whole) * NANOS_PER_DOLLAR + int((fraction or "").ljust(9, "0"))
    return checked_nanos(-amount if sign else amount)


def format_dollars(amount: int, *, places: int = 9) -> str:
    """Return the decimal string of an amount, exact, with two to `places` (nine) places."""
    sign = "-" if amount < 0 else ""
    whole, fraction = divmod(abs(amount), NANOS_PER_DOLLAR)
    digits = f"{fraction:09d}"[:places].rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{digits}"


def checked_nanos(amount: int) -> Nanos:
    """Return the amount if the ledger can hold it.

    Raises:
        InvalidAmountError: outside the range of a signed 64-bit integer.
    """
    if not -MAX_NANOS <= amount <= MAX_NANOS:
        raise InvalidAmountError
    return Nanos(amount)


def divide_half_even(numerator: int, denominator: int) -> int:
    """Return the quotient rounded to the nearest integer, ties to even (IEEE 754)."""
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient % 2 == 1):
        quotient += 1
    return quotient


def divide_up(numerator: int, denominator: int) -> int:
    """Return the quotient rounded up: the smallest integer that is not below it."""
    return -(-numerator // denominator)
