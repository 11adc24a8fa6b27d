"""A spool whose process is gone: resolved, made durable, and ready to be shipped."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from edge.metering.commit import Sync
from edge.metering.counters import Counters
from edge.metering.frames import EMPTY, FRAME_BYTES, Fault, Place, decode, encode, fault_at
from edge.metering.quarantine import Origin, Quarantine, QuarantineEntry
from edge.metering.records import Outcome, SegmentStart
from edge.metering.recovery import crash_outcomes, scan
from edge.metering.segment import Segment, segment_paths
from kit.files import sync_folder

HEAD_FRAMES: Final = 64
"""Read together with a frame: a few sectors."""


class LeftSpool:
    """The frames of an epoch that is over. The caller owns the slot."""

    def __init__(
        self, folder: Path, edge_id: int, epoch: int, *, counters: Counters, quarantine: Quarantine
    ) -> None:
        """Describe the spool in a folder; `open` does the work."""
        self.edge_id = edge_id
        self.epoch = epoch
        self.counters = counters
        self.damaged = False
        """Whether more is wrong with the files than a crash can do."""
        self._folder = folder
        self._quarantine = quarantine
        self._segments: list[Segment] = []
        self._last = 0
        self._acked = 0

    def open(self, sync: Sync = os.fdatasync) -> None:
        """Read the frames, give every open request its outcome, and make all of it durable.

        Doing it again after a crash continues with the same frames under the same sequences.

        Raises:
            OSError: the disk failed.
        """
        for path in segment_paths(self._folder):
            self._take_or_close(Segment.open(path))
        self._note_cuts()
        findings = scan(self._segments, self.edge_id, self.epoch)
        first = self._segments[0].first if self._segments else 0
        # What is missing in front was acknowledged before its segment went.
        self._acked = max(first - 1, 0)
        self._last = max(findings.last, self._acked)
        self._keep(findings.astray)
        self._truncate()
        outcomes = crash_outcomes(findings)
        for outcome in outcomes:
            self._append(outcome)
        self._make_durable(sync)
        self.counters.crashes_resolved += len(outcomes)

    @property
    def durable(self) -> int:
        """Return the last sequence: all of a left spool is durable."""
        return self._last

    @property
    def acked(self) -> int:
        """Return the sequence up to which core has everything."""
        return self._acked

    async def wait_beyond(self, sequence: int) -> None:
        """Return if there is something after the sequence, else wait for ever: nothing comes."""
        if self._last <= sequence:
            await asyncio.get_running_loop().create_future()

    def read(self, sequence: int, count: int) -> bytes:
        """Return between 1 and `count` frames; those of a segment that is missing are empty.

        Raises:
            OSError: the file cannot be read.
        """
        for segment in self._segments:
            if sequence < segment.first:
                return EMPTY * min(count, segment.first - sequence)
            if sequence <= segment.last:
                return segment.read(sequence, count)
        return EMPTY

    def acknowledge(self, sequence: int) -> None:
        """Note what core has; the files stay until all of it is there."""
        self._acked = max(self._acked, min(sequence, self._last))

    def close(self) -> None:
        """Close the files and leave them."""
        for segment in self._segments:
            segment.close()
        self._segments.clear()

    def remove(self) -> None:
        """Delete the spool, which core has whole.

        Raises:
            OSError: the disk failed.
        """
        paths = [segment.path for segment in self._segments]
        self.close()
        _remove(self._folder, paths)

    def _take_or_close(self, segment: Segment) -> None:
        # Until it is taken it is nobody's: `close` would miss it, at every look of an adopter.
        try:
            self._take(segment)
        except OSError:
            segment.close()
            raise

    def _take(self, segment: Segment) -> None:
        """Read a segment, unless it claims sequences of another one: then it is a copy of one."""
        before = self._segments[-1] if self._segments else None
        if before is None or segment.first > before.last:
            self._segments.append(segment)
            return
        copy = segment
        if self._head(segment) is not None and self._head(before) is None:
            copy, self._segments[-1] = before, segment
        copy.close()
        self.counters.files_astray += 1
        self.damaged = True

    def _head(self, segment: Segment) -> SegmentStart | None:
        # More than the head: beside frames that can be read, an unreadable one is a lost one.
        raw = segment.read(segment.first, HEAD_FRAMES)[:FRAME_BYTES] if segment.frames else EMPTY
        place = Place(self.edge_id, self.epoch, segment.first)
        frame = decode(raw) if fault_at(raw, place) is None else Fault.EMPTY
        body = None if isinstance(frame, Fault) else frame.body
        return body if isinstance(body, SegmentStart) else None

    def _note_cuts(self) -> None:
        """Count files that are shorter than they were made: how many frames went is unknown."""
        for segment in self._segments:
            head = self._head(segment)
            if head is not None and segment.frames < head.frames:
                self.counters.segments_cut += 1
                self.damaged = True

    def _keep(self, sequences: Iterable[int]) -> None:
        """Put bytes that no batch will speak of where people can look at them."""
        entries = []
        for sequence in sequences:
            raw = self.read(sequence, HEAD_FRAMES)[:FRAME_BYTES]
            fault = fault_at(raw, Place(self.edge_id, self.epoch, sequence)) or Fault.WRONG_PLACE
            entries.append((sequence, QuarantineEntry(Origin.RECOVERY, fault, raw)))
        if entries:
            self.damaged = True
            self._quarantine.add(self.epoch, entries)

    def _truncate(self) -> None:
        """Drop segments behind the last frame."""
        while self._segments and self._segments[-1].first > self._last:
            self._segments.pop().delete()

    def _append(self, outcome: Outcome) -> None:
        """Write behind the last frame; the last segment grows if it must."""
        self._last += 1
        segment = self._segments[-1]
        segment.frames = max(segment.frames, self._last - segment.first + 1)
        segment.write(self._last, encode(Place(self.edge_id, self.epoch, self._last), outcome))

    def _make_durable(self, sync: Sync) -> None:
        for segment in self._segments:
            sync(segment.descriptor)
        sync_folder(self._folder)


def remove_spool(folder: Path) -> None:
    """Delete the segments of a folder from the front, then the folder.

    Raises:
        OSError: the disk failed.
    """
    _remove(folder, segment_paths(folder))


def _remove(folder: Path, paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink()
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
        # What is left there is not the spool's: it is kept, under a name that nobody adopts.
        names = (folder.with_name(f"{folder.name}.kept-{n}") for n in itertools.count(1))
        folder.rename(next(name for name in names if not name.exists()))
    sync_folder(folder.parent)
