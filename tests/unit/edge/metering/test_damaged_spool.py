"""More is wrong with a spool than a crash can do: it is noticed, kept for people, and survived."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from edge.metering.batches import Batch, cut_batch
from edge.metering.counters import Counters
from edge.metering.frames import FRAME_BYTES
from edge.metering.left_spool import LeftSpool
from edge.metering.quarantine import Quarantine, read_quarantine
from edge.metering.records import Outcome
from edge.metering.segment import segment_name, segment_paths
from edge.metering.spool import Spool, SpoolLimits
from tests.unit.edge.metering.samples import DirectLine, an_intent, serve_requests


class Damaged:
    """A left spool of edge 1, epoch 5: nine outcomes and one open request in segments of eight."""

    def __init__(self, folder: Path, outcomes: list[Outcome]) -> None:
        self.folder = folder
        self.outcomes = outcomes
        self.counters = Counters()

    def overwrite(self, sequence: int, content: bytes) -> None:
        """Put bytes over a frame."""
        with (self.folder / segment_name(sequence - sequence % 8)).open("r+b") as file:
            file.seek(sequence % 8 * FRAME_BYTES)
            file.write(content)

    async def adopt(self) -> tuple[LeftSpool, Batch]:
        """Open it and cut what would be shipped; the caller closes or removes it."""
        quarantine = Quarantine(self.folder.parent / "quarantine", self.counters)
        left = LeftSpool(self.folder, 1, 5, counters=self.counters, quarantine=quarantine)
        try:
            left.open(sync=lambda _: None)
            return left, await cut_batch(left, left.acked + 1, quarantine)
        except OSError:
            left.close()
            raise

    def kept(self) -> list[bytes]:
        """Return the frames in quarantine."""
        path = self.folder.parent / "quarantine"
        return [entry.frame for entry in read_quarantine(path)] if path.exists() else []


@pytest.fixture
async def damaged(tmp_path: Path) -> Damaged:
    """Give a spool that a test damages."""
    spool = Spool(tmp_path / "5", 1, 5, reporter=DirectLine(), limits=SpoolLimits(2**20, 8))
    outcomes = await serve_requests(spool, 9)
    spool.begin(an_intent())
    await spool.close()
    return Damaged(tmp_path / "5", outcomes)


LAST = 21
"""Nineteen frames of requests and the heads of three segments, the first one at 0."""


async def test_a_damaged_last_frame_is_a_gap(damaged: Damaged) -> None:
    """Whether a crash tore it or the disk altered it, a request may have been in it."""
    damaged.overwrite(LAST, b"\xff")
    left, batch = await damaged.adopt()
    left.close()
    assert (batch.through, batch.request.lost_frames, len(batch.request.records)) == (LAST, 1, 9)
    assert [frame[:1] for frame in damaged.kept()] == [b"\xff"]


async def test_the_outcome_of_a_crash_goes_behind_a_damaged_frame(damaged: Damaged) -> None:
    """The frame stays where it is, so that whoever adopts again sees the same."""
    damaged.overwrite(LAST - 1, b"\xff")
    damaged.overwrite(LAST + 1, b"torn")
    for _ in range(2):
        left, batch = await damaged.adopt()
        left.close()
        assert (batch.through, batch.request.lost_frames) == (LAST + 3, 2)
        assert len({each.record.request_id for each in batch.request.records}) == 10


async def test_bytes_that_were_never_a_frame_are_kept(damaged: Damaged) -> None:
    """The head of all and the unused room carry nothing for core; people may want to look."""
    damaged.overwrite(0, b"\xff")
    damaged.overwrite(LAST + 2, b"dust")
    left, batch = await damaged.adopt()
    left.close()
    assert (batch.through, batch.request.lost_frames) == (LAST + 1, 0)
    assert [frame[:4] for frame in damaged.kept()] == [b"\xffAPF", b"dust"]
    assert left.damaged


async def test_a_file_that_is_not_ours_does_not_stop_the_adoption(damaged: Damaged) -> None:
    """What somebody put beside the segments is kept under a name that nobody adopts."""
    (damaged.folder / "backup.seg").write_bytes(b"theirs")
    left, _ = await damaged.adopt()
    left.remove()
    kept = damaged.folder.with_name("5.kept-1")
    assert [path.name for path in kept.iterdir()] == ["backup.seg"]
    assert not damaged.folder.exists()


@pytest.mark.parametrize(("source", "name"), [(0, 4), (8, 4), (16, 12), (8, 20)])
async def test_a_copied_segment_hides_nothing(damaged: Damaged, source: int, name: int) -> None:
    """A segment that claims the sequences of others is a copy: the others are read."""
    copy = damaged.folder / segment_name(name)
    shutil.copyfile(damaged.folder / segment_name(source), copy)
    left, batch = await damaged.adopt()
    left.remove()
    assert (batch.request.lost_frames, len(batch.request.records)) == (0, 10)
    assert damaged.counters.files_astray == 1
    assert damaged.folder.with_name("5.kept-1").exists()


async def test_of_two_that_claim_the_same_the_one_with_the_right_head_counts(
    damaged: Damaged,
) -> None:
    """A copy that sorts before the segment that it collides with does not take its place."""
    shutil.copyfile(damaged.folder / segment_name(0), damaged.folder / segment_name(13))
    (damaged.folder / segment_name(8)).unlink()
    left, batch = await damaged.adopt()
    left.close()
    ids = {each.record.request_id for each in batch.request.records}
    assert {outcome.request_id for outcome in damaged.outcomes[-2:]} <= ids


async def test_a_cut_file_is_noticed(damaged: Damaged) -> None:
    """How many frames went with its end nobody can know; that some did is said."""
    path = segment_paths(damaged.folder)[-1]
    path.write_bytes(path.read_bytes()[: 3 * FRAME_BYTES])
    left, _ = await damaged.adopt()
    left.close()
    assert (left.damaged, damaged.counters.segments_cut) == (True, 1)


async def test_a_healthy_spool_is_not_called_damaged(damaged: Damaged) -> None:
    """A dead worker alone is no damage."""
    left, _ = await damaged.adopt()
    left.close()
    assert not left.damaged
    assert damaged.kept() == []


def break_sector(monkeypatch: pytest.MonkeyPatch, first: int, last: int) -> None:
    """Make a disk that does not give back these bytes of any file."""
    read = os.pread

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        if offset < last and offset + size > first:
            raise OSError(errno.EIO, "unreadable")
        return read(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", pread)


async def test_a_bad_sector_costs_the_frames_in_it(
    damaged: Damaged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two frames of each of three segments cannot be read: they are lost, the rest is shipped."""
    break_sector(monkeypatch, 2 * FRAME_BYTES, 4 * FRAME_BYTES)
    left, batch = await damaged.adopt()
    left.close()
    assert batch.request.lost_frames == 6
    assert batch.through >= LAST


async def test_a_disk_that_gives_nothing_back_is_waited_for(
    damaged: Damaged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is away has lost nothing yet: the adoption is tried again later."""
    break_sector(monkeypatch, 0, 10**9)
    with pytest.raises(OSError, match="unreadable"):
        await damaged.adopt()


async def test_a_disk_that_is_away_costs_no_descriptors(
    damaged: Damaged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those of copies either, which are looked into first: an adopter tries for hours."""
    shutil.copyfile(damaged.folder / segment_name(8), damaged.folder / segment_name(4))
    break_sector(monkeypatch, 0, 10**9)
    before = descriptors_in(damaged.folder)
    with pytest.raises(OSError, match="unreadable"):
        await damaged.adopt()
    assert descriptors_in(damaged.folder) == before == 0


def descriptors_in(folder: Path) -> int:
    """Count what this process has open there."""
    opened = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return sum(folder in path.parents for path in opened)
