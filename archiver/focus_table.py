"""Rows of a cost file while they are made: columns as what they are, not yet as what is written.

Most columns are the same in every row, or have few different values; amounts are whole numbers of a
small unit. Kept as that, they are checked, and made Arrow and text, without doing it row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from archiver.focus_columns import COST_SCHEMA, DECIMAL

_WHOLE: Final = pa.decimal128(19, 0)


class Coded(NamedTuple):
    """A column of few different values, and which of them each row has."""

    values: pa.Array
    indices: pa.Array

    def decoded(self) -> pa.Array:
        """Return the value of each row."""
        return self.values.take(self.indices)


class Scaled(NamedTuple):
    """A column of decimals: whole numbers (int64, null for none) of a unit of so many places."""

    numbers: pa.Array
    places: int

    def decoded(self) -> pa.Array:
        """Return the decimals: the same 16 bytes with a point."""
        kind = pa.decimal128(_WHOLE.precision, self.places)
        return self.numbers.cast(_WHOLE).view(kind).cast(DECIMAL)


Column: TypeAlias = Coded | Scaled | Any
"""Anything else is an Arrow array."""


class Costs:
    """Rows of a cost file by column; a column that has no entry is the same in every row."""

    def __init__(
        self, rows: int, same: Mapping[str, object], columns: Mapping[str, Column]
    ) -> None:
        """Take what all rows have, null where it does not say, and what each has."""
        self.rows = rows
        self.same = same
        self.columns = columns

    @classmethod
    def of_rows(cls, rows: list[dict[str, Any]], same: Mapping[str, object]) -> Self:
        """Take rows of values, which have everything that is not the same in all."""
        table = pa.Table.from_pylist(rows, schema=COST_SCHEMA)
        named = {name for row in rows for name in row}
        columns = {name: table.column(name).combine_chunks() for name in named}
        return cls(len(rows), same, columns)

    def slice(self, start: int, count: int) -> Costs:
        """Return some of the rows; an array that is in several columns stays one."""
        made: dict[int, pa.Array] = {}

        def part(array: pa.Array) -> pa.Array:
            return made.setdefault(id(array), array.slice(start, count))

        columns: dict[str, Column] = {}
        for name, column in self.columns.items():
            if isinstance(column, Coded):
                columns[name] = Coded(column.values, part(column.indices))
            elif isinstance(column, Scaled):
                columns[name] = Scaled(part(column.numbers), column.places)
            else:
                columns[name] = part(column)
        return Costs(min(count, self.rows - start), self.same, columns)

    def table(self) -> pa.Table:
        """Return the rows as they are written to Parquet."""
        return pa.Table.from_arrays(list(map(self._array, COST_SCHEMA)), schema=COST_SCHEMA)

    def _array(self, field: pa.Field) -> pa.Array:
        column = self.columns.get(field.name)
        if column is None:
            return pa.repeat(pa.scalar(self.same.get(field.name), field.type), self.rows)
        return column.decoded() if isinstance(column, Coded | Scaled) else column


def coded(column: pa.Array, text: Callable[[Any], str | None]) -> Coded:
    """Return a text for each value of a column that has few different ones."""
    found = column.dictionary_encode(null_encoding="encode")
    texts = [text(value) for value in found.dictionary.to_pylist()]
    return Coded(pa.array(texts, pa.string()), found.indices)


def together(*columns: pa.Array) -> tuple[list[tuple[Any, ...]], pa.Array]:
    """Return the different rows that columns without nulls make, and which of them each row is."""
    encoded = [column.dictionary_encode() for column in columns]
    code: Any = 0
    for each in encoded:
        code = pc.add(pc.multiply(code, len(each.dictionary)), each.indices.cast(pa.int64()))
    found = code.dictionary_encode()
    values = [each.dictionary.to_pylist() for each in encoded]
    return [_parted(number, values) for number in found.dictionary.to_pylist()], found.indices


def _parted(code: int, values: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
    """Return what a code stands for: the place of the last value is its last digit."""
    found = []
    for each in reversed(values):
        code, place = divmod(code, len(each))
        found.append(each[place])
    return tuple(reversed(found))
