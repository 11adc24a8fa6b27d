"""Answers that cross over: events as responses, and responses as events."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from edge.translate.errors import MalformedAnswer, NestedTooDeeply
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
from edge.translate.responses.answer_reader import ResponsesReader
from edge.translate.responses.answer_writer import ResponsesWriter, usage_of
from edge.translate.surface import Terms
from kit.charge import quantities
from oneapi.common.v1.endpoint_pb2 import Endpoint
from oneapi.metering.v1.usage_record_pb2 import FinishReason
from tests.support.openai_types import check_event, check_response
from tests.unit.edge.translate.terms import CREATED, REQUEST_ID, terms
from tests.unit.edge.translate.test_responses_native import (
    CALL,
    MESSAGE,
    STREAM,
    USAGE,
    USED,
    Problem,
    events,
    response,
)
from tests.unit.edge.translate.test_responses_request import read

STOP = FinishReason.FINISH_REASON_STOP
LENGTH = FinishReason.FINISH_REASON_LENGTH
CALLS = FinishReason.FINISH_REASON_TOOL_CALLS
FILTER = FinishReason.FINISH_REASON_CONTENT_FILTER
HEX = REQUEST_ID.removeprefix("req_")
LOGPROB = {"token": "Hé", "logprob": -0.5, "bytes": None, "top_logprobs": []}
ANSWERS: list[list[Event]] = [
    [TextDelta(0, "Hel"), TextDelta(0, "lo."), Finished(0, STOP)],
    [Finished(0, STOP)],
    [ReasoningDelta(0, "Hm"), ReasoningDelta(0, "."), ReasoningSigned(0, "s"), TextDelta(0, "A")],
    [ReasoningDelta(0, "Sum", summary=True), RedactedReasoning(0, "x"), Finished(0, LENGTH)],
    [ReasoningDelta(0, "a"), ReasoningSigned(0, "s"), ReasoningDelta(0, "b"), Finished(0, STOP)],
    [RefusalDelta(0, "I "), RefusalDelta(0, "won't."), Finished(0, FILTER)],
    [
        TextDelta(0, "Hé", [LOGPROB]),
        Cited(0, "https://a/b", None),
        Cited(0, None, "a document"),
        TextDelta(0, " so."),
        RefusalDelta(0, "No."),
        Finished(0, STOP),
    ],
    [
        TextDelta(0, "I call."),
        ToolCallBegun(0, 0, "c0", "f", "thought"),
        ToolCallBegun(0, 1, "c1", "g"),
        ToolCallDelta(0, 1, '{"b'),
        ToolCallDelta(0, 0, "{}"),
        ToolCallDelta(0, 1, '":1}'),
        Finished(0, CALLS),
    ],
]


def writer(*, body: dict[str, Any] | None = None, at: Terms | None = None) -> ResponsesWriter:
    """Return what writes the answer of a Messages upstream."""
    request = read(**(body or {}))
    return request.writer(at or terms(Endpoint.ENDPOINT_MESSAGES))


def streamed(made: list[Event], **more: Any) -> list[dict[str, Any]]:
    """Write events one by one; return the client's events, which OpenAI's types take."""
    one = writer(**more)
    frames = [one.frames([event]) for event in made]
    found = events(b"".join(frames) + one.finish(USED, "1.50"))
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    for event in found:
        check_event(event)
    return found


def whole(made: list[Event], **more: Any) -> dict[str, Any]:
    """Write events at once; return the response, which OpenAI's types take."""
    found: dict[str, Any] = orjson.loads(writer(**more).whole(made, USED, "1.50"))
    check_response(found)
    return found


def text_of(found: list[dict[str, Any]], *kinds: str) -> str:
    """Join the deltas of these kinds."""
    return "".join(e["delta"] for e in found if e["type"] in {f"response.{k}.delta" for k in kinds})


@pytest.mark.parametrize("made", ANSWERS)
def test_a_stream_ends_in_the_whole_response(made: list[Event]) -> None:
    """Its items are those of its `done` events, in order."""
    found = streamed(made)
    expected = whole(made)
    assert found[-1]["response"] == expected
    assert found[-1]["type"] == f"response.{expected['status']}"
    done = [e for e in found if e["type"] == "response.output_item.done"]
    by_index = {e["output_index"]: e["item"] for e in done}
    assert [by_index[index] for index in range(len(by_index))] == expected["output"]


@pytest.mark.parametrize("made", ANSWERS)
def test_every_part_is_begun_filled_and_done(made: list[Event]) -> None:
    """No event is about an item or a part that is not open, and nothing stays open."""
    open_items: set[int] = set()
    open_parts: set[tuple[int, str, int]] = set()
    for event in streamed(made)[2:-1]:
        kind, index = event["type"], event["output_index"]
        place = ("summary", event["summary_index"]) if "summary_index" in event else None
        place = ("content", event["content_index"]) if "content_index" in event else place
        if kind == "response.output_item.added":
            assert index not in open_items
            open_items.add(index)
        elif kind == "response.output_item.done":
            assert not any(part[0] == index for part in open_parts)
            open_items.remove(index)
        elif kind.endswith("part.added"):
            assert place is not None
            open_parts.add((index, *place))
        elif kind.endswith("part.done"):
            assert place is not None
            open_parts.remove((index, *place))
        else:
            assert index in open_items
            assert place is None or (index, *place) in open_parts
    assert not open_items
    assert not open_parts


HELLO: list[Event] = [TextDelta(0, "Hel"), TextDelta(0, "lo."), Finished(0, STOP)]


def test_the_response_shows_what_was_asked() -> None:
    """With our ids, the public model, and nothing stored."""
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}}
    body = {
        "instructions": "Be brief.",
        "tools": [tool],
        "temperature": 0.5,
        "metadata": {"k": "v"},
        "reasoning": {"effort": "low"},
        "text": {"verbosity": "low"},
        "store": True,
    }
    found = whole(HELLO, body=body)
    assert found["id"] == f"resp_{HEX}"
    assert found["created_at"] == CREATED
    assert found["model"] == "public-model"
    assert found["store"] is False
    assert found["tools"] == [{**tool, "description": None, "strict": False}]
    assert found["text"] == {"format": {"type": "text"}, "verbosity": "low"}
    assert found["reasoning"] == {"effort": "low", "summary": None}
    for name in ("instructions", "temperature", "metadata"):
        assert found[name] == body[name]
    assert found["output"][0]["id"] == f"msg_{HEX}0000"
    assert found["usage"] == {**USAGE, "cost": "1.50"}
    assert streamed(HELLO, body=body)[0]["response"] == {
        **found,
        "status": "in_progress",
        "output": [],
        "usage": None,
    }


@pytest.mark.parametrize(
    ("reason", "status", "details"),
    [
        (STOP, "completed", None),
        (CALLS, "completed", None),
        (FinishReason.FINISH_REASON_OTHER, "completed", None),
        (LENGTH, "incomplete", {"reason": "max_output_tokens"}),
        (FILTER, "incomplete", {"reason": "content_filter"}),
    ],
)
def test_why_it_ended(reason: FinishReason.ValueType, status: str, details: Any) -> None:
    """In the words of this API; the last item is as complete as the response."""
    found = whole([TextDelta(0, "Hi"), Finished(0, reason)])
    assert (found["status"], found["incomplete_details"]) == (status, details)
    assert found["output"][0]["status"] == status


def test_reasoning_is_a_summary_where_one_is_looked_for() -> None:
    """Else it is the reasoning's own text; encrypted it is kept for its maker."""
    made: list[Event] = [ReasoningDelta(0, "Hm."), ReasoningSigned(0, "sig"), Finished(0, STOP)]
    item = whole(made)["output"][0]
    assert item["content"] == [{"type": "reasoning_text", "text": "Hm."}]
    assert item["summary"] == []
    assert item["encrypted_content"] == "1api.anthropic.signed.sig"
    asked = whole(made, body={"reasoning": {"summary": "auto"}})["output"][0]
    assert asked["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert "content" not in asked


def test_what_was_written_is_read_again_for_its_maker() -> None:
    """Through a client that sends the output back as input."""
    google = terms(Endpoint.ENDPOINT_GENERATE_CONTENT)
    output = whole([ToolCallBegun(0, 0, "c0", "f", "thought"), Finished(0, CALLS)], at=google)
    request = read(input=[{"role": "user", "content": "Hi."}, *output["output"]])
    call = request.conversation().turns[1].parts[0]
    assert (call.signature, call.id) == ("thought", "c0")  # type: ignore[union-attr]


def test_calls_of_functions_in_namespaces_have_both_names() -> None:
    """As the client knows them; others have one."""
    inner = {"type": "function", "name": "f", "parameters": {}, "strict": False}
    space = {"type": "namespace", "name": "crm", "description": "Customers.", "tools": [inner]}
    made: list[Event] = [
        ToolCallBegun(0, 0, "c0", "crm__f"),
        ToolCallBegun(0, 1, "c1", "crm__g"),
        Finished(0, CALLS),
    ]
    body = {"tools": [space]}
    calls = whole(made, body=body)["output"]
    assert [(one["name"], one.get("namespace")) for one in calls] == [
        ("f", "crm"),
        ("crm__g", None),
    ]
    done = [e for e in streamed(made, body=body) if e["type"].endswith("arguments.done")]
    assert [one["name"] for one in done] == ["f", "crm__g"]


def test_texts_of_parallel_calls_do_not_mix() -> None:
    """Their pieces may come in turns."""
    calls = [item for item in whole(ANSWERS[-1])["output"] if item["type"] == "function_call"]
    assert [(c["call_id"], c["name"], c["arguments"]) for c in calls] == [
        ("c0", "f", "{}"),
        ("c1", "g", '{"b":1}'),
    ]


def test_usage_of_every_dimension_is_in_the_totals() -> None:
    """Details are parts."""
    used = quantities(
        input=1,
        cached_input=2,
        cache_write=3,
        cache_write_long=4,
        audio_input=5,
        image_input=6,
        output=7,
        reasoning=8,
        audio_output=9,
        image_output=10,
        requests=1,
    )
    assert usage_of(used, None) == {
        "input_tokens": 21,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 7},
        "output_tokens": 34,
        "output_tokens_details": {"reasoning_tokens": 8},
        "total_tokens": 55,
    }
    assert orjson.loads(writer().whole(ANSWERS[0], None, None))["usage"] is None


def test_an_error_of_ours_goes_on_where_a_crossing_stream_stopped() -> None:
    """With the items that were finished."""
    request = read(stream=True)
    one = request.writer(terms(Endpoint.ENDPOINT_MESSAGES))
    sent = events(one.frames([ReasoningDelta(0, "Hm."), TextDelta(0, "Hal")]))
    error, failed = events(request.error_event(Problem(), REQUEST_ID))
    assert error["sequence_number"] == len(sent)
    assert [item["type"] for item in failed["response"]["output"]] == ["reasoning"]
    assert failed["response"]["id"] == f"resp_{HEX}"
    for event in (error, failed):
        check_event(event)


def deepest_tool() -> dict[str, Any]:
    """Return a tool with the deepest schema that a body can have."""
    tool: dict[str, Any] = {"type": "function", "name": "f"}
    schema: dict[str, Any] = {}
    while True:
        try:
            orjson.dumps({"tools": [{**tool, "parameters": {"a": schema}}]})
        except orjson.JSONEncodeError:
            return {**tool, "parameters": schema}
        schema = {"a": schema}


def test_a_body_that_cannot_be_repeated_is_refused_before_anything_is_sent() -> None:
    """What can be read can be nested more deeply than what can be written inside a response."""
    request = read(tools=[deepest_tool()], stream=True)
    with pytest.raises(NestedTooDeeply):
        request.writer(terms(Endpoint.ENDPOINT_MESSAGES))
    error, failed = events(request.error_event(Problem(), REQUEST_ID))
    assert error["message"] == Problem.message
    assert failed["response"]["tools"] == []


def events_of(stream: bytes) -> list[Event]:
    """Read a stream of responses."""
    reader = ResponsesReader()
    return [event for one in events(stream) for event in reader.frame(orjson.dumps(one))]


def test_a_stream_and_a_whole_response_are_read_alike() -> None:
    """The same events, whatever of it was streamed before."""
    stream = events_of(STREAM)
    whole_ = ResponsesReader().whole(orjson.dumps(response(MESSAGE, usage=USAGE)))
    assert stream == [TextDelta(0, "Hello."), Finished(0, STOP), Used(USED), Ended()]
    assert whole_ == stream


def test_what_an_upstream_does_not_stream_is_not_lost() -> None:
    """Items that come whole, the rest of a text, and all of it in the last event."""
    reasoning = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}
    done = {"type": "response.output_item.done", "output_index": 0, "item": reasoning}
    part = {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "H"}
    secret = {**reasoning, "encrypted_content": "s"}
    last = {"type": "response.completed", "response": response(secret, CALL, MESSAGE)}
    reader = ResponsesReader()
    found = [e for one in (part, done, last) for e in reader.frame(orjson.dumps(one))]
    assert found == [
        ReasoningDelta(0, "H", summary=True),
        ReasoningDelta(0, "m.", summary=True),
        ReasoningSigned(0, "s"),
        ToolCallBegun(0, 0, "c", "f"),
        ToolCallDelta(0, 0, "{}"),
        TextDelta(0, "Hello."),
        Finished(0, CALLS),
        Ended(),
    ]


def test_annotations_and_refusals_are_read_once() -> None:
    """As events of their own, and from the item."""
    citation = {"type": "url_citation", "url": "https://a", "title": "A", "start_index": 0}
    text = {"type": "output_text", "text": "Hi", "annotations": [citation, {"type": "file_path"}]}
    item = {"type": "message", "content": [text, {"type": "refusal", "refusal": "No."}]}
    added = {"type": "response.output_text.annotation.added", "annotation": citation}
    done = {"type": "response.output_item.done", "output_index": 0, "item": item}
    last = {"type": "response.completed", "response": response(item)}
    reader = ResponsesReader()
    found = [e for one in (added, done, last) for e in reader.frame(orjson.dumps(one))]
    assert found == [
        Cited(0, "https://a", "A", start=0),
        TextDelta(0, "Hi"),
        RefusalDelta(0, "No."),
        Finished(0, STOP, refused=True),
        Ended(),
    ]


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ({"type": "error", "message": "Broken."}, [Failed("Broken.")]),
        ({"type": "error", "error": {"message": "Broken."}}, [Failed("Broken.")]),
        ({"type": "error"}, [Failed("The upstream reported an error.")]),
        (
            {"type": "response.failed", "response": response(status="failed", usage=USAGE)},
            [Used(USED), Failed("The upstream reported an error.")],
        ),
        ({"type": "response.something.new", "delta": "x"}, []),
    ],
)
def test_failures_are_read_in_all_their_forms(event: Any, told: list[Event]) -> None:
    """Flat, nested, and as a response."""
    assert ResponsesReader().frame(orjson.dumps(event)) == told


@pytest.mark.parametrize(
    "event",
    [
        7,
        {},
        {"type": 1},
        {"type": "response.completed"},
        {"type": "response.completed", "response": {"status": "in_progress"}},
        {"type": "response.output_text.delta", "delta": 1},
        {"type": "response.function_call_arguments.delta", "delta": "{}"},
        {"type": "response.output_item.added", "item": {"type": "function_call"}},
    ],
)
def test_what_the_api_does_not_send_is_malformed(event: Any) -> None:
    """It breaks the stream."""
    with pytest.raises(MalformedAnswer):
        ResponsesReader().frame(orjson.dumps(event))


def test_what_is_no_response_is_noticed() -> None:
    """Control: the checks of this file can fail."""
    event = streamed(HELLO)[3]
    for name in event:
        with pytest.raises((ValueError, AssertionError)):
            check_event({other: value for other, value in event.items() if other != name})
    found = whole(HELLO)
    for broken in ({**found, "output": [{"type": "message"}]}, {**found, "id": 7}):
        with pytest.raises(ValueError):  # noqa: PT011  the SDK's and the schema's, which differ
            check_response(broken)
