"""From Arrow batches to Parquet files: one workspace at a time, in row groups of a fixed size.

Row groups do not depend on where the export's batches end, so that the same rows give the same
bytes. No more than one row group is in memory.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import pyarrow as pa
import pyarrow.parquet as pq

from archiver.columns import FILE_SCHEMA, ExportNotUnderstood, chosen, to_file
from archiver.model import Draft
from oneapi.partitions.v1.partition_pb2 import ArchiveFile

ROWS_PER_GROUP: Final = 32_768
"""Twice as many make files a hundredth smaller, and need twice the memory."""
ZSTD_LEVEL: Final = 3
# Ids differ from row to row: a dictionary of them is thrown away once it is full.
_WITH_DICTIONARY: Final = [
    name for name in FILE_SCHEMA.names if name not in {"request_id", "started_at"}
]
PARQUET_OPTIONS: Final = {
    "compression": "zstd",
    "compression_level": ZSTD_LEVEL,
    "version": "2.6",
    "use_dictionary": _WITH_DICTIONARY,
    "write_page_index": True,
    "write_page_checksum": True,
    "store_decimal_as_integer": True,
}
_ID_BYTES: Final = 16


class Group(NamedTuple):
    """At most a row group of one workspace's exported rows; the last one says so."""

    workspace_id: bytes
    rows: pa.Table
    last: bool


class Regrouper:
    """Cuts a stream of batches, ordered by workspace, into row groups of one workspace each."""

    def __init__(self) -> None:
        """Begin before the first workspace."""
        self._workspace_id = b""
        self._pending: list[pa.RecordBatch] = []
        self._rows = 0

    def add(self, batch: pa.RecordBatch) -> Iterator[Group]:
        """Take a batch and yield the groups that are whole now.

        Raises:
            ExportNotUnderstood: workspaces are not in order, or columns are not the export's.
        """
        for workspace_id, run in runs(chosen(batch)):
            if workspace_id != self._workspace_id:
                if workspace_id < self._workspace_id:
                    raise ExportNotUnderstood
                yield from self.end()
                self._workspace_id = workspace_id
            start = 0
            while start < run.num_rows:
                if self._rows == ROWS_PER_GROUP:
                    yield self._take(last=False)
                piece = run.slice(start, ROWS_PER_GROUP - self._rows)
                self._pending.append(piece)
                self._rows += piece.num_rows
                start += piece.num_rows

    def end(self) -> Iterator[Group]:
        """Yield what is left of the workspace."""
        if self._rows:
            yield self._take(last=True)

    def _take(self, *, last: bool) -> Group:
        # In one piece: the messages that the pieces came in are let go before it is written.
        rows = pa.Table.from_batches(self._pending).combine_chunks()
        group = Group(self._workspace_id, rows, last)
        self._pending, self._rows = [], 0
        return group


class UsageFile:
    """A usage file while it is written; its hash grows with it."""

    def __init__(self, path: Path) -> None:
        """Write to a new file at the path."""
        self.path = path
        self.rows = 0
        self._sink = HashingSink(path)
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._sink, mode="w"), FILE_SCHEMA, **PARQUET_OPTIONS
        )

    def add(self, rows: pa.Table) -> None:
        """Write exported rows as one row group.

        Raises:
            ExportNotUnderstood: a number that no word stands for.
            OSError: the disk is full.
        """
        self.add_converted(to_file(rows))

    def add_converted(self, rows: pa.Table) -> None:
        """Write rows that have the files' columns already.

        Raises:
            OSError: the disk is full.
        """
        self._writer.write_table(rows, row_group_size=ROWS_PER_GROUP)
        self.rows += rows.num_rows

    def finish(self) -> Draft:
        """Write the footer and return the file.

        Raises:
            OSError: the disk is full.
        """
        self._writer.close()
        self._sink.finish()
        kind = ArchiveFile.KIND_USAGE_PARQUET
        return Draft(kind, self.path, self.rows, self._sink.sha256, self._sink.size_bytes)

    def abandon(self) -> None:
        """Close and remove what was written."""
        # Arrow's writer closes itself when it is forgotten, and by then there is no file.
        with suppress(OSError, pa.ArrowException):
            self._writer.close()
        with suppress(OSError):  # the disk is full: what waits to be written is of no use
            self._sink.finish()
        self.path.unlink(missing_ok=True)


class HashingSink(io.RawIOBase):
    """A file for writing that knows the hash of what was written."""

    def __init__(self, path: Path) -> None:
        """Create the file."""
        super().__init__()
        self._file = path.open("xb")
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    @property
    def sha256(self) -> bytes:
        """Return the hash of everything so far."""
        return self._digest.digest()

    def writable(self) -> bool:
        """Say that it is for writing."""
        return True

    def write(self, data: Any) -> int:
        """Write all of it."""
        self._digest.update(data)
        count = self._file.write(data)
        self.size_bytes += count
        return count

    def flush(self) -> None:
        """Leave it to the end."""

    def finish(self) -> None:
        """Close the file; more cannot be written."""
        self._file.close()

    def __enter__(self) -> Self:
        return self


def read_ipc(message: bytes) -> Iterator[pa.RecordBatch]:
    """Yield the batches of one message of an export.

    Raises:
        ExportNotUnderstood: it is not Arrow.
    """
    try:
        with pa.ipc.open_stream(pa.py_buffer(message)) as reader:
            yield from reader
    except pa.ArrowInvalid:
        raise ExportNotUnderstood from None


def id_bytes(values: pa.Array) -> memoryview:
    """Return the 16-byte ids of a column without nulls, one behind the other."""
    storage = values.storage if isinstance(values, pa.ExtensionArray) else values
    start = storage.offset * _ID_BYTES
    # Arrow's bytes are signed, and a signed byte above 127 equals no byte.
    content = memoryview(storage.buffers()[1]).cast("B")
    return content[start : start + len(storage) * _ID_BYTES]


def runs(batch: pa.RecordBatch) -> Iterator[tuple[bytes, pa.RecordBatch]]:
    """Yield each workspace of a batch that is ordered by workspaces, with its rows."""
    ids, start = id_bytes(batch.column("workspace_id")), 0
    while start < batch.num_rows:
        workspace_id = bytes(ids[start * _ID_BYTES : (start + 1) * _ID_BYTES])
        end = _end_of_run(ids, start, batch.num_rows, workspace_id)
        yield workspace_id, batch.slice(start, end - start)
        start = end


def _end_of_run(ids: memoryview, start: int, count: int, value: bytes) -> int:
    """Return where equal values end in an ordered column, by halving."""
    low, high = start + 1, count
    while low < high:
        middle = (low + high) // 2
        if ids[middle * _ID_BYTES : (middle + 1) * _ID_BYTES] == value:
            low = middle + 1
        else:
            high = middle
    return low
