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
from kit.charge import CONTEXT_DIMENSIONS, MAX_TIERS, Dimension, PriceTier

Tiers = Mapping[int, tuple[PriceTier, ...]]
"""The tiers of price versions by their numbers."""
TIER: Final = "tier"
IS_WAIVED: Final = "is_waived"
PRICED_UNITS: Final = 1_000_000
_WORDS: Final = {Dimension.REQUESTS: "Requests", Dimension.TOOL_CALLS: "Tool Calls"}
ORDERS: Final = 16
"""More than there are meters: a row's place times this, and its meter, is an order."""
UNPRICED: Final = len(Dimension)
_USED: Final = ("row", "meter", "quantity", "rate")
_WHOLE: Final = pa.decimal128(19, 0)
_FACTOR: Final = pa.decimal128(18, 0)


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
    """Return what is of each meter of rows of sums, ordered by row and meter.

    Columns, all int64: `row` (its place in the sums), `meter` (its `Dimension`, or `UNPRICED`),
    `quantity`, `rate` (nano-dollars for a million), `cost` (list) and `share`, what of the row's
    charge or waiver is the meter's, in nano-dollars.

    Of `UNPRICED` are the rows whose price version nobody told, or which cost something for nothing
    used: `quantity` are requests, and rate and cost are all that the row was charged or waived.
    """
    rows = _Rows(sums, tiers)
    priced = rows.priced()
    return rows.with_unpriced(_shared(priced, rows.total))


class _Rows:
    """Rows of sums while they are parted by meter."""

    def __init__(self, sums: pa.Table, tiers: Tiers) -> None:
        self._sums = sums
        self._codes = price_codes(sums).dictionary_encode()
        self._rates = [_rates(code, tiers) for code in self._codes.dictionary.to_pylist()]
        self.total = pc.add(_nanos(sums, "charge"), _nanos(sums, "waived"))

    def priced(self) -> pa.Table:
        """Return row, meter, quantity, rate and cost of what was used at a known price."""
        found = [part for part in map(self._used, METERS) if part is not None]
        if not found:
            return pa.table(dict.fromkeys((*_USED, "cost"), pa.array([], pa.int64())))
        parts = [pa.concat_arrays(columns) for columns in zip(*found, strict=True)]
        used = pa.table(dict(zip(_USED, parts, strict=True)))
        used = used.take(pc.sort_indices(_order(used))).combine_chunks()
        return used.append_column("cost", _cost(whole(used, "quantity"), whole(used, "rate")))

    def _used(self, meter: Meter) -> list[pa.Array] | None:
        """Return the columns of one meter, None if nobody used it."""
        quantity = whole(self._sums, meter.quantity).cast(pa.int64())
        if not pc.max(quantity).as_py():
            return None
        rates = [None if each is None else each[meter.dimension] for each in self._rates]
        rate = pa.array(rates, pa.int64()).take(self._codes.indices)
        rows = pc.indices_nonzero(pc.and_(pc.greater(quantity, 0), pc.is_valid(rate)))
        number = pa.repeat(pa.scalar(int(meter.dimension), pa.int64()), len(rows))
        return [rows.cast(pa.int64()), number, quantity.take(rows), rate.take(rows)]

    def with_unpriced(self, priced: pa.Table) -> pa.Table:
        """Return the rows of meters, and those that have none."""
        known = pa.array([each is not None for each in self._rates], pa.bool_())
        nothing = pc.and_(pc.equal(self.total, 0), known.take(self._codes.indices))
        places = pa.array(range(len(self.total)), pa.int64())
        has_meter = pc.is_in(places, whole(priced, "row"))
        rows = pc.indices_nonzero(pc.invert(pc.or_(has_meter, nothing)))
        if not len(rows):
            return priced
        total = self.total.take(rows)
        columns = {
            "row": rows.cast(pa.int64()),
            "meter": pa.repeat(pa.scalar(UNPRICED, pa.int64()), len(rows)),
            "quantity": whole(self._sums, "requests").cast(pa.int64()).take(rows),
            **dict.fromkeys(("rate", "cost", "share"), total),
        }
        table = pa.concat_tables([priced, pa.table(columns)]).combine_chunks()
        return table.take(pc.sort_indices(_order(table))).combine_chunks()


def _shared(priced: pa.Table, total: pa.Array) -> pa.Table:
    """Part each row's total by meter: list costs, and the rest to the first of the dearest."""
    cost, row = whole(priced, "cost"), whole(priced, "row").dictionary_encode()
    by_row = priced.select(["row", "cost"]).group_by("row", use_threads=False)
    sums = by_row.aggregate([("cost", "sum"), ("cost", "max")])
    # Both number rows as they come.
    rest = pc.subtract(total.take(whole(sums, "row")), whole(sums, "cost_sum"))
    dearest = pc.equal(cost, whole(sums, "cost_max").take(row.indices))
    places = pc.indices_nonzero(dearest)
    chosen = pa.table({"row": row.indices.take(places), "place": places})
    first = whole(
        chosen.group_by("row", use_threads=False).aggregate([("place", "min")]), "place_min"
    )
    takes = pc.is_in(pa.array(range(len(cost)), places.type), first)
    share = pc.replace_with_mask(cost, takes, pc.add(cost.take(first), rest))
    return priced.append_column("share", share)


def price_codes(sums: pa.Table) -> pa.Array:
    """Return a number for the price version and tier of each row."""
    versions, tier = (whole(sums, name).cast(pa.int64()) for name in ("price_version", TIER))
    return pc.add(pc.multiply(versions, MAX_TIERS), tier)


def _rates(code: int, tiers: Tiers) -> tuple[int, ...] | None:
    version, tier = divmod(code, MAX_TIERS)
    known = tiers.get(version, ())
    return known[tier].rates if tier < len(known) else None


def _order(table: pa.Table) -> pa.Array:
    row, meter = whole(table, "row"), whole(table, "meter")
    return pc.add(pc.multiply(row, ORDERS), meter)


def _cost(quantity: pa.Array, rate: pa.Array) -> pa.Array:
    """Return what a quantity costs in nano-dollars, rounded half-even as charges are."""
    factors = [each.cast(_WHOLE).cast(_FACTOR) for each in (quantity, rate)]
    # The rate is for a million: the same digits with another point are the exact cost.
    exact = pc.multiply(*factors).view(pa.decimal128(38, 6))
    rounded = pc.round(exact, ndigits=0, round_mode="half_to_even")
    return pc.cast(rounded, pa.decimal128(38, 0)).cast(pa.int64())


def _nanos(sums: pa.Table, name: str) -> pa.Array:
    amounts = pc.fill_null(whole(sums, name), 0).cast(pa.decimal128(38, 9))
    return amounts.view(pa.decimal128(38, 0)).cast(pa.int64())


def whole(table: pa.Table, name: str) -> Any:
    """Return a column as one array."""
    column = table.column(name)
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _sum(arrays: list[pa.Array]) -> Any:
    total = arrays[0]
    for each in arrays[1:]:
        total = pc.add(total, each)
    return total
