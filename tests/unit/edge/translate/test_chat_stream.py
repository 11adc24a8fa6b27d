"""Streams of chat completions: how they are edited, counted and ended."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from edge.translate.answer import MAX_HELD_BYTES, EndKind, Fault, StreamEnding
from edge.translate.chat.stream import ChatStream, error_event, terminal_frame
from edge.translate.sse import MAX_FRAME_BYTES, data_of, frame_of, split_frames
from kit.charge import Quantities, quantities
from oneapi.metering.v1.usage_record_pb2 import FinishReason

USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
COUNTED = quantities(input=9, output=4, requests=1)
DONE = b"data: [DONE]\n\n"
FINISHED = "stop"


def price_of(_: Quantities) -> int:
    """Price everything at a quarter of a dollar."""
    return 250_000_000


def stream_of(**options: Any) -> ChatStream:
    """Return a stream with these options."""
    return ChatStream(public_model="pub", price_of=price_of, **{"show_usage": False, **options})


def chunk(content: str | None, finish: str | None = None, **more: Any) -> bytes:
    """Return a chunk of a stream with one choice."""
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return frame_of(orjson.dumps({"id": "c", "model": "up-2026", "choices": [choice], **more}))


def usage_chunk(usage: dict[str, Any] | None = None) -> bytes:
    """Return a chunk that carries only usage."""
    return frame_of(
        orjson.dumps({"id": "c", "model": "up-2026", "choices": [], "usage": usage or USAGE})
    )


def chunks(relayed: bytes) -> list[Any]:
    """Parse what the client gets."""
    data = [data_of(frame) for frame in split_frames(relayed)]
    return [orjson.loads(one) for one in data if one not in {None, b"[DONE]"}]


def test_the_terminal_frame_waits_for_the_outcome_and_nothing_follows_it() -> None:
    """A second one, and whatever else comes, is dropped."""
    stream = stream_of()
    assert stream.feed(chunk("a", FINISHED) + DONE + DONE) == chunk("a", FINISHED, model="pub")
    assert stream.over
    assert stream.feed(chunk("b")) == b""
    end = stream.finish(body_complete=True)
    assert end.kind is EndKind.PROPER
    assert end.tail == DONE
    assert end.events == 1


def test_an_answer_is_whole_once_its_terminal_frame_came() -> None:
    """Even if the connection then breaks."""
    stream = stream_of()
    stream.feed(chunk("a", FINISHED) + DONE)
    assert stream.finish(body_complete=False).kind is EndKind.PROPER


@pytest.mark.parametrize("last", [b"data: [DONE]", b"data: [DONE]\n", b"data:[DONE]\r\n\r"])
def test_a_terminal_frame_without_a_blank_line_counts_at_the_proper_end(last: bytes) -> None:
    """Some servers close right behind it."""
    for body_complete, kind in ((True, EndKind.PROPER), (False, EndKind.CUT)):
        stream = stream_of()
        stream.feed(chunk("a", FINISHED) + last)
        assert stream.finish(body_complete=body_complete).kind is kind


def test_a_missing_terminal_frame_is_a_cut_even_at_a_proper_end() -> None:
    """The usage that was seen is charged all the same."""
    stream = stream_of()
    stream.feed(chunk("a") + chunk(None, FINISHED) + usage_chunk())
    end = stream.finish(body_complete=True)
    assert end.kind is EndKind.CUT
    assert end.tail == b""
    assert end.quantities == COUNTED


def test_an_upstream_that_ends_with_its_body_gets_our_terminal_frame() -> None:
    """The frame with the finish reason and all after it wait for the proper end."""
    stream = stream_of(ending=StreamEnding.EOF)
    assert chunks(stream.feed(chunk("a") + chunk(None, FINISHED) + chunk(None)))[0]["choices"]
    assert stream.feed(b": note\n\n") == b""
    end = stream.finish(body_complete=True)
    assert end.kind is EndKind.PROPER
    assert end.tail.endswith(b": note\n\n" + terminal_frame())
    assert chunks(end.tail)[0]["choices"][0]["finish_reason"] == FINISHED


@pytest.mark.parametrize(("finish", "body_complete"), [(FINISHED, False), (None, True)])
def test_such_an_upstream_cut_is_a_cut(finish: str | None, *, body_complete: bool) -> None:
    """Its held frames are not shown: they would look like a good end; nor are they counted."""
    stream = stream_of(ending=StreamEnding.EOF)
    stream.feed(chunk("a") + chunk("b", finish))
    end = stream.finish(body_complete=body_complete)
    assert end.kind is EndKind.CUT
    assert end.tail == b""
    assert end.events == (1 if finish else 2)
    assert end.content_bytes == end.events


def test_such_an_upstream_may_still_send_the_terminal_frame() -> None:
    """Then it is one of the other kind."""
    stream = stream_of(ending=StreamEnding.EOF)
    stream.feed(chunk("a", FINISHED) + DONE + DONE)
    assert stream.finish(body_complete=False).tail == chunk("a", FINISHED, model="pub") + DONE


def test_the_frames_held_are_bounded() -> None:
    """An endless stream after its finish reason is broken."""
    stream = stream_of(ending=StreamEnding.EOF)
    stream.feed(chunk("a", FINISHED))
    for _ in range(MAX_HELD_BYTES // 65536 + 1):
        stream.feed(b": " + b"x" * 65536 + b"\n\n")
    assert stream.fault is Fault.TOO_LARGE
    assert stream.finish(body_complete=True).kind is EndKind.CUT


def test_with_several_choices_the_end_waits_for_the_last_of_them() -> None:
    """The first that finishes does not stop the others."""
    stream = stream_of(ending=StreamEnding.EOF, choices=2)

    def of(index: int, finish: str | None) -> bytes:
        choice = {"index": index, "delta": {"content": "x"}, "finish_reason": finish}
        return frame_of(orjson.dumps({"model": "u", "choices": [choice]}))

    assert len(chunks(stream.feed(of(0, None) + of(1, None) + of(0, FINISHED)))) == 3
    assert stream.feed(of(1, "length")) == b""
    end = stream.finish(body_complete=True)
    assert end.kind is EndKind.PROPER
    assert end.finish_reason == FinishReason.FINISH_REASON_LENGTH


def test_usage_is_hidden_unless_the_client_asked() -> None:
    """The chunk that only carries usage, the null, and the member beside a choice."""
    stream = stream_of()
    sent = chunk("a", usage=None) + chunk(None, FINISHED, usage=USAGE) + usage_chunk()
    seen = chunks(stream.feed(sent))
    assert len(seen) == 2
    assert all("usage" not in one for one in seen)
    assert stream.finish(body_complete=True).quantities == COUNTED


def test_usage_is_shown_with_its_cost_if_the_client_asked() -> None:
    """In each usage object, nulls as they are, frames before the terminal one at once."""
    stream = stream_of(show_usage=True)
    sent = chunk("a", usage=None) + chunk(None, FINISHED, usage=USAGE) + usage_chunk()
    seen = [one["usage"] for one in chunks(stream.feed(sent))]
    assert seen == [None, {**USAGE, "cost": "0.25"}, {**USAGE, "cost": "0.25"}]


def test_a_chunk_without_choices_and_without_usage_passes() -> None:
    """Azure sends its content filter's word on the prompt so."""
    sent = frame_of(orjson.dumps({"model": "", "choices": [], "prompt_filter_results": [{}]}))
    assert chunks(stream_of().feed(sent)) == [
        {"model": "pub", "choices": [], "prompt_filter_results": [{}]}
    ]


def test_usage_that_contradicts_itself_is_shown_without_cost_and_flagged() -> None:
    """The caller estimates instead."""
    stream = stream_of(show_usage=True)
    wrong = {**USAGE, "total_tokens": 1}
    assert chunks(stream.feed(usage_chunk(wrong)))[0]["usage"] == wrong
    stream.feed(DONE)
    end = stream.finish(body_complete=True)
    assert end.usage_invalid
    assert end.quantities is None


def test_of_several_usages_the_last_counts_and_a_smaller_one_is_flagged() -> None:
    """Each shows its own cost; the last one is final."""
    stream = stream_of(show_usage=True)
    stream.feed(usage_chunk())
    stream.feed(usage_chunk({"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}))
    end = stream.finish(body_complete=True)
    assert end.usage_decreased
    assert end.quantities == quantities(input=9, output=3, requests=1)


def test_usage_is_found_where_groq_and_moonshot_put_it() -> None:
    """Beside the choices, or inside one."""
    groq = stream_of()
    groq.feed(chunk(None, FINISHED, x_groq={"id": "r", "usage": USAGE}))
    assert groq.finish(body_complete=True).quantities == COUNTED
    moonshot = stream_of()
    choice = {"index": 0, "delta": {}, "finish_reason": "stop", "usage": USAGE}
    moonshot.feed(frame_of(orjson.dumps({"model": "k", "choices": [choice]})))
    assert moonshot.finish(body_complete=True).quantities == COUNTED


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ({"message": "Overloaded", "type": "server_error", "param": None, "code": 1}, "Overloaded"),
        ("Overloaded", "Overloaded"),
        ({"code": 502}, "The upstream reported an error."),
        (True, "The upstream reported an error."),
    ],
)
def test_an_upstreams_error_is_relayed_in_our_shape_at_the_end(error: Any, message: str) -> None:
    """The stream is broken: what follows, also a terminal frame, is dropped."""
    stream = stream_of()
    relayed = stream.feed(
        chunk("a") + frame_of(orjson.dumps({"error": error, "usage": USAGE})) + chunk("b") + DONE
    )
    assert len(chunks(relayed)) == 1
    assert stream.over
    end = stream.finish(body_complete=True)
    assert (end.kind, end.fault) == (EndKind.CUT, Fault.UPSTREAM_ERROR)
    assert end.tail == error_event("upstream_stream_error", message, "server_error")
    assert end.finish_reason == FinishReason.FINISH_REASON_ERROR
    assert end.quantities == COUNTED


@pytest.mark.parametrize("garbage", [b"{", b"[]", b"7", b'{"a":"\xff"}', b"<html>", b"NaN"])
def test_data_that_are_no_object_break_the_stream(garbage: bytes) -> None:
    """The frames before them are relayed, they and what follows are not."""
    stream = stream_of()
    relayed = stream.feed(chunk("a") + frame_of(garbage) + chunk("b") + DONE)
    assert relayed == chunk("a", model="pub")
    end = stream.finish(body_complete=True)
    assert (end.kind, end.fault, end.tail) == (EndKind.CUT, Fault.MALFORMED, b"")


def test_a_frame_beyond_the_limit_breaks_the_stream() -> None:
    """Bounded memory for each of many streams."""
    stream = stream_of()
    assert stream.feed(b"data: " + b"x" * MAX_FRAME_BYTES) == b""
    assert stream.over
    assert stream.finish(body_complete=True).fault is Fault.TOO_LARGE


def test_comments_and_other_frames_without_data_pass() -> None:
    """OpenRouter says that it is processing; an empty event means nothing and is left out."""
    stream = stream_of()
    assert stream.feed(b": PROCESSING\n\n") == b": PROCESSING\n\n"
    assert stream.feed(b"data: \n\n") == b""
    assert stream.fault is Fault.NONE


@pytest.mark.parametrize("choices", [None, 7, {}, ["x"], [{"index": "a", "delta": 3}]])
def test_an_odd_chunk_passes(choices: Any) -> None:
    """What the provider sent is the client's to judge."""
    sent = frame_of(orjson.dumps({"model": "m", "choices": choices}))
    assert chunks(stream_of().feed(sent)) == [{"model": "pub", "choices": choices}]


def test_events_are_those_that_carry_output() -> None:
    """The first one only names the role; reasoning, tool calls and refusals are output."""
    stream = stream_of()

    def delta(**parts: Any) -> bytes:
        choice = {"index": 0, "delta": parts, "finish_reason": None}
        return frame_of(orjson.dumps({"model": "m", "choices": [choice]}))

    stream.feed(delta(role="assistant", content=""))
    assert (stream.events, stream.has_output) == (0, False)
    stream.feed(delta(reasoning_content="Hm"))
    stream.feed(delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": "{}"}}]))
    stream.feed(delta(refusal="No"))
    assert (stream.events, stream.has_output) == (3, True)
    assert stream.content_bytes == 2 + 3 + 2


def test_no_output_is_known_at_the_end() -> None:
    """Then, without a good finish, the request is free."""
    stream = stream_of()
    stream.feed(chunk("") + usage_chunk() + DONE)
    end = stream.finish(body_complete=True)
    assert not end.has_output
    assert end.finish_reason == FinishReason.FINISH_REASON_UNSPECIFIED


def test_an_end_does_not_show_content() -> None:
    """Its representation may end up in a log."""
    stream = stream_of(ending=StreamEnding.EOF)
    stream.feed(chunk("SECRET", FINISHED))
    assert "SECRET" not in repr(stream.finish(body_complete=True))


def test_a_frame_without_data_is_left_out_and_a_comment_is_not() -> None:
    """It is no event; `openai` 2 and 3 try to parse its empty data."""
    stream = stream_of()
    relayed = stream.feed(b"retry: 1000\n\n: hello\n\nid: 7\nevent: ping\n\n" + chunk("a"))
    assert relayed.startswith(b": hello\n\ndata: {")
    assert len(split_frames(relayed)) == 2


def test_an_id_is_left_out_so_that_a_later_comment_is_no_event() -> None:
    """`openai` keeps an id and then takes each comment, such as our keep-alives, for an event."""
    frame = chunk("a")
    assert stream_of().feed(b"id: 7\r\nevent: message\r\n" + frame).startswith(b"event: message\n")
    assert b"id: 7" not in stream_of().feed(frame[:-1] + b"id: 7\n\n")
