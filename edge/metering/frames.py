"""The spool's frames: 512 bytes each, packed, with a checksum over header and body.

Header (32 bytes, big-endian): magic, frame version, kind, reserved, CRC-32, edge, epoch, sequence.
The checksum covers the header too (its own field counted as zero): a checksum over the body alone
returns frames under a wrong sequence after a flipped bit. Fixed-size binary fields leave no place
for a sentence of a prompt or an answer; 127 bytes stay reserved and must be zero. A field that was
added since takes them from the front: in older frames it is zero, which means not known.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, NamedTuple

from edge.metering.bounds import bounded
from edge.metering.errors import InvalidRecordError
from edge.metering.records import (
    MAX_ATTEMPTS,
    Attempt,
    Checkpoint,
    Intent,
    Outcome,
    SegmentStart,
    Withdrawn,
)
from kit.charge import DIMENSIONS
from kit.ids import ID_BYTES

FRAME_BYTES: Final = 512
FRAME_VERSION: Final = 1
MAGIC: Final = b"1APF"
EMPTY: Final = bytes(FRAME_BYTES)

_HEADER: Final = "4sBBHIIQQ"
_INTENT_BODY: Final = "16s16s16sqIIBBB?Iq"
_OUTCOME_BODY: Final = f"{DIMENSIONS}IqBBBBBBHIIII192sB"

_head = struct.Struct(f">{_HEADER}")
_intent = struct.Struct(f">{_HEADER}{_INTENT_BODY}")
_checkpoint = struct.Struct(f">{_HEADER}16sIIq")
_outcome = struct.Struct(f">{_HEADER}{_INTENT_BODY}{_OUTCOME_BODY}")
_segment = struct.Struct(f">{_HEADER}I")
_withdrawn = struct.Struct(f">{_HEADER}16s")
_attempt = struct.Struct(">IHBxII8x")
_crc = struct.Struct(">I")
_place = struct.Struct(">IQQ")

_CRC_AT: Final = 8
_CRC_END: Final = 12
_HEAD_FIELDS: Final = 8
_QUANTITIES_AT: Final = 20
_REST_AT: Final = _QUANTITIES_AT + DIMENSIONS
_PLACE_FIELDS: Final = 5
_PLACE_AT: Final = 12
_PLACE_END: Final = _head.size
_KIND_AT: Final = 5
_NO_CRC: Final = bytes(4)
ID_AT: Final = _head.size
"""Where a frame of any kind but SEGMENT has its request id."""
ATTEMPT_BYTES: Final = _attempt.size
RESERVED_BYTES: Final = FRAME_BYTES - _outcome.size


class Kind(IntEnum):
    """What a frame says. The numbers are on disk: never reuse one."""

    SEGMENT = 1
    INTENT = 2
    CHECKPOINT = 3
    OUTCOME = 4
    WITHDRAWN = 5


class Fault(IntEnum):
    """Why bytes are not a frame. The numbers are in quarantine files: never reuse one."""

    WRONG_SIZE = 1
    EMPTY = 2
    WRONG_MAGIC = 3
    UNKNOWN_VERSION = 4
    WRONG_CHECKSUM = 5
    UNKNOWN_KIND = 6
    RESERVED_USED = 7
    WRONG_PLACE = 8


Body = Intent | Checkpoint | Outcome | SegmentStart | Withdrawn


class Place(NamedTuple):
    """Where a frame belongs: edge, epoch and its gap-free sequence."""

    edge_id: int
    epoch: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame that was read whole."""

    kind: Kind
    place: Place
    body: Body


def encode(place: Place, body: Body) -> bytes:
    """Return the 512 bytes of a frame.

    Times and counts beyond 32 bits are cut to the largest value: an odd clock must not cost the
    record. Attempts beyond eight become a count.

    Raises:
        InvalidRecordError: an id, a quantity, a catalogue number or an amount does not fit.
    """
    try:
        return _pack(place, body)
    except struct.error:
        return _pack_bounded(place, body)


def checksum_fault(raw: bytes) -> Fault | None:
    """Return what is wrong with the bytes of a frame, without reading its body."""
    if len(raw) != FRAME_BYTES:
        return Fault.WRONG_SIZE
    if raw[:4] != MAGIC:
        return Fault.EMPTY if raw == EMPTY else Fault.WRONG_MAGIC
    if raw[4] != FRAME_VERSION:
        return Fault.UNKNOWN_VERSION
    head = zlib.crc32(_NO_CRC, zlib.crc32(raw[:_CRC_AT]))
    if zlib.crc32(raw[_CRC_END:], head) != int.from_bytes(raw[_CRC_AT:_CRC_END], "big"):
        return Fault.WRONG_CHECKSUM
    return None if raw[_KIND_AT] in _SIZES else Fault.UNKNOWN_KIND


def fault_at(raw: bytes, place: Place) -> Fault | None:
    """Return what is wrong with the bytes of the frame that should be at this place."""
    fault = checksum_fault(raw)
    if fault is None and raw[_PLACE_AT:_PLACE_END] != _place.pack(*place):
        return Fault.WRONG_PLACE
    return fault


def decode(raw: bytes) -> Frame | Fault:
    """Return the frame, or why the bytes are none. Never raises."""
    fault = checksum_fault(raw)
    if fault is not None:
        return fault
    kind = kind_of(raw)
    if any(raw[_SIZES[kind] :]):
        return Fault.RESERVED_USED
    return Frame(kind, place_of(raw), _unpack(kind, raw))


def place_of(raw: bytes) -> Place:
    """Return the place that a checked frame states."""
    return Place._make(_head.unpack_from(raw)[_PLACE_FIELDS:])


def kind_of(raw: bytes) -> Kind:
    """Return the kind of a checked frame."""
    return Kind(raw[_KIND_AT])


def is_outcome(raw: bytes) -> bool:
    """Return whether a checked frame is an OUTCOME."""
    return raw[_KIND_AT] == Kind.OUTCOME


def request_id_of(raw: bytes) -> bytes:
    """Return the request id of a checked frame of any kind but SEGMENT."""
    return raw[ID_AT : ID_AT + ID_BYTES]


def outcome_values(raw: bytes) -> tuple[tuple[Any, ...], tuple[int, ...], tuple[Any, ...]]:
    """Return what a checked OUTCOME frame holds, as packed: intent, quantities, the rest.

    Shipping reads this instead of an `Outcome`: it costs a quarter.
    """
    values = _outcome.unpack_from(raw)
    return (
        values[_HEAD_FIELDS:_QUANTITIES_AT],
        values[_QUANTITIES_AT:_REST_AT],
        values[_REST_AT:],
    )


def read_outcome(raw: bytes) -> Outcome:
    """Return the outcome in a checked OUTCOME frame."""
    intent, quantities, rest = outcome_values(raw)
    (charge, outcome, error, finish, source, waive, listed, status) = rest[:8]
    first_token_ms, total_ms, delivered, omitted, attempts, data_policy = rest[8:]
    return Outcome(
        *_intent_of(intent),
        outcome=outcome,
        quantities=quantities,
        error_class=error,
        finish_reason=finish,
        http_status=status,
        first_token_ms=first_token_ms,
        total_ms=total_ms,
        charge_nanos=charge,
        usage_source=source,
        waive_reason=waive,
        delivered_events=delivered,
        attempts=read_attempts(attempts, listed),
        attempts_omitted=omitted,
        data_policy=data_policy,
    )


def read_attempts(raw: bytes, count: int) -> tuple[Attempt, ...]:
    """Return the attempts of a frame, of which so many are listed."""
    return tuple(
        Attempt(*_attempt.unpack_from(raw, index * ATTEMPT_BYTES))
        for index in range(min(count, MAX_ATTEMPTS))
    )


def _pack(place: Place, body: Body) -> bytes:
    if isinstance(body, Outcome):
        return _sealed(_pack_outcome(place, body))
    if isinstance(body, Intent):
        head = _header(place, Kind.INTENT)
        return _sealed(_intent.pack(*head, *_intent_values(body)))
    if isinstance(body, Checkpoint):
        values = (_id(body.request_id), body.output_tokens, body.delivered_events)
        head = _header(place, Kind.CHECKPOINT)
        return _sealed(_checkpoint.pack(*head, *values, body.charge_nanos))
    if isinstance(body, Withdrawn):
        head = _header(place, Kind.WITHDRAWN)
        return _sealed(_withdrawn.pack(*head, _id(body.request_id)))
    return _sealed(_segment.pack(*_header(place, Kind.SEGMENT), body.frames))


def _pack_bounded(place: Place, body: Body) -> bytes:
    try:
        return _pack(place, bounded(body))
    except struct.error:
        raise InvalidRecordError from None


def _pack_outcome(place: Place, body: Outcome) -> bytes:
    if len(body.quantities) != DIMENSIONS:
        raise InvalidRecordError
    listed = body.attempts[:MAX_ATTEMPTS]
    return _outcome.pack(
        *_header(place, Kind.OUTCOME),
        *_intent_values(body),
        *body.quantities,
        body.charge_nanos,
        body.outcome,
        body.error_class,
        body.finish_reason,
        body.usage_source,
        body.waive_reason,
        len(listed),
        body.http_status,
        body.first_token_ms,
        body.total_ms,
        body.delivered_events,
        body.attempts_omitted + len(body.attempts) - len(listed),
        b"".join([_pack_attempt(attempt) for attempt in listed]),
        body.data_policy,
    )


def _header(place: Place, kind: Kind) -> tuple[bytes, int, int, int, int, int, int, int]:
    return (MAGIC, FRAME_VERSION, kind, 0, 0, place.edge_id, place.epoch, place.sequence)


def _sealed(packed: bytes) -> bytes:
    frame = packed.ljust(FRAME_BYTES, b"\0")
    return b"%b%b%b" % (frame[:_CRC_AT], _crc.pack(zlib.crc32(frame)), frame[_CRC_END:])


def _id(identifier: bytes) -> bytes:
    if len(identifier) != ID_BYTES:
        raise InvalidRecordError
    return identifier


def _intent_values(body: Intent) -> tuple[bytes | int, ...]:
    if not len(body.request_id) == len(body.workspace_id) == len(body.key_id) == ID_BYTES:
        raise InvalidRecordError
    # Packed in this order: the widest fields first.
    return (
        body.request_id,
        body.workspace_id,
        body.key_id,
        body.started_at_micros,
        body.model_number,
        body.upstream_number,
        body.requested_lane,
        body.served_lane,
        body.endpoint,
        body.streamed,
        body.price_version,
        body.hold_nanos,
    )


def _intent_of(values: tuple[Any, ...]) -> tuple[Any, ...]:
    (request, workspace, key, started, model, upstream, asked, served, *rest) = values
    endpoint, streamed, price, hold = rest
    return (
        *(request, workspace, key, started, model, asked, served),
        *(endpoint, streamed, price, hold, upstream),
    )


def _pack_attempt(attempt: Attempt) -> bytes:
    return _attempt.pack(
        attempt.upstream_number,
        attempt.http_status,
        attempt.error_class,
        attempt.started_ms,
        attempt.duration_ms,
    )


def _unpack(kind: Kind, raw: bytes) -> Body:
    match kind:
        case Kind.OUTCOME:
            return read_outcome(raw)
        case Kind.INTENT:
            return Intent(*_intent_of(_intent.unpack_from(raw)[_HEAD_FIELDS:]))
        case Kind.CHECKPOINT:
            return Checkpoint(*_checkpoint.unpack_from(raw)[_HEAD_FIELDS:])
        case Kind.WITHDRAWN:
            return Withdrawn(request_id_of(raw))
        case Kind.SEGMENT:
            return SegmentStart(_segment.unpack_from(raw)[_HEAD_FIELDS])


_SIZES: Final = {
    Kind.SEGMENT: _segment.size,
    Kind.INTENT: _intent.size,
    Kind.CHECKPOINT: _checkpoint.size,
    Kind.OUTCOME: _outcome.size,
    Kind.WITHDRAWN: _withdrawn.size,
}
