"""Cutting and editing event streams as bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.every import every
from tests.support.recordings import load_fixtures
from tests.support.replay.frames import (
    data_of,
    json_of,
    split_frames,
    usage_beside_choice,
    without_usage,
)

RAW = {one.stem: one.body() for one in load_fixtures() if one.is_stream}


@every(stem=RAW)
def test_frames_join_to_the_stream(stem: str) -> None:
    """No byte is lost or made up."""
    assert b"".join(split_frames(RAW[stem])) == RAW[stem]


@given(st.text(alphabet="da:\r\n x", max_size=60))
def test_any_text_is_cut_without_loss(text: str) -> None:
    """Also with mixed line ends, and each frame but the last ends in a blank line."""
    raw = text.encode()
    frames = split_frames(raw)
    assert b"".join(frames) == raw
    assert all(frame.endswith((b"\n", b"\r")) for frame in frames[:-1])


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_all_three_line_ends_separate_events(end: bytes) -> None:
    """As the standard has it."""
    raw = b"data: 1" + end * 2 + b"data: 2" + end * 2
    assert [json_of(frame) for frame in split_frames(raw)] == [1, 2]


def test_data_lines_are_joined() -> None:
    """One blank after the colon is not data, and other fields are not either."""
    assert data_of(b"event: x\ndata:a\ndata:  b\n\n") == b"a\n b"
    assert data_of(b": comment\n\n") is None


def test_usage_is_left_out_everywhere() -> None:
    """Also a null and the chunk that has nothing else; the text stays."""
    frames = split_frames(RAW["openai-chat-text-stream-usage"])
    kept = without_usage(frames)
    assert len(kept) == len(frames) - 1
    assert b"usage" not in b"".join(kept)
    assert b"".join(kept).count(b'"content":') == b"".join(frames).count(b'"content":')


def test_usage_moves_beside_the_last_choice() -> None:
    """As several providers send it."""
    frames = usage_beside_choice(split_frames(RAW["openai-chat-text-stream-usage"]))
    with_usage = [json_of(frame) for frame in frames if b'"usage":{' in frame]
    assert len(with_usage) == 1
    assert with_usage[0]["choices"][0]["finish_reason"] == "stop"
    assert with_usage[0]["usage"]["completion_tokens"] == 7


def test_a_stream_without_usage_is_not_edited() -> None:
    """There is nothing to move."""
    frames = split_frames(RAW["openai-chat-text-stream"])
    assert usage_beside_choice(frames) == without_usage(frames) == frames
