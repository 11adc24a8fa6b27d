"""Cuts the frames of a spool into batches for core, so that every sequence is accounted for."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

from edge.metering.counters import Counters
from edge.metering.frames import (
    EMPTY,
    FRAME_BYTES,
    Place,
    fault_at,
    is_outcome,
)
from edge.metering.messages import add_record
from edge.metering.quarantine import Origin, Quarantine, QuarantineEntry
from oneapi.metering.v1.metering_service_pb2 import RecordUsageRequest

MAX_BATCH_RECORDS: Final = 500
MAX_BATCH_FRAMES: Final = 4_096
FRAMES_PER_STEP: Final = 64
"""Frames read between two turns of the loop: about a millisecond."""


class Source(Protocol):
    """The frames of one edge and epoch, of a live spool or of one that was left behind."""

    edge_id: int
    epoch: int
    counters: Counters

    @property
    def durable(self) -> int:
        """Return the sequence up to which everything is durable."""

    @property
    def acked(self) -> int:
        """Return the sequence up to which core has everything."""

    async def wait_beyond(self, sequence: int) -> None:
        """Return when something after the sequence is durable."""

    def read(self, sequence: int, count: int) -> bytes:
        """Return between 1 and `count` frames from a sequence on."""

    def acknowledge(self, sequence: int) -> None:
        """Forget everything up to a sequence."""


@dataclass(slots=True)
class Batch:
    """A gap-free range of a spool and its message: outcomes, other and lost frames."""

    first: int
    through: int
    request: RecordUsageRequest

    def room(self) -> int:
        """Return how many more frames fit, whatever they are."""
        return min(
            MAX_BATCH_RECORDS - len(self.request.records),
            MAX_BATCH_FRAMES - (self.through - self.first + 1),
        )


async def cut_batch(source: Source, first: int, quarantine: Quarantine) -> Batch:
    """Return the batch that starts at a durable sequence; lets the loop turn every 64 frames.

    Raises:
        OSError: the spool cannot be read.
    """
    request = RecordUsageRequest(edge_id=source.edge_id, epoch=source.epoch, first_sequence=first)
    batch = Batch(first, first - 1, request)
    damaged: list[tuple[int, QuarantineEntry]] = []
    while (count := min(FRAMES_PER_STEP, source.durable - batch.through, batch.room())) > 0:
        run = source.read(batch.through + 1, count)
        for offset in range(0, len(run), FRAME_BYTES):
            _add(batch, source, run[offset : offset + FRAME_BYTES], damaged)
        await asyncio.sleep(0)
    request.through_sequence = batch.through
    if damaged:
        await asyncio.to_thread(quarantine.add, source.epoch, damaged)
    return batch


def _add(
    batch: Batch, source: Source, raw: bytes, damaged: list[tuple[int, QuarantineEntry]]
) -> None:
    batch.through += 1
    sequence = batch.through
    fault = fault_at(raw, Place(source.edge_id, source.epoch, sequence))
    if fault is not None:
        batch.request.lost_frames += 1
        if raw != EMPTY:
            damaged.append((sequence, QuarantineEntry(Origin.RECOVERY, fault, raw)))
    elif is_outcome(raw):
        add_record(batch.request, sequence, raw)
    else:
        batch.request.other_frames += 1
