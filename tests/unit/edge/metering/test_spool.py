"""The spool accepts, makes durable, refuses and forgets by its rules."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from edge.metering.counters import SpoolState
from edge.metering.errors import (
    InvalidRecordError,
    OutcomeNotDurable,
    SpoolFull,
    SpoolInUse,
    SpoolUnavailable,
)
from edge.metering.frames import FRAME_BYTES, Kind
from edge.metering.records import Checkpoint
from edge.metering.segment import segment_paths
from edge.metering.spool import SpoolLimits
from tests.unit.edge.metering.samples import (
    PRICE,
    SMALL,
    BrokenDisk,
    DirectLine,
    SpoolFactory,
    an_intent,
    an_outcome,
    eventually,
    fill,
    frames_in,
    serve_requests,
)


def kinds(folder: Path) -> list[Kind]:
    """Return the kinds of all good frames."""
    return [frame.kind for frame in frames_in(folder)]


async def test_an_accepted_request_is_on_file_before_anything_else(
    open_spool: SpoolFactory, tmp_path: Path
) -> None:
    """The INTENT can be read from the file as soon as `begin` returns: kill -9 loses none."""
    intent = an_intent()
    open_spool().begin(intent)
    assert frames_in(tmp_path / "5")[-1].body == intent


async def test_a_finished_request_is_durable(open_spool: SpoolFactory, tmp_path: Path) -> None:
    """`finish` returns only once the outcome and all before it are durable."""
    spool = open_spool()
    (outcome,) = await serve_requests(spool, 1)
    assert frames_in(tmp_path / "5")[-1].body == outcome
    assert spool.durable == 2


async def test_position_is_sequence_across_segments(
    open_spool: SpoolFactory, tmp_path: Path
) -> None:
    """Sequences have no gap, and each frame is where its number says, segment heads included."""
    await serve_requests(open_spool(), 12)
    frames = frames_in(tmp_path / "5")
    assert [frame.place.sequence for frame in frames] == list(range(len(frames)))
    heads = [frame.place.sequence for frame in frames if frame.kind is Kind.SEGMENT]
    assert heads == [0, 8, 16, 24]


async def test_many_finishers_share_a_sync(open_spool: SpoolFactory) -> None:
    """Two hundred outcomes at once cost a handful of fdatasync calls, not two hundred."""
    disk = BrokenDisk()
    spool = open_spool(sync=disk.sync, limits=SpoolLimits(2**20, 512))
    intents = [an_intent() for _ in range(200)]
    tickets = [spool.begin(intent) for intent in intents]
    finishers = zip(tickets, intents, strict=True)
    await asyncio.gather(*(spool.finish(ticket, an_outcome(i)) for ticket, i in finishers))
    assert disk.calls <= 6


async def test_an_outcome_is_written_even_if_its_finisher_is_cancelled(
    open_spool: SpoolFactory, tmp_path: Path
) -> None:
    """A client that leaves at the wrong moment does not cost the record."""
    spool = open_spool()
    intent = an_intent()
    finisher = asyncio.create_task(spool.finish(spool.begin(intent), an_outcome(intent)))
    await asyncio.sleep(0)
    finisher.cancel()
    await eventually(lambda: spool.durable == 2)
    assert frames_in(tmp_path / "5")[-1].body == an_outcome(intent)


async def test_a_full_spool_refuses_new_requests(open_spool: SpoolFactory) -> None:
    """Each request takes two frames of the cap from its start."""
    spool = open_spool()
    assert len(fill(spool)) == 8 * 7 // 2
    with pytest.raises(SpoolFull):
        spool.begin(an_intent())
    assert spool.stats().bytes == SMALL.max_bytes


async def test_running_requests_can_always_be_recorded(open_spool: SpoolFactory) -> None:
    """With the spool full to the cap every accepted request still gets its outcome."""
    spool = open_spool()
    tickets = fill(spool)
    for ticket in tickets:
        spool.checkpoint(ticket, 5, 5)
    for ticket in tickets:
        await spool.finish(ticket, an_outcome(ticket.intent))
    stats = spool.stats()
    assert (stats.durable, stats.open_intents) == (63, 0)
    assert spool.counters.checkpoints_skipped == len(tickets)


async def test_an_acknowledgement_makes_room(open_spool: SpoolFactory, tmp_path: Path) -> None:
    """What core has is forgotten by whole segments, and new requests are taken again."""
    spool = open_spool()
    with pytest.raises(SpoolFull):
        await serve_requests(spool, 100)
    spool.acknowledge(spool.durable)
    assert len(segment_paths(tmp_path / "5")) == 1
    await serve_requests(spool, 5)


async def test_only_what_is_durable_can_be_acknowledged(open_spool: SpoolFactory) -> None:
    """A mistaken acknowledgement does not make the spool forget what was never sent."""
    spool = open_spool()
    await serve_requests(spool, 1)
    spool.acknowledge(10**9)
    assert spool.acked == 2


async def test_a_segment_with_an_open_intent_stays(
    open_spool: SpoolFactory, tmp_path: Path
) -> None:
    """A crash must find the intent of a request that runs, however long it runs."""
    spool = open_spool(limits=SpoolLimits(1_000 * 8 * FRAME_BYTES, 8))
    ticket = spool.begin(an_intent())
    await serve_requests(spool, 20)
    spool.acknowledge(spool.durable)
    assert len(segment_paths(tmp_path / "5")) == 6
    await spool.finish(ticket, an_outcome(ticket.intent))
    spool.acknowledge(spool.durable)
    assert len(segment_paths(tmp_path / "5")) == 1


async def test_a_long_request_does_not_fill_the_spool(
    open_spool: SpoolFactory, tmp_path: Path
) -> None:
    """Its intent and checkpoint are written again further on, so that old segments can go."""
    spool = open_spool()
    ticket = spool.begin(an_intent(), PRICE)
    spool.checkpoint(ticket, 50, 9)
    for _ in range(100):
        await serve_requests(spool, 1)
        spool.acknowledge(spool.durable)
        await spool.flush()
    frames = frames_in(tmp_path / "5")
    mine = [frame.body for frame in frames if frame.body == ticket.intent]
    assert mine
    assert ticket.checkpoint in [frame.body for frame in frames]
    assert spool.counters.intents_carried > 0
    await spool.finish(ticket, an_outcome(ticket.intent))


async def test_checkpoints_come_once_a_second(open_spool: SpoolFactory, tmp_path: Path) -> None:
    """A stream that reports each chunk writes one frame a second, priced by its own price."""
    now = [100.0]
    spool = open_spool(monotonic=lambda: now[0])
    ticket = spool.begin(an_intent(), PRICE)
    for second in range(30):
        now[0] = 100.0 + second / 10
        spool.checkpoint(ticket, second, second)
    bodies = [frame.body for frame in frames_in(tmp_path / "5")]
    found = [body for body in bodies if isinstance(body, Checkpoint)]
    assert [(body.output_tokens, body.charge_nanos) for body in found] == [
        (0, 0),
        (10, 20),
        (20, 40),
    ]


async def test_after_a_failed_sync_core_takes_the_outcome(open_spool: SpoolFactory) -> None:
    """Core's acknowledgement replaces fdatasync for running requests."""
    disk, line = BrokenDisk(), DirectLine()
    spool = open_spool(sync=disk.sync, reporter=line)
    tickets = [spool.begin(an_intent()) for _ in range(2)]
    disk.broken = True
    for ticket in tickets:
        await spool.finish(ticket, an_outcome(ticket.intent))
    assert [outcome.request_id for outcome in line.taken] == [
        ticket.intent.request_id for ticket in tickets
    ]
    assert spool.counters.reported_directly == 2


async def test_a_failed_sync_is_never_tried_again(open_spool: SpoolFactory) -> None:
    """The kernel may have dropped the pages: a later success would prove nothing."""
    disk = BrokenDisk()
    spool = open_spool(sync=disk.sync)
    tickets = [spool.begin(an_intent()) for _ in range(3)]
    disk.broken = True
    await spool.finish(tickets[0], an_outcome(tickets[0].intent))
    disk.broken = False
    for ticket in tickets[1:]:
        await spool.finish(ticket, an_outcome(ticket.intent))
    assert (disk.calls, spool.durable) == (1, 0)


async def test_a_failed_spool_takes_no_new_requests(open_spool: SpoolFactory) -> None:
    """Without a disk nothing new is accepted."""
    disk = BrokenDisk()
    spool = open_spool(sync=disk.sync)
    disk.broken = True
    await serve_requests(spool, 1)
    with pytest.raises(SpoolUnavailable):
        spool.begin(an_intent())
    assert spool.stats().state is SpoolState.FAILED


async def test_the_failure_of_the_disk_is_told_once(open_spool: SpoolFactory) -> None:
    """Whoever can bring a fresh spool hears of it."""
    disk = BrokenDisk()
    spool = open_spool(sync=disk.sync)
    told: list[SpoolState] = []
    spool.on_failed = lambda: told.append(spool.stats().state)
    tickets = [spool.begin(an_intent()) for _ in range(2)]
    disk.broken = True
    for ticket in tickets:
        await spool.finish(ticket, an_outcome(ticket.intent))
    assert told == [SpoolState.FAILED]


async def test_a_full_disk_is_not_asked_for_every_request(
    open_spool: SpoolFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refusing costs a comparison; a moment later the disk is asked again."""
    now, asked = [100.0], []
    spool = open_spool(monotonic=lambda: now[0])

    def full(descriptor: int, offset: int, size: int) -> None:
        asked.append(descriptor)
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "posix_fallocate", full)
    # Two of the first segment's seven frames are left for an eighth request, which needs them.
    fill(spool)
    for _ in range(50):
        with pytest.raises(SpoolFull):
            spool.begin(an_intent())
    assert len(asked) == 1
    monkeypatch.undo()
    now[0] += 1
    spool.begin(an_intent())


async def test_a_start_on_a_full_disk_leaves_nothing(
    open_spool: SpoolFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same epoch can be tried again once there is room."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(SpoolFull):
            open_spool()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "5").mkdir()
    await serve_requests(open_spool(), 1)


async def test_an_outcome_that_nobody_took_is_withdrawn(
    open_spool: SpoolFactory, tmp_path: Path
) -> None:
    """The client was told of a failure, so no adopter may charge the outcome later."""
    disk = BrokenDisk()
    disk.broken = True
    spool = open_spool(sync=disk.sync, reporter=DirectLine(refuse=True))
    with pytest.raises(OutcomeNotDurable):
        await serve_requests(spool, 1)
    assert kinds(tmp_path / "5") == [Kind.SEGMENT, Kind.INTENT, Kind.WITHDRAWN]
    assert spool.counters.not_durable == 1


async def test_a_disk_that_refuses_a_frame_fails_the_spool(open_spool: SpoolFactory) -> None:
    """Running requests go to core; new ones are refused."""
    line = DirectLine()
    spool = open_spool(reporter=line)
    ticket = spool.begin(an_intent())
    original = spool._log.active.descriptor
    with Path("/dev/full").open("wb") as full:
        spool._log.active.descriptor = full.fileno()
        with pytest.raises(SpoolUnavailable):
            spool.begin(an_intent())
        await spool.finish(ticket, an_outcome(ticket.intent))
    spool._log.active.descriptor = original
    assert len(line.taken) == 1


async def test_a_request_has_one_outcome(open_spool: SpoolFactory) -> None:
    """A second outcome, another request's outcome or a second intent of one id are refused."""
    spool = open_spool()
    intent = an_intent()
    ticket = spool.begin(intent)
    with pytest.raises(InvalidRecordError):
        spool.begin(intent)
    with pytest.raises(InvalidRecordError):
        await spool.finish(ticket, an_outcome(an_intent()))
    await spool.finish(ticket, an_outcome(intent))
    with pytest.raises(InvalidRecordError):
        await spool.finish(ticket, an_outcome(intent))


async def test_an_epoch_has_one_spool(open_spool: SpoolFactory) -> None:
    """Sequences of an epoch start once; a folder that exists belongs to an adopter."""
    open_spool()
    with pytest.raises(SpoolInUse):
        open_spool()


async def test_a_closed_spool_finishes_what_runs(open_spool: SpoolFactory) -> None:
    """Draining refuses new requests, and the running ones are recorded as ever."""
    spool = open_spool()
    ticket = spool.begin(an_intent())
    spool.refuse_requests()
    with pytest.raises(SpoolUnavailable):
        spool.begin(an_intent())
    await spool.finish(ticket, an_outcome(ticket.intent))
    spool.acknowledge(2)
    assert spool.is_settled()
