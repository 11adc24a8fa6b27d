"""Rows of a cost file as lines of CSV (RFC 4180, but that lines end as in Unix).

Decimals have a point and no exponent, times are ISO 8601 with a T and a Z, as FOCUS writes them.
What is the same in all rows, or in those of one code, is made text once.
"""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from archiver.focus_columns import COST_SCHEMA, DECIMAL
from archiver.focus_table import Coded, Costs, Scaled

HEADER: Final = (",".join(COST_SCHEMA.names) + "\n").encode()
_SPECIAL: Final = '[",\\r\\n]'
_SPECIAL_TEXT: Final = re.compile(_SPECIAL)
_INDEX_BYTES: Final = 4


class _Piece(NamedTuple):
    """Text of one or more columns side by side: of each row, or of each code of the indices."""

    texts: pa.Array
    indices: pa.Array | None = None

    def of_rows(self) -> pa.Array:
        return self.texts if self.indices is None else self.texts.take(self.indices)


def csv_lines(costs: Costs) -> memoryview:
    """Return rows as lines, one at least."""
    pieces: list[str | _Piece] = []
    texts = _Texts(costs)
    for name in COST_SCHEMA.names:
        piece = texts.of(name)
        if pieces and (both := _joined(pieces[-1], piece)) is not None:
            pieces[-1] = both
        else:
            pieces.append(piece)
    pieces[-1] = _with_end(pieces[-1])
    columns = [pa.scalar(each) if isinstance(each, str) else each.of_rows() for each in pieces]
    lines = pc.binary_join_element_wise(*columns, ",")
    return _content(lines)


class _Texts:
    """The columns of some rows as text; an array that is in several columns is made text once."""

    def __init__(self, costs: Costs) -> None:
        self._costs = costs
        self._made: dict[tuple[int, ...], _Piece] = {}

    def of(self, name: str) -> str | _Piece:
        column = self._costs.columns.get(name)
        if column is None:
            return _quoted_text(_text(self._costs.same.get(name)))
        if isinstance(column, Coded):
            return _Piece(_texts(column.values), column.indices)
        key = (id(column.numbers), column.places) if isinstance(column, Scaled) else (id(column),)
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = _Piece(_texts(column))
        return made


def _joined(left: str | _Piece, right: str | _Piece) -> str | _Piece | None:
    """Return two columns as one where that is less work, None where it is not."""
    if isinstance(left, str):
        if isinstance(right, str):
            return f"{left},{right}"
        return None if right.indices is None else _both(left, right.texts, right.indices)
    if left.indices is None:
        return None
    if isinstance(right, str):
        return _both(left.texts, right, left.indices)
    return _both(left.texts, right.texts, left.indices) if left.indices is right.indices else None


def _both(left: Any, right: Any, indices: pa.Array) -> _Piece:
    return _Piece(pc.binary_join_element_wise(left, right, ","), indices)


def _with_end(piece: str | _Piece) -> str | _Piece:
    if isinstance(piece, str):
        return f"{piece}\n"
    return piece._replace(texts=pc.binary_join_element_wise(piece.texts, pa.scalar(""), "\n"))


def _content(lines: pa.Array) -> memoryview:
    """Return the bytes of texts, one behind the other."""
    _, offsets, content = lines.buffers()
    first, end = (
        int.from_bytes(offsets[at * _INDEX_BYTES : (at + 1) * _INDEX_BYTES].to_pybytes(), "little")
        for at in (lines.offset, lines.offset + len(lines))
    )
    return memoryview(content)[first:end]


def _texts(values: Scaled | pa.Array) -> pa.Array:
    if isinstance(values, Scaled):
        texts = _scaled_texts(values.numbers, values.places)
    elif pa.types.is_decimal(values.type):
        texts = _decimal_texts(values)
    elif pa.types.is_timestamp(values.type):
        texts = pa.array(map(_text, values.to_pylist()), pa.string())
    else:
        texts = _quoted(values)
    return pc.fill_null(texts, "")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}"
    return f"{value:.{DECIMAL.scale}f}" if isinstance(value, Decimal) else str(value)


def _decimal_texts(values: pa.Array) -> pa.Array:
    # Arrow's own texts of small amounts have an exponent. The same bytes without places are nanos.
    digits = values.view(pa.decimal128(DECIMAL.precision, 0))
    try:
        nanos = digits.cast(pa.int64())
    except pa.ArrowInvalid:  # more than nine billion
        exact = [None if each is None else _text(each) for each in values.to_pylist()]
        return pa.array(exact, pa.string())
    return _scaled_texts(nanos, DECIMAL.scale)


def _scaled_texts(numbers: pa.Array, places: int) -> pa.Array:
    """Return whole numbers of a unit of so many places, all with the places of a column."""
    zeros = "0" * (DECIMAL.scale - places)
    if not places:
        return pc.binary_join_element_wise(numbers.cast(pa.string()), pa.scalar(zeros), ".")
    size = pc.abs_checked(numbers)
    unit = 10**places
    whole = pc.divide(size, unit)
    rest = pc.subtract(size, pc.multiply(whole, unit)).cast(pa.string())
    texts = pc.binary_join_element_wise(
        whole.cast(pa.string()), pc.utf8_lpad(rest, places, "0"), "."
    )
    if zeros:
        texts = pc.binary_join_element_wise(texts, pa.scalar(zeros), "")
    if (pc.min(numbers).as_py() or 0) >= 0:
        return texts
    signed = pc.binary_join_element_wise(pa.scalar("-"), texts, "")
    return pc.if_else(pc.less(numbers, 0), signed, texts)


def _quoted(values: pa.Array) -> pa.Array:
    """Return texts in quotation marks where CSV (RFC 4180) needs them."""
    needs = pc.match_substring_regex(values, _SPECIAL)
    if not pc.any(needs, min_count=0).as_py():
        return values
    doubled = pc.replace_substring(values, '"', '""')
    quoted = pc.binary_join_element_wise(pa.scalar('"'), doubled, pa.scalar('"'), "")
    return pc.if_else(needs, quoted, values)


def _quoted_text(text: str) -> str:
    if not _SPECIAL_TEXT.search(text):
        return text
    doubled = text.replace('"', '""')
    return f'"{doubled}"'
