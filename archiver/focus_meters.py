"""Costs of usage by meter: what each kind of token cost, with its unit price. Pure.

A request is charged once, for all of its meters together and rounded once; FOCUS wants a row for
each price. So each meter's ListCost is its quantity times its unit price, rounded to nano-dollars,
and what the requests of a row's day were charged is told by meter: each has its ListCost, and the
difference that rounding makes is with the meter that cost the most. So the sum of EffectiveCost
over meters is, to the last unit, the sum of the charges.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from archiver.columns import QUANTITIES
from archiver.focus_columns import DECIMAL
from kit.charge import CONTEXT_DIMENSIONS, MAX_TIERS, Dimension, PriceTier

Tiers = Mapping[int, tuple[PriceTier, ...]]
"""The tiers of price versions by their numbers."""
TIER: Final = "tier"
IS_WAIVED: Final = "is_waived"
ORDER: Final = "order"
PRICED_UNITS: Final = 1_000_000
_WORDS: Final = {Dimension.REQUESTS: "Requests", Dimension.TOOL_CALLS: "Tool Calls"}
ORDERS: Final = 16
"""More than there are meters: a row's place times this, and its meter, is an order."""
_WHOLE: Final = pa.decimal128(19, 0)
_FACTOR: Final = pa.decimal128(18, 0)
_MILLIONTHS: Final = pa.decimal128(19, 6)
_NANO_DOLLARS: Final = pa.decimal128(19, 9)


class Meter(NamedTuple):
    """One thing that is counted and priced."""

    dimension: Dimension
    quantity: str
    name: str
    unit: str


def _meter(dimension: Dimension) -> Meter:
    plain = dimension.name.replace("_", " ").title()
    name = _WORDS.get(dimension, f"{plain} Tokens")
    return Meter(dimension, QUANTITIES[dimension], name, _WORDS.get(dimension, "Tokens"))


METERS: Final = tuple(map(_meter, Dimension))


def tier_of(rows: pa.RecordBatch, tiers: Tiers) -> pa.Array:
    """Return which tier of its price version each request was charged by (`kit.charge.Price`)."""
    versions = rows.column("price_version")
    found = pa.repeat(pa.scalar(0, pa.int8()), rows.num_rows)
    context: Any = None
    for version in pc.unique(versions).to_pylist():
        for tier in tiers.get(version, ())[1:]:
            if context is None:
                context = _sum([rows.column(QUANTITIES[each]) for each in CONTEXT_DIMENSIONS])
            above = pc.and_(
                pc.equal(versions, version), pc.greater(context, tier.above_context_tokens)
            )
            found = pc.add(found, above.cast(pa.int8()))
    return found


def by_meter(sums: pa.Table, tiers: Tiers) -> pa.Table:
    """Return what is of each meter of rows of sums, in their order; `order` says of which row.

    Columns: `order` (the row's place), the meter's columns of FOCUS, `SkuPriceId` without its SKU,
    and both costs of the row that are the meter's: charged and waived.
    """
    rows = _Rows(sums, tiers)
    found = [rows.of(meter) for meter in METERS]
    return pa.concat_tables([*found, rows.unpriced()]).sort_by(ORDER)


class _Rows:
    """Rows of sums while they are parted by meter."""

    def __init__(self, sums: pa.Table, tiers: Tiers) -> None:
        self._sums = sums.combine_chunks()
        self._places = pa.array(range(sums.num_rows), pa.int64())
        self._versions = _whole(self._sums, "price_version")
        self._tier = _whole(self._sums, TIER).cast(pa.int64())
        self._waived = _whole(self._sums, IS_WAIVED)
        codes = pc.add(pc.multiply(self._versions.cast(pa.int64()), MAX_TIERS), self._tier)
        encoded = codes.dictionary_encode()
        self._indices = encoded.indices
        self._rates = [_rates(code, tiers) for code in encoded.dictionary.to_pylist()]
        total = pc.add(_nanos(self._sums, "charge"), _nanos(self._sums, "waived"))
        self._total = total
        self._shares = self._shared(total)

    def of(self, meter: Meter) -> pa.Table:
        """Return the rows that used this meter."""
        rate, quantity = self._rate(meter), self._quantity(meter)
        table = pa.table(
            {
                ORDER: pc.add(pc.multiply(self._places, ORDERS), int(meter.dimension)),
                "SkuMeter": self._same(meter.name),
                "ConsumedUnit": self._same(meter.unit),
                "ConsumedQuantity": _decimal(quantity, _WHOLE),
                "PricingUnit": self._same(f"{PRICED_UNITS} {meter.unit}"),
                "PricingQuantity": _decimal(quantity, _MILLIONTHS),
                "ListUnitPrice": _decimal(rate, _NANO_DOLLARS),
                "ListCost": _decimal(_cost(quantity, rate), _NANO_DOLLARS),
                "SkuPriceId": self._price_id(meter.name.lower().replace(" ", "-")),
                **self._costs(self._shares[meter.dimension]),
            }
        )
        return table.filter(_used(quantity, rate))

    def unpriced(self) -> pa.Table:
        """Return rows whose price version nobody told, or which cost something for nothing used."""
        priced = [_used(self._quantity(meter), self._rate(meter)) for meter in METERS]
        nothing = pc.and_(pc.equal(self._total, 0), self._is_known())
        total = _decimal(self._total, _NANO_DOLLARS)
        table = pa.table(
            {
                ORDER: pc.add(pc.multiply(self._places, ORDERS), len(METERS)),
                "SkuMeter": self._same("Usage"),
                "ConsumedUnit": self._same("Requests"),
                "ConsumedQuantity": _decimal(_whole(self._sums, "requests"), _WHOLE),
                "PricingUnit": self._same("Charges"),
                "PricingQuantity": _decimal(self._same(1), _WHOLE),
                "ListUnitPrice": total,
                "ListCost": total,
                "SkuPriceId": self._price_id("usage"),
                **self._costs(self._total),
            }
        )
        return table.filter(pc.invert(pc.or_(_any(priced), nothing)))

    def _shared(self, total: pa.Array) -> list[pa.Array]:
        """Part each row's total by meter."""
        costs = [_cost(self._quantity(meter), self._rate(meter)) for meter in METERS]
        nanos = [pc.fill_null(each, 0) for each in costs]
        rest = pc.subtract(total, _sum(nanos))
        used = [_used(self._quantity(meter), self._rate(meter)) for meter in METERS]
        most = pc.max_element_wise(*[_if(*pair, -1) for pair in zip(used, nanos, strict=True)])
        taken = pa.repeat(pa.scalar(value=False), len(total))
        shares = []
        for is_used, share in zip(used, nanos, strict=True):
            takes = pc.and_(pc.and_(is_used, pc.equal(share, most)), pc.invert(taken))
            taken = pc.or_(taken, takes)
            shares.append(pc.add(share, _if(takes, rest, 0)))
        return shares

    def _costs(self, nanos: pa.Array) -> dict[str, pa.Array]:
        charged, waived = _if(pc.invert(self._waived), nanos, 0), _if(self._waived, nanos, 0)
        return {
            "charged": _decimal(charged, _NANO_DOLLARS),
            "x_WaivedCost": _decimal(waived, _NANO_DOLLARS),
        }

    def _quantity(self, meter: Meter) -> pa.Array:
        return _whole(self._sums, meter.quantity).cast(pa.int64())

    def _rate(self, meter: Meter) -> pa.Array:
        """Return nano-dollars for a million units; null where the price is not known."""
        rates = [None if each is None else each[meter.dimension] for each in self._rates]
        return pa.array(rates, pa.int64()).take(self._indices)

    def _is_known(self) -> pa.Array:
        known = [each is not None for each in self._rates]
        return pa.array(known, pa.bool_()).take(self._indices)

    def _price_id(self, word: str) -> pa.Array:
        texts = [self._versions.cast(pa.string()), self._tier.cast(pa.string()), self._same(word)]
        return pc.binary_join_element_wise(*texts, "/")

    def _same(self, value: object) -> pa.Array:
        return pa.repeat(pa.scalar(value), self._sums.num_rows)


def _rates(code: int, tiers: Tiers) -> tuple[int, ...] | None:
    version, tier = divmod(code, MAX_TIERS)
    known = tiers.get(version, ())
    return known[tier].rates if tier < len(known) else None


def _used(quantity: pa.Array, rate: pa.Array) -> pa.Array:
    return pc.and_(pc.greater(quantity, 0), pc.is_valid(rate))


def _cost(quantity: pa.Array, rate: pa.Array) -> pa.Array:
    """Return what a quantity costs in nano-dollars, rounded half-even as charges are."""
    factors = [each.cast(_WHOLE).cast(_FACTOR) for each in (quantity, rate)]
    # The rate is for a million: the same digits with another point are the exact cost.
    exact = pc.multiply(*factors).view(pa.decimal128(38, 6))
    rounded = pc.round(exact, ndigits=0, round_mode="half_to_even")
    return pc.cast(rounded, pa.decimal128(38, 0)).cast(pa.int64())


def _decimal(numbers: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return whole numbers of a unit as decimals: the same 16 bytes with another point."""
    return numbers.cast(pa.int64()).cast(_WHOLE).view(kind).cast(DECIMAL)


def _nanos(sums: pa.Table, name: str) -> pa.Array:
    amounts = pc.fill_null(_whole(sums, name), 0).cast(pa.decimal128(38, 9))
    return amounts.view(pa.decimal128(38, 0)).cast(pa.int64())


def _whole(table: pa.Table, name: str) -> Any:
    """Return a column as one array."""
    column = table.column(name)
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _if(mask: pa.Array, then: Any, other: Any) -> pa.Array:
    return pc.if_else(mask, then, pa.scalar(other, pa.int64()))


def _sum(arrays: list[pa.Array]) -> Any:
    total = arrays[0]
    for each in arrays[1:]:
        total = pc.add(total, each)
    return total


def _any(masks: list[pa.Array]) -> Any:
    found = masks[0]
    for each in masks[1:]:
        found = pc.or_(found, each)
    return found
