"""A spool that a worker left, and all that is known about it before anybody damages it."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path

from edge.metering.batches import cut_batch
from edge.metering.counters import Counters
from edge.metering.frames import FRAME_BYTES, Frame, Kind, encode
from edge.metering.left_spool import LeftSpool
from edge.metering.messages import add_record
from edge.metering.quarantine import Quarantine, read_quarantine
from edge.metering.records import Checkpoint
from edge.metering.segment import segment_paths
from edge.metering.spool import Spool, SpoolLimits
from oneapi.metering.v1 import usage_record_pb2 as usage
from oneapi.metering.v1.metering_service_pb2 import RecordUsageRequest
from tests.unit.edge.metering.samples import (
    PRICE,
    DirectLine,
    an_intent,
    an_outcome,
    frames_in,
)

EDGE_ID = 1
EPOCH = 5

Crash = tuple[int, int]
"""What is charged for a request that nobody finished, and the output tokens proved."""


@dataclass(frozen=True, slots=True)
class Written:
    """The files of a spool, by name, and its frames in the order of their sequences."""

    files: dict[str, bytes]
    frames: list[Frame]
    raw: list[bytes]
    segment_frames: int
    records: dict[int, usage.UsageRecord]
    """The record in each OUTCOME frame, by sequence, made from what was written."""

    @property
    def used(self) -> int:
        """Return how many frames were written."""
        return len(self.frames)

    def place(self, sequence: int) -> tuple[str, int]:
        """Return the file that holds a sequence, and the offset there."""
        first = sequence - sequence % self.segment_frames
        return f"{first:020d}.seg", (sequence - first) * FRAME_BYTES

    def restore(self, folder: Path) -> None:
        """Write the files as the worker left them, and nothing else."""
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            if path.name not in self.files:
                path.unlink()
        for name, content in self.files.items():
            (folder / name).write_bytes(content)

    def expected(self, gone: Container[int]) -> dict[bytes, usage.UsageRecord | Crash]:
        """Return what must be read if exactly these frames cannot be."""
        found: dict[bytes, usage.UsageRecord | Crash] = {}
        for sequence, frame in enumerate(self.frames):
            if sequence in gone or frame.kind is Kind.SEGMENT:
                continue
            request_id: bytes = getattr(frame.body, "request_id", b"")
            if frame.kind is Kind.INTENT:
                found[request_id] = (0, 0)
            elif frame.kind is Kind.OUTCOME:
                found[request_id] = self.records[sequence]
            elif isinstance(frame.body, Checkpoint) and request_id in found:
                found[request_id] = (frame.body.charge_nanos, frame.body.output_tokens)
        return found


@dataclass(slots=True)
class Read:
    """What an adopter makes of a spool: records for core, what was kept aside, its counters."""

    records: dict[bytes, usage.UsageRecord] = field(default_factory=dict)
    doubles: int = 0
    accounted: int = 0
    lost: int = 0
    span: int = 0
    kept: list[bytes] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)

    def add(self, request: RecordUsageRequest) -> None:
        """Take a batch."""
        for each in request.records:
            self.doubles += each.record.request_id in self.records
            self.records[each.record.request_id] = each.record
        self.lost += request.lost_frames
        self.span += request.through_sequence - request.first_sequence + 1
        self.accounted += len(request.records) + request.other_frames + request.lost_frames


async def write_spool(folder: Path, requests: int, segment_frames: int) -> Written:
    """Run requests through a real spool and leave it as a dead worker does."""
    limits = SpoolLimits(2**26, segment_frames)
    spool = Spool(folder, EDGE_ID, EPOCH, reporter=DirectLine(), limits=limits)
    for number in range(requests):
        intent = an_intent()
        ticket = spool.begin(intent, PRICE)
        if number % 2 == 0:
            spool.checkpoint(ticket, 10 + number, 3)
        # A few requests stay open: some with a checkpoint, some without; the last one is not.
        if number % 10 not in {3, 6}:
            figures = {"charge_nanos": 44 + number, "total_ms": number}
            await spool.finish(ticket, an_outcome(intent, **figures))
    await spool.flush()
    await spool.close()
    frames = frames_in(folder)
    records = {frame.place.sequence: record_of(frame) for frame in frames}
    return Written(
        files={path.name: path.read_bytes() for path in segment_paths(folder)},
        frames=frames,
        raw=[encode(frame.place, frame.body) for frame in frames],
        segment_frames=segment_frames,
        records={sequence: record for sequence, record in records.items() if record is not None},
    )


async def read_spool(folder: Path) -> Read:
    """Adopt a folder with the code that the adopter runs; nothing waits for a disk."""
    read = Read()
    aside = folder.with_name("quarantine")
    aside.unlink(missing_ok=True)
    quarantine = Quarantine(aside, read.counters)
    spool = LeftSpool(folder, EDGE_ID, EPOCH, counters=read.counters, quarantine=quarantine)
    try:
        spool.open(sync=lambda _: None)
        first = spool.acked + 1
        while first <= spool.durable:
            batch = await cut_batch(spool, first, quarantine)
            read.add(batch.request)
            first = batch.through + 1
    finally:
        spool.close()
    if aside.exists():
        read.kept = [entry.frame for entry in read_quarantine(aside)]
    return read


def faults(read: Read, expected: dict[bytes, usage.UsageRecord | Crash]) -> list[str]:
    """Return what is wrong with what was read, in words; nothing if it is exactly right."""
    wrong = []
    if read.records.keys() != expected.keys():
        wrong.append("a record too many or too few")
    for request_id, record in read.records.items():
        should = expected.get(request_id)
        if isinstance(should, tuple):
            proved = (record.charge_nanos, record.quantities.output_tokens)
            if record.outcome != usage.OUTCOME_EDGE_CRASH or proved != should:
                wrong.append("a crash with other figures")
        elif should is not None and record != should:
            wrong.append("a record with other figures")
    if read.doubles:
        wrong.append("a record twice")
    if read.span != read.accounted:
        wrong.append("a sequence that nobody accounts for")
    return wrong


def record_of(frame: Frame) -> usage.UsageRecord | None:
    """Return the record in an OUTCOME frame, made from what was written; else None."""
    if frame.kind is not Kind.OUTCOME:
        return None
    request = RecordUsageRequest()
    add_record(request, frame.place.sequence, encode(frame.place, frame.body))
    return request.records[0].record
