"""Streams that cross over from a chat upstream and end before they should: never a clean end."""

from __future__ import annotations

import json

import orjson
import pytest

from edge.errors import ApiError
from edge.translate.answer import AnswerStream, EndKind, Fault
from edge.translate.chat.surface import ChatCall, ChatSurface
from edge.translate.completions.surface import CompletionCall, CompletionsSurface
from edge.translate.neutral.crossing import CrossingStream
from kit.charge import quantities
from oneapi.common.v1.endpoint_pb2 import Endpoint
from tests.unit.edge.translate.terms import price_of, terms

CHAT = Endpoint.ENDPOINT_CHAT_COMPLETIONS
WORDS = ("Low", " tide", " at", " six")
USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}


def frame(delta: dict[str, str], reason: str | None = None) -> bytes:
    """Return a chunk of an upstream's."""
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return b"data: %b\n\n" % orjson.dumps({"id": "c", "model": "up", "choices": [choice]})


FRAMES = (
    *[frame({"content": word}) for word in WORDS],
    frame({}, "stop"),
    b"data: %b\n\n" % orjson.dumps({"choices": [], "usage": USAGE}),
)
DONE = b"data: [DONE]\n\n"


def stream(*, ends_with_terminal_frame: bool) -> AnswerStream:
    """Return a completion's stream that crosses over from a chat upstream."""
    body = orjson.dumps({"model": "m", "prompt": "Once", "stream": True})
    call = CompletionsSurface().read(body, {}, "/v1/completions", b"")
    way = call.translation(terms(CHAT, ends_with_terminal_frame=ends_with_terminal_frame))
    return way.stream(price_of)


@pytest.mark.parametrize("body_complete", [True, False])
@pytest.mark.parametrize("frames", range(len(FRAMES) + 1))
@pytest.mark.parametrize("part", [0, 10])
def test_a_cut_before_the_terminal_frame_has_no_clean_end(
    frames: int, part: int, *, body_complete: bool
) -> None:
    """However the body ended; what was counted so far is known."""
    crossing = stream(ends_with_terminal_frame=True)
    got = crossing.feed(b"".join(FRAMES[:frames]) + ((*FRAMES, DONE))[frames][:part])
    end = crossing.finish(body_complete=body_complete)
    assert end.kind is EndKind.CUT
    assert end.tail == b""
    assert b"[DONE]" not in got
    assert b'finish_reason":"' not in got
    assert end.events == min(frames, len(WORDS))
    counted = quantities(input=9, output=4, requests=1) if frames == len(FRAMES) else None
    assert end.quantities == counted


def test_where_streams_end_with_their_body_a_finish_reason_and_a_whole_body_are_the_end() -> None:
    """One of them alone is not."""
    for frames, body_complete, kind in (
        (len(FRAMES), True, EndKind.PROPER),
        (len(FRAMES), False, EndKind.CUT),
        (len(WORDS), True, EndKind.CUT),
    ):
        crossing = stream(ends_with_terminal_frame=False)
        got = crossing.feed(b"".join(FRAMES[:frames]))
        end = crossing.finish(body_complete=body_complete)
        assert end.kind is kind
        assert end.tail.endswith(DONE) == (kind is EndKind.PROPER)
        texts = [json.loads(one[6:])["choices"][0]["text"] for one in got.split(b"\n\n")[:-1]]
        assert texts == list(WORDS)


def test_nothing_waits_but_the_end() -> None:
    """Each chunk is sent with the frame that brought it."""
    crossing = stream(ends_with_terminal_frame=True)
    sent = [bool(crossing.feed(frame)) for frame in (*FRAMES, DONE)]
    assert sent == [True] * len(WORDS) + [False] * 3
    end = crossing.finish(body_complete=True)
    assert (end.kind, end.fault) == (EndKind.PROPER, Fault.NONE)
    assert end.tail.endswith(DONE)


def test_an_upstreams_error_is_told_in_openais_shape() -> None:
    """With our code, and what was said before stays said."""
    crossing = stream(ends_with_terminal_frame=True)
    assert crossing.feed(FRAMES[0])
    assert not crossing.feed(b'data: {"error":{"message":"Gone","code":500}}\n\n' + FRAMES[1])
    end = crossing.finish(body_complete=True)
    assert (end.kind, end.fault) == (EndKind.CUT, Fault.UPSTREAM_ERROR)
    error = json.loads(end.tail.removeprefix(b"data: "))["error"]
    assert (error["message"], error["code"]) == ("Gone", "upstream_stream_error")


@pytest.mark.parametrize("broken", [b"data: {\n\n", b"data: [1]\n\n", b"data: " + b"x" * 2**21])
def test_what_is_no_chunk_breaks_the_stream(broken: bytes) -> None:
    """Also what is longer than any chunk."""
    crossing = stream(ends_with_terminal_frame=True)
    crossing.feed(FRAMES[0] + broken)
    assert crossing.over
    assert crossing.finish(body_complete=True).kind is EndKind.CUT


def test_the_surfaces_errors_inside_a_stream_are_openais() -> None:
    """As the SDK raises them."""
    problem = ApiError(502, "upstream_cut", "Cut.", "server_error")
    chat = orjson.dumps({"messages": [{"role": "user", "content": "Hi"}], "stream": True})
    calls: tuple[ChatCall | CompletionCall, ...] = (
        ChatSurface().read(chat, {}, "", b""),
        CompletionsSurface().read(b'{"prompt":"Hi","stream":true}', {}, "", b""),
    )
    for call in calls:
        event = call.error_event(problem, "req_1")
        assert json.loads(event.removeprefix(b"data: "))["error"]["code"] == "upstream_cut"
    assert isinstance(stream(ends_with_terminal_frame=True), CrossingStream)
