"""Whatever a client or an upstream of Google's API sends: an answer or an error of ours."""

from __future__ import annotations

import copy
import json
from itertools import pairwise
from typing import Any

import orjson
from hypothesis import event, example, given
from hypothesis import strategies as st

from edge.translate.answer import EndKind, StreamEnd
from edge.translate.errors import InvalidRequest, MalformedAnswer
from edge.translate.generate import usage
from edge.translate.generate.answer_reader import GenerateReader
from edge.translate.generate.answer_writer import GenerateWriter
from edge.translate.generate.count_tokens import CountRequest
from edge.translate.generate.request import GenerateRequest
from edge.translate.generate.upstream import GenerateUpstream
from edge.translate.neutral.events import (
    Event,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallBegun,
    ToolCallDelta,
    Used,
)
from kit.charge import MAX_QUANTITY, Quantities
from oneapi.common.v1.endpoint_pb2 import Endpoint
from oneapi.metering.v1.usage_record_pb2 import FinishReason
from tests.unit.edge.translate.terms import REQUEST_ID, price_of, terms
from tests.unit.edge.translate.test_chat_shape import Limits

GENERATE = Endpoint.ENDPOINT_GENERATE_CONTENT
FIELDS = (
    *("contents", "parts", "role", "text", "thought", "thoughtSignature", "inlineData", "fileData"),
    *("mimeType", "mime_type", "data", "fileUri", "functionCall", "function_call", "name", "args"),
    *("id", "functionResponse", "response", "output", "systemInstruction", "tools", "googleSearch"),
    *("functionDeclarations", "parameters", "parametersJsonSchema", "type", "properties", "items"),
    *("toolConfig", "functionCallingConfig", "mode", "allowedFunctionNames", "generationConfig"),
    *("maxOutputTokens", "candidateCount", "topK", "temperature", "stopSequences", "anyOf"),
    *("responseMimeType", "responseSchema", "thinkingConfig", "thinkingLevel", "thinkingBudget"),
    *("responseModalities", "responseLogprobs", "logprobs", "safetySettings", "threshold"),
    *("serviceTier", "labels", "store", "cachedContent", "nullable", "generateContentRequest"),
)
IMAGE = {"mimeType": "image/png", "data": "aGk="}
FILE = {"mimeType": "application/pdf", "fileUri": "https://a.test/b"}
WORDS = st.sampled_from(
    [
        *("user", "model", "image/png", "audio/wav", "video/mp4", "https://a.test/b.png", "gs://a"),
        *("ANY", "NONE", "low", "flex", "application/json", "OBJECT", "string", "TEXT", "aGk=", ""),
    ]
)
NUMBERS = st.integers(-(2**70), 2**70) | st.sampled_from([0, 1, 2**53 + 1, 2**63, 2**64 - 1])
SCALARS = st.none() | st.booleans() | NUMBERS | st.floats() | WORDS | st.text(max_size=5)


def _inside(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.sampled_from(FIELDS) | st.text(max_size=3)
    return st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=5)


JSON = st.recursive(SCALARS, _inside, max_leaves=24)
RICH: dict[str, Any] = {
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [
        {"role": "user", "parts": [{"text": "Look."}, {"inlineData": IMAGE}, {"fileData": FILE}]},
        {
            "role": "model",
            "parts": [
                {"text": "Hm.", "thought": True, "thoughtSignature": "b25l"},
                {"functionCall": {"id": "c1", "name": "f", "args": {"a": [1]}}},
                {"functionCall": {"name": "g", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "c1", "name": "f", "response": {"output": "7"}}},
                {"functionResponse": {"name": "g", "response": {"b": 2}}},
                {"inlineData": {"mimeType": "audio/wav", "data": "aGk="}},
            ],
        },
    ],
    "tools": [
        {
            "functionDeclarations": [
                {
                    "name": "f",
                    "description": "d",
                    "parameters": {
                        "type": "OBJECT",
                        "properties": {"a": {"type": "STRING", "nullable": True, "enum": ["x"]}},
                    },
                },
                {"name": "g", "parametersJsonSchema": {"type": "object"}},
            ]
        }
    ],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
    "generationConfig": {
        "temperature": 0.5,
        "topK": 40.0,
        "maxOutputTokens": 9,
        "candidateCount": 2,
        "stopSequences": ["x"],
        "responseLogprobs": True,
        "logprobs": 2,
        "responseMimeType": "application/json",
        "responseSchema": {"type": "ARRAY", "items": {"anyOf": [{"type": "INTEGER"}]}},
        "thinkingConfig": {"thinkingLevel": "low", "includeThoughts": True},
        "responseModalities": ["TEXT"],
    },
    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}],
    "serviceTier": "standard",
    "labels": {"a": "b"},
}
RICH_ANSWER: dict[str, Any] = {
    "candidates": [
        {
            "content": {
                "role": "model",
                "parts": [
                    {"text": "Hm.", "thought": True, "thoughtSignature": "b25l"},
                    {"text": "Yes."},
                    {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}},
                    {"inlineData": IMAGE},
                ],
            },
            "index": 0,
            "finishReason": "STOP",
            "citationMetadata": {"citations": [{"endIndex": 2, "uri": "https://a.test"}]},
            "groundingMetadata": {"groundingChunks": [{"web": {"uri": "u", "title": "t"}}]},
            "logprobsResult": {
                "chosenCandidates": [{"token": "Yes.", "logProbability": -0.5}],
                "topCandidates": [{"candidates": [{"token": "No", "logProbability": -1}]}],
            },
        }
    ],
    "promptFeedback": {"safetyRatings": []},
    "usageMetadata": {
        "promptTokenCount": 9,
        "cachedContentTokenCount": 4,
        "candidatesTokenCount": 3,
        "thoughtsTokenCount": 2,
        "totalTokenCount": 14,
        "promptTokensDetails": [{"modality": "IMAGE", "tokenCount": 4}],
    },
    "modelVersion": "m",
}


def places(value: Any) -> list[tuple[Any, ...]]:
    """Return the path of every value inside this one."""
    named = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else named
    return [(), *((name, *rest) for name, inner in items for rest in places(inner))]


@st.composite
def mutated(draw: st.DrawFn, whole: dict[str, Any]) -> dict[str, Any]:
    """Return the object with up to two values replaced by anything."""
    made = copy.deepcopy(whole)
    for _ in range(draw(st.integers(0, 2))):
        path = draw(st.sampled_from([one for one in places(made) if one]))
        holder = made
        for name in path[:-1]:
            holder = holder[name]
        holder[path[-1]] = draw(JSON)
    return made


BODIES = mutated(RICH) | st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6)


def as_parsed(value: Any) -> Any:
    """Return a value as our parser reads what another writer wrote, None if it refuses."""
    try:
        return orjson.loads(json.dumps(value).encode("utf-8", "surrogatepass"))
    except ValueError:
        return None


@given(BODIES)
@example({"contents": [{"parts": [{"functionCall": {"name": "f", "args": {"a": []}}}]}]})
@example({"contents": [{"parts": [{"text": {}}]}]})
@example(
    {"contents": [{"parts": [{"thoughtSignature": 1}]}], "safetySettings": [{"threshold": []}]}
)
@example({"contents": [{"parts": []}], "tools": [{"functionDeclarations": [{"name": {}}]}]})
def test_any_body_is_a_request_or_an_error_of_ours(value: Any) -> None:
    """And what is taken can be sent on, natively and crossing, with a bound that is a number."""
    body = as_parsed(value)
    if not isinstance(body, dict):
        return
    try:
        asked = GenerateRequest(body, "m", stream=False)
        shape = asked.shape(Limits())
    except InvalidRequest as error:
        event(error.code)
        return
    sent = asked.translation(terms(GENERATE)).body(7)
    assert orjson.loads(sent)["generationConfig"]["maxOutputTokens"] <= 7
    assert 0 <= shape.text_bytes <= len(orjson.dumps(asked.body))
    assert asked.media_bytes >= 0
    try:
        conversation = asked.conversation()
        made = GenerateUpstream().write(conversation, terms(GENERATE), stream=False)
    except InvalidRequest as error:
        event(f"crossing: {error.code}")
        return
    event("crosses")
    assert orjson.loads(orjson.dumps(made))["contents"]


@given(BODIES)
def test_any_body_is_counted_or_refused(value: Any) -> None:
    """By the same rules."""
    body = as_parsed(value)
    if not isinstance(body, dict):
        return
    try:
        CountRequest(body, "m").shape(Limits())
    except InvalidRequest as error:
        event(error.code)


ANSWER_FIELDS = (
    *("candidates", "content", "parts", "text", "thought", "thoughtSignature", "functionCall"),
    *("name", "id", "args", "index", "finishReason", "promptFeedback", "blockReason", "error"),
    *("usageMetadata", "promptTokenCount", "candidatesTokenCount", "totalTokenCount", "message"),
    *("thoughtsTokenCount", "cachedContentTokenCount", "promptTokensDetails", "modality"),
    *("modelVersion", "citationMetadata", "citations", "endIndex", "logprobsResult"),
    *("chosenCandidates", "topCandidates", "token", "logProbability", "groundingMetadata"),
)
ANSWERS = mutated(RICH_ANSWER) | st.dictionaries(st.sampled_from(ANSWER_FIELDS), JSON, max_size=6)
COUNTS = st.dictionaries(
    st.sampled_from([name for name in ANSWER_FIELDS if "Count" in name]),
    st.integers(-1, 40) | SCALARS,
    max_size=5,
)


@given(COUNTS | ANSWERS)
def test_counts_are_never_negative(counts: dict[str, Any]) -> None:
    """Whatever a provider counts, it is a quantity or refused."""
    found = usage.from_google(counts)
    if found is not None:
        assert all(0 <= one <= MAX_QUANTITY for one in found)
        assert usage.from_google(usage.to_google(found, None)) is not None


@given(ANSWERS)
def test_any_answer_is_read_and_its_text_is_all_there(value: dict[str, Any]) -> None:
    """Natively and crossing: nothing invented, nothing lost, no crash."""
    body = as_parsed(value)
    if not isinstance(body, dict):
        return
    raw = orjson.dumps(body)
    asked = GenerateRequest({"contents": [{"parts": [{"text": "Hi."}]}]}, "m", stream=False)
    try:
        answer = asked.translation(terms(GENERATE)).whole(raw, b"", price_of)
        events = GenerateReader(REQUEST_ID).whole(raw)
    except MalformedAnswer:
        return
    assert isinstance(orjson.loads(answer.body), dict)
    for one in events:
        if isinstance(one, TextDelta | ReasoningDelta):
            assert orjson.dumps(one.text) in raw or orjson.dumps(one.text)[1:-1] in raw


CHUNKS = st.lists(
    st.text(max_size=3).map(lambda text: {"candidates": [{"content": {"parts": [{"text": text}]}}]})
    | ANSWERS,
    max_size=5,
)


def _run(body: bytes, step: int, *, as_array: bool) -> tuple[bytes, StreamEnd]:
    sent = {"contents": [{"parts": [{"text": "Hi."}]}]}
    asked = GenerateRequest(sent, "m", stream=True, as_array=as_array)
    stream = asked.translation(terms(GENERATE)).stream(price_of)
    relayed = b"".join(stream.feed(body[at : at + step]) for at in range(0, len(body), step))
    end = stream.finish(body_complete=True)
    return relayed + end.tail, end


@given(CHUNKS, st.integers(1, 40), st.booleans())
def test_a_stream_is_the_same_however_it_arrives(
    values: list[Any],
    step: int,
    as_array: bool,  # noqa: FBT001  drawn
) -> None:
    """Its bytes, its counts and its end."""
    chunks = [one for one in map(as_parsed, values) if isinstance(one, dict)]
    last = {"candidates": [{"content": {}, "finishReason": "STOP"}]}
    body = b"".join(b"data: %b\r\n\r\n" % orjson.dumps(one) for one in (*chunks, last))
    whole, end = _run(body, len(body), as_array=as_array)
    cut, same = _run(body, step, as_array=as_array)
    assert whole == cut
    assert (end.kind, end.quantities, end.events) == (same.kind, same.quantities, same.events)
    if as_array and end.kind is EndKind.PROPER:
        assert isinstance(json.loads(whole), list)


PIECES = st.text(max_size=4)
EVENTS: st.SearchStrategy[list[Event]] = st.lists(
    st.builds(TextDelta, st.integers(0, 1), PIECES)
    | st.builds(RefusalDelta, st.integers(0, 1), PIECES)
    | st.builds(ReasoningDelta, st.integers(0, 1), PIECES)
    | st.builds(ToolCallBegun, st.integers(0, 1), st.integers(0, 2), PIECES, PIECES)
    | st.builds(ToolCallDelta, st.integers(0, 1), st.integers(0, 2), PIECES)
    | st.builds(Finished, st.integers(0, 1), st.sampled_from(FinishReason.values())),
    max_size=12,
)


@given(EVENTS, st.lists(st.integers(0, 12), max_size=4), st.booleans())
def test_any_events_are_written_the_same_whole_and_streamed(
    events: list[Event],
    cuts: list[int],
    shows_thoughts: bool,  # noqa: FBT001  drawn
) -> None:
    """All text of each candidate, thoughts if they are shown, and nothing else."""
    used: Quantities = (5, 0, 0, 0, 3, 0, 0, 0, 0, 0, 1, 0)
    whole = GenerateWriter(terms(), shows_thoughts=shows_thoughts)
    body = orjson.loads(whole.whole(events, used, None))
    writer = GenerateWriter(terms(), shows_thoughts=shows_thoughts)
    marks = sorted({0, *(cut for cut in cuts if cut < len(events)), len(events)})
    streamed = [writer.frames(events[start:end]) for start, end in pairwise(marks)]
    frames = b"".join([*streamed, writer.finish(used, None)]).split(b"\n\n")[:-1]
    chunks = [json.loads(frame.removeprefix(b"data: ")) for frame in frames]
    for choice in {getattr(one, "choice", 0) for one in events} or {0}:
        said = "".join(
            one.text
            for one in events
            if isinstance(one, TextDelta | RefusalDelta) and one.choice == choice
        )
        assert _text([body], choice) == _text(chunks, choice) == said
        assert _calls([body], choice) == _calls(chunks, choice)
    read = GenerateReader(REQUEST_ID).whole(orjson.dumps(body))
    assert [one.quantities for one in read if isinstance(one, Used)] == [used]


def _parts(bodies: list[dict[str, Any]], choice: int) -> list[dict[str, Any]]:
    found = [one for body in bodies for one in body["candidates"] if one["index"] == choice]
    return [part for one in found for part in one.get("content", {}).get("parts", ())]


def _text(bodies: list[dict[str, Any]], choice: int) -> str:
    parts = _parts(bodies, choice)
    return "".join(part["text"] for part in parts if "text" in part and not part.get("thought"))


def _calls(bodies: list[dict[str, Any]], choice: int) -> list[dict[str, Any]]:
    return [part for part in _parts(bodies, choice) if "functionCall" in part]
