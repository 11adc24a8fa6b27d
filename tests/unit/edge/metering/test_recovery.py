"""What a dead process left is read as far as it is right, and never wrongly."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.metering.batches import Batch, cut_batch
from edge.metering.counters import Counters
from edge.metering.frames import FRAME_BYTES, Kind, Place, encode
from edge.metering.left_spool import LeftSpool, remove_spool
from edge.metering.quarantine import Quarantine
from edge.metering.records import Outcome
from edge.metering.segment import segment_paths
from edge.metering.spool import Spool, SpoolLimits
from oneapi.metering.v1 import usage_record_pb2 as usage
from tests.unit.edge.metering.samples import (
    PRICE,
    DirectLine,
    an_intent,
    an_outcome,
    frames_in,
    serve_requests,
)


@pytest.fixture
async def left(tmp_path: Path) -> tuple[Path, list[Outcome]]:
    """Give the folder of a spool whose process ended: nine outcomes, one request open."""
    folder = tmp_path / "5"
    spool = Spool(folder, 1, 5, reporter=DirectLine(), limits=SpoolLimits(2**20, 8))
    outcomes = await serve_requests(spool, 4)
    spool.begin(an_intent())
    outcomes += await serve_requests(spool, 5)
    await spool.close()
    return folder, outcomes


@pytest.fixture
def copies(tmp_path: Path) -> Iterator[Path]:
    """Give a place for damaged copies of a spool."""
    yield tmp_path / "copy"
    shutil.rmtree(tmp_path / "copy", ignore_errors=True)


async def read_whole(folder: Path) -> tuple[LeftSpool, Batch]:
    """Adopt a folder and return what would be shipped."""
    counters = Counters()
    quarantine = Quarantine(folder.parent / "quarantine", counters)
    spool = LeftSpool(folder, 1, 5, counters=counters, quarantine=quarantine)
    spool.open(sync=lambda _: None)
    batch = await cut_batch(spool, spool.acked + 1, quarantine)
    spool.close()
    return spool, batch


def shipped(batch: Batch) -> dict[bytes, tuple[int, int]]:
    """Return outcome and charge by request id."""
    records = [sequenced.record for sequenced in batch.request.records]
    return {record.request_id: (record.outcome, record.charge_nanos) for record in records}


async def test_a_whole_spool_is_read_whole(left: tuple[Path, list[Outcome]]) -> None:
    """Every outcome comes back, the open request is resolved, and each sequence is accounted."""
    folder, outcomes = left
    spool, batch = await read_whole(folder)
    assert [record.record.request_id for record in batch.request.records[:-1]] == [
        outcome.request_id for outcome in outcomes
    ]
    assert (batch.first, batch.through, batch.request.lost_frames) == (1, spool.durable, 0)
    assert batch.request.other_frames + len(batch.request.records) == spool.durable


async def test_a_request_without_an_outcome_becomes_a_crash_for_free(
    left: tuple[Path, list[Outcome]],
) -> None:
    """No checkpoint proves a delivery, so nothing is charged."""
    _, batch = await read_whole(left[0])
    crash = batch.request.records[-1].record
    assert crash.outcome == usage.OUTCOME_EDGE_CRASH
    assert crash.waive_reason == usage.WAIVE_REASON_EDGE_CRASH
    assert (crash.charge_nanos, crash.quantities.ByteSize()) == (0, 0)


async def test_a_crash_is_charged_what_the_last_checkpoint_proves(tmp_path: Path) -> None:
    """The delivered output is charged at the pinned price, and nothing else."""
    now = [0.0]
    spool = Spool(tmp_path / "5", 1, 5, reporter=DirectLine(), monotonic=lambda: now[0])
    ticket = spool.begin(an_intent(), PRICE)
    for second, tokens in ((1.0, 10), (2.0, 25)):
        now[0] = second
        spool.checkpoint(ticket, tokens, tokens + 1)
    await spool.close()
    _, batch = await read_whole(tmp_path / "5")
    crash = batch.request.records[-1].record
    assert (crash.quantities.output_tokens, crash.quantities.input_tokens) == (25, 0)
    assert (crash.charge_nanos, crash.delivered_events) == (50, 26)
    assert crash.usage_source == usage.USAGE_SOURCE_CHECKPOINT
    assert crash.waive_reason == usage.WAIVE_REASON_UNSPECIFIED


async def test_adopting_again_writes_nothing_new(left: tuple[Path, list[Outcome]]) -> None:
    """An adopter that died leaves the next one the same frames under the same sequences."""
    first, _ = await read_whole(left[0])
    before = [path.read_bytes() for path in segment_paths(left[0])]
    second, _ = await read_whole(left[0])
    assert second.durable == first.durable
    assert [path.read_bytes() for path in segment_paths(left[0])] == before


async def test_an_adopter_that_died_half_way_is_continued(tmp_path: Path) -> None:
    """Of three crash outcomes one was written before the adopter died: the rest follow it."""
    folder = tmp_path / "5"
    spool = Spool(folder, 1, 5, reporter=DirectLine())
    intents = [an_intent() for _ in range(3)]
    for intent in intents:
        spool.begin(intent)
    await spool.close()
    shutil.copytree(folder, tmp_path / "whole" / "5")
    _, whole = await read_whole(tmp_path / "whole" / "5")
    path = segment_paths(folder)[0]
    done = segment_paths(tmp_path / "whole" / "5")[0].read_bytes()[: 5 * FRAME_BYTES]
    path.write_bytes(done + path.read_bytes()[5 * FRAME_BYTES :])
    _, continued = await read_whole(folder)
    assert continued == whole


async def test_truncation_anywhere_loses_only_the_tail(tmp_path: Path, copies: Path) -> None:
    """Cut at any byte, every frame before the cut is read and nothing is made up."""
    spool = Spool(tmp_path / "5", 1, 5, reporter=DirectLine(), limits=SpoolLimits(2**20, 4))
    (outcome,) = await serve_requests(spool, 1)
    unfinished = spool.begin(an_intent()).intent
    await spool.close()
    path = segment_paths(tmp_path / "5")[0]
    raw = path.read_bytes()
    copies.mkdir()
    # The suite `tests.chaos.spool` cuts at every byte.
    for cut in range(0, len(raw), 7):
        (copies / path.name).write_bytes(raw[:cut])
        _, batch = await read_whole(copies)
        found = shipped(batch)
        # A cut through the zeros at a frame's end takes nothing from it: it may be there too.
        assert (outcome.request_id in found) >= (cut >= 2 * FRAME_BYTES)
        assert (found.get(outcome.request_id) == (1, 44)) >= (cut >= 3 * FRAME_BYTES)
        assert found.get(outcome.request_id, (4, 0)) in {(1, 44), (4, 0)}
        assert found.get(unfinished.request_id, (4, 0)) == (4, 0)


async def test_flipped_bits_never_make_a_wrong_record(
    left: tuple[Path, list[Outcome]], copies: Path
) -> None:
    """Random damage costs the frames it hits, counted as lost; every other outcome survives."""
    folder, outcomes = left
    charged = {outcome.request_id: (1, 44) for outcome in outcomes}
    generator = random.Random(7)
    for _ in range(60):
        shutil.rmtree(copies, ignore_errors=True)
        shutil.copytree(folder, copies)
        hit = damage(copies, generator)
        _, batch = await read_whole(copies)
        found = shipped(batch)
        survivors = {
            outcome.request_id
            for sequence, outcome in zip(outcome_sequences(folder), outcomes, strict=True)
            if sequence not in hit
        }
        assert all(found[key] == charged[key] for key in survivors)
        wrong = {key: value for key, value in found.items() if value not in {(1, 44), (4, 0)}}
        assert wrong == {}
        assert batch.request.lost_frames == len(hit)


def damage(folder: Path, generator: random.Random) -> set[int]:
    """Flip five bits somewhere in the used frames and return the sequences hit."""
    hit = set()
    for _ in range(5):
        sequence = generator.randrange(1, 22)
        path = segment_paths(folder)[sequence // 8]
        raw = bytearray(path.read_bytes())
        raw[(sequence % 8) * FRAME_BYTES + generator.randrange(FRAME_BYTES)] ^= (
            1 << generator.randrange(8)
        )
        path.write_bytes(raw)
        hit.add(sequence)
    return hit


def outcome_sequences(folder: Path) -> list[int]:
    """Return the sequences of all outcomes of a spool that nobody adopted yet."""
    return [frame.place.sequence for frame in frames_in(folder) if frame.kind is Kind.OUTCOME]


async def test_a_lost_frame_is_quarantined_and_counted(left: tuple[Path, list[Outcome]]) -> None:
    """Core is told how many frames are lost, and people can look at what was there."""
    folder, _ = left
    path = segment_paths(folder)[0]
    raw = bytearray(path.read_bytes())
    raw[4 * FRAME_BYTES + 100] ^= 1
    path.write_bytes(raw)
    _, batch = await read_whole(folder)
    assert batch.request.lost_frames == 1
    assert (folder.parent / "quarantine").stat().st_size == 520


async def test_a_missing_segment_is_a_counted_gap(left: tuple[Path, list[Outcome]]) -> None:
    """The frames after a file that vanished are still read."""
    folder, outcomes = left
    segment_paths(folder)[1].unlink()
    _, batch = await read_whole(folder)
    assert batch.request.lost_frames == 8
    assert outcomes[-1].request_id in shipped(batch)


async def test_segments_that_core_had_are_no_gap(left: tuple[Path, list[Outcome]]) -> None:
    """What is missing in front was acknowledged: the range starts behind it."""
    folder, _ = left
    segment_paths(folder)[0].unlink()
    _, batch = await read_whole(folder)
    assert (batch.first, batch.request.lost_frames) == (8, 0)


async def test_a_torn_tail_makes_room_for_the_crash_outcome(
    left: tuple[Path, list[Outcome]],
) -> None:
    """Garbage behind the last good frame is no frame and no gap."""
    folder, _ = left
    last = frames_in(folder)[-1].place.sequence
    path = segment_paths(folder)[-1]
    with path.open("r+b") as file:
        file.seek((last % 8 + 2) * FRAME_BYTES)
        file.write(b"\xff" * 700)
    spool, batch = await read_whole(folder)
    assert (spool.durable, batch.request.lost_frames) == (last + 1, 0)


@pytest.mark.parametrize(
    ("content", "lost"), [(b"", 0), (b"\xff" * 5_000, 9)], ids=["empty", "garbage"]
)
async def test_a_spool_without_a_good_frame_has_no_records(
    tmp_path: Path, content: bytes, lost: int
) -> None:
    """A process that died while it made its first file leaves nothing that could be charged."""
    folder = tmp_path / "5"
    folder.mkdir()
    (folder / f"{0:020d}.seg").write_bytes(content)
    spool, batch = await read_whole(folder)
    assert (spool.durable, batch.request.lost_frames) == (lost, lost)
    assert len(batch.request.records) == 0
    remove_spool(folder)
    assert not folder.exists()


async def test_frames_of_another_epoch_are_not_ours(left: tuple[Path, list[Outcome]]) -> None:
    """A file copied into the wrong folder never counts there."""
    folder, _ = left
    foreign = encode(Place(1, 4, 3), an_outcome(an_intent(), charge_nanos=10**9))
    path = segment_paths(folder)[0]
    raw = path.read_bytes()
    path.write_bytes(raw[: 3 * FRAME_BYTES] + foreign + raw[4 * FRAME_BYTES :])
    _, batch = await read_whole(folder)
    assert max(charge for _, charge in shipped(batch).values()) == 44


async def test_waiting_for_more_of_a_left_spool_never_ends(
    left: tuple[Path, list[Outcome]],
) -> None:
    """Nobody writes to it any more; the shipper's task is cancelled once all is acknowledged."""
    spool, _ = await read_whole(left[0])
    await spool.wait_beyond(0)
    waiting = asyncio.create_task(spool.wait_beyond(spool.durable))
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
