"""Chat answers that cross over: chunks and completions as events, and events as chat."""

from __future__ import annotations

import itertools
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.translate.answer import EndKind, Fault, StreamEnding
from edge.translate.chat.answer_reader import ChatAnswerReader
from edge.translate.chat.answer_writer import ChatAnswerWriter, usage_of
from edge.translate.chat.stream import upstream_error_event
from edge.translate.chat.surface import ChatSurface
from edge.translate.errors import MalformedAnswer
from edge.translate.neutral.crossing import CrossingStream
from edge.translate.neutral.events import (
    Cited,
    Ended,
    Event,
    Failed,
    Finished,
    ReasoningDelta,
    ReasoningSigned,
    RedactedReasoning,
    RefusalDelta,
    TextDelta,
    ToolCallBegun,
    ToolCallDelta,
    Used,
)
from edge.translate.usage import from_openai
from kit.charge import quantities
from oneapi.common.v1.endpoint_pb2 import Endpoint
from oneapi.metering.v1.usage_record_pb2 import FinishReason
from tests.unit.edge.translate.terms import CREATED, price_of, terms
from tests.unit.edge.translate.test_any_input import JSON, as_parsed

STOP = FinishReason.FINISH_REASON_STOP
CALLS = FinishReason.FINISH_REASON_TOOL_CALLS
USAGE = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
USED = quantities(input=9, output=5, requests=1)


def chunk(delta: dict[str, Any] | None = None, **more: Any) -> bytes:
    """Return the data of a chunk with one choice."""
    choice = {"index": 0, "delta": delta or {}, "finish_reason": None, **more}
    return orjson.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [choice]})


def events_of(*chunks: bytes, upstream: str = "demo") -> list[Event]:
    """Read chunks one after the other."""
    reader = ChatAnswerReader(terms(upstream=upstream))
    return [event for data in chunks for event in reader.frame(data)]


def call(index: int | None, *, id: str | None = None, **function: str) -> dict[str, Any]:
    """Return a piece of a tool call."""
    piece: dict[str, Any] = {"function": function}
    if index is not None:
        piece["index"] = index
    if id is not None:
        piece["id"] = id
    return {"tool_calls": [piece]}


TRANSCRIPTS: list[tuple[str, list[bytes], list[Event]]] = [
    (
        "text",
        [chunk({"role": "assistant", "content": ""}), chunk({"content": "Hi"}), b"[DONE]"],
        [TextDelta(0, "Hi"), Ended()],
    ),
    (
        "finish and usage in one chunk",
        [
            orjson.dumps(
                {
                    "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
                    "usage": USAGE,
                }
            )
        ],
        [Finished(0, STOP), Used(USED)],
    ),
    (
        "usage where Groq puts it",
        [orjson.dumps({"choices": [], "x_groq": {"usage": USAGE}})],
        [Used(USED)],
    ),
    ("usage that cannot be", [orjson.dumps({"usage": {"prompt_tokens": -1}})], [Used(None)]),
    ("DeepSeek", [chunk({"content": None, "reasoning_content": "Hm"})], [ReasoningDelta(0, "Hm")]),
    ("Groq", [chunk({"reasoning": "Hm"})], [ReasoningDelta(0, "Hm")]),
    (
        "two names for the same reasoning",
        [
            chunk(
                {
                    "reasoning": "Hm",
                    "reasoning_details": [
                        {"type": "reasoning.text", "text": "Hm", "signature": "c2ln"},
                        {"type": "reasoning.encrypted", "data": "eA=="},
                    ],
                }
            )
        ],
        [ReasoningDelta(0, "Hm"), ReasoningSigned(0, "c2ln"), RedactedReasoning(0, "eA==")],
    ),
    (
        "Mistral",
        [
            chunk(
                {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]}
            ),
            chunk({"content": [{"type": "text", "text": "Hi"}]}),
        ],
        [ReasoningDelta(0, "Hm"), TextDelta(0, "Hi")],
    ),
    (
        "calls at once",
        [
            chunk(call(0, id="a", name="tide", arguments="")),
            chunk(call(0, arguments='{"x"')),
            chunk(call(0, arguments=":1}")),
            chunk(call(1, id="b", name="wind", arguments="{}")),
            chunk(finish_reason="tool_calls"),
        ],
        [
            ToolCallBegun(0, 0, "a", "tide"),
            ToolCallDelta(0, 0, '{"x"'),
            ToolCallDelta(0, 0, ":1}"),
            ToolCallBegun(0, 1, "b", "wind"),
            ToolCallDelta(0, 1, "{}"),
            Finished(0, CALLS),
        ],
    ),
    (
        "all calls numbered 0",
        [
            chunk(call(0, id="a", name="tide", arguments="{}")),
            chunk(call(0, id="b", name="wind", arguments="{")),
            chunk(call(0, id="b", arguments="}")),
        ],
        [
            ToolCallBegun(0, 0, "a", "tide"),
            ToolCallDelta(0, 0, "{}"),
            ToolCallBegun(0, 1, "b", "wind"),
            ToolCallDelta(0, 1, "{"),
            ToolCallDelta(0, 1, "}"),
        ],
    ),
    (
        "id and name in every piece",
        [
            chunk(call(0, id="a", name="tide", arguments="{")),
            chunk(call(0, id="a", name="tide", arguments="}")),
        ],
        [ToolCallBegun(0, 0, "a", "tide"), ToolCallDelta(0, 0, "{"), ToolCallDelta(0, 0, "}")],
    ),
    (
        "a call without number and id, signed by Google",
        [
            chunk(
                {
                    "tool_calls": [
                        {
                            "function": {"name": "tide", "arguments": {"x": 1}},
                            "extra_content": {"google": {"thought_signature": "c2ln"}},
                        }
                    ]
                }
            )
        ],
        [
            ToolCallBegun(0, 0, "call_89abcdef0123456789abcdef0x0", "tide", "c2ln"),
            ToolCallDelta(0, 0, '{"x":1}'),
        ],
    ),
    (
        "a refusal",
        [chunk({"refusal": "No."}), chunk(finish_reason="stop")],
        [RefusalDelta(0, "No."), Finished(0, STOP, refused=True)],
    ),
    (
        "logprobs",
        [chunk({"content": "Hi"}, logprobs={"content": [{"token": "Hi", "logprob": -0.5}]})],
        [TextDelta(0, "Hi", [{"token": "Hi", "logprob": -0.5}])],
    ),
    (
        "a source",
        [
            chunk(
                {
                    "annotations": [
                        {
                            "type": "url_citation",
                            "url_citation": {"url": "https://e.example", "end_index": 4},
                        }
                    ]
                }
            )
        ],
        [Cited(0, "https://e.example", None, end=4)],
    ),
    (
        "an error of OpenRouter's",
        [orjson.dumps({"error": {"message": "Gone"}, "choices": [{"finish_reason": "error"}]})],
        [Failed("Gone")],
    ),
    (
        "an answer that DeepSeek broke off",
        [chunk({"content": "Hi"}, finish_reason="insufficient_system_resource")],
        [TextDelta(0, "Hi"), Failed("The upstream reported an error.")],
    ),
    (
        "an error without words",
        [orjson.dumps({"error": True})],
        [Failed("The upstream reported an error.")],
    ),
]


@pytest.mark.parametrize(
    ("chunks", "events"), [row[1:] for row in TRANSCRIPTS], ids=[row[0] for row in TRANSCRIPTS]
)
def test_chunks_say_what_their_provider_means(chunks: list[bytes], events: list[Event]) -> None:
    """In each provider's spelling."""
    assert events_of(*chunks) == events


@pytest.mark.parametrize("data", [b"{", b"[]", b'"x"', chunk({"tool_calls": [{"index": 0}]})])
def test_what_is_no_chunk_is_malformed(data: bytes) -> None:
    """The stream is broken then, never ended cleanly."""
    with pytest.raises(MalformedAnswer):
        events_of(data)


def test_a_whole_completion_without_choices_is_malformed() -> None:
    """An error in its place is one."""
    reader = ChatAnswerReader(terms())
    with pytest.raises(MalformedAnswer):
        reader.whole(b"{}")
    assert reader.whole(b'{"error":"Gone"}') == [Failed("Gone"), Ended()]


def test_calls_of_a_whole_completion_are_told_apart_by_their_place() -> None:
    """Even where two have one id, or none."""
    calls = [{"function": {"name": "a", "arguments": "{}"}}, {"function": {"name": "b"}}]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    body = orjson.dumps({"choices": [{"message": message, "finish_reason": "tool_calls"}]})
    begun = [one for one in ChatAnswerReader(terms()).whole(body) if type(one) is ToolCallBegun]
    assert [(one.call, one.name) for one in begun] == [(0, "a"), (1, "b")]
    assert begun[0].id != begun[1].id


def writer(endpoint: Endpoint.ValueType, *, include_usage: bool = False) -> ChatAnswerWriter:
    """Return the writer of an answer from an upstream that serves this endpoint."""
    return ChatAnswerWriter(terms(endpoint), include_usage=include_usage)


def chunks_of(frames: bytes) -> list[Any]:
    """Parse the frames of a stream; `[DONE]` stays as it is."""
    data = [frame.removeprefix(b"data: ") for frame in frames.split(b"\n\n")[:-1]]
    return [one if one == b"[DONE]" else json.loads(one) for one in data]


MESSAGES = Endpoint.ENDPOINT_MESSAGES
ANSWER: list[Event] = [
    ReasoningDelta(0, "Hm"),
    ReasoningSigned(0, "c2ln"),
    TextDelta(0, "Hi"),
    Cited(0, "https://e.example", "E"),
    ToolCallBegun(0, 0, "a", "tide", "Z3M="),
    ToolCallDelta(0, 0, "{}"),
    Finished(0, CALLS),
    Used(USED),
    Ended(),
]


def test_events_become_chunks_and_the_end_waits() -> None:
    """Nothing of the end is sent before `finish`; usage only where it was asked for."""
    chat = writer(MESSAGES, include_usage=True)
    sent = chunks_of(chat.frames(ANSWER))
    deltas = [one["choices"][0]["delta"] for one in sent]
    detail = {"format": "anthropic-claude-v1", "index": 0, "type": "reasoning.text"}
    citation = {"start_index": 2, "end_index": 2, "url": "https://e.example", "title": "E"}
    extra = {"google": {"thought_signature": "Z3M="}}
    function = {"name": "tide", "arguments": ""}
    begun = {"index": 0, "id": "a", "type": "function", "function": function}
    assert deltas == [
        {"role": "assistant", "content": "", "refusal": None},
        {"reasoning_content": "Hm", "reasoning_details": [detail | {"text": "Hm"}]},
        {"reasoning_details": [detail | {"signature": "c2ln"}]},
        {"content": "Hi"},
        {"annotations": [{"type": "url_citation", "url_citation": citation}]},
        {"tool_calls": [begun | {"extra_content": extra}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
    ]
    assert all(one["usage"] is None and one["created"] == CREATED for one in sent)
    finish, usage, done = chunks_of(chat.finish(USED, "1.5"))
    assert finish["choices"][0]["finish_reason"] == "tool_calls"
    assert (usage["choices"], usage["usage"]["cost"]) == ([], "1.5")
    assert usage["usage"] | USAGE == usage["usage"]
    assert done == b"[DONE]"


def test_a_whole_answer_has_all_of_its_events() -> None:
    """The pieces of signed reasoning are one detail."""
    body = json.loads(writer(MESSAGES).whole(ANSWER, USED, "1.5"))
    assert body["id"] == "chatcmpl-0123456789abcdef0123456789abcdef"
    assert (body["object"], body["model"]) == ("chat.completion", "public-model")
    choice = body["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    message = choice["message"]
    assert (message["content"], message["reasoning_content"]) == ("Hi", "Hm")
    assert message["reasoning_details"] == [
        {
            "type": "reasoning.text",
            "text": "Hm",
            "signature": "c2ln",
            "format": "anthropic-claude-v1",
            "index": 0,
        }
    ]
    assert message["tool_calls"][0]["function"] == {"name": "tide", "arguments": "{}"}
    assert body["usage"]["cost"] == "1.5"


def test_an_answer_of_nothing_still_has_a_choice() -> None:
    """With the reason that the provider gave."""
    chat = writer(MESSAGES)
    assert chat.frames([Finished(0, FinishReason.FINISH_REASON_LENGTH)]) == b""
    opening, finish, _ = chunks_of(chat.finish(None, None))
    assert opening["choices"][0]["delta"]["role"] == "assistant"
    assert finish["choices"][0]["finish_reason"] == "length"
    body = json.loads(writer(MESSAGES).whole([], None, None))
    assert body["choices"][0]["message"]["content"] == ""
    assert "usage" not in body


@pytest.mark.parametrize(
    ("events", "word"),
    [
        ([Finished(0, FinishReason.FINISH_REASON_CONTENT_FILTER, refused=True)], "content_filter"),
        ([RefusalDelta(0, "No."), Finished(0, STOP, refused=True)], "stop"),
        ([Finished(0, FinishReason.FINISH_REASON_OTHER)], "stop"),
        ([Finished(0, FinishReason.FINISH_REASON_ERROR)], "stop"),
    ],
)
def test_reasons_are_in_chats_words(events: list[Event], word: str) -> None:
    """A refusal with words ends with them, one without is filtered."""
    body = json.loads(writer(MESSAGES).whole(events, None, None))
    assert body["choices"][0]["finish_reason"] == word


def test_usage_adds_up_from_disjoint_dimensions() -> None:
    """Cached and written input belong to the prompt, reasoning to the completion."""
    used = quantities(
        input=1, cached_input=2, cache_write=4, cache_write_long=8, output=16, reasoning=32
    )
    usage = usage_of(used, None)
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (15, 48)
    assert usage["prompt_tokens_details"]["cache_write_tokens"] == 12
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 32
    assert "cost" not in usage


DELTAS = st.fixed_dictionaries(
    {},
    optional={
        "content": st.text(max_size=8) | JSON,
        "reasoning_content": st.text(max_size=8) | JSON,
        "reasoning_details": JSON,
        "refusal": st.text(max_size=8) | JSON,
        "tool_calls": st.lists(
            st.fixed_dictionaries(
                {"function": st.fixed_dictionaries({"name": st.just("f"), "arguments": JSON})},
                optional={"index": st.integers(0, 2), "id": st.sampled_from(["a", "b", ""])},
            ),
            max_size=3,
        )
        | JSON,
        "annotations": JSON,
    },
)
CHUNKS = st.lists(
    st.fixed_dictionaries(
        {
            "choices": st.lists(
                st.fixed_dictionaries(
                    {"index": st.integers(0, 2), "delta": DELTAS},
                    optional={
                        "finish_reason": st.sampled_from(["stop", None, "x"]) | JSON,
                        "logprobs": JSON,
                    },
                ),
                max_size=2,
            )
        },
        optional={"usage": st.just(USAGE) | JSON, "error": JSON, "x_groq": JSON},
    )
    | JSON,
    max_size=6,
)


def crossed(body: bytes, cuts: list[int]) -> tuple[bytes, Any]:
    """Send a stream across, cut into pieces; return what the client got and the end."""
    upstream = terms()
    stream = CrossingStream(
        ChatAnswerReader(upstream),
        ChatAnswerWriter(upstream, include_usage=True),
        StreamEnding.TERMINAL,
        price_of,
        upstream_error_event,
    )
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    got = b"".join(stream.feed(body[a:b]) for a, b in itertools.pairwise(edges))
    end = stream.finish(body_complete=True)
    return got + end.tail, end


@given(CHUNKS, st.lists(st.integers(0, 400), max_size=5))
def test_any_stream_crosses_over_and_its_chunking_does_not_matter(
    chunks: list[Any], cuts: list[int]
) -> None:
    """No crash, no clean end of a broken stream, no negative count, every chunk is valid."""
    frames = [one for value in chunks if (one := as_parsed(value)) is not None]
    body = b"".join(b"data: %b\n\n" % orjson.dumps(frame) for frame in frames)
    body += b"data: [DONE]\n\n"
    got, end = crossed(body, cuts)
    assert (got, end) == crossed(body, [])
    parsed = chunks_of(got)
    assert (b"[DONE]" in parsed) == (end.kind is EndKind.PROPER)
    if end.kind is EndKind.CUT and end.fault is Fault.NONE:
        # Of some choice nobody said why it ended: it may be half an answer.
        assert end.has_output
    assert end.quantities is None or min(end.quantities) >= 0
    texts = [
        choice["delta"]["content"]
        for frame in frames
        if isinstance(frame, dict)
        for choice in frame.get("choices") or []
        if isinstance(choice, dict) and isinstance(choice.get("delta"), dict)
        if isinstance(choice["delta"].get("content"), str)
    ]
    if end.kind is EndKind.PROPER:
        deltas = [
            one["choices"][0]["delta"] for one in parsed if one != b"[DONE]" and one["choices"]
        ]
        assert "".join(delta.get("content") or "" for delta in deltas) == "".join(texts)


@given(
    JSON
    | st.fixed_dictionaries(
        {"choices": st.lists(JSON | st.fixed_dictionaries({"message": DELTAS | JSON}), max_size=3)},
        optional={"usage": JSON, "error": JSON},
    )
)
def test_any_whole_body_is_read_or_malformed(value: Any) -> None:
    """And what is read can be written."""
    parsed = as_parsed(value)
    try:
        events = ChatAnswerReader(terms()).whole(orjson.dumps(parsed))
    except MalformedAnswer:
        return
    body = json.loads(ChatAnswerWriter(terms(), include_usage=False).whole(events, None, None))
    assert len(body["choices"]) >= 1


@pytest.mark.parametrize(("path", "shown"), [("/v1/x", '"1.50"'), ("/api/v1/x", "1.50")])
@pytest.mark.parametrize("stream", [True, False])
def test_a_cost_is_a_number_where_openrouters_clients_come(
    path: str, shown: str, *, stream: bool
) -> None:
    """The same decimal digits; elsewhere amounts of money are strings, as in all of our JSON."""
    usage = {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
    asked = {"messages": [{}], "stream": stream, "stream_options": {"include_usage": True}}
    call = ChatSurface().read(json.dumps(asked).encode(), {}, path, b"")
    native = call.translation(terms())
    if stream:
        relay = native.stream(price_of)
        got = relay.feed(b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n")
    else:
        got = native.whole(json.dumps({"choices": [], "usage": usage}).encode(), b"", price_of).body
    assert f'"cost":{shown}}}' in got.decode()
    writer = call.writer(terms())
    used = from_openai(usage)
    written = writer.finish(used, "1.50") if stream else writer.whole([], used, "1.50")
    assert f'"cost":{shown}}}' in written.decode()
