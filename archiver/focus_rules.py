"""The rules of FOCUS 1.2 that a row can be checked for: data in `focus_rules.json`, read here.

A rule names columns, what must be true of them, and, if it is not for all rows, for which: the
values that other columns have there, where null stands for none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cache
from importlib import resources
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from archiver.columns import ExportNotUnderstood

PRICED: Final = "PricingQuantity"
_PRODUCT: Final = "product"
_FILE: Final = "focus_rules.json"
_NANO_DOLLARS: Final = pa.decimal128(19, 9)
_MILLIONTHS: Final = pa.decimal128(18, 6)
_PLACES: Final = 9
_DIGITS: Final = 80
"""Twice as many as an amount has: a product of two loses none."""


class CostsBreakRule(ExportNotUnderstood):
    """Cost rows break a rule of the format; names the column and the rule, carries no value."""

    def __init__(self, column: str, must: str) -> None:
        """Keep which rule it was."""
        super().__init__(f"{column} must be {must.replace('_', ' ')}")
        self.column = column
        self.must = must


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule about one column."""

    column: str
    must: str
    when: Mapping[str, Sequence[str | None]]
    values: tuple[str, ...] = ()
    other: str = ""

    @property
    def read(self) -> list[str]:
        """Return the columns that the rule looks at."""
        priced = PRICED if self.must == _PRODUCT else ""
        return [name for name in (self.column, self.other, priced) if name]


@cache
def rules() -> tuple[Rule, ...]:
    """Return all rules, one for each column that they name."""
    found = json.loads(resources.files("archiver").joinpath(_FILE).read_text("utf-8"))
    return tuple(
        Rule(
            column,
            rule["must"],
            rule.get("when", {}),
            tuple(rule.get("values", ())),
            rule.get("other", ""),
        )
        for rule in found["rules"]
        for column in rule["columns"]
    )


def check(costs: pa.Table) -> None:
    """Check cost rows by all rules.

    Raises:
        CostsBreakRule: a row breaks one.
    """
    for when, found in groupby(rules(), key=attrgetter("when")):
        chosen = _chosen(costs, when)
        for rule in found:
            rows = costs.select(rule.read)
            if not _CHECKS[rule.must](rows if chosen is None else rows.filter(chosen), rule):
                raise CostsBreakRule(rule.column, rule.must)


def _chosen(costs: pa.Table, when: Mapping[str, Sequence[str | None]]) -> Any:
    """Return which rows rules are for, None if they are for all."""
    chosen = pa.scalar(value=True)
    for column, values in when.items():
        chosen = pc.and_(chosen, _is_in(costs.column(column), values))
    return None if pc.all(chosen, min_count=0).as_py() else chosen


def _is_in(column: pa.ChunkedArray, values: Sequence[str | None]) -> Any:
    named = [value for value in values if value is not None]
    if not named:
        return pc.is_null(column)
    found = pc.is_in(column, pa.array(named, pa.string()))
    return pc.or_(found, pc.is_null(column)) if None in values else found


def _all(mask: Any) -> bool:
    """Say whether it is true of every row; what compares with null is no breach."""
    return bool(pc.all(mask, min_count=0).as_py())


def _not_null(rows: pa.Table, rule: Rule) -> bool:
    return bool(rows.column(rule.column).null_count == 0)


def _null(rows: pa.Table, rule: Rule) -> bool:
    return bool(rows.column(rule.column).null_count == rows.num_rows)


def _one_of(rows: pa.Table, rule: Rule) -> bool:
    return _all(_is_in(rows.column(rule.column), (*rule.values, None)))


def _not_one_of(rows: pa.Table, rule: Rule) -> bool:
    return _all(pc.invert(_is_in(rows.column(rule.column), rule.values)))


def _zero(rows: pa.Table, rule: Rule) -> bool:
    column = rows.column(rule.column)
    return _all(pc.equal(column, pa.scalar(Decimal(0), column.type)))


def _equal(rows: pa.Table, rule: Rule) -> bool:
    return _all(pc.equal(rows.column(rule.column), rows.column(rule.other)))


def _product(rows: pa.Table, rule: Rule) -> bool:
    """Say whether a cost is its unit price times the quantity that was priced, rounded."""
    cost, price = rows.column(rule.column), rows.column(rule.other)
    quantity = rows.column(PRICED)
    try:
        # As most rows have them: nano-dollars for a million.
        product = pc.multiply(price.cast(_NANO_DOLLARS), quantity.cast(_MILLIONTHS))
        rounded = pc.round(product, ndigits=_PLACES, round_mode="half_to_even")
        return _all(pc.equal(cost, rounded.cast(cost.type)))
    except pa.ArrowInvalid:
        columns = (each.to_pylist() for each in (cost, price, quantity))
        with localcontext(prec=_DIGITS):
            found = zip(*columns, strict=True)
            return all(None in row or row[0] == round(row[1] * row[2], _PLACES) for row in found)


def _below(rows: pa.Table, rule: Rule) -> bool:
    return _all(pc.less(rows.column(rule.column), rows.column(rule.other)))


def _not_below(rows: pa.Table, rule: Rule) -> bool:
    return _all(pc.greater_equal(rows.column(rule.column), rows.column(rule.other)))


_CHECKS: Final = {
    "not_null": _not_null,
    "null": _null,
    "one_of": _one_of,
    "not_one_of": _not_one_of,
    "zero": _zero,
    "equal": _equal,
    _PRODUCT: _product,
    "below": _below,
    "not_below": _not_below,
}
