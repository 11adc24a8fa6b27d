"""Reads what a spool that nobody owns any more still says, and resolves what it left open.

A bad frame is a lost one: skipped, and the frames after it are read. Bytes right behind the last
good frame that are no frame are lost ones too: whether a crash tore them or the disk altered them
cannot be told, and a request may have been in them. Zeros there are room that was never used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from edge.metering.frames import (
    EMPTY,
    FRAME_BYTES,
    Fault,
    Kind,
    Place,
    decode,
    fault_at,
    kind_of,
    request_id_of,
)
from edge.metering.records import Checkpoint, Intent, Outcome
from edge.metering.segment import Segment
from kit.charge import quantities
from oneapi.metering.v1 import usage_record_pb2

READ_FRAMES: Final = 1_024
_HTTP_OK: Final = 200


@dataclass(slots=True)
class OpenRequest:
    """A request without an outcome: the frames of its intent and its latest checkpoint."""

    intent: bytes | None = None
    checkpoint: bytes | None = None


@dataclass(slots=True)
class Findings:
    """What a scan found."""

    last: int = -1
    """The sequence of the last frame, good or torn; before the first one if there is none."""
    open: dict[bytes, OpenRequest] = field(default_factory=dict)
    astray: list[int] = field(default_factory=list)
    """Where bytes are that no batch will speak of: the head of all, and the room never used."""


def scan(segments: Sequence[Segment], edge_id: int, epoch: int) -> Findings:
    """Return the last frame, the requests without an outcome, and what is damaged behind them.

    Raises:
        OSError: a file cannot be read.
    """
    findings, behind = Findings(), list[int]()
    if segments:
        findings.last = segments[0].first - 1
    for sequence, raw in _frames(segments):
        if raw == EMPTY:
            continue
        if fault_at(raw, Place(edge_id, epoch, sequence)) is not None:
            if sequence == 0:
                findings.astray.append(sequence)
            behind.append(sequence)
            continue
        findings.last = sequence
        behind.clear()
        _note(findings.open, raw)
    for sequence in behind:
        if sequence == findings.last + 1:
            findings.last = sequence
        elif sequence not in findings.astray:
            findings.astray.append(sequence)
    return findings


def crash_outcomes(findings: Findings) -> list[Outcome]:
    """Return the outcomes of the open requests, in the order of their intents.

    They depend on the frames only, so that whoever adopts the spool again writes the same ones.
    """
    found = ((_body(one.intent), _body(one.checkpoint)) for one in findings.open.values())
    return [
        _crash_outcome(intent, checkpoint if isinstance(checkpoint, Checkpoint) else None)
        for intent, checkpoint in found
        # A checkpoint whose intent is lost says neither who pays nor how much.
        if isinstance(intent, Intent)
    ]


def _frames(segments: Iterable[Segment]) -> Iterator[tuple[int, bytes]]:
    for segment in segments:
        sequence = segment.first
        while sequence <= segment.last:
            run = segment.read(sequence, READ_FRAMES)
            for offset in range(0, len(run), FRAME_BYTES):
                yield sequence, run[offset : offset + FRAME_BYTES]
                sequence += 1


def _note(requests: dict[bytes, OpenRequest], raw: bytes) -> None:
    match kind_of(raw):
        case Kind.INTENT:
            requests.setdefault(request_id_of(raw), OpenRequest()).intent = raw
        case Kind.CHECKPOINT:
            requests.setdefault(request_id_of(raw), OpenRequest()).checkpoint = raw
        case Kind.OUTCOME:
            requests.pop(request_id_of(raw), None)
        case _:
            pass


def _body(raw: bytes | None) -> object:
    frame = None if raw is None else decode(raw)
    return None if frame is None or isinstance(frame, Fault) else frame.body


def _crash_outcome(intent: Intent, checkpoint: Checkpoint | None) -> Outcome:
    crash = usage_record_pb2.OUTCOME_EDGE_CRASH
    if checkpoint is None or checkpoint.output_tokens == 0:
        waived = usage_record_pb2.WAIVE_REASON_EDGE_CRASH
        return Outcome.of(intent, outcome=crash, waive_reason=waived)
    return Outcome.of(
        intent,
        outcome=crash,
        quantities=quantities(output=checkpoint.output_tokens),
        charge_nanos=checkpoint.charge_nanos,
        usage_source=usage_record_pb2.USAGE_SOURCE_CHECKPOINT,
        delivered_events=checkpoint.delivered_events,
        # Something was delivered, so the status had gone out before.
        http_status=_HTTP_OK,
    )
