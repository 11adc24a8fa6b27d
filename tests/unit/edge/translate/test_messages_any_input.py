"""Whatever a client or an upstream sends as messages: an answer, or one of our errors."""

from __future__ import annotations

import json
from typing import Any

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from edge.translate.answer import StreamEnding
from edge.translate.errors import InvalidRequest, MalformedAnswer
from edge.translate.messages import request
from edge.translate.messages.answer_reader import MessagesReader
from edge.translate.messages.answer_writer import MessagesWriter
from edge.translate.messages.native import NativeMessages
from edge.translate.messages.stream import MessagesLook
from edge.translate.messages.surface import MessagesCountSurface, MessagesSurface
from edge.translate.messages.to_neutral import conversation
from edge.translate.messages.upstream import MessagesUpstream
from edge.translate.native_stream import NativeStream
from edge.translate.neutral.crossing import Crossing
from oneapi.common.v1.endpoint_pb2 import Endpoint
from tests.unit.edge.translate.terms import REQUEST_ID, price_of, terms
from tests.unit.edge.translate.test_chat_shape import Limits

NAMES = st.sampled_from(
    [
        *("type", "index", "delta", "content_block", "message", "usage", "text", "input", "name"),
        *(
            "id",
            "citation",
            "citations",
            "error",
            "stop_reason",
            "content",
            "model",
            "output_tokens",
        ),
        *("input_tokens", "cache_creation", "thinking", "signature", "partial_json", "data"),
    ]
)
WORDS = st.sampled_from(
    [
        *("message_start", "content_block_start", "content_block_delta", "content_block_stop"),
        *("message_delta", "message_stop", "error", "text", "tool_use", "thinking", "text_delta"),
        *("input_json_delta", "citations_delta", "message", "redacted_thinking", "end_turn"),
    ]
)
SCALARS = st.none() | st.booleans() | st.integers(-3, 2**65) | st.floats() | WORDS
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=16,
)
EVENTS = st.dictionaries(NAMES, JSON, max_size=6).flatmap(
    lambda event: WORDS.map(lambda word: {"index": 0, **event, "type": word})
)


def stream_of_ours() -> NativeStream:
    """Return a stream that stays in its API."""
    look = MessagesLook("public-model", REQUEST_ID)
    return NativeStream(look, StreamEnding.TERMINAL, price_of, look.failed_event)


def as_sent(value: Any) -> bytes:
    """Return a value as another writer spells it."""
    return json.dumps(value).encode()


@given(st.lists(EVENTS, max_size=5))
@example([{"type": "message_start", "message": {"usage": []}}])
@example([{"type": ["message_stop"]}])
def test_any_frames_are_an_answer_or_broken(values: list[dict[str, Any]]) -> None:
    """Natively and read as events, in any chunking; usage is never negative."""
    sent = b"".join(b"event: x\ndata: %b\n\n" % as_sent(value) for value in values)
    stream, again = stream_of_ours(), stream_of_ours()
    relayed = stream.feed(sent)
    pieces = b"".join(again.feed(sent[at : at + 5]) for at in range(0, len(sent), 5))
    end, other = stream.finish(body_complete=True), again.finish(body_complete=True)
    assert (relayed, end) == (pieces, other)
    assert end.quantities is None or min(end.quantities) >= 0
    reader = MessagesReader()
    try:
        for value in values:
            reader.frame(as_sent(value))
    except MalformedAnswer:
        return


@given(st.dictionaries(NAMES, JSON, max_size=6))
def test_any_body_is_a_message_or_malformed(value: dict[str, Any]) -> None:
    """And what is relayed is JSON again."""
    asked = request.parse({"max_tokens": 1, "messages": [{"content": "a"}]}, {}, b"")
    crossing = Crossing(
        conversation(asked.body | {"messages": [{"role": "user", "content": "a"}]}),
        MessagesUpstream(),
        terms(Endpoint.ENDPOINT_MESSAGES),
        stream=False,
        writer=MessagesWriter(terms()),
        failed_event=lambda _: b"",
    )
    for way in (NativeMessages(asked, terms()), crossing):
        try:
            found = way.whole(as_sent(value), b"", price_of)
        except MalformedAnswer:
            continue
        assert isinstance(json.loads(found.body), dict)
        assert found.quantities is None or min(found.quantities) >= 0


BODY_NAMES = st.sampled_from(
    [
        *(
            "model",
            "messages",
            "system",
            "max_tokens",
            "stream",
            "tools",
            "tool_choice",
            "thinking",
        ),
        *(
            "output_config",
            "role",
            "content",
            "type",
            "text",
            "source",
            "data",
            "media_type",
            "url",
        ),
        *("tool_use_id", "is_error", "name", "input", "input_schema", "budget_tokens", "effort"),
        *("format", "schema", "metadata", "context_management", "edits", "speed", "cache_control"),
        *("service_tier", "inference_geo", "stop_sequences", "temperature", "id", "citations"),
    ]
)
BODY_WORDS = st.sampled_from(
    [
        *("user", "assistant", "system", "text", "image", "document", "tool_use", "tool_result"),
        *("base64", "url", "enabled", "adaptive", "json_schema", "custom", "auto", "any", "a", ""),
    ]
)
BODY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**65) | st.floats(allow_nan=False) | BODY_WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(BODY_NAMES, inner, max_size=5),
    max_leaves=20,
)
BODIES = st.dictionaries(BODY_NAMES, BODY_JSON, max_size=6).map(
    lambda body: {"max_tokens": 5, "messages": [{"role": "user", "content": "Hi."}], **body}
)


@given(BODIES)
@example({"max_tokens": 5, "messages": [{"content": [{"type": {}}]}]})
@example({"max_tokens": 5, "messages": [{"content": "a"}], "speed": []})
@example({"max_tokens": 5, "messages": [{"content": "a"}], "tools": [{"type": ["a"]}]})
def test_any_body_is_a_request_or_an_error_of_ours(value: dict[str, Any]) -> None:
    """Both ways up; what is sent on is JSON, and its bound a number."""
    try:
        call = MessagesSurface().read(as_sent(value), {}, "/v1/messages", b"")
        bound = call.shape(Limits())
        assert bound.input_tokens >= 0
        native_way = call.translation(terms(Endpoint.ENDPOINT_MESSAGES))
        assert orjson.loads(native_way.body(3))["max_tokens"] <= 3
        call.translation(terms(Endpoint.ENDPOINT_CHAT_COMPLETIONS)).body(3)
    except InvalidRequest:
        return


@given(BODIES)
@example({"messages": [{"role": "assistant", "content": [7, {"type": "thinking"}, "a"]}]})
def test_any_body_is_counted_or_refused(value: dict[str, Any]) -> None:
    """The upstream says what is wrong with what we have no use for."""
    both = (Endpoint.ENDPOINT_MESSAGES, Endpoint.ENDPOINT_COUNT_TOKENS)
    try:
        call = MessagesCountSurface().read(as_sent(value), {}, "/v1/messages/count_tokens", b"")
        call.shape(Limits())
        sent = call.translation(terms(*both)).body(None)
    except InvalidRequest:
        return
    assert "metadata" not in orjson.loads(sent)
