"""Files of settlements: which of them charged a workspace's month, a row each, and their root.

A settlement may be one record, so that a month can have as many of them as rows. They are written
while they come, and are never in memory together.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from archiver.abreast import to_its_end
from archiver.columns import UUID
from archiver.export import ZSTD_LEVEL, HashingSink
from archiver.model import CountedMonth, CountedPart, Draft, Settlement
from archiver.store.errors import ObjectDamaged
from kit.canonical import settlement_leaf
from kit.ids import format_id, parse_id
from kit.merkle import GrowingRoot
from oneapi.partitions.v1.partition_pb2 import ArchiveFile

SCHEMA_ID: Final = "settlements/v1"
ROWS_PER_GROUP: Final = 16_384
_HASH_BYTES: Final = 32
_HASH: Final = pa.binary(_HASH_BYTES)
_NO_HASH: Final = bytes(_HASH_BYTES)


def _field(name: str, kind: Any, description: str, *, nullable: bool = False) -> Any:
    return pa.field(name, kind, nullable=nullable, metadata={"description": description})


SETTLEMENT_SCHEMA: Final = pa.schema(
    [
        _field("settlement_id", UUID, "As in usage files; the digits behind `txn_`."),
        _field("sequence", pa.int64(), "Its place in the wallet's log; 0: in none."),
        _field("hash", _HASH, "The hash of that place; null where it is in none.", nullable=True),
        _field("records_root", _HASH, "The RFC 6962 root over its records, ordered by id."),
        _field("record_count", pa.int64(), "How many they are."),
    ],
    metadata={"schema": SCHEMA_ID, "description": "One row for each settlement. No content."},
)
Keeps = Callable[[Settlement], bool]


def leaf_of(settlement: Settlement) -> bytes:
    """Return a settlement's leaf in the root over its file."""
    return settlement_leaf(
        parse_id("txn", settlement.transaction_id),
        settlement.sequence,
        settlement.hash or _NO_HASH,
        settlement.records_root,
        settlement.record_count,
    )


class SettlementFile:
    """A file of settlements while it is written; hash and root grow with it.

    Row groups do not depend on how the settlements come, so that the same ones give the same bytes.
    """

    def __init__(self, path: Path) -> None:
        """Write to a file at the path; what an attempt before has left there is of no use."""
        path.unlink(missing_ok=True)
        self._path = path
        self._rows = 0
        self._root = GrowingRoot()
        self._waiting: list[Settlement] = []
        self._sink = HashingSink(path)
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._sink, mode="w"),
            SETTLEMENT_SCHEMA,
            compression="zstd",
            compression_level=ZSTD_LEVEL,
            version="2.6",
            use_dictionary=False,
            write_page_index=True,
            write_page_checksum=True,
        )

    def add(self, settlements: Sequence[Settlement]) -> None:
        """Take more settlements, in their order.

        Raises:
            OSError: the disk is full.
        """
        for each in settlements:
            self._root.add(leaf_of(each))
        self._waiting += settlements
        while len(self._waiting) >= ROWS_PER_GROUP:
            self._write(self._waiting[:ROWS_PER_GROUP])
            del self._waiting[:ROWS_PER_GROUP]

    def finish(self) -> Draft:
        """Write the end and return the file.

        Raises:
            OSError: the disk is full.
        """
        if self._waiting:
            self._write(self._waiting)
        self._writer.close()
        self._sink.finish()
        return Draft(
            ArchiveFile.KIND_SETTLEMENTS_PARQUET,
            self._path,
            self._rows,
            self._sink.sha256,
            self._sink.size_bytes,
            self._root.root(),
        )

    def abandon(self) -> None:
        """Close and remove what was written."""
        with suppress(OSError, pa.ArrowException):
            self._writer.close()
        with suppress(OSError):  # the disk is full: what waits to be written is of no use
            self._sink.finish()
        self._path.unlink(missing_ok=True)

    def _write(self, settlements: Sequence[Settlement]) -> None:
        self._writer.write_batch(_batch(settlements), row_group_size=ROWS_PER_GROUP)
        self._rows += len(settlements)


async def with_settlements(
    parts: AsyncGenerator[CountedPart, None], folder: Path, keeps: Keeps = lambda _: True
) -> AsyncGenerator[CountedMonth, None]:
    """Yield what core counts by workspace, the settlements that are kept in a file in the folder.

    Raises:
        OSError: the disk is full.
    """
    current: CountedMonth | None = None
    file: SettlementFile | None = None
    try:
        async with aclosing(parts):
            async for counted, settlements in parts:
                if current is not None and counted.workspace_id != current.workspace_id:
                    (whole, written), current, file = (current, file), None, None
                    yield await _finished(whole, written)
                current = current or counted
                kept = [each for each in settlements if keeps(each)]
                if kept:
                    name = f"{counted.workspace_id.hex()}-settlements.parquet"
                    file = file or SettlementFile(folder / name)
                    await to_its_end(file.add, kept)
        if current is not None:
            (whole, written), file = (current, file), None
            yield await _finished(whole, written)
    finally:
        if file is not None:
            file.abandon()


async def _finished(counted: CountedMonth, file: SettlementFile | None) -> CountedMonth:
    if file is None:
        return counted
    return replace(counted, settlements=await to_its_end(file.finish))


def settlements_of(path: Path) -> Iterator[list[Settlement]]:
    """Yield the settlements of a file, some thousand at a time, every page checked.

    Raises:
        ObjectDamaged: it is no such file of this version, or its bytes have changed.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
            if not file.schema_arrow.equals(SETTLEMENT_SCHEMA, check_metadata=False):
                raise ObjectDamaged
            for batch in file.iter_batches(ROWS_PER_GROUP, use_threads=False):
                yield _settlements(batch)
    except (pa.ArrowException, OSError):
        raise ObjectDamaged from None


def count_and_root(path: Path) -> tuple[int, bytes]:
    """Return how many settlements a file has, and their root.

    Raises:
        ObjectDamaged: it is no such file of this version, or its bytes have changed.
    """
    count, growing = 0, GrowingRoot()
    for found in settlements_of(path):
        count += len(found)
        for each in found:
            growing.add(leaf_of(each))
    return count, growing.root()


def _batch(settlements: Sequence[Settlement]) -> pa.RecordBatch:
    names, sequences, hashes, roots, counts = zip(*settlements, strict=True)
    ids = pa.array([parse_id("txn", name) for name in names], UUID.storage_type)
    return pa.RecordBatch.from_arrays(
        [
            pa.ExtensionArray.from_storage(UUID, ids),
            pa.array(sequences, pa.int64()),
            pa.array([each or None for each in hashes], _HASH),
            pa.array(roots, _HASH),
            pa.array(counts, pa.int64()),
        ],
        schema=SETTLEMENT_SCHEMA,
    )


def _settlements(batch: pa.RecordBatch) -> list[Settlement]:
    ids, *others = batch.columns
    columns = [ids.storage.to_pylist(), *(column.to_pylist() for column in others)]
    return [
        Settlement(format_id("txn", name), sequence, log_hash or b"", root, count)
        for name, sequence, log_hash, root, count in zip(*columns, strict=True)
    ]
