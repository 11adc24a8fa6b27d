"""Prices in words: exact decimal strings, lanes of one price together, a charge as it is computed.

Nothing here is a float: rates are nano-US-dollars per 1,000,000 units.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from edge.admission.catalog import LANE_NAMES, Catalog, Kind, Model
from kit.charge import (
    UNITS_PER_PRICE,
    Dimension,
    Price,
    PriceTier,
    charge_nanos,
    context_tokens,
    quantities,
)
from kit.clock import from_micros
from kit.money import format_dollars

DIMENSION_WORDS: Final = {
    Dimension.INPUT: "Input",
    Dimension.CACHED_INPUT: "Cached input",
    Dimension.CACHE_WRITE: "Cache write",
    Dimension.CACHE_WRITE_LONG: "Cache write, 1 h",
    Dimension.OUTPUT: "Output",
    Dimension.REASONING: "Reasoning",
    Dimension.AUDIO_INPUT: "Audio input",
    Dimension.AUDIO_OUTPUT: "Audio output",
    Dimension.IMAGE_INPUT: "Image input",
    Dimension.IMAGE_OUTPUT: "Image output",
    Dimension.REQUESTS: "Requests",
    Dimension.TOOL_CALLS: "Tool calls",
}
MAIN_DIMENSIONS: Final = (
    Dimension.INPUT,
    Dimension.CACHED_INPUT,
    Dimension.CACHE_WRITE,
    Dimension.OUTPUT,
    Dimension.REASONING,
)
"""The columns of the price list."""
_USUAL: Final = {
    Dimension.CACHE_WRITE_LONG: Dimension.CACHE_WRITE,
    Dimension.AUDIO_INPUT: Dimension.INPUT,
    Dimension.AUDIO_OUTPUT: Dimension.OUTPUT,
    Dimension.IMAGE_INPUT: Dimension.INPUT,
    Dimension.IMAGE_OUTPUT: Dimension.OUTPUT,
    Dimension.REQUESTS: None,
    Dimension.TOOL_CALLS: None,
}
"""The other dimensions, and the one whose rate they usually have (None: they are free)."""
_COUNTED_IN: Final[dict[int, str]] = {
    Kind.KIND_IMAGE: "Image output is counted in images.",
    Kind.KIND_SPEECH: "Input is counted in characters.",
    Kind.KIND_TRANSCRIPTION: "Audio input is counted in seconds.",
}
EXAMPLE: Final = {"input": 12_000, "cached_input": 8_000, "output": 700, "reasoning": 300}


@dataclass(frozen=True, slots=True)
class TierView:
    """The rates of one context tier, as decimal strings in US dollars per 1,000,000 units."""

    above: int
    rates: dict[Dimension, str]
    others: tuple[tuple[str, str], ...]
    """What differs from the usual among dimensions that have no column."""

    @property
    def input(self) -> str:
        """Return the rate of input."""
        return self.rates[Dimension.INPUT]

    @property
    def output(self) -> str:
        """Return the rate of output."""
        return self.rates[Dimension.OUTPUT]


@dataclass(frozen=True, slots=True)
class PriceView:
    """One price, and the lanes that have it."""

    lanes: tuple[str, ...]
    versions: tuple[int, ...]
    since: str
    tiers: tuple[TierView, ...]

    @property
    def lane_words(self) -> str:
        """Return the lanes for people."""
        return lane_words(self.lanes)


@dataclass(frozen=True, slots=True)
class ExampleView:
    """A charge, step by step."""

    model: str
    lane: str
    lines: tuple[tuple[str, str, str, str], ...]
    """Dimension, count, rate, product."""
    exact: str
    charge: str


def prices_of(catalog: Catalog, model: Model, at_micros: int) -> list[PriceView]:
    """Return the prices in force of the lanes that can serve a model; equal ones together."""
    by_tiers: dict[tuple[PriceTier, ...], list[tuple[str, Price]]] = {}
    for lane, number in LANE_NAMES.items():
        price = catalog.price(model, number, at_micros)
        if price is not None and catalog.route(model, number) is not None:
            by_tiers.setdefault(price.tiers, []).append((lane, price))
    return [
        PriceView(
            lanes=tuple(lane for lane, _ in priced),
            versions=tuple(price.number for _, price in priced),
            since=from_micros(max(one.effective_from_micros for _, one in priced))
            .date()
            .isoformat(),
            tiers=tuple(map(_tier, tiers)),
        )
        for tiers, priced in by_tiers.items()
    ]


def lane_words(lanes: tuple[str, ...]) -> str:
    """Return lanes for people."""
    return "all\N{NO-BREAK SPACE}lanes" if len(lanes) == len(LANE_NAMES) else ", ".join(lanes)


def is_free(prices: Iterable[PriceView]) -> bool:
    """Say whether nothing of a model costs anything in any lane."""
    return all(
        rate == "0.00"
        for price in prices
        for tier in price.tiers
        for rate in (*tier.rates.values(), *(rate for _, rate in tier.others))
    )


def counted_in(model: Model) -> str:
    """Return what of a model is counted in something else than tokens (docs/catalogue.md)."""
    # Where the limit of output is 1, we count and not the provider.
    return _COUNTED_IN.get(model.kind, "") if model.max_output_tokens == 1 else ""


def example(catalog: Catalog, model: Model, at_micros: int) -> ExampleView | None:
    """Return a charge at the first lane's price of a model, computed as every charge is."""
    for lane, number in LANE_NAMES.items():
        price = catalog.price(model, number, at_micros)
        if price is not None:
            return _example(model, lane, price)
    return None


def _example(model: Model, lane: str, price: Price) -> ExampleView:
    used = quantities(**EXAMPLE)
    rates = price.tier_for(context_tokens(used)).rates
    products = {one: used[one] * rates[one] for one in Dimension if used[one]}
    return ExampleView(
        model.public_id,
        lane,
        tuple(
            (
                DIMENSION_WORDS[one],
                f"{used[one]:,}",
                format_dollars(rates[one]),
                _exact(product),
            )
            for one, product in products.items()
        ),
        _exact(sum(products.values())),
        format_dollars(charge_nanos(used, price)),
    )


def _exact(product: int) -> str:
    """Return units times a rate as dollars: fifteen decimal places hold every one exactly."""
    whole, fraction = divmod(product, UNITS_PER_PRICE)
    places = format_dollars(whole).partition(".")
    tail = f"{fraction:06d}".rstrip("0")
    return f"{places[0]}.{whole % 10**9:09d}{tail}" if tail else format_dollars(whole)


def _tier(tier: PriceTier) -> TierView:
    rates = {one: format_dollars(tier.rates[one]) for one in MAIN_DIMENSIONS}
    others = tuple(
        (DIMENSION_WORDS[one], format_dollars(tier.rates[one]))
        for one, usual in _USUAL.items()
        if tier.rates[one] != (0 if usual is None else tier.rates[usual])
    )
    return TierView(tier.above_context_tokens, rates, others)
