"""Frames of server-sent events: the same ones however the bytes arrive."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.translate.sse import (
    BYTE_ORDER_MARK,
    MAX_FRAME_BYTES,
    FrameBuffer,
    FrameTooLarge,
    data_of,
    frame_end,
    frame_of,
    split_frames,
    with_data,
)

PIECES = st.sampled_from(
    [b"\n", b"\r", b"\r\n", b"data: {}", b"data: x", b": note", b"event: e", b"\n\n", b"\r\n\r\n"]
)
STREAMS = st.lists(PIECES, max_size=24).map(b"".join)


def frames_of(chunks: list[bytes]) -> tuple[list[bytes], bytes]:
    """Feed the chunks; return all frames and the rest."""
    buffer = FrameBuffer()
    frames = [frame for chunk in chunks for frame in split_frames(buffer.feed(chunk))]
    return frames, buffer.rest


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    """Cut the stream at these places."""
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


@given(STREAMS, st.lists(st.integers(0, 400), max_size=12))
@example(b"a\r\r\nb\r\r", [3])
@example(b"a\n\r\nb\n\n\n\n", [3, 8])
@example(b"a\r\n\r\nb\r\n\r\n", [4, 9])
def test_any_chunking_gives_the_same_frames(stream: bytes, places: list[int]) -> None:
    """Bytes may arrive in any pieces."""
    assert frames_of(cut(stream, places)) == frames_of([stream])


@given(STREAMS)
@example(b"data: x\n")
@example(b"data: x\r\n\r")
@example(b"\n")
def test_what_is_left_at_the_end_is_one_frame_or_nothing(stream: bytes) -> None:
    """Whatever of its last line ends came."""
    buffer = FrameBuffer()
    buffer.feed(stream)
    last = buffer.last_frame
    assert last.rstrip(b"\n") == buffer.rest.rstrip(b"\r\n")
    assert last == b"" or frame_end(last, 0) == len(last)


@given(STREAMS)
def test_frames_and_rest_together_are_the_input(stream: bytes) -> None:
    """Nothing is lost, added or changed."""
    frames, rest = frames_of([stream[at : at + 1] for at in range(len(stream))])
    assert b"".join(frames) + rest == stream


@pytest.mark.parametrize(
    "end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\r\n\n", b"\n\r\n"], ids=lambda end: end.hex()
)
def test_a_frame_is_given_out_with_its_last_byte(end: bytes) -> None:
    """Each mix of line ends closes a frame at once."""
    buffer = FrameBuffer()
    whole = b"data: x" + end
    assert buffer.feed(whole[:-1]) == b""
    assert buffer.feed(whole[-1:]) == whole


def test_a_frame_at_the_limit_passes_and_one_byte_more_is_refused() -> None:
    """The bound holds also where the end comes in the same read."""
    padding = b"x" * (MAX_FRAME_BYTES - len(frame_of(b"")))
    assert FrameBuffer().feed(frame_of(padding)) == frame_of(padding)
    with pytest.raises(FrameTooLarge):
        FrameBuffer().feed(frame_of(padding + b"x"))


def test_a_frame_without_end_is_refused_at_the_limit() -> None:
    """Memory stays bounded however long a line grows."""
    buffer = FrameBuffer()
    buffer.feed(b"x" * MAX_FRAME_BYTES)
    with pytest.raises(FrameTooLarge):
        buffer.feed(b"x")


@pytest.mark.parametrize(
    ("frame", "data"),
    [
        (b"data: {}\n\n", b"{}"),
        (b"data:{}\n\n", b"{}"),
        (b"data:  {}\n\n", b" {}"),
        (b"data: {}\r\n\r\n", b"{}"),
        (b"event: e\ndata: a\nid: 1\ndata: b\n\n", b"a\nb"),
        (BYTE_ORDER_MARK + b"data: {}\n\n", b"{}"),
        (b": note\n\n", None),
        (b"event: e\n\n", None),
        (b"\n\n", None),
        (b"data\n\n", b""),
        (b"database: x\n\n", None),
        (b'event: e\ndata: {"a":1}\n\n', b'{"a":1}'),
        (b'event: e\rdata: x\ndata: {"a":1}\n\n', b'x\n{"a":1}'),
        (b'event: e\ndata: {"a":\ndata: 1}\n\n', b'{"a":\n1}'),
        (b'event: e\nid: 1\ndata: {"a":1}\n\n', b'{"a":1}'),
        (b'event: e\ndata: {"a":1}\nid: 1\n\n', b'{"a":1}'),
    ],
)
def test_the_data_of_a_frame(frame: bytes, data: bytes | None) -> None:
    """After the standard: one space is optional, lines are joined, comments are none."""
    assert data_of(frame) == data


@pytest.mark.parametrize(
    ("frame", "edited"),
    [
        (b'data: {"a":1}\n\n', b"data: {}\n\n"),
        (b'event: e\ndata: {"a":\ndata: 1}\n\n', b"event: e\ndata: {}\n\n"),
        (b": note\r\ndata: 1\r\nid: 7\r\n\r\n", b": note\nid: 7\ndata: {}\n\n"),
    ],
)
def test_other_lines_stay_when_the_data_change(frame: bytes, edited: bytes) -> None:
    """Event names, ids and comments of a frame are the provider's."""
    assert with_data(frame, b"{}") == edited


def test_data_are_put_on_one_line() -> None:
    """A newline inside JSON is white space; inside a frame it would end the line."""
    assert data_of(with_data(b"data: a\ndata: b\n\n", b'{\n"a":1}')) == b'{ "a":1}'


def test_a_frame_in_many_pieces_is_searched_once() -> None:
    """Whatever its line ends: what was searched for an end is not searched again."""
    frame = b"event: e\r\n" + b"data: x\r\n" * 200_000 + b"\r\n"
    buffer = FrameBuffer(len(frame))
    pieces = [frame[at : at + 512] for at in range(0, len(frame), 512)]
    assert b"".join(map(buffer.feed, pieces)) == frame
