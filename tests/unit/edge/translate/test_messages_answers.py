"""Answers of upstreams that serve messages: streams that stay so, frames read as events."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from edge.errors import ApiError
from edge.translate.answer import EndKind, Fault, StreamEnding
from edge.translate.errors import MalformedAnswer
from edge.translate.messages import errors, request
from edge.translate.messages.answer_reader import MessagesReader
from edge.translate.messages.native import NativeCount, NativeMessages
from edge.translate.messages.stream import MessagesLook
from edge.translate.native_stream import NativeStream
from edge.translate.neutral.events import (
    Cited,
    Ended,
    Failed,
    Finished,
    TextDelta,
    ToolCallBegun,
    ToolCallDelta,
)
from kit.charge import quantities
from oneapi.metering.v1.usage_record_pb2 import FinishReason as Reason
from tests.unit.edge.translate.terms import REQUEST_ID, price_of, terms

STOP = Finished(0, Reason.FINISH_REASON_STOP)


def frame(**data: Any) -> bytes:
    """Return a frame as Anthropic sends it, with blanks behind the data."""
    return b"event: %b\ndata: %b  \n\n" % (data["type"].encode(), orjson.dumps(data))


def begun(**usage: int) -> bytes:
    """Return the frame that begins a message."""
    counts = {"input_tokens": 7, "output_tokens": 1, **usage}
    return frame(type="message_start", message={"id": "msg_1", "model": "up", "usage": counts})


def text(piece: str, index: int = 0) -> bytes:
    """Return a frame with a piece of text."""
    return frame(
        type="content_block_delta", index=index, delta={"type": "text_delta", "text": piece}
    )


END = frame(
    type="message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 3}
) + frame(type="message_stop")


def native() -> NativeStream:
    """Return a stream that stays in its API."""
    look = MessagesLook("public-model", REQUEST_ID)
    return NativeStream(look, StreamEnding.TERMINAL, price_of, look.failed_event)


# --- native


def test_frames_pass_at_once_and_the_last_one_waits() -> None:
    """`message_stop` is held until the outcome is durable; nothing else is."""
    stream = native()
    assert json.loads(stream.feed(begun()).split(b"data: ")[1])["message"] == {
        "id": "msg_1",
        "model": "public-model",
        "usage": {"input_tokens": 7, "output_tokens": 1, "cost": "1.50"},
    }
    assert stream.feed(text("a")) == text("a")
    assert (stream.events, stream.content_bytes) == (1, 1)
    ending, stop = (
        END[: END.index(b"event: message_stop")],
        END[END.index(b"event: message_stop") :],
    )
    assert b'"cost":"1.50"' in stream.feed(ending)
    assert not stream.over
    assert stream.feed(stop + b"event: more\ndata: {}\n\n") == b""
    end = stream.finish(body_complete=False)
    assert (end.kind, end.tail) == (EndKind.PROPER, stop)
    assert end.quantities == quantities(input=7, output=3, requests=1)
    assert end.finish_reason == Reason.FINISH_REASON_STOP


def test_a_cut_keeps_the_count_of_the_beginning() -> None:
    """The input was counted there."""
    stream = native()
    stream.feed(begun() + text("abc"))
    end = stream.finish(body_complete=True)
    assert (end.kind, end.tail, end.fault) == (EndKind.CUT, b"", Fault.NONE)
    assert end.quantities == quantities(input=7, output=1, requests=1)
    assert (end.has_output, end.events, end.content_bytes) == (True, 1, 3)


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, "overloaded_error"),
        ({"type": "something_new", "message": "Overloaded"}, "api_error"),
        ({"type": []}, "api_error"),
        ("Overloaded", "api_error"),
    ],
)
def test_an_error_of_the_provider_is_passed_in_the_clients_shape(told: Any, kind: str) -> None:
    """With its kind and its words, our code, and then nothing more."""
    stream = native()
    stream.feed(begun())
    assert stream.feed(frame(type="error", error=told) + END) == b""
    end = stream.finish(body_complete=True)
    assert (end.kind, end.fault) == (EndKind.CUT, Fault.UPSTREAM_ERROR)
    name, data = end.tail.rstrip().split(b"\n")
    assert name == b"event: error"
    found = json.loads(data.removeprefix(b"data: "))
    assert found["error"]["type"] == kind
    assert found["error"]["details"] == {"error_code": "upstream_stream_error"}
    assert found["request_id"] == REQUEST_ID


@pytest.mark.parametrize(
    ("block", "size"),
    [
        ({"type": "text", "text": ""}, None),
        ({"type": "text", "text": "ä"}, 2),
        ({"type": "tool_use", "name": "ab", "input": {}}, 2),
        ({"type": "redacted_thinking", "data": "abc"}, 3),
        ({"type": "signature_delta", "signature": "abc"}, 0),
        ({"type": "citations_delta", "citation": {"type": "char_location"}}, 0),
        ({"type": "input_json_delta", "partial_json": '{"a'}, 3),
    ],
)
def test_what_the_model_made_counts_as_output(block: dict[str, Any], size: int | None) -> None:
    """By its bytes; what is sealed counts as made."""
    stream = native()
    stream.feed(frame(type="content_block_start", index=0, content_block=block))
    assert (stream.has_output, stream.content_bytes) == (size is not None, size or 0)


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"type":"error","error":{}}'])
def test_what_is_no_message_is_malformed(body: bytes) -> None:
    """Nothing of it is kept."""
    asked = request.parse({"max_tokens": 1, "messages": [{"content": "a"}]}, {}, b"")
    for native_way in (NativeMessages(asked, terms()), NativeCount(asked, terms())):
        with pytest.raises(MalformedAnswer):
            native_way.whole(body, b"", price_of)
    with pytest.raises(MalformedAnswer):
        NativeCount(asked, terms()).whole(b'{"input_tokens":"7"}', b"", price_of)


# --- read


def test_citations_are_told_with_the_place_of_their_text() -> None:
    """They come before it in a stream, and after it as events."""
    source = {
        "type": "search_result_location",
        "source": "https://e",
        "title": "E",
        "cited_text": "x",
    }
    reader = MessagesReader()
    frames = [
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "text", "text": "ab"},
        },
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        {
            "type": "content_block_delta",
            "index": 1,
            "delta": {"type": "citations_delta", "citation": source},
        },
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "cde"}},
        {"type": "content_block_stop", "index": 1},
    ]
    events = [event for one in frames for event in reader.frame(orjson.dumps(one))]
    assert events[-1] == Cited(0, "https://e", "E", "x", 2, 5)


def test_tools_that_the_provider_ran_are_not_ours_to_tell() -> None:
    """None are asked for; what they got is no call of the client's."""
    content = [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": "a"}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        {"type": "text", "text": "So."},
    ]
    message = {"type": "message", "content": content, "stop_reason": "end_turn"}
    assert MessagesReader().whole(orjson.dumps(message)) == [TextDelta(0, "So."), STOP, Ended()]


def test_a_call_without_any_arguments_has_an_empty_object() -> None:
    """The API sends no piece of it; other APIs spell it."""
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    reader = MessagesReader()
    begun_call = {"type": "content_block_start", "index": 0, "content_block": call}
    nothing = {"type": "input_json_delta", "partial_json": ""}
    assert reader.frame(orjson.dumps(begun_call)) == [ToolCallBegun(0, 0, "t", "f")]
    delta = {"type": "content_block_delta", "index": 0, "delta": nothing}
    assert reader.frame(orjson.dumps(delta)) == []
    assert reader.frame(b'{"type":"content_block_stop","index":0}') == [ToolCallDelta(0, 0, "{}")]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"type":"message_start"}',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}',
        b'{"type":"content_block_stop","index":3}',
        b'{"type":"content_block_start","index":"0","content_block":{}}',
        b'{"type":"content_block_start","index":0,"content_block":{"type":"text","text":7}}',
        b'{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a"}}',
        b'{"type":"message_delta","delta":[]}',
    ],
)
def test_frames_that_make_no_sense_are_malformed(data: bytes) -> None:
    """The stream is broken, and the client is told so."""
    with pytest.raises(MalformedAnswer):
        MessagesReader().frame(data)


def test_an_error_of_the_provider_is_an_event() -> None:
    """Its words are for the client."""
    told = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    assert MessagesReader().frame(orjson.dumps(told)) == [Failed("Overloaded")]
    assert MessagesReader().whole(orjson.dumps(told)) == [Failed("Overloaded")]
    assert MessagesReader().frame(b'{"type":"error"}') == [
        Failed("The upstream reported an error.")
    ]


# --- errors


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (409, "conflict_error"),
        (413, "request_too_large"),
        (415, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_an_error_has_the_type_of_its_status(status: int, kind: str) -> None:
    """The SDKs choose their exceptions by status, people by type and code."""
    problem = ApiError(
        status, "a_code", "Words of ours.", param="messages[0]", extra={"charge": "1"}
    )
    assert json.loads(errors.error_body(problem, REQUEST_ID)) == {
        "type": "error",
        "error": {
            "type": kind,
            "message": "Words of ours.",
            "details": {"error_code": "a_code", "param": "messages[0]", "charge": "1"},
        },
        "request_id": REQUEST_ID,
    }
    sent = errors.error_event(problem, REQUEST_ID)
    assert sent.startswith(b"event: error\ndata: {")
    assert sent.endswith(b"}\n\n")
