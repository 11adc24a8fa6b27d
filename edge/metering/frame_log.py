"""The segment files of one epoch: frames in, each at the place its sequence says."""

from __future__ import annotations

import errno
import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from edge.metering.commit import Job
from edge.metering.errors import SpoolFull, SpoolInUse
from edge.metering.frames import FRAME_BYTES, Body, Place, encode
from edge.metering.records import SegmentStart
from edge.metering.segment import Segment
from kit.files import sync_folder

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
NO_ROOM_SECONDS: Final = 0.25
"""After a full disk was met, requests are refused for so long without asking it again."""


class FrameLog:
    """Appends to preallocated segments; knows nothing of requests."""

    def __init__(
        self,
        folder: Path,
        edge_id: int,
        epoch: int,
        *,
        segment_frames: int,
        max_segments: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start an empty log in a new folder; where it cannot start, it leaves nothing.

        Raises:
            SpoolInUse: the folder has a log.
            SpoolFull: the disk has no room for the first segment.
            OSError: the disk failed.
        """
        self._folder = _new_folder(folder)
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._edge_id = edge_id
        self._epoch = epoch
        self._segment_frames = segment_frames
        self._max_segments = max_segments
        self._segments: deque[Segment] = deque()
        self._dirty: set[Segment] = set()
        self._folder_dirty = False
        self._next = 0
        self._monotonic = monotonic
        self._full_until = float("-inf")
        self.free = 0
        """Frames that the allocated segments still take, heads not counted."""
        try:
            self.active = self._start()
        except BaseException:
            self._abandon()
            raise

    @property
    def last(self) -> int:
        """Return the sequence of the last frame written."""
        return self._next - 1

    @property
    def oldest(self) -> Segment:
        """Return the first segment that is still there."""
        return self._segments[0]

    @property
    def segments(self) -> int:
        """Return how many segments there are."""
        return len(self._segments)

    @property
    def size(self) -> int:
        """Return the bytes of all segments."""
        return sum(segment.frames for segment in self._segments) * FRAME_BYTES

    def make_room(self, frames: int) -> None:
        """Allocate until so many frames have their place on the disk.

        Raises:
            SpoolFull: the size cap or the disk does not allow it.
            OSError: the disk failed.
        """
        while self.free < frames:
            self._allocate()

    def append(self, body: Body) -> int:
        """Write a frame into allocated room and return its sequence; not durable yet.

        Raises:
            InvalidRecordError: the body does not fit its frame; nothing was written.
            OSError: the disk failed.
        """
        if self._next > self.active.last:
            self.active = self._holding(self._next)
            self._put(self.active, SegmentStart(self._segment_frames))
        sequence = self._put(self.active, body)
        self.free -= 1
        return sequence

    def replace(self, sequence: int, body: Body) -> None:
        """Write another frame over one that was never durable.

        Raises:
            OSError: the disk failed.
        """
        self._holding(sequence).write(sequence, self._encoded(sequence, body))

    def read(self, sequence: int, count: int) -> bytes:
        """Return between 1 and `count` frames from a sequence that is still there.

        Raises:
            OSError: the file cannot be read.
        """
        return self._holding(sequence).read(sequence, count)

    def collect(self) -> Job:
        """Return what a commit must sync now to make everything written so far durable."""
        descriptors = [segment.descriptor for segment in self._dirty]
        if self._folder_dirty:
            descriptors.append(self._descriptor)
        self._dirty.clear()
        self._folder_dirty = False
        return Job(tuple(descriptors), self.last)

    def drop_oldest(self) -> None:
        """Delete the oldest segment; it must hold nothing that anybody needs.

        Raises:
            OSError: the file cannot be deleted.
        """
        self._segments.popleft().delete()

    def close(self) -> None:
        """Close all files."""
        for segment in self._segments:
            segment.close()
        os.close(self._descriptor)

    def _start(self) -> Segment:
        self._allocate()
        first = self._segments[0]
        self._put(first, SegmentStart(self._segment_frames))
        # A file is as lost as its folder: a power cut must not take the new name away.
        sync_folder(self._folder.parent)
        return first

    def _abandon(self) -> None:
        with suppress(OSError):
            for segment in self._segments:
                segment.delete()
            self._folder.rmdir()
        os.close(self._descriptor)

    def _allocate(self) -> None:
        if len(self._segments) >= self._max_segments or self._monotonic() < self._full_until:
            raise SpoolFull
        first = self._segments[-1].last + 1 if self._segments else 0
        try:
            segment = Segment.create(self._folder, first, self._segment_frames)
        except OSError as error:
            if error.errno in _NO_ROOM:
                self._full_until = self._monotonic() + NO_ROOM_SECONDS
                raise SpoolFull from None
            raise
        self._segments.append(segment)
        self._folder_dirty = True
        self.free += self._segment_frames - 1

    def _holding(self, sequence: int) -> Segment:
        return next(found for found in self._segments if sequence <= found.last)

    def _put(self, segment: Segment, body: Body) -> int:
        sequence = self._next
        segment.write(sequence, self._encoded(sequence, body))
        self._next += 1
        self._dirty.add(segment)
        return sequence

    def _encoded(self, sequence: int, body: Body) -> bytes:
        return encode(Place(self._edge_id, self._epoch, sequence), body)


def _new_folder(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        # An empty one is what a failed start left: no frame was ever there.
        if any(folder.iterdir()):
            raise SpoolInUse from None
    return folder
