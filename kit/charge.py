"""The charge of a request: quantities by disjoint dimension times a price version, rounded once.

Prices are nano-US-dollars per 1,000,000 units, so that every list price is an integer. The rounding
is half-even on the exact sum (billing rule: once per request, in integers).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from operator import itemgetter, mul
from typing import Final

from kit.money import Nanos, checked_nanos, divide_half_even

UNITS_PER_PRICE: Final = 1_000_000
MAX_QUANTITY: Final = 2**32 - 1
MAX_TIERS: Final = 8


class Dimension(IntEnum):
    """What is counted and priced; the value is the place in a `Quantities` and a tier's rates."""

    INPUT = 0
    CACHED_INPUT = 1
    CACHE_WRITE = 2
    CACHE_WRITE_LONG = 3
    OUTPUT = 4
    REASONING = 5
    AUDIO_INPUT = 6
    AUDIO_OUTPUT = 7
    IMAGE_INPUT = 8
    IMAGE_OUTPUT = 9
    REQUESTS = 10
    TOOL_CALLS = 11


DIMENSIONS: Final = len(Dimension)
CONTEXT_DIMENSIONS: Final = (
    Dimension.INPUT,
    Dimension.CACHED_INPUT,
    Dimension.CACHE_WRITE,
    Dimension.CACHE_WRITE_LONG,
    Dimension.AUDIO_INPUT,
    Dimension.IMAGE_INPUT,
)
"""The dimensions whose sum is the size of the input and chooses the context tier."""

OUTPUT_DIMENSIONS: Final = (
    Dimension.OUTPUT,
    Dimension.REASONING,
    Dimension.AUDIO_OUTPUT,
    Dimension.IMAGE_OUTPUT,
)

Quantities = tuple[int, ...]
"""Twelve non-negative ints in the order of `Dimension`."""

NOTHING: Final[Quantities] = (0,) * DIMENSIONS
# All of this runs several times for each request: the loops over dimensions are the interpreter's.
_PLACES: Final = {dimension.name.lower(): int(dimension) for dimension in Dimension}
_context_of = itemgetter(*CONTEXT_DIMENSIONS)
_output_of = itemgetter(*OUTPUT_DIMENSIONS)


class InvalidQuantityError(ValueError):
    """A quantity is negative, too large, or the tuple has the wrong length."""


@dataclass(frozen=True, slots=True)
class PriceTier:
    """Rates, in `Dimension` order, of requests with more input tokens than the threshold."""

    above_context_tokens: int
    rates: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse a tier that leaves a dimension without a rate: it would be free."""
        if len(self.rates) != DIMENSIONS:
            raise InvalidQuantityError


@dataclass(frozen=True, slots=True)
class Price:
    """One immutable price version; tiers ascend and the first starts at zero."""

    number: int
    model_number: int
    lane: int
    effective_from_micros: int
    tiers: tuple[PriceTier, ...]

    def tier_for(self, context_tokens: int) -> PriceTier:
        """Return the tier that prices a request with so many input tokens."""
        chosen = self.tiers[0]
        for tier in self.tiers[1:]:
            if context_tokens > tier.above_context_tokens:
                chosen = tier
        return chosen


def quantities(**by_name: int) -> Quantities:
    """Return quantities from lower-case dimension names, zero elsewhere.

    Raises:
        InvalidQuantityError: a quantity is outside 0..MAX_QUANTITY.
    """
    values = [0] * DIMENSIONS
    for name, value in by_name.items():
        values[_PLACES[name]] = value
    return checked_quantities(tuple(values))


def checked_quantities(values: Quantities) -> Quantities:
    """Return the quantities if each is in 0..MAX_QUANTITY and there are twelve.

    Raises:
        InvalidQuantityError: otherwise.
    """
    if len(values) != DIMENSIONS or min(values) < 0 or max(values) > MAX_QUANTITY:
        raise InvalidQuantityError
    return values


def context_tokens(values: Quantities) -> int:
    """Return the size of the input in tokens, all input dimensions together."""
    return sum(_context_of(values))


def output_tokens(values: Quantities) -> int:
    """Return the size of the output in tokens, reasoning included."""
    return sum(_output_of(values))


def charge_nanos(values: Quantities, price: Price) -> Nanos:
    """Return the charge of a request in nano-US-dollars.

    Raises:
        InvalidQuantityError: the quantities are not valid.
        InvalidAmountError: the charge exceeds the ledger's range.
    """
    checked_quantities(values)
    tier = price.tiers[0] if len(price.tiers) == 1 else price.tier_for(context_tokens(values))
    exact = sum(map(mul, values, tier.rates))
    return checked_nanos(divide_half_even(exact, UNITS_PER_PRICE))
