"""Losses, copies and replays of spools, seen by the gap-free sequence and by the ids of records.

Each attack leaves a spool as a dead worker does, does something to its files, and has it adopted
into a real core. What core must raise is said by kind; the books must not move but by what is new.
"""

from __future__ import annotations

import asyncio
import io
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from edge.metering.adoption import Adopter
from edge.metering.counters import Counters
from edge.metering.frames import EMPTY, FRAME_BYTES
from edge.metering.quarantine import Origin, read_quarantine
from edge.metering.segment import segment_name, segment_paths
from edge.metering.slot import Slot
from edge.metering.spool import Spool, SpoolLimits
from kit.log import EventLog
from kit.rpc.client import open_channel
from oneapi.admission.v1 import admission_service_pb2_grpc
from oneapi.metering.v1 import metering_service_pb2_grpc
from oneapi.metering.v1.metering_service_pb2 import RecordUsageRequest
from tests.chaos.spool.client import Client
from tests.chaos.spool.real_core import RealCore
from tests.chaos.spool.report import Row
from tests.chaos.spool.written import record_of
from tests.unit.edge.metering.samples import DirectLine, frames_in

SEGMENT = 8
LIMITS = SpoolLimits(max_bytes=2**18, segment_frames=SEGMENT)
REQUESTS = 12
OPEN = 2


@dataclass
class Left:
    """A spool that a dead worker left in a data directory of its own."""

    data_dir: Path
    epoch: int
    intents: list[bytes] = field(default_factory=list)

    @property
    def slot(self) -> Path:
        """Return the slot's folder."""
        return self.data_dir / "spool" / "edge-1"

    @property
    def folder(self) -> Path:
        """Return the folder of its frames."""
        return self.slot / str(self.epoch)

    def intent_of(self, number: int) -> int:
        """Return the sequence of a request's intent."""
        wanted = self.intents[number]
        frames = frames_in(self.folder)
        return next(
            frame.place.sequence
            for frame in frames
            if getattr(frame.body, "request_id", b"") == wanted
        )


@dataclass(frozen=True, slots=True)
class Told:
    """What an adopter said: its events by name, and its counters."""

    events: list[str]
    counters: Counters


class World:
    """A core, a channel to it, and a folder for spools."""

    def __init__(self, core: RealCore, channel: grpc.aio.Channel, folder: Path) -> None:
        self.core = core
        self.facts = core.facts()
        self.channel = channel
        self._folder = folder
        self._made = 0

    async def leave(self) -> Left:
        """Serve some requests under a new epoch and die with two of them running."""
        self._made += 1
        data_dir = self._folder / f"{self._made}"
        data_dir.mkdir()
        left = Left(data_dir, self.core.open_epoch())
        spool = self.spool(left)
        client = Client(spool, self.facts)
        for number in range(REQUESTS):
            ticket = client.begin()
            left.intents.append(ticket.intent.request_id)
            if number < REQUESTS - OPEN:
                await client.finish(ticket)
        await spool.close()
        return left

    def spool(self, left: Left) -> Spool:
        """Open the spool of an epoch."""
        slot = Slot.take(left.data_dir, 1)
        assert slot is not None
        folder = slot.epoch_folder(left.epoch)
        slot.release()
        return Spool(folder, 1, left.epoch, reporter=DirectLine(), limits=LIMITS)

    async def adopt(self, left: Left) -> Told:
        """Adopt a spool as a worker of another slot does."""
        slot = Slot.take(left.data_dir, 2)
        assert slot is not None
        counters, lines = Counters(), io.StringIO()
        adopter = Adopter(
            slot,
            left.data_dir,
            metering_service_pb2_grpc.MeteringServiceStub(self.channel),
            admission_service_pb2_grpc.AdmissionServiceStub(self.channel),
            counters=counters,
            log=EventLog("adopter", stream=lines),
        )
        await adopter.adopt_all(live_epoch=0)
        slot.release()
        events = [json.loads(line)["event"] for line in lines.getvalue().splitlines()]
        return Told(events, counters)

    async def report(self, *requests: RecordUsageRequest) -> None:
        """Send batches in one stream and wait for the end of it."""
        stub = metering_service_pb2_grpc.MeteringServiceStub(self.channel)

        async def batches() -> AsyncIterator[RecordUsageRequest]:
            for request in requests:
                yield request

        async for _ in stub.RecordUsage(batches()):
            pass

    def records(self, left: Left) -> int:
        """Return how many records core has of an epoch."""
        return self.core.number(
            f"SELECT count(*) FROM usage_record WHERE edge_id = 1 AND epoch = {left.epoch}"
        )


Attack = Callable[[World], Awaitable[list[str]]]


async def a_missing_number(world: World) -> list[str]:
    """A batch speaks of fewer frames than its range has."""
    left = await world.leave()
    request = RecordUsageRequest(
        edge_id=1, epoch=left.epoch, first_sequence=1, through_sequence=10, other_frames=9
    )
    await world.report(request)
    told = await world.adopt(left)
    return _wrong(
        ("records", world.records(left) == REQUESTS),
        ("adopted", told.events == ["spool_adopted"]),
    )


async def a_batch_that_never_came(world: World) -> list[str]:
    """A batch starts beyond what was taken before it."""
    left = await world.leave()
    request = RecordUsageRequest(
        edge_id=1, epoch=left.epoch, first_sequence=5, through_sequence=6, other_frames=2
    )
    await world.report(request)
    await world.adopt(left)
    return _wrong(("records", world.records(left) == REQUESTS))


async def a_lost_segment(world: World) -> list[str]:
    """A file in the middle is gone; what is before and behind it is recorded."""
    left = await world.leave()
    paths = segment_paths(left.folder)
    gone = [frame for frame in frames_in(left.folder) if 8 <= frame.place.sequence < 16]
    paths[1].unlink()
    told = await world.adopt(left)
    lost = {getattr(frame.body, "request_id", b"") for frame in gone}
    whole = len(set(left.intents) - lost)
    return _wrong(
        ("counted at the edge", told.counters.lost == SEGMENT),
        ("said in the log", "frames_lost" in told.events),
        ("the rest recorded", whole <= world.records(left) < REQUESTS),
    )


async def a_segment_over_another(world: World) -> list[str]:
    """A copy of one file has replaced another: none of its frames counts there."""
    left = await world.leave()
    paths = segment_paths(left.folder)
    shutil.copyfile(paths[0], paths[1])
    told = await world.adopt(left)
    return _wrong(
        ("counted at the edge", told.counters.lost == SEGMENT),
        ("kept aside", told.counters.quarantined == SEGMENT),
        ("nothing twice", world.records(left) < REQUESTS),
    )


async def a_segment_twice(world: World) -> list[str]:
    """A copy under a name of its own claims sequences that others have."""
    left = await world.leave()
    shutil.copyfile(segment_paths(left.folder)[0], left.folder / segment_name(3))
    told = await world.adopt(left)
    return _wrong(
        ("noticed", told.counters.files_astray == 1 and told.events[0] == "spool_damaged"),
        ("nothing lost", told.counters.lost == 0 and world.records(left) == REQUESTS),
        ("the copy is kept", (left.slot / f"{left.epoch}.kept-1").exists()),
    )


async def the_same_spool_again(world: World) -> list[str]:
    """A backup that is as new as what was adopted says nothing that core does not know."""
    left = await world.leave()
    shutil.copytree(left.folder, left.data_dir / "backup")
    await world.adopt(left)
    before = world.core.books()
    shutil.copytree(left.data_dir / "backup", left.folder)
    told = await world.adopt(left)
    return _wrong(
        ("adopted", told.events == ["spool_adopted"]),
        ("no charge", world.core.books() == before),
    )


async def an_old_copy(world: World) -> list[str]:
    """A backup from before: requests that had run on look like crashes there."""
    left = await world.leave()
    shutil.copytree(left.folder, left.data_dir / "backup")
    await world.adopt(left)
    before, records = world.core.books(), world.records(left)
    shutil.copytree(left.data_dir / "backup", left.folder)
    _forget_behind(left, left.intent_of(8))
    told = await world.adopt(left)
    entries = list(read_quarantine(left.slot / "quarantine"))
    return _wrong(
        ("rejected", told.counters.rejected > 0 and "record_rejected" in told.events),
        ("kept aside", {entry.origin for entry in entries} == {Origin.CORE}),
        ("no charge", (world.core.books(), world.records(left)) == (before, records)),
    )


async def an_old_copy_before_the_end(world: World) -> list[str]:
    """The edge's disk went back in time while core had already taken more."""
    left = await world.leave()
    frames = frames_in(left.folder)
    request = RecordUsageRequest(
        edge_id=1,
        epoch=left.epoch,
        first_sequence=1,
        through_sequence=len(frames) + 7,
        other_frames=len(frames) + 7,
    )
    await world.report(request)
    await world.adopt(left)
    return _wrong(("records", world.records(left) == REQUESTS))


async def another_content(world: World) -> list[str]:
    """The same request comes with other figures, from another epoch."""
    first = await world.leave()
    await world.adopt(first)
    second = await world.leave()
    before = world.core.books()
    forged = Left(first.data_dir, world.core.open_epoch())
    spool = world.spool(forged)
    client = Client(spool, world.facts)
    intent = client.intent(request_id=first.intents[0])
    used = (10**6,) * 2 + (0,) * 10
    await spool.finish(spool.begin(intent), client.outcome(intent, used))
    await spool.close()
    told = await world.adopt(forged)
    kept = [entry.origin for entry in read_quarantine(forged.slot / "quarantine")]
    wrong = _wrong(
        ("rejected", told.counters.rejected == 1 and "record_rejected" in told.events),
        ("kept aside", kept == [Origin.CORE]),
        ("no charge", world.core.books() == before and world.records(forged) == 0),
    )
    await world.adopt(second)
    return wrong


async def a_batch_again_and_again(world: World) -> list[str]:
    """The network repeats a batch, whole and in parts, in one stream and in others."""
    left = await world.leave()
    frames = frames_in(left.folder)
    request = RecordUsageRequest(edge_id=1, epoch=left.epoch, first_sequence=1)
    for frame in frames[1:]:
        record = record_of(frame)
        if record is None:
            request.other_frames += 1
        else:
            request.records.add(sequence=frame.place.sequence, record=record)
    request.through_sequence = frames[-1].place.sequence
    await asyncio.gather(*(world.report(request, request, request) for _ in range(4)))
    await world.adopt(left)
    return _wrong(("records", world.records(left) == REQUESTS))


ATTACKS: dict[Attack, set[str]] = {
    a_missing_number: {"spool_gap"},
    a_batch_that_never_came: {"spool_gap"},
    a_lost_segment: {"spool_gap"},
    a_segment_over_another: {"spool_gap"},
    a_segment_twice: set(),
    the_same_spool_again: set(),
    an_old_copy: {"record_conflict", "spool_replayed"},
    an_old_copy_before_the_end: {"spool_replayed"},
    another_content: {"record_conflict"},
    a_batch_again_and_again: set(),
}
"""What core must raise for each, and nothing else."""


async def attack(core: RealCore, folder: Path) -> list[Row]:
    """Try all; one row each."""
    rows = []
    async with open_channel(core.target, core.facts()["token"]) as channel:
        world = World(core, channel, folder)
        for one, kinds in ATTACKS.items():
            row = Row(one.__name__.replace("_", " "))
            before = core.alarms()
            wrong = await one(world)
            raised = {kind for kind, count in core.alarms().items() if count > before.get(kind, 0)}
            if raised != kinds:
                wrong.append(f"alarms {sorted(raised)} instead of {sorted(kinds)}")
            row.note([*wrong, *core.wrong_books()])
            row.figures["alarms"] = " ".join(sorted(raised)) or "none"
            rows.append(row)
    return rows


def _wrong(*checks: tuple[str, bool]) -> list[str]:
    return [f"not {name}" for name, holds in checks if not holds]


def _forget_behind(left: Left, last: int) -> None:
    """Make the files what they were when `last` was the last frame."""
    for path in segment_paths(left.folder):
        first = int(path.stem)
        keep = max(0, last + 1 - first) * FRAME_BYTES
        if keep == 0:
            path.unlink()
            continue
        content = path.read_bytes()
        room = len(content) // FRAME_BYTES
        path.write_bytes(content[:keep] + EMPTY * max(0, room - keep // FRAME_BYTES))
