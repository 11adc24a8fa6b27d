"""Prices in words: exact, never a float, together where they are equal."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.admission.catalog import Catalog, Kind, Model
from edge.pages import prices
from kit.charge import DIMENSIONS, Dimension, Price, PriceTier, charge_nanos, quantities
from tests.unit.edge.pages.page_world import SECOND, add_price, small_catalog, small_snapshot


def model(catalog: Catalog, name: str) -> Model:
    """Return a model that there is."""
    found = catalog.named(name)
    assert found is not None
    return found


def test_lanes_of_one_price_stand_together() -> None:
    """And apart as soon as one differs."""
    catalog = small_catalog()
    (one,) = prices.prices_of(catalog, model(catalog, "demo"), SECOND)
    assert (one.lane_words.split(), len(one.versions)) == (["all", "lanes"], 5)
    message = small_snapshot()
    add_price(message, 1, SECOND, 1_000_000_000)
    catalog = Catalog(message)
    apart = prices.prices_of(catalog, model(catalog, "demo"), SECOND)
    assert [one.lanes[0] for one in apart] == ["default", "economy"]
    assert [one.tiers[0].input for one in apart] == ["1.00", "2.50"]


def test_a_price_to_come_is_not_in_force() -> None:
    """It is shown from its instant on."""
    message = small_snapshot()
    add_price(message, 1, 5 * SECOND, 1_000_000_000)
    catalog = Catalog(message)
    for at, count in ((5 * SECOND - 1, 1), (5 * SECOND, 2)):
        assert len(prices.prices_of(catalog, model(catalog, "demo"), at)) == count
    assert catalog.next_price_change(SECOND) == 5 * SECOND
    assert catalog.next_price_change(5 * SECOND) is None


def test_only_what_is_unusual_stands_beside_the_columns() -> None:
    """Image output that costs more than output; not audio that costs what text does."""
    catalog = small_catalog()
    (one,) = prices.prices_of(catalog, model(catalog, "maker/tiered"), SECOND)
    assert one.tiers[0].others == (("Image output", "7.00"),)
    assert [tier.above for tier in one.tiers] == [0, 200_000]


def test_a_model_is_free_if_nothing_costs_anything() -> None:
    """In no lane and no dimension."""
    catalog = small_catalog()
    free = {
        name: prices.is_free(prices.prices_of(catalog, model(catalog, name), SECOND))
        for name in ("demo", "watch")
    }
    assert free == {"demo": False, "watch": True}


@given(st.lists(st.integers(0, 10**12), min_size=DIMENSIONS, max_size=DIMENSIONS))
def test_the_worked_example_is_the_charge(rates: list[int]) -> None:
    """Its lines add up exactly to the sum, and the charge is what `kit.charge` computes."""
    price = Price(1, 1, 1, 0, (PriceTier(0, tuple(rates)),))
    catalog = small_catalog()
    shown = prices._example(model(catalog, "demo"), "default", price)
    products = [Decimal(product) for _, _, _, product in shown.lines]
    assert sum(products) == Decimal(shown.exact)
    for word, count, rate, product in shown.lines:
        units = int(count.replace(",", ""))
        assert Decimal(product) == units * Decimal(rate) / 1_000_000, word
    charged = charge_nanos(quantities(**prices.EXAMPLE), price)
    assert Decimal(shown.charge) == Decimal(charged).scaleb(-9)


@pytest.mark.parametrize(
    ("product", "words"),
    [
        (0, "0.00"),
        (1, "0.000000000000001"),
        (10**15, "1.00"),
        (10**15 + 1, "1.000000000000001"),
        (1_500_000, "0.0000000015"),
    ],
)
def test_a_product_is_written_exactly(product: int, words: str) -> None:
    """Up to fifteen places, which units times nano-dollars may need."""
    assert prices._exact(product) == words


@pytest.mark.parametrize(
    ("kind", "most", "words"),
    [
        (Kind.KIND_TEXT, 1, ""),
        (Kind.KIND_SPEECH, 1, "Input is counted in characters."),
        (Kind.KIND_SPEECH, 2_000, ""),
        (Kind.KIND_TRANSCRIPTION, 1, "Audio input is counted in seconds."),
        (Kind.KIND_IMAGE, 1, "Image output is counted in images."),
    ],
)
def test_what_is_not_counted_in_tokens_is_said(kind: int, most: int, words: str) -> None:
    """By the rule of docs/catalogue.md."""
    catalog = small_catalog()
    found = replace(model(catalog, "demo"), kind=kind, max_output_tokens=most)
    assert prices.counted_in(found) == words


def test_every_dimension_has_a_word() -> None:
    """A column or a place beside them."""
    assert prices.DIMENSION_WORDS.keys() == set(Dimension)
    assert {*prices.MAIN_DIMENSIONS, *prices._USUAL} == set(Dimension)
