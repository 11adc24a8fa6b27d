"""What rows of a usage file add up to, in bounded memory, exactly."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from archiver.columns import FILE_SCHEMA, QUANTITIES, to_nanos
from archiver.export import id_bytes
from archiver.model import Totals
from archiver.store.errors import ObjectDamaged

ROWS_AT_ONCE: Final = 8_192
"""A quarter of a row group: less memory, and in the processor's caches."""
_ID_BYTES: Final = 16


class Tally:
    """Adds up rows in the order of their ids."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.records = 0
        self._first_id = b""
        self._last_id = b""
        self._ids = hashlib.sha256()
        self._quantities = [0] * len(QUANTITIES)
        self._charge = 0
        self._waived = 0

    def add(self, rows: pa.RecordBatch) -> None:
        """Take more rows.

        Raises:
            ObjectDamaged: ids do not grow.
        """
        if not rows.num_rows:
            return
        ids = id_bytes(rows.column("request_id"))
        first = bytes(ids[:_ID_BYTES])
        if first <= self._last_id or not _grow(rows.column("request_id")):
            raise ObjectDamaged
        self._first_id = self._first_id or first
        self._last_id = bytes(ids[-_ID_BYTES:])
        self._ids.update(ids)
        self.records += rows.num_rows
        for place, name in enumerate(QUANTITIES):
            self._quantities[place] += pc.sum(rows.column(name)).as_py()
        self._charge += to_nanos(pc.sum(rows.column("charge")).as_py())
        self._waived += to_nanos(pc.sum(rows.column("waived")).as_py())

    def totals(self) -> Totals:
        """Return the sums so far."""
        return Totals(
            records=self.records,
            first_id=self._first_id,
            last_id=self._last_id,
            ids_hash=self._ids.digest(),
            quantities=tuple(self._quantities),
            charge_nanos=self._charge,
            waived_nanos=self._waived,
        )


def rows_of(
    path: Path, columns: list[str] | None = None, *, at_once: int = ROWS_AT_ONCE
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a usage file, every page checked against its checksum; all columns or some.

    Raises:
        ObjectDamaged: it is no usage file of this version, or its bytes have changed.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
            if not file.schema_arrow.equals(FILE_SCHEMA, check_metadata=False):
                raise ObjectDamaged
            yield from file.iter_batches(at_once, columns=columns, use_threads=False)
    except (pa.ArrowException, OSError):
        raise ObjectDamaged from None


def combined(parts: list[Totals]) -> Totals:
    """Return what parts add up to; their ids are hashed part by part, in the order of the parts.

    The hash of one part alone is its own; that of several covers their hashes.
    """
    if len(parts) == 1:
        return parts[0]
    return Totals(
        records=sum(part.records for part in parts),
        first_id=min((part.first_id for part in parts), default=b""),
        last_id=max((part.last_id for part in parts), default=b""),
        ids_hash=hashlib.sha256(b"".join(part.ids_hash for part in parts)).digest(),
        quantities=tuple(
            sum(column) for column in zip(*(part.quantities for part in parts), strict=True)
        )
        or (0,) * len(QUANTITIES),
        charge_nanos=sum(part.charge_nanos for part in parts),
        waived_nanos=sum(part.waived_nanos for part in parts),
    )


def _grow(ids: Any) -> bool:
    storage = ids.storage.cast(pa.binary())
    below = pc.less(storage.slice(0, len(storage) - 1), storage.slice(1))
    return bool(pc.all(below, min_count=0).as_py())
