"""Answers of generated content: counted, edited on the native way, read and written crossing."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from edge.translate.answer import EndKind, Fault, StreamEnd
from edge.translate.errors import MalformedAnswer
from edge.translate.generate.answer_reader import GenerateReader
from edge.translate.generate.answer_writer import GenerateWriter
from edge.translate.generate.request import GenerateRequest
from edge.translate.generate.seals import sealed_signature
from edge.translate.neutral.conversation import Maker
from edge.translate.neutral.events import (
    Cited,
    Ended,
    Event,
    Failed,
    Finished,
    ReasoningDelta,
    ReasoningSigned,
    RefusalDelta,
    TextDelta,
    ToolCallBegun,
    ToolCallDelta,
    Used,
)
from edge.translate.surface import Problem
from kit.charge import quantities
from oneapi.common.v1.endpoint_pb2 import Endpoint
from oneapi.metering.v1.usage_record_pb2 import FinishReason
from tests.unit.edge.translate.terms import REQUEST_ID, price_of, terms

GENERATE = Endpoint.ENDPOINT_GENERATE_CONTENT
HELLO = [{"role": "user", "parts": [{"text": "Hello."}]}]
COUNTS = {"promptTokenCount": 5, "candidatesTokenCount": 3, "totalTokenCount": 8}
STOP = FinishReason.FINISH_REASON_STOP
LENGTH = FinishReason.FINISH_REASON_LENGTH
CALLS = FinishReason.FINISH_REASON_TOOL_CALLS
BLOCKED = FinishReason.FINISH_REASON_CONTENT_FILTER
ERROR = FinishReason.FINISH_REASON_ERROR
OTHER = FinishReason.FINISH_REASON_OTHER


def chunk(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return one answer or frame: a candidate of these parts."""
    candidate = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    for name in ("finishReason", "index", "citationMetadata", "logprobsResult"):
        if name in more:
            candidate[name] = more.pop(name)
    return {"candidates": [candidate], "modelVersion": "upstream-model", **more}


def frames(*chunks: dict[str, Any]) -> bytes:
    """Return chunks as Google sends them."""
    return b"".join(b"data: %b\r\n\r\n" % orjson.dumps(one) for one in chunks)


def native(
    *pieces: bytes, choices: int = 1, as_array: bool = False, complete: bool = True
) -> tuple[bytes, StreamEnd]:
    """Send pieces of a stream through the native way; return what is relayed, and its end."""
    sent = {"contents": HELLO, "generationConfig": {"candidateCount": choices}}
    asked = GenerateRequest(sent, "m", stream=True, as_array=as_array)
    stream = asked.translation(terms(GENERATE)).stream(price_of)
    relayed = b"".join([stream.feed(piece) for piece in pieces])
    return relayed, stream.finish(body_complete=complete)


def events_of(frames: bytes) -> list[dict[str, Any]]:
    """Return the data of frames."""
    found = frames.replace(b"\r\n", b"\n").split(b"\n\n")
    return [json.loads(one.removeprefix(b"data: ")) for one in found if one]


# --- the native way


def test_a_whole_answer_changes_in_its_model_and_cost_only() -> None:
    """Every other byte is the provider's."""
    body = (
        b'{"candidates" : [{"content":{"parts":[{"text":"Hi","x":1.50}]},"finishReason":"STOP"}],'
        b' "modelVersion": "up", "usageMetadata": {"promptTokenCount": 5,'
        b' "candidatesTokenCount": 3, "totalTokenCount": 8}}'
    )
    asked = GenerateRequest({"contents": HELLO}, "m", stream=False)
    answer = asked.translation(terms(GENERATE)).whole(body, b"", price_of)
    expected = body.replace(b'"up"', b'"public-model"').replace(b"8}}", b'8,"cost":"1.50"}}')
    assert answer.body == expected
    assert answer.quantities == quantities(input=5, output=3, requests=1)
    assert (answer.finish_reason, answer.has_output, answer.content_bytes) == (STOP, True, 2)


def test_a_blocked_prompt_made_nothing() -> None:
    """No candidates, the filter's reason, and no cost: nothing was made."""
    body = {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 5, "totalTokenCount": 5},
        "modelVersion": "up",
    }
    asked = GenerateRequest({"contents": HELLO}, "m", stream=False)
    answer = asked.translation(terms(GENERATE)).whole(orjson.dumps(body), b"", price_of)
    assert (answer.finish_reason, answer.has_output) == (BLOCKED, False)
    assert orjson.loads(answer.body) == body | {"modelVersion": "public-model"}
    relayed, end = native(frames(body))
    assert (relayed, end.kind, end.finish_reason) == (b"", EndKind.PROPER, BLOCKED)
    assert events_of(end.tail) == [body | {"modelVersion": "public-model"}]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"error":{"message":"x"}}'])
def test_what_is_no_answer_is_malformed(body: bytes) -> None:
    """An error with status 200 included."""
    asked = GenerateRequest({"contents": HELLO}, "m", stream=False)
    with pytest.raises(MalformedAnswer):
        asked.translation(terms(GENERATE)).whole(body, b"", price_of)


def test_a_stream_passes_frame_by_frame_and_its_end_waits() -> None:
    """Until the outcome is durable; usage that counts output has its cost."""
    first = frames(chunk({"text": "Hi"}, usageMetadata={"promptTokenCount": 5}))
    last = frames(chunk({"text": "!"}, finishReason="STOP", usageMetadata=COUNTS))
    relayed, end = native(first, last)
    expected = first.replace(b"upstream-model", b"public-model")
    assert relayed == expected.replace(b"\r\n", b"\n")
    (event,) = events_of(end.tail)
    assert event["usageMetadata"] == {**COUNTS, "cost": "1.50"}
    assert (end.kind, end.finish_reason, end.events) == (EndKind.PROPER, STOP, 2)
    assert end.quantities == quantities(input=5, output=3, requests=1)


def test_a_stream_without_a_reason_to_end_is_cut() -> None:
    """However properly its body ended; the input that was counted is charged."""
    first = frames(chunk({"text": "Hi"}, usageMetadata={"promptTokenCount": 5}))
    for complete in (True, False):
        _, end = native(first, complete=complete)
        assert (end.kind, end.tail) == (EndKind.CUT, b"")
        assert end.quantities == quantities(input=5, requests=1)
    _, end = native(first, frames(chunk(finishReason="STOP")), complete=False)
    assert (end.kind, end.tail) == (EndKind.CUT, b"")


def test_of_several_candidates_the_last_one_ends_the_stream() -> None:
    """None of them is delayed by another one's end."""
    one = frames(chunk({"text": "a"}, index=0, finishReason="STOP"))
    two = frames(chunk({"text": "b"}, index=1))
    relayed, end = native(one, two, choices=2)
    assert len(events_of(relayed)) == 2
    assert end.kind is EndKind.CUT
    relayed, end = native(one, two, frames(chunk(index=1, finishReason="MAX_TOKENS")), choices=2)
    assert len(events_of(relayed)) == 2
    assert (end.kind, end.finish_reason) == (EndKind.PROPER, LENGTH)


def test_an_error_inside_a_stream_is_told_in_the_providers_words() -> None:
    """In Google's envelope, and the end is a cut."""
    failed = b'data: {"error":{"code":503,"message":"Busy.","status":"UNAVAILABLE"}}\n\n'
    relayed, end = native(frames(chunk({"text": "Hi"})), failed)
    assert b"Busy" not in relayed
    assert (end.kind, end.fault, end.finish_reason) == (EndKind.CUT, Fault.UPSTREAM_ERROR, ERROR)
    (event,) = events_of(end.tail)
    assert (event["error"]["message"], event["error"]["status"]) == ("Busy.", "UNAVAILABLE")
    assert event["error"]["details"][0]["reason"] == "UPSTREAM_STREAM_ERROR"


def test_calls_end_with_calls_also_in_a_later_frame() -> None:
    """Google says STOP."""
    call = {"functionCall": {"name": "f", "args": {}}}
    _, end = native(frames(chunk(call)), frames(chunk(finishReason="STOP")))
    assert (end.finish_reason, end.has_output) == (CALLS, True)


# --- as one array


def test_an_array_is_whole_only_after_a_proper_end() -> None:
    """Each frame is an element; what was cut has no bracket."""
    one, two = frames(chunk({"text": "a"})), frames(chunk({"text": "b"}, finishReason="STOP"))
    relayed, end = native(one, two, as_array=True)
    assert relayed.startswith(b"[{")
    assert [len(found["candidates"]) for found in json.loads(relayed + end.tail)] == [1, 1]
    relayed, end = native(one, as_array=True)
    assert json.loads(relayed + b"]")
    assert (end.kind, end.tail) == (EndKind.CUT, b"")
    failed = b'data: {"error":{"message":"Busy."}}\n\n'
    relayed, end = native(one, failed, as_array=True)
    assert json.loads(relayed + end.tail + b"]")[1]["error"]["message"] == "Busy."


class Trouble:
    """A problem to tell."""

    status = 402
    code: str | None = "insufficient_credits"
    message = "No credit."
    type = "insufficient_quota"
    param: str | None = "model"

    def __init__(self) -> None:
        self.extra: dict[str, str | int] = {"charge": 7}


def test_our_own_errors_have_googles_envelope() -> None:
    """One ErrorInfo, its reason in capitals (AIP-193), its metadata as text."""
    problem: Problem = Trouble()
    asked = GenerateRequest({"contents": HELLO}, "m", stream=True)
    (event,) = events_of(asked.error_event(problem, "req_1"))
    assert event == {
        "error": {
            "code": 402,
            "message": "No credit.",
            "status": "RESOURCE_EXHAUSTED",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "INSUFFICIENT_CREDITS",
                    "domain": "1api.club",
                    "metadata": {"charge": "7", "field": "model", "requestId": "req_1"},
                }
            ],
        }
    }


def test_an_error_inside_an_array_is_an_element_of_it() -> None:
    """The first one, if nothing went out before."""
    asked = GenerateRequest({"contents": HELLO}, "m", stream=True, as_array=True)
    stream = asked.translation(terms(GENERATE)).stream(price_of)
    assert json.loads(asked.error_event(Trouble(), "req_1") + b"]")
    asked = GenerateRequest({"contents": HELLO}, "m", stream=True, as_array=True)
    stream = asked.translation(terms(GENERATE)).stream(price_of)
    relayed = stream.feed(frames(chunk({"text": "a"})))
    assert "error" in json.loads(relayed + asked.error_event(Trouble(), "req_1") + b"]")[1]


# --- read for other APIs


def read(*chunks: dict[str, Any]) -> list[Event]:
    """Return what frames say to clients of other APIs."""
    reader = GenerateReader(REQUEST_ID)
    return [event for one in chunks for event in reader.frame(orjson.dumps(one))]


def told(events: list[Event]) -> list[tuple[Any, ...]]:
    """Return events as plain values."""
    return [(type(one).__name__, *(getattr(one, name) for name in one.__slots__)) for one in events]


def test_thoughts_text_and_calls_are_read_in_order() -> None:
    """A signature belongs to the thoughts before it, or to its call."""
    call = {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "dHdv"}
    events = read(
        chunk({"text": "Hm.", "thought": True}),
        chunk({"text": "Yes.", "thoughtSignature": "b25l"}),
        chunk(call, {"functionCall": {"name": "g"}}),
        chunk(finishReason="STOP", usageMetadata=COUNTS),
    )
    assert told(events) == told(
        [
            ReasoningDelta(0, "Hm.", summary=True),
            ReasoningSigned(0, "b25l"),
            TextDelta(0, "Yes."),
            ToolCallBegun(0, 0, "c1", "f", "dHdv"),
            ToolCallDelta(0, 0, '{"a":1}'),
            ToolCallBegun(0, 1, f"call_{REQUEST_ID[4:]}_0_1", "g"),
            ToolCallDelta(0, 1, "{}"),
            Finished(0, CALLS),
            Used(quantities(input=5, output=3, requests=1)),
        ]
    )


def test_sources_have_places_where_bytes_are_characters() -> None:
    """Google counts bytes; elsewhere the place is not known."""
    sources = {"citations": [{"endIndex": 2, "uri": "https://a.test", "title": "A"}]}
    *_, cited = read(chunk({"text": "Hi"}, citationMetadata=sources))
    assert told([cited]) == told([Cited(0, "https://a.test", "A", start=0, end=2)])
    *_, cited = read(chunk({"text": "Hé"}, citationMetadata=sources))
    assert told([cited]) == told([Cited(0, "https://a.test", "A")])


def test_log_probabilities_go_with_their_text() -> None:
    """In the shape of OpenAI's chat; a zero is left out by protobuf's JSON."""
    result = {
        "chosenCandidates": [{"token": "é", "logProbability": -0.5}, {"token": "!"}],
        "topCandidates": [{"candidates": [{"token": "é", "logProbability": -0.5}]}],
    }
    (event,) = read(chunk({"text": "é!"}, logprobsResult=result))
    assert isinstance(event, TextDelta)
    top = {"token": "é", "logprob": -0.5, "bytes": [195, 169]}
    assert event.logprobs == [
        top | {"top_logprobs": [top]},
        {"token": "!", "logprob": 0, "bytes": [33], "top_logprobs": []},
    ]


def test_errors_and_blocked_prompts_are_read_as_such() -> None:
    """And what is no JSON object is malformed."""
    assert told(read({"error": {"message": "Busy."}})) == told([Failed("Busy.")])
    blocked = {"promptFeedback": {"blockReason": "OTHER"}}
    assert told(read(blocked)) == told([Finished(0, BLOCKED)])
    with pytest.raises(MalformedAnswer):
        GenerateReader(REQUEST_ID).whole(b"[]")


def test_what_the_model_could_not_make_is_an_error_elsewhere() -> None:
    """Other APIs have no word for it; what was counted is told first."""
    events = read(chunk(finishReason="MALFORMED_FUNCTION_CALL", usageMetadata=COUNTS))
    assert [type(one) for one in events] == [Finished, Used, Failed]


# --- written for clients of this API


def writer(*, shows_thoughts: bool = False) -> GenerateWriter:
    """Return what writes one answer."""
    return GenerateWriter(terms(), shows_thoughts=shows_thoughts)


def parts_of(*bodies: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parts of the first candidates."""
    return [part for one in bodies for part in one["candidates"][0]["content"]["parts"]]


ANSWER: list[Event] = [
    ReasoningDelta(0, "Hm"),
    ReasoningDelta(0, "."),
    ReasoningSigned(0, "opaque"),
    TextDelta(0, "Let "),
    TextDelta(0, "me."),
    RefusalDelta(0, " No."),
    ToolCallBegun(0, 0, "c1", "f"),
    ToolCallDelta(0, 0, '{"a"'),
    ToolCallDelta(0, 0, ":1}"),
    ToolCallBegun(0, 1, "c2", "g", "c2ln"),
    ToolCallDelta(0, 1, ""),
    Finished(0, CALLS),
    Ended(),
]
USED = quantities(input=5, output=3, reasoning=2, requests=1)


@pytest.mark.parametrize("shows_thoughts", [True, False])
def test_a_stream_and_a_whole_answer_say_the_same(shows_thoughts: bool) -> None:  # noqa: FBT001  a column
    """Thoughts only if they were asked for; calls when their arguments are whole."""
    out = writer(shows_thoughts=shows_thoughts)
    streamed = b"".join(out.frames([event]) for event in ANSWER) + out.finish(USED, "0.01")
    chunks = events_of(streamed)
    whole = orjson.loads(writer(shows_thoughts=shows_thoughts).whole(ANSWER, USED, "0.01"))
    seal = sealed_signature(Maker.CHAT, "signed", "opaque")
    thought = {"text": "Hm.", "thought": True, "thoughtSignature": seal}
    thoughts = [thought] if shows_thoughts else []
    assert parts_of(whole) == [
        *thoughts,
        {"text": "Let me. No."},
        {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}},
        {"functionCall": {"id": "c2", "name": "g", "args": {}}, "thoughtSignature": "c2ln"},
    ]
    for is_thought in (True, False):
        texts = [
            "".join(
                p["text"] for p in found if "text" in p and p.get("thought", False) == is_thought
            )
            for found in (parts_of(*chunks), parts_of(whole))
        ]
        assert texts[0] == texts[1]
    assert [p for p in parts_of(*chunks) if "functionCall" in p] == parts_of(whole)[-2:]
    assert chunks[-1]["usageMetadata"] == whole["usageMetadata"]
    assert whole["usageMetadata"]["cost"] == "0.01"
    ends = [one["candidates"][0].get("finishReason") for one in chunks]
    assert ends == [None] * (len(chunks) - 1) + ["STOP"]
    assert {(one["modelVersion"], one["responseId"]) for one in (*chunks, whole)} == {
        ("public-model", REQUEST_ID[4:])
    }


def test_half_a_call_is_no_call() -> None:
    """It says so in its reason; nothing is made up."""
    half: list[Event] = [ToolCallBegun(0, 0, "c1", "f"), ToolCallDelta(0, 0, '{"a')]
    for reason, word in ((STOP, "MALFORMED_FUNCTION_CALL"), (LENGTH, "MAX_TOKENS")):
        whole = orjson.loads(writer().whole([*half, Finished(0, reason)], None, None))
        assert whole["candidates"][0]["finishReason"] == word
        assert parts_of(whole) == []


def test_calls_whose_arguments_come_in_turns_are_each_whole() -> None:
    """Some upstreams send parallel calls side by side."""
    events: list[Event] = [
        ToolCallBegun(0, 0, "c1", "f"),
        ToolCallBegun(0, 1, "c2", "g"),
        ToolCallDelta(0, 0, '{"a":'),
        ToolCallDelta(0, 1, '{"b":2}'),
        ToolCallDelta(0, 0, "1}"),
        Finished(0, CALLS),
    ]
    found = parts_of(orjson.loads(writer().whole(events, None, None)))
    assert [part["functionCall"]["args"] for part in found] == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize(
    ("ended", "word"),
    [
        (Finished(0, STOP), "STOP"),
        (Finished(0, CALLS), "STOP"),
        (Finished(0, LENGTH), "MAX_TOKENS"),
        (Finished(0, BLOCKED), "SAFETY"),
        (Finished(0, STOP, refused=True), "SAFETY"),
        (Finished(0, ERROR), "OTHER"),
        (Finished(0, OTHER), "OTHER"),
    ],
)
def test_reasons_are_written_in_googles_words(ended: Finished, word: str) -> None:
    """Also without any text."""
    whole = orjson.loads(writer().whole([ended], None, None))
    assert whole["candidates"][0]["finishReason"] == word
    assert "usageMetadata" not in whole


def test_candidates_sources_and_log_probabilities_are_written_in_place() -> None:
    """What is read from them is what was written."""
    top = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105]}
    events: list[Event] = [
        TextDelta(1, "Hi", [top | {"top_logprobs": [top]}]),
        Cited(1, "https://a.test", "A", start=0, end=2),
        TextDelta(0, "Ho"),
        Finished(0, STOP),
        Finished(1, LENGTH),
    ]
    body = writer().whole(events, None, None)
    assert [one["index"] for one in orjson.loads(body)["candidates"]] == [0, 1]
    assert told(GenerateReader(REQUEST_ID).whole(body)) == told(
        [
            TextDelta(0, "Ho"),
            Finished(0, STOP),
            TextDelta(1, "Hi", [top | {"top_logprobs": [top]}]),
            Cited(1, "https://a.test", "A", start=0, end=2),
            Finished(1, LENGTH),
        ]
    )


def test_places_of_sources_are_written_only_where_bytes_are_characters() -> None:
    """Google counts bytes."""
    for text, places in (("Hi", {"startIndex": 0, "endIndex": 2}), ("Hé", {})):
        events: list[Event] = [TextDelta(0, text), Cited(0, "https://a.test", None, start=0, end=2)]
        body = orjson.loads(writer().whole([*events, Finished(0, STOP)], None, None))
        (cited,) = body["candidates"][0]["citationMetadata"]["citations"]
        assert cited == {"uri": "https://a.test"} | places
