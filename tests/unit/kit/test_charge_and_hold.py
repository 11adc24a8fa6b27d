"""The charge is exact and the hold is never below it."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.charge import (
    DIMENSIONS,
    MAX_QUANTITY,
    Dimension,
    InvalidQuantityError,
    Price,
    PriceTier,
    charge_nanos,
    quantities,
)
from kit.hold import (
    HoldBound,
    RequestShape,
)

rates = st.tuples(*[st.integers(0, 10**12)] * DIMENSIONS)


@st.composite
def prices(draw: st.DrawFn) -> Price:
    """Any price version with one to three context tiers."""
    thresholds = sorted(draw(st.sets(st.integers(1, 10**6), max_size=2)))
    tiers = tuple(PriceTier(above, draw(rates)) for above in (0, *thresholds))
    return Price(number=1, model_number=1, lane=1, effective_from_micros=0, tiers=tiers)


def flat(input_rate: int, output_rate: int) -> Price:
    """A price version with two rates and nothing else."""
    by_dimension = [0] * DIMENSIONS
    by_dimension[Dimension.INPUT] = input_rate
    by_dimension[Dimension.OUTPUT] = output_rate
    return Price(1, 1, 1, 0, (PriceTier(0, tuple(by_dimension)),))


@given(prices(), st.tuples(*[st.integers(0, MAX_QUANTITY)] * DIMENSIONS))
def test_a_charge_is_rounded_once_from_the_exact_sum(price: Price, used: tuple[int, ...]) -> None:
    """At most half a nano-dollar between the exact sum and the charge."""
    tier = price.tiers[0]
    for candidate in price.tiers:
        if sum(used[i] for i in (0, 1, 2, 3, 6, 8)) > candidate.above_context_tokens:
            tier = candidate
    exact = Fraction(sum(q * r for q, r in zip(used, tier.rates, strict=True)), 10**6)
    if exact < 2**62:
        assert abs(charge_nanos(used, price) - exact) <= Fraction(1, 2)


def test_a_hand_checked_charge() -> None:
    """1,000 input at 0.15 and 500 output at 0.60 dollars a million make 0.00045 dollars."""
    price = flat(150_000_000, 600_000_000)
    assert charge_nanos(quantities(input=1_000, output=500), price) == 450_000


def test_half_a_nano_goes_to_the_even_neighbour() -> None:
    """0.5 becomes 0 and 1.5 becomes 2."""
    price = flat(500_000, 0)
    assert charge_nanos(quantities(input=1), price) == 0
    assert charge_nanos(quantities(input=3), price) == 2


@pytest.mark.parametrize("used", [{"input": -1}, {"output": MAX_QUANTITY + 1}])
def test_a_quantity_out_of_range_is_refused(used: dict[str, int]) -> None:
    """A negative charge, which would be a gift, cannot be computed."""
    with pytest.raises(InvalidQuantityError):
        quantities(**used)


@given(prices(), st.integers(0, 10**6), st.integers(0, 10**5), st.data())
def test_no_usage_within_the_bounds_costs_more_than_the_hold(
    price: Price, text_bytes: int, output_limit: int, data: st.DataObject
) -> None:
    """However the provider splits input and output into dimensions, the hold covers it."""
    choices = data.draw(st.integers(1, 4))
    shape = RequestShape(text_bytes=text_bytes, overhead_tokens=512, choices=choices)
    hold = HoldBound(shape, price, 100).nanos(output_limit)
    left = shape.input_tokens
    used = [0] * DIMENSIONS
    for dimension in (0, 1, 2, 3, 8):
        used[dimension] = data.draw(st.integers(0, left))
        left -= used[dimension]
    left = choices * (output_limit + 100)
    for dimension in (4, 5, 9):
        used[dimension] = data.draw(st.integers(0, left))
        left -= used[dimension]
    used[Dimension.REQUESTS] = 1
    assert charge_nanos(tuple(used), price) <= hold


@given(prices(), st.integers(0, 10**5), st.integers(0, 10**12))
def test_the_affordable_output_is_the_largest_that_fits(
    price: Price, text_bytes: int, budget: int
) -> None:
    """One token more would exceed the budget."""
    shape = RequestShape(text_bytes=text_bytes, overhead_tokens=512)
    bound = HoldBound(shape, price)
    tokens = bound.affordable_output_tokens(budget)
    if tokens > 0:
        assert bound.nanos(tokens) <= budget
    if 0 < tokens < 10**9:
        assert bound.nanos(tokens + 1) > budget


def test_output_without_a_limit_is_held_for_whole_and_never_capped() -> None:
    """Such as four images: who cannot pay for all of them cannot pay for a part."""
    shape = RequestShape(text_bytes=88, overhead_tokens=512, choices=0, fixed_output_tokens=4_000)
    price = flat(1_000_000_000, 10_000_000_000)
    bound = HoldBound(shape, price)
    everything = bound.nanos(0)
    assert everything == bound.nanos(1_000_000)
    assert everything == charge_nanos(quantities(input=600, output=4_000), price)
    assert bound.affordable_output_tokens(everything - 1) == 0
    assert bound.default_output_tokens(everything - 1, 1_000) == 0
    assert bound.default_output_tokens(everything, 1_000) == 1_000


def test_a_small_wallet_still_runs_several_requests() -> None:
    """The default limit is an eighth of the credit, not below 4,096 tokens, not above the cap."""
    price = flat(0, 10_000_000_000)  # 10 dollars a million: 10,000 nanos a token
    shape = RequestShape(text_bytes=100, overhead_tokens=512)
    bound = HoldBound(shape, price)

    def limit(available: int) -> int:
        return bound.default_output_tokens(available, 100_000)

    assert limit(8 * 20_000 * 10_000) == 20_000
    assert limit(8 * 1_000 * 10_000) == 4_096
    assert limit(1_000 * 10_000) == 1_000
    assert limit(10**15) == 100_000
    assert limit(0) == 0
