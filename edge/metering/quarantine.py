"""Frames that will never become usage records: kept for people to look at, never sent again.

The file is a row of entries of 520 bytes: magic, where the verdict comes from, its number, and the
frame as it was found. Ids and numbers only, like the spool itself.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
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

    def add(self, epoch: int, sequence: int, entry: QuarantineEntry) -> None:
        """Keep a frame; beyond the size limit it is counted only.

        Raises:
            OSError: the disk failed.
        """
        key = (epoch, sequence)
        if key in self._seen:
            return
        if len(self._seen) < MAX_REMEMBERED:
            self._seen.add(key)
        self._counters.quarantined += 1
        self._append(_entry.pack(_MAGIC, entry.origin, entry.number, entry.frame))

    def _append(self, packed: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o600)
        try:
            if os.fstat(descriptor).st_size + len(packed) <= MAX_QUARANTINE_BYTES:
                os.write(descriptor, packed)
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_quarantine(path: Path) -> Iterator[QuarantineEntry]:
    """Yield the entries of a quarantine file; a torn last one is left out."""
    raw = path.read_bytes()
    whole = len(raw) - len(raw) % _entry.size
    for magic, origin, number, frame in _entry.iter_unpack(raw[:whole]):
        if magic == _MAGIC:
            yield QuarantineEntry(origin, number, frame)
