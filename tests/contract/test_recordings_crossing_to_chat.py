"""Recorded answers of every API as chats, and recorded chats as the requests of every API.

The oracle reads the providers' own JSON; what we write is read by the SDK's own types.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final

import orjson
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from edge.translate.chat import native, to_neutral
from edge.translate.chat.answer_writer import ChatAnswerWriter
from edge.translate.completions.answer_writer import CompletionWriter
from edge.translate.errors import InvalidRequest
from edge.translate.neutral.events import (
    Ended,
    Event,
    Failed,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallBegun,
    ToolCallDelta,
    Used,
)
from edge.translate.neutral.halves import UpstreamApi
from edge.translate.surface import Terms
from edge.translate.upstreams import UPSTREAM_APIS
from kit.charge import Dimension, Quantities
from oneapi.common.v1.endpoint_pb2 import Endpoint
from tests.contract.test_recordings_chat import chats, counted, events, last_usage
from tests.support.every import every
from tests.support.openai_types import check
from tests.support.recordings import Recording, load_fixtures, load_recordings

CHAT: Final = Endpoint.ENDPOINT_CHAT_COMPLETIONS
ENDINGS: Final = {
    "/chat/completions": CHAT,
    "/messages": Endpoint.ENDPOINT_MESSAGES,
    "/responses": Endpoint.ENDPOINT_RESPONSES,
    ":generateContent": Endpoint.ENDPOINT_GENERATE_CONTENT,
    ":streamGenerateContent": Endpoint.ENDPOINT_GENERATE_CONTENT,
}
APIS: Final[dict[int, UpstreamApi]] = {api.endpoint: api for api in UPSTREAM_APIS}


def terms(endpoint: int, upstream: str) -> Terms:
    """Return the terms of a candidate that serves this endpoint only."""
    return Terms(
        upstream=upstream,
        upstream_model="upstream-model",
        serves=frozenset({endpoint}),
        ends_with_terminal_frame=True,
        public_model="public-model",
        max_output_tokens=64_000,
        request_id="req_" + "0" * 32,
        created=1,
    )


def endpoint_of(one: Recording) -> int | None:
    """Return which API a recording is of, None if it asks for no text."""
    path = one.path.partition("?")[0]
    return next((endpoint for end, endpoint in ENDINGS.items() if path.endswith(end)), None)


@cache
def answers() -> dict[str, Recording]:
    """All answers with text: the recordings beside the repository, if any, and our fixtures."""
    found = [*load_recordings(), *load_fixtures()]
    return {one.stem: one for one in found if one.status == 200 and endpoint_of(one) in APIS}


def read(one: Recording) -> list[list[Event]]:
    """Read an answer as events: a list for each frame."""
    endpoint = endpoint_of(one)
    assert endpoint is not None
    reader = APIS[endpoint].reader(terms(endpoint, one.provider))
    if not one.is_stream:
        return [reader.whole(one.body())]
    frames = []
    for data in events(one.body().decode()):
        frames.append(reader.frame(data.encode()))
        if Ended() in frames[-1]:
            break
    return frames


class Said:
    """What events or chunks say, put together by choice."""

    def __init__(self) -> None:
        """Say nothing yet."""
        self.texts: dict[int, str] = {}
        self.refusals: dict[int, str] = {}
        self.reasoning: dict[int, str] = {}
        self.calls: dict[int, list[list[str]]] = {}

    def take(self, event: Event) -> None:
        """Take an event."""
        match event:
            case TextDelta(choice=choice, text=text):
                self.texts[choice] = self.texts.get(choice, "") + text
            case RefusalDelta(choice=choice, text=text):
                self.refusals[choice] = self.refusals.get(choice, "") + text
            case ReasoningDelta(choice=choice, text=text):
                self.reasoning[choice] = self.reasoning.get(choice, "") + text
            case ToolCallBegun(choice=choice, id=identity, name=name):
                self.calls.setdefault(choice, []).append([identity, name, ""])
            case ToolCallDelta(choice=choice, call=call, arguments=arguments):
                self.calls[choice][call][2] += arguments

    def of_choice(self, choice: int) -> tuple[str, str, str, list[list[str]]]:
        """Return text, refusal, reasoning and calls."""
        return (
            self.texts.get(choice, ""),
            self.refusals.get(choice, ""),
            self.reasoning.get(choice, ""),
            self.calls.get(choice, []),
        )


def said_by(frames: list[list[Event]]) -> Said:
    """Put all events together."""
    said = Said()
    for event in (event for frame in frames for event in frame):
        said.take(event)
    return said


def said_in_chat(one: Recording) -> dict[int, tuple[str, str, str, list[list[str]]]]:
    """Put a provider's own chat together, read anew."""
    holders: list[tuple[int, dict[str, Any]]] = []
    if one.is_stream:
        for data in events(one.body().decode()):
            chunk: dict[str, Any] = {"error": 1} if data == "[DONE]" else json.loads(data)
            if chunk.get("error"):
                break
            holders += [(c.get("index") or 0, c.get("delta") or {}) for c in chunk["choices"]]
    else:
        holders = [(c.get("index") or 0, c["message"]) for c in one.response["choices"]]
    return {index: _joined([h for i, h in holders if i == index]) for index, _ in holders}


def _joined(holders: list[dict[str, Any]]) -> tuple[str, str, str, list[list[str]]]:
    text = "".join(one.get("content") or "" for one in holders)
    refusal = "".join(one.get("refusal") or "" for one in holders)
    thought = [one.get("reasoning_content") or one.get("reasoning") or "" for one in holders]
    calls: dict[int, list[str]] = {}
    for place, call in (
        (p, c) for one in holders for p, c in enumerate(one.get("tool_calls") or ())
    ):
        made = calls.setdefault(call.get("index", place), ["", "", ""])
        made[0] = made[0] or call.get("id") or ""
        made[1] = made[1] or call["function"].get("name") or ""
        made[2] += call["function"].get("arguments") or ""
    return text, refusal, "".join(thought), list(calls.values())


@every(stem=chats)
def test_everything_that_a_chat_says_becomes_an_event(stem: str) -> None:
    """Text, refusal, reasoning and calls, once and nothing else."""
    said = said_by(read(chats()[stem]))
    for choice, expected in said_in_chat(chats()[stem]).items():
        assert said.of_choice(choice) == expected


@every(stem=chats)
def test_counts_are_the_providers_when_they_cross(stem: str) -> None:
    """The same dimensions as natively."""
    used = [e.quantities for frame in read(chats()[stem]) for e in frame if isinstance(e, Used)]
    usage = last_usage(chats()[stem])
    if usage is None:
        assert used == []
        return
    assert used[-1] is not None
    expected = counted(usage)
    assert list(used[-1]) == [expected.get(dimension, 0) for dimension in Dimension]


def used_in(frames: list[list[Event]]) -> Quantities | None:
    """Return the last count."""
    found = [event.quantities for frame in frames for event in frame if isinstance(event, Used)]
    return found[-1] if found else None


@every(stem=answers)
def test_any_answer_is_a_completion_that_the_sdk_reads(stem: str) -> None:
    """All that was said is there, the usage adds up, the reason is one that the SDK knows."""
    one = answers()[stem]
    frames = read(one)
    if any(isinstance(event, Failed) for frame in frames for event in frame):
        return
    used = used_in(frames)
    flat = [event for frame in frames for event in frame]
    endpoint = endpoint_of(one)
    assert endpoint is not None
    writer = ChatAnswerWriter(terms(endpoint, one.provider), include_usage=False)
    body = writer.whole(flat, used, "0.01")
    check("CreateChatCompletionResponse", json.loads(body))
    whole = ChatCompletion.model_validate_json(body)
    said = said_by(frames)
    for choice in whole.choices:
        text, refusal, reasoning, calls = said.of_choice(choice.index)
        message = choice.message.model_dump()
        assert (message["content"] or "", message["refusal"] or "") == (text, refusal)
        assert message.get("reasoning_content", "") == reasoning
        made = [
            [c["id"], c["function"]["name"], c["function"]["arguments"]]
            for c in message["tool_calls"] or ()
        ]
        assert made == calls
    if used is not None:
        assert whole.usage is not None
        assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
        assert whole.usage.total_tokens == sum(used[: Dimension.REQUESTS])
    text_writer = CompletionWriter(terms(endpoint, one.provider), include_usage=False)
    plain = json.loads(text_writer.whole(flat, used, "0.01"))
    if plain["choices"][0]["finish_reason"] != "tool_calls":
        check("CreateCompletionResponse", plain)
        plain_choice = Completion.model_validate(plain).choices[0]
        assert plain_choice.text == said.texts.get(0, "") + said.refusals.get(0, "")


@every(stem=answers)
def test_any_answer_is_a_stream_of_chunks_that_the_sdk_reads(stem: str) -> None:
    """No event waits for another: what a frame says is sent with it; the end waits."""
    one = answers()[stem]
    frames = read(one)
    endpoint = endpoint_of(one)
    assert endpoint is not None
    writer = ChatAnswerWriter(terms(endpoint, one.provider), include_usage=True)
    said, got = said_by(frames), Said()
    for frame in frames:
        sent = writer.frames([event for event in frame if not isinstance(event, Failed)])
        parsed = [json.loads(data) for data in events(sent.decode())]
        for chunk_body in parsed:
            check("CreateChatCompletionStreamResponse", chunk_body)
        chunks = [ChatCompletionChunk.model_validate(one) for one in parsed]
        for chunk in chunks:
            _take_chunk(got, chunk)
        partial = Said()
        for event in frame:
            if isinstance(event, TextDelta):
                partial.take(event)
        assert all(text in got.texts.get(choice, "") for choice, text in partial.texts.items())
        assert not any(choice.finish_reason for chunk in chunks for choice in chunk.choices)
    finished = {e.choice for frame in frames for e in frame if isinstance(e, Finished)}
    tail = events(writer.finish(used_in(frames), "0.01").decode())
    assert tail[-1] == "[DONE]"
    for data in tail[:-1]:
        check("CreateChatCompletionStreamResponse", json.loads(data))
    reasons = [
        choice.index
        for data in tail[:-1]
        for choice in ChatCompletionChunk.model_validate_json(data).choices
        if choice.finish_reason
    ]
    assert finished <= set(reasons)
    for choice in {*said.texts, *said.calls, *said.refusals, *said.reasoning}:
        assert got.of_choice(choice) == said.of_choice(choice)


def _take_chunk(got: Said, chunk: ChatCompletionChunk) -> None:
    for choice in chunk.choices:
        delta = choice.delta.model_dump()
        index = choice.index
        if delta["content"]:
            got.take(TextDelta(index, delta["content"]))
        if delta["refusal"]:
            got.take(RefusalDelta(index, delta["refusal"]))
        if delta.get("reasoning_content"):
            got.take(ReasoningDelta(index, delta["reasoning_content"]))
        for call in delta["tool_calls"] or ():
            if call["id"]:
                got.take(ToolCallBegun(index, call["index"], call["id"], call["function"]["name"]))
            if call["function"]["arguments"]:
                got.take(ToolCallDelta(index, call["index"], call["function"]["arguments"]))


def requests() -> list[str]:
    """Name the chats that were asked for as chats."""
    return [stem for stem, one in chats().items() if one.path.endswith("/chat/completions")]


def asked_in(endpoint: int, upstream: str, request: native.ChatRequest) -> dict[str, Any] | str:
    """Return the body for an upstream, or the name of the field that it was refused by."""
    try:
        conversation = to_neutral.conversation(request.body, request.token_limit)
        return APIS[endpoint].write(conversation, terms(endpoint, upstream), stream=False)
    except InvalidRequest as error:
        return (error.param or "").partition("[")[0].partition(".")[0]


@every(stem=requests)
def test_a_chat_that_crosses_over_and_back_asks_the_same(stem: str) -> None:
    """Or it was refused by one of its own fields."""
    asked = chats()[stem].request
    request = native.parse(dict(asked))
    body = asked_in(CHAT, "demo", request)
    if isinstance(body, str):
        assert body in {*asked, "body"}
        return
    assert [plain(one) for one in body["messages"]] == [plain(one) for one in asked["messages"]]
    dropped = to_neutral.HINTS | {"model", "messages", "n", "max_completion_tokens", "reasoning"}
    dropped |= {"reasoning_format"}
    for name, value in asked.items():
        if name not in dropped and value not in (None, False):
            assert same(body.get(name), value), name


def plain(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message with what may differ made the same: nulls, spellings, roles."""
    kept = {name: value for name, value in message.items() if value}
    if kept.get("role") == "developer":
        kept["role"] = "system"
    if "reasoning" in kept:
        kept["reasoning_content"] = kept.pop("reasoning")
    content = kept.get("content")
    if isinstance(content, list) and len(content) == 1 and content[0]["type"] == "text":
        kept["content"] = content[0]["text"]
    calls = [{k: v for k, v in one.items() if k != "index"} for one in kept.get("tool_calls", ())]
    return {**kept, "tool_calls": calls}


def same(written: Any, asked: Any) -> bool:
    """Say whether two fields mean the same."""
    if asked in ("text", "default", {"type": "text"}):
        return written is None
    return bool(asked in (written, [written]) or written == [asked])


@every(stem=requests, endpoint=sorted(set(APIS) - {CHAT}))
def test_a_chat_is_asked_in_every_api_or_refused_by_its_own_field(stem: str, endpoint: int) -> None:
    """No text of its messages is lost on the way."""
    asked = chats()[stem].request
    request = native.parse(dict(asked))
    body = asked_in(endpoint, "x", request)
    if isinstance(body, str):
        assert body in {*asked, "body"}
        return
    sent = json.loads(orjson.dumps(body))
    strings = set(_strings(sent))
    for message in asked["messages"]:
        content = message.get("content")
        texts = [content] if isinstance(content, str) else [p.get("text") for p in content or ()]
        for text in texts:
            assert not text or any(text in one for one in strings)


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inner for text in _strings(one)]
