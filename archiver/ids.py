"""The sorted ids of a month over all workspaces: a file of 16 bytes each, to find doubles by.

Ids begin with their time, so they are parted by time into small heaps on disk, and each heap is
sorted alone: memory stays bounded however many there are.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pyarrow as pa
import pyarrow.compute as pc

from archiver.calendar import end_of, start_of
from archiver.export import HashingSink
from archiver.model import Draft
from kit.clock import to_micros
from kit.ids import ID_BYTES, uuid7_floor
from oneapi.partitions.v1.partition_pb2 import ArchiveFile

HEAPS: Final = 128


class IdSorter:
    """Takes runs of sorted ids and writes all of them as one sorted file."""

    def __init__(self, month: date, folder: Path) -> None:
        """Keep the heaps in the folder."""
        first, end = (to_micros(each(month)) // 1_000 for each in (start_of, end_of))
        self._bounds = [uuid7_floor(first + (end - first) * n // HEAPS) for n in range(1, HEAPS)]
        self._folder = folder
        self._heaps = [(folder / f"heap-{n:03d}").open("w+b") for n in range(HEAPS)]

    def add(self, ids: memoryview) -> None:
        """Take a run of ids, 16 bytes each, in their order."""
        start, count = 0, len(ids) // ID_BYTES
        for number, bound in enumerate(self._bounds):
            if start == count:
                return
            end = _place(ids, bound, start, count)
            self._heaps[number].write(ids[start * ID_BYTES : end * ID_BYTES])
            start = end
        self._heaps[-1].write(ids[start * ID_BYTES :])

    def finish(self, path: Path) -> Draft:
        """Write the sorted file; the heaps are used up."""
        sink = HashingSink(path)
        for heap in self._heaps:
            heap.seek(0)
            sink.write(_sorted(heap.read()))
        sink.finish()
        self.close()
        rows = sink.size_bytes // ID_BYTES
        return Draft(ArchiveFile.KIND_IDS, path, rows, sink.sha256, sink.size_bytes)

    def close(self) -> None:
        """Remove the heaps."""
        for number, heap in enumerate(self._heaps):
            heap.close()
            (self._folder / f"heap-{number:03d}").unlink(missing_ok=True)


class KnownIds:
    """Sorted ids of a month in files, to be asked."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Map the files; an empty one holds nothing."""
        self._maps = [_map(path) for path in paths if path.stat().st_size]

    def __contains__(self, identifier: bytes) -> bool:
        """Say whether an id is in one of the files."""
        return any(_has(content, identifier) for content in self._maps)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for content in self._maps:
            content.close()


def _map(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _has(content: mmap.mmap, identifier: bytes) -> bool:
    place = _place(content, identifier, 0, len(content) // ID_BYTES)
    return content[place * ID_BYTES : (place + 1) * ID_BYTES] == identifier


def _place(ids: memoryview | mmap.mmap, bound: bytes, low: int, high: int) -> int:
    """Return the place of the first id that is not below a bound."""
    while low < high:
        middle = (low + high) // 2
        if bytes(ids[middle * ID_BYTES : (middle + 1) * ID_BYTES]) < bound:
            low = middle + 1
        else:
            high = middle
    return low


def _sorted(content: bytes) -> pa.Buffer:
    """Return the ids of a heap in their order."""
    buffers = [None, pa.py_buffer(content)]
    ids = pa.Array.from_buffers(pa.binary(ID_BYTES), len(content) // ID_BYTES, buffers)
    return ids.take(pc.array_sort_indices(ids)).buffers()[1] or pa.py_buffer(b"")
