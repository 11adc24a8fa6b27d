"""Frames hold their fields exactly and notice every change of a bit."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.metering.errors import InvalidRecordError
from edge.metering.frames import (
    ATTEMPT_BYTES,
    EMPTY,
    FRAME_BYTES,
    RESERVED_BYTES,
    Body,
    Fault,
    Frame,
    Kind,
    Place,
    decode,
    encode,
    fault_at,
)
from edge.metering.records import (
    Attempt,
    Checkpoint,
    Intent,
    Outcome,
    SegmentStart,
    Withdrawn,
)
from tests.unit.edge.metering.samples import an_intent, an_outcome

PLACE = Place(edge_id=3, epoch=2**40, sequence=2**33)

byte = st.integers(0, 2**8 - 1)
uint32 = st.integers(0, 2**32 - 1)
nanos = st.integers(0, 2**63 - 1)
identifier = st.binary(min_size=16, max_size=16)
place = st.builds(Place, uint32, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
attempt = st.builds(Attempt, uint32, st.integers(0, 2**16 - 1), byte, uint32, uint32)
intent_fields: dict[str, Any] = {
    "request_id": identifier,
    "workspace_id": identifier,
    "key_id": identifier,
    "started_at_micros": nanos,
    "model_number": uint32,
    "requested_lane": byte,
    "served_lane": byte,
    "endpoint": byte,
    "streamed": st.booleans(),
    "price_version": uint32,
    "hold_nanos": nanos,
    "upstream_number": uint32,
}
outcome = st.builds(
    Outcome,
    **intent_fields,
    outcome=byte,
    quantities=st.tuples(*[uint32] * 12),
    error_class=byte,
    finish_reason=byte,
    http_status=st.integers(0, 2**16 - 1),
    first_token_ms=uint32,
    total_ms=uint32,
    charge_nanos=nanos,
    usage_source=byte,
    waive_reason=byte,
    delivered_events=uint32,
    attempts=st.lists(attempt, max_size=8).map(tuple),
    attempts_omitted=uint32,
    data_policy=byte,
)
body = st.one_of(
    outcome,
    st.builds(Intent, **intent_fields),
    st.builds(Checkpoint, identifier, uint32, uint32, nanos),
    st.builds(SegmentStart, uint32),
    st.builds(Withdrawn, identifier),
)


@given(place, body)
def test_a_frame_reads_back_as_it_was_written(where: Place, content: Body) -> None:
    """Nothing that the record needs is lost or changed by packing."""
    raw = encode(where, content)
    frame = decode(raw)
    assert len(raw) == FRAME_BYTES
    assert isinstance(frame, Frame)
    assert (frame.place, frame.body) == (where, content)
    assert fault_at(raw, where) is None


@pytest.mark.parametrize(
    "content",
    [an_intent(), an_outcome(an_intent()), Checkpoint(b"r" * 16, 5, 6, 7)],
    ids=["intent", "outcome", "checkpoint"],
)
def test_every_flipped_bit_is_noticed(content: Body) -> None:
    """A bit that rotted never becomes a wrong charge, whichever of the 4,096 it is."""
    raw = encode(PLACE, content)
    unnoticed = []
    for bit in range(FRAME_BYTES * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        if not isinstance(decode(bytes(flipped)), Fault):
            unnoticed.append(bit)
    assert unnoticed == []


@settings(max_examples=200)
@given(st.one_of(st.binary(max_size=600), st.binary(min_size=FRAME_BYTES, max_size=FRAME_BYTES)))
def test_any_bytes_are_a_frame_or_a_reason(raw: bytes) -> None:
    """Reading a damaged disk never raises."""
    assert isinstance(decode(raw), Fault | Frame)


def test_an_unused_place_is_told_from_a_broken_one() -> None:
    """Recovery treats preallocated zeros as the end, not as damage."""
    assert decode(EMPTY) is Fault.EMPTY
    assert decode(b"x" * FRAME_BYTES) is Fault.WRONG_MAGIC


def test_a_frame_from_another_place_is_refused() -> None:
    """A frame that was copied or moved never counts for another sequence."""
    raw = encode(PLACE, an_intent())
    assert fault_at(raw, PLACE._replace(sequence=PLACE.sequence + 1)) is Fault.WRONG_PLACE
    assert fault_at(raw, PLACE._replace(epoch=1)) is Fault.WRONG_PLACE
    assert fault_at(raw, PLACE._replace(edge_id=4)) is Fault.WRONG_PLACE


def test_the_reserved_bytes_hold_nothing() -> None:
    """A sentence that somebody hides in the spare bytes makes the frame invalid."""
    raw = bytearray(encode(PLACE, an_outcome(an_intent())))
    raw[-5:] = b"hello"
    raw[8:12] = bytes(4)
    raw[8:12] = zlib.crc32(raw).to_bytes(4, "big")
    assert decode(bytes(raw)) is Fault.RESERVED_USED


def test_the_layout_leaves_what_was_promised() -> None:
    """Eight attempts of 24 bytes fit and 127 bytes stay free for later fields."""
    assert (FRAME_BYTES, ATTEMPT_BYTES, RESERVED_BYTES) == (512, 24, 127)
    assert [(kind.name, kind.value) for kind in Kind] == [
        ("SEGMENT", 1),
        ("INTENT", 2),
        ("CHECKPOINT", 3),
        ("OUTCOME", 4),
        ("WITHDRAWN", 5),
    ]


def test_a_frame_from_before_the_data_policy_is_read_as_not_known() -> None:
    """An old spool is shipped by a new edge: the byte was reserved and zero then."""
    content = an_outcome(an_intent(), data_policy=3)
    new = encode(PLACE, content)
    byte = FRAME_BYTES - RESERVED_BYTES - 1
    old = bytearray(new)
    assert old[byte] == 3
    old[byte] = 0
    old[8:12] = bytes(4)
    old[8:12] = zlib.crc32(old).to_bytes(4, "big")
    frame = decode(bytes(old))
    assert isinstance(frame, Frame)
    assert frame.body == replace(content, data_policy=0)


def test_attempts_beyond_eight_become_a_count() -> None:
    """A request that tried ten upstreams still has its record."""
    tried = tuple(Attempt(number, 500, 9, number, 1) for number in range(10))
    frame = decode(encode(PLACE, an_outcome(an_intent(), attempts=tried, attempts_omitted=1)))
    assert isinstance(frame, Frame)
    assert isinstance(frame.body, Outcome)
    assert (frame.body.attempts, frame.body.attempts_omitted) == (tried[:8], 3)


def test_an_odd_clock_does_not_cost_the_record() -> None:
    """Times out of range are cut to the field's bounds; money never is."""
    frame = decode(encode(PLACE, an_outcome(an_intent(), first_token_ms=-1, total_ms=2**40)))
    assert isinstance(frame, Frame)
    assert isinstance(frame.body, Outcome)
    assert (frame.body.first_token_ms, frame.body.total_ms) == (0, 2**32 - 1)


@pytest.mark.parametrize(
    "content",
    [
        an_intent(request_id=b"short"),
        an_outcome(an_intent(), charge_nanos=2**63),
        an_outcome(an_intent(), quantities=(2**32,) + (0,) * 11),
        an_outcome(an_intent(), quantities=(1,)),
    ],
    ids=["id", "charge", "quantity", "dimensions"],
)
def test_what_does_not_fit_is_refused(content: Body) -> None:
    """Ids, money and quantities are written exactly or not at all."""
    with pytest.raises(InvalidRecordError):
        encode(PLACE, content)
