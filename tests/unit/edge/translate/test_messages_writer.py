"""Events of another API's answer as messages: blocks in order, whole and in frames."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.lib.streaming._messages import accumulate_event
from hypothesis import given
from hypothesis import strategies as st

from edge.translate.messages.answer_writer import MAX_WAITING, MessagesWriter
from edge.translate.messages.to_neutral import conversation
from edge.translate.neutral.events import (
    Cited,
    Event,
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
from kit.charge import quantities
from oneapi.metering.v1.usage_record_pb2 import FinishReason as Reason
from tests.support.anthropic_types import check_events, check_message
from tests.unit.edge.translate.terms import terms

USED = quantities(input=3, cached_input=4, output=5, reasoning=6, requests=1)
STOP = Finished(0, Reason.FINISH_REASON_STOP)


def whole(*events: Event) -> dict[str, Any]:
    """Return the message of these events."""
    body = MessagesWriter(terms()).whole(list(events), USED, "0.5")
    check_message(body)
    found: dict[str, Any] = json.loads(body)
    return found


def stream_of(*events: Event) -> bytes:
    """Return the frames that these events become, one by one."""
    writer = MessagesWriter(terms())
    sent = writer.frames([]) + b"".join(writer.frames([one]) for one in events)
    return sent + writer.finish(USED, "0.5")


def streamed(*events: Event) -> list[dict[str, Any]]:
    """Return the data of these frames."""
    sent = stream_of(*events)
    check_events(sent)
    lines = [line for line in sent.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line[6:]) for line in lines]


def put_together(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the blocks that a client makes of a stream; each is opened and closed once."""
    blocks: list[dict[str, Any]] = []
    given: dict[int, str] = {}
    closed = set()
    for one in frames:
        index = one.get("index")
        match one["type"]:
            case "content_block_start":
                assert index == len(blocks)
                blocks.append(one["content_block"])
            case "content_block_delta":
                # A late source names the text that it belongs to.
                assert index not in closed or one["delta"]["type"] == "citations_delta"
                _add(blocks[one["index"]], one["delta"], given, one["index"])
            case "content_block_stop":
                assert index not in closed
                closed.add(index)
    assert closed == set(range(len(blocks)))
    for index, arguments in given.items():
        try:
            blocks[index]["input"] = json.loads(arguments)
        except ValueError:
            blocks[index]["input"] = {"INVALID_JSON": arguments}
    return blocks


def _add(block: dict[str, Any], delta: dict[str, Any], given: dict[int, str], index: int) -> None:
    for name in ("text", "thinking"):
        if name in delta:
            block[name] += delta[name]
    if "partial_json" in delta:
        given[index] = given.get(index, "") + delta["partial_json"]
    if "citation" in delta:
        block["citations"] = [*(block["citations"] or ()), delta["citation"]]


def test_a_message_has_everything_that_the_api_says() -> None:
    """Ids of ours, the public model, usage by class, cost."""
    assert whole(TextDelta(0, "Hi."), STOP) == {
        "id": "msg_0123456789abcdef0123456789abcdef",
        "type": "message",
        "role": "assistant",
        "model": "public-model",
        "content": [{"type": "text", "text": "Hi.", "citations": None}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
        "usage": {
            "input_tokens": 3,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 4,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 11,
            "output_tokens_details": {"thinking_tokens": 6},
            "server_tool_use": None,
            "service_tier": None,
            "inference_geo": None,
            "cost": "0.5",
        },
    }


def test_no_event_is_delayed_but_the_end() -> None:
    """Each becomes a frame when it comes; the message begins with the first, though it be empty."""
    writer = MessagesWriter(terms())
    assert writer.frames([]).count(b"event: ") == 1
    assert writer.frames([TextDelta(0, "a")]).count(b"event: ") == 2
    assert writer.frames([TextDelta(0, "")]) == b""
    assert writer.frames([TextDelta(0, "b")]).count(b"event: ") == 1
    assert writer.frames([ToolCallBegun(0, 0, "c", "f")]).count(b"event: ") == 2
    assert writer.frames([ToolCallDelta(0, 0, "{")]).count(b"event: ") == 1
    assert writer.frames([STOP, Used(USED)]).count(b"event: content_block_stop") == 1
    assert b"message_stop" in writer.finish(USED, None)


def test_the_input_that_was_counted_before_stands_at_the_beginning() -> None:
    """As Anthropic's own does."""
    first = MessagesWriter(terms()).frames([Used(quantities(input=9, requests=1))])
    assert json.loads(first.split(b"data: ")[1])["message"]["usage"]["input_tokens"] == 9


@pytest.mark.parametrize(
    ("events", "word"),
    [
        ([STOP], "end_turn"),
        ([Finished(0, Reason.FINISH_REASON_STOP, "x")], "stop_sequence"),
        ([Finished(0, Reason.FINISH_REASON_LENGTH)], "max_tokens"),
        ([Finished(0, Reason.FINISH_REASON_TOOL_CALLS)], "tool_use"),
        ([Finished(0, Reason.FINISH_REASON_CONTENT_FILTER)], "refusal"),
        ([Finished(0, Reason.FINISH_REASON_STOP, refused=True)], "refusal"),
        ([Finished(0, Reason.FINISH_REASON_OTHER)], "end_turn"),
        ([RefusalDelta(0, "No."), STOP], "refusal"),
        ([ToolCallBegun(0, 0, "c", "f"), STOP], "tool_use"),
        ([ToolCallBegun(0, 0, "c", "f"), Finished(0, Reason.FINISH_REASON_LENGTH)], "max_tokens"),
    ],
)
def test_the_reason_is_the_apis_word(events: list[Event], word: str) -> None:
    """Clients run tools by it."""
    assert whole(*events)["stop_reason"] == word
    ending = streamed(*events)[-2]
    assert (ending["type"], ending["delta"]["stop_reason"]) == ("message_delta", word)
    assert (ending["delta"]["stop_details"] is not None) == (word == "refusal")


def test_pieces_of_calls_that_come_in_turns_are_kept_apart() -> None:
    """Neither is closed before its arguments are whole."""
    events: list[Event] = [
        ToolCallBegun(0, 0, "a", "f"),
        ToolCallBegun(0, 1, "b", "g"),
        ToolCallDelta(0, 0, '{"x":'),
        ToolCallDelta(0, 1, "{}"),
        ToolCallDelta(0, 0, "1}"),
        ToolCallDelta(0, 0, " "),
        TextDelta(0, "So."),
        STOP,
    ]
    blocks = put_together(streamed(*events))
    assert [(one["type"], one.get("input")) for one in blocks] == [
        ("tool_use", {"x": 1}),
        ("tool_use", {}),
        ("text", None),
    ]


def test_arguments_keep_their_spelling_and_broken_ones_are_kept() -> None:
    """A model can make any text; what is no object stands under a name of Anthropic's own."""
    body = MessagesWriter(terms()).whole(
        [
            ToolCallBegun(0, 0, "a", "f"),
            ToolCallDelta(0, 0, '{"n": 1.50}'),
            ToolCallBegun(0, 1, "b", "g"),
            ToolCallDelta(0, 1, '{"n": 1'),
            ToolCallBegun(0, 2, "c", "h"),
        ],
        None,
        None,
    )
    assert b'"input":{"n": 1.50}' in body
    content = json.loads(body)["content"]
    assert [one["input"] for one in content] == [{"n": 1.5}, {"INVALID_JSON": '{"n": 1'}, {}]


def test_a_source_marks_the_text_that_stands_open() -> None:
    """With its address, title and words."""
    found = whole(TextDelta(0, "So."), Cited(0, "https://e", "E", "said", 0, 3), STOP)
    assert found["content"][0]["citations"] == [
        {
            "type": "web_search_result_location",
            "cited_text": "said",
            "encrypted_index": "",
            "title": "E",
            "url": "https://e",
        }
    ]


@pytest.mark.parametrize(
    ("before", "kinds"),
    [
        ([TextDelta(0, "So."), STOP], ["text"]),
        ([RefusalDelta(0, "So."), STOP], ["text"]),
        ([TextDelta(0, "So."), ReasoningDelta(0, "Hm.")], ["text", "thinking"]),
        (
            [TextDelta(0, "So."), ToolCallBegun(0, 0, "c", "f"), ToolCallDelta(0, 0, "{")],
            ["text", "tool_use"],
        ),
        (
            [ToolCallBegun(0, 0, "c", "f"), ToolCallDelta(0, 0, "{"), TextDelta(0, "So."), STOP],
            ["tool_use", "text"],
        ),
    ],
)
def test_a_source_that_comes_later_stays_with_its_text(
    before: list[Event], kinds: list[str]
) -> None:
    """In a stream as in a whole answer: no text without words is made for it."""
    late: list[Event] = [
        Cited(0, "https://e", "E"),
        Cited(0, "https://f", None),
        ToolCallDelta(0, 0, "}"),
    ]
    blocks = put_together(streamed(*before, *late))
    assert blocks == whole(*before, *late)["content"]
    assert [one["type"] for one in blocks] == kinds
    (text,) = [one for one in blocks if one["type"] == "text"]
    assert [one["url"] for one in text["citations"]] == ["https://e", "https://f"]
    assert text["text"] == "So."


def test_anthropics_own_reading_of_a_stream_keeps_late_sources() -> None:
    """Its SDK finds blocks by their index, also those that have ended."""
    events: list[Event] = [
        TextDelta(0, "So."),
        ToolCallBegun(0, 0, "c", "f"),
        ToolCallDelta(0, 0, "{}"),
        Cited(0, "https://e", "E"),
        STOP,
    ]
    snapshot: Any = None
    pieces: dict[int, bytes] = {}
    for event in check_events(stream_of(*events)):
        snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=pieces)
    text, call = snapshot.content
    assert (text.type, call.type) == ("text", "tool_use")
    assert [one.url for one in text.citations] == ["https://e"]


def test_text_that_comes_last_is_open_until_the_end() -> None:
    """Sources often come with the reason of the end, or behind it."""
    writer = MessagesWriter(terms())
    sent = writer.frames([TextDelta(0, "So."), STOP, Cited(0, "https://e", "E")])
    assert b"content_block_stop" not in sent
    assert writer.finish(USED, None).count(b"event: content_block_stop") == 1


def test_a_source_waits_for_its_text() -> None:
    """Some providers name sources first; where nothing is said it is the source of nothing."""
    first: list[Event] = [Cited(0, "https://e", "E"), ReasoningDelta(0, "Hm.")]
    blocks = put_together(streamed(*first, TextDelta(0, "So."), STOP))
    assert blocks == whole(*first, TextDelta(0, "So."), STOP)["content"]
    assert [one["type"] for one in blocks] == ["thinking", "text"]
    assert [one["url"] for one in blocks[1]["citations"]] == ["https://e"]
    assert [one["type"] for one in put_together(streamed(*first, STOP))] == ["thinking"]
    assert [one["type"] for one in whole(*first, STOP)["content"]] == ["thinking"]
    many = [Cited(0, f"https://e/{n}", None) for n in range(2 * MAX_WAITING)]
    (text,) = whole(*many, TextDelta(0, "So."), STOP)["content"]
    assert len(text["citations"]) == MAX_WAITING


def test_what_only_its_maker_can_read_is_not_given_as_anthropics() -> None:
    """It would be sent back as such; a call's signature travels in its id."""
    found = whole(
        ReasoningDelta(0, "Hm."),
        ReasoningSigned(0, "Z29vZ2xl"),
        RedactedReasoning(0, "x"),
        ToolCallBegun(0, 0, "call:1", "f", "c2ln+w=="),
    )
    assert [one["type"] for one in found["content"]] == ["thinking", "tool_use"]
    assert found["content"][0]["signature"] == ""
    sent_back = {"type": "tool_use", "id": found["content"][1]["id"], "name": "f", "input": {}}
    turns = conversation(
        {
            "messages": [
                {"role": "assistant", "content": [sent_back]},
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": sent_back["id"]}],
                },
            ]
        }
    ).turns
    call, result = turns[0].parts[0], turns[1].parts[0]
    assert (getattr(call, "id", ""), getattr(call, "signature", "")) == ("call_1", "c2ln+w==")
    assert (getattr(result, "call_id", ""), getattr(result, "name", "")) == ("call_1", "f")


def test_only_the_first_choice_is_an_answer() -> None:
    """A message knows no others, and none can be asked for."""
    assert whole(TextDelta(0, "a"), TextDelta(1, "b"), STOP)["content"][0]["text"] == "a"


CONTENT = st.one_of(
    st.builds(TextDelta, st.just(0), st.text(max_size=4)),
    st.builds(RefusalDelta, st.just(0), st.text(max_size=4)),
    st.builds(ReasoningDelta, st.just(0), st.text(max_size=4)),
    st.builds(
        ToolCallDelta, st.just(0), st.integers(0, 3), st.sampled_from(["{", "}", '"a":1', ""])
    ),
    st.builds(Cited, st.just(0), st.none() | st.just("https://e"), st.none()),
    st.builds(ReasoningSigned, st.just(0), st.text(max_size=3)),
)


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    """Make the events of an answer: calls are begun before their pieces."""
    events: list[Event] = []
    calls = 0
    for made in draw(st.lists(CONTENT, max_size=12)):
        if isinstance(made, ToolCallDelta) and made.call >= calls:
            events.append(ToolCallBegun(0, calls, f"c{calls}", "f"))
            made.call = calls
            calls += 1
        events.append(made)
    return [*events, STOP]


@given(answers())
def test_stream_and_whole_message_have_the_same_blocks(events: list[Event]) -> None:
    """Whatever the model makes, in whatever order; and no text is lost or invented."""
    blocks = put_together(streamed(*events))
    assert blocks == whole(*events)["content"]
    assert all(one["text"] for one in blocks if one["type"] == "text")
    said = "".join(e.text for e in events if isinstance(e, TextDelta | RefusalDelta))
    assert "".join(one["text"] for one in blocks if one["type"] == "text") == said
    thought = "".join(e.text for e in events if isinstance(e, ReasoningDelta))
    assert "".join(one["thinking"] for one in blocks if one["type"] == "thinking") == thought
