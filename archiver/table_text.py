"""Usage as CSV, made of usage files on demand: the same values, a line for each request.

RFC 4180 with a header line and LF line ends. Ids are UUIDs, times are UTC to the microsecond
(`2026-08-01 09:30:00.000000Z`), money is exact dollars with nine places, what is null is empty.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from archiver.columns import DOLLARS, FILE_SCHEMA, NAMES, TIME, UUID
from archiver.totals import rows_of
from kit.money import NANOS_PER_DOLLAR

_NANOS = pa.decimal128(19, 0)
_GROUPS = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
_UUID_BYTES = 16


def csv_of(paths: list[Path]) -> Iterator[bytes]:
    """Yield the text of usage files one behind the other: the header, then some rows at a time.

    Raises:
        ObjectDamaged: a file is not what was written.
    """
    yield (",".join(NAMES) + "\n").encode()
    for path in paths:
        for rows in rows_of(path):
            yield _text_of(rows)


def _text_of(rows: pa.RecordBatch) -> bytes:
    columns = [_shown(rows.column(field.name), field.type) for field in FILE_SCHEMA]
    sink = io.BytesIO()
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
    pyarrow.csv.write_csv(pa.RecordBatch.from_arrays(columns, list(NAMES)), sink, options)
    return sink.getvalue()


def _shown(values: Any, kind: Any) -> Any:
    if kind == UUID:
        return _uuid_texts(values.storage)
    if kind == DOLLARS:
        return _dollar_texts(values)
    return values.cast(pa.string()) if kind == TIME else values


def _dollar_texts(values: Any) -> Any:
    """Return amounts with all nine places: none of them is ever negative."""
    # The same 16 bytes mean dollars with nine places and nano-dollars without.
    nanos = values.view(_NANOS).cast(pa.int64())
    whole = pc.divide(nanos, NANOS_PER_DOLLAR)
    rest = pc.subtract(nanos, pc.multiply(whole, NANOS_PER_DOLLAR)).cast(pa.string())
    places = pc.utf8_lpad(rest, 9, "0")
    return pc.binary_join_element_wise(whole.cast(pa.string()), places, ".")


def _uuid_texts(values: Any) -> pa.Array:
    """Return 16-byte values as texts such as `01991c1e-5b1c-7000-8000-000000000000`."""
    start = values.offset * _UUID_BYTES
    content = values.buffers()[1][start : start + len(values) * _UUID_BYTES]
    digits = pa.Array.from_buffers(
        pa.binary(2 * _UUID_BYTES),
        len(values),
        [None, pa.py_buffer(content.to_pybytes().hex().encode())],
    )
    whole = digits.cast(pa.binary()).cast(pa.string())
    groups = [pc.utf8_slice_codeunits(whole, *place) for place in _GROUPS]
    return pc.binary_join_element_wise(*groups, "-")
