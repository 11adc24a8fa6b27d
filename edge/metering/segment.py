"""A segment: one preallocated file of frames, where a frame's position is its sequence."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Final

from edge.metering.frames import EMPTY, FRAME_BYTES

SEGMENT_FRAMES: Final = 8_192
"""Frames of a segment, its head included: 4 MiB."""

UNREADABLE: Final = b"\xff" * FRAME_BYTES
"""Stands for a frame that the disk does not give back."""
_NAME: Final = re.compile(r"[0-9]{20}\.seg", re.ASCII)
_NO_PREALLOCATION: Final = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})


class Segment:
    """One open segment file and what the spool must know to forget it."""

    __slots__ = ("descriptor", "first", "frames", "open_intents", "path", "released_through")

    def __init__(self, path: Path, descriptor: int, first: int, frames: int) -> None:
        """Take an open file whose first frame has the sequence `first`."""
        self.path = path
        self.descriptor = descriptor
        self.first = first
        self.frames = frames
        self.open_intents = 0
        self.released_through = 0
        """The segment may go only once everything up to here is durable."""

    @classmethod
    def create(cls, folder: Path, first: int, frames: int) -> Segment:
        """Make a segment whose blocks are allocated, so that writing it later finds room.

        Raises:
            OSError: the disk has no room or failed; nothing is left behind.
        """
        path = folder / segment_name(first)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _allocate(descriptor, frames * FRAME_BYTES)
        except OSError:
            os.close(descriptor)
            path.unlink()
            raise
        return cls(path, descriptor, first, frames)

    @classmethod
    def open(cls, path: Path) -> Segment:
        """Open a segment that another process left.

        Raises:
            OSError: the file cannot be opened.
        """
        first = int(path.stem)
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        size = os.fstat(descriptor).st_size
        return cls(path, descriptor, first, -(-size // FRAME_BYTES))

    @property
    def last(self) -> int:
        """Return the sequence of its last frame."""
        return self.first + self.frames - 1

    def write(self, sequence: int, frame: bytes) -> None:
        """Put a frame at its place; it is safe from a crash of this process, not of the machine.

        Raises:
            OSError: it was not written, or not whole.
        """
        written = os.pwrite(self.descriptor, frame, (sequence - self.first) * FRAME_BYTES)
        if written != FRAME_BYTES:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def read(self, sequence: int, count: int) -> bytes:
        """Return whole frames from a sequence on; what the file lacks is empty.

        A bad sector costs the frames in it, which come as bytes that are no frame.

        Raises:
            OSError: nothing of it can be read.
        """
        count = min(count, self.last - sequence + 1)
        try:
            return self._read(sequence, count)
        except OSError:
            singly = [self._read_one(one) for one in range(sequence, sequence + count)]
            if all(frame is None for frame in singly):
                raise
            return b"".join(UNREADABLE if frame is None else frame for frame in singly)

    def _read(self, sequence: int, count: int) -> bytes:
        wanted = count * FRAME_BYTES
        offset = (sequence - self.first) * FRAME_BYTES
        return os.pread(self.descriptor, wanted, offset).ljust(wanted, b"\0")

    def _read_one(self, sequence: int) -> bytes | None:
        try:
            return self._read(sequence, 1)
        except OSError:
            return None

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)

    def delete(self) -> None:
        """Close and forget the file."""
        self.close()
        self.path.unlink()


def segment_name(first: int) -> str:
    """Return the file name of the segment that begins with a sequence."""
    return f"{first:020d}.seg"


def segment_paths(folder: Path) -> list[Path]:
    """Return the segment files of a folder in the order of their sequences.

    Whatever has another name is somebody's copy, which nobody reads.
    """
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def _allocate(descriptor: int, size: int) -> None:
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in _NO_PREALLOCATION:
            raise
        # A file system without preallocation: zeros take the room as well.
        for offset in range(0, size, FRAME_BYTES):
            os.pwrite(descriptor, EMPTY, offset)
