"""Frames that will never become usage records: kept for people to look at, never sent again.

The file is a row of entries of 520 bytes: magic, where the verdict comes from, its number, and the
frame as it was found. Ids and numbers only, like the spool itself.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import Final, NamedTuple

from edge.metering.counters import Counters
from edge.metering.frames import FRAME_BYTES

MAX_QUARANTINE_BYTES: Final = 16 * 1024 * 1024
MAX_REMEMBERED: Final = 100_000
_MAGIC: Final = b"1APQ"
_entry = struct.Struct(f">4sHH{FRAME_BYTES}s")


class Origin(IntEnum):
    """Who says that a frame is bad."""

    CORE = 1
    """The number is core's ErrorReason."""
    RECOVERY = 2
    """The number is a `Fault` of the frame."""


class QuarantineEntry(NamedTuple):
    """One frame and the verdict on it."""

    origin: int
    number: int
    frame: bytes


class Quarantine:
    """Appends to a quarantine file, durably, each frame once in a process's life."""

    def __init__(self, path: Path, counters: Counters) -> None:
        """Append to the file, which is made when it is needed."""
        self._path = path
        self._counters = counters
        self._seen: set[tuple[int, int]] = set()

    def add(self, epoch: int, entries: Iterable[tuple[int, QuarantineEntry]]) -> None:
        """Keep frames by their sequences; what the size limit or the disk refuses is counted only.

        Nothing waits for a copy that is only for people: a full disk must not hold up shipping,
        which is what makes room.
        """
        new = [(sequence, entry) for sequence, entry in entries if self._is_new(epoch, sequence)]
        if not new:
            return
        self._counters.quarantined += len(new)
        try:
            kept = self._append([_packed(entry) for _, entry in new])
        except OSError:
            kept = 0
        self._counters.not_kept += len(new) - kept

    def _is_new(self, epoch: int, sequence: int) -> bool:
        key = (epoch, sequence)
        if key in self._seen:
            return False
        if len(self._seen) < MAX_REMEMBERED:
            self._seen.add(key)
        return True

    def _append(self, packed: list[bytes]) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            whole = size - size % _entry.size
            if size != whole:  # a disk that filled up has torn the last entry
                os.ftruncate(descriptor, whole)
            room = (MAX_QUARANTINE_BYTES - whole) // _entry.size
            fitting = b"".join(packed[: max(0, room)])
            written = os.write(descriptor, fitting) if fitting else 0
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return written // _entry.size


def _packed(entry: QuarantineEntry) -> bytes:
    return _entry.pack(_MAGIC, entry.origin, entry.number, entry.frame)


def read_quarantine(path: Path) -> Iterator[QuarantineEntry]:
    """Yield the entries of a quarantine file; a torn last one is left out."""
    raw = path.read_bytes()
    whole = len(raw) - len(raw) % _entry.size
    for magic, origin, number, frame in _entry.iter_unpack(raw[:whole]):
        if magic == _MAGIC:
            yield QuarantineEntry(origin, number, frame)
