"""Every recorded answer and request of a text API, carried over into each of the others.

An answer crosses over once it is written in another API: read again by that API's own reader it
must say the same. A request crosses over or is refused by the name of a field; nothing is lost
silently.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import pytest

from edge.translate import sse
from edge.translate.errors import InvalidRequest
from edge.translate.neutral.conversation import Conversation, Reasoning, Text, ToolCall, ToolResult
from edge.translate.neutral.crossing import Crossing
from edge.translate.neutral.events import (
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
from edge.translate.neutral.halves import AnswerReader, UpstreamApi
from edge.translate.upstreams import UPSTREAM_APIS
from kit.charge import Quantities, context_tokens, output_tokens
from oneapi.metering.v1.usage_record_pb2 import FinishReason
from tests.support.every import every
from tests.support.recordings import Recording
from tests.support.stack import recorded
from tests.support.text_apis import TEXT_APIS, TextApi
from tests.unit.edge.translate.terms import terms


@dataclass
class Said:
    """What an answer says, whatever API says it."""

    texts: dict[int, str] = field(default_factory=dict)
    reasoning: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    reasons: list[FinishReason.ValueType] = field(default_factory=list)
    tokens: tuple[int, int] = (0, 0)
    refused: bool = False

    @classmethod
    def of(cls, events: list[Event]) -> Said:
        """Read events; arguments of calls as values."""
        said = cls()
        arguments: dict[tuple[int, int], str] = {}
        names: dict[tuple[int, int], str] = {}
        for event in events:
            match event:
                case TextDelta(choice=choice, text=text):
                    said.texts[choice] = said.texts.get(choice, "") + text
                case RefusalDelta(choice=choice, text=text):
                    said.texts[choice] = said.texts.get(choice, "") + text
                    said.refused = True
                case ReasoningDelta(text=text):
                    said.reasoning += text
                case ToolCallBegun(choice=choice, call=call, name=name):
                    names[choice, call] = name
                case ToolCallDelta(choice=choice, call=call, arguments=more):
                    arguments[choice, call] = arguments.get((choice, call), "") + more
                case Finished(reason=reason):
                    said.reasons.append(reason)
                case Used(quantities=quantities) if quantities is not None:
                    said.tokens = (context_tokens(quantities), output_tokens(quantities))
        for place, name in sorted(names.items()):
            said.calls.append((name, _value(arguments.get(place, ""))))
        said.texts = {choice: text for choice, text in said.texts.items() if text}
        return said

    @property
    def has_choices(self) -> bool:
        """Say whether there are several."""
        return len(self.texts) > 1

    def differs_from(self, other: Said) -> list[str]:
        """Return what is not the same. APIs without refusals tell one by why the answer ended."""
        names = ("texts", "reasoning", "calls", "reasons", "tokens")
        found = [name for name in names if getattr(self, name) != getattr(other, name)]
        # Calls of other kinds than functions only answer requests that cannot cross over, and an
        # error for which an API has no word is a stop there.
        odd = not other.calls and FinishReason.FINISH_REASON_TOOL_CALLS in other.reasons
        if (
            self.refused != other.refused
            or odd
            or FinishReason.FINISH_REASON_ERROR in other.reasons
        ):
            found = [name for name in found if name != "reasons"]
        return found


def _value(text: str) -> Any:
    try:
        return json.loads(text or "{}")
    except json.JSONDecodeError:
        return text


def read(reader: AnswerReader, body: bytes, *, is_stream: bool) -> list[Event]:
    """Read an answer by an API's own reader."""
    if not is_stream:
        return reader.whole(body)
    events: list[Event] = []
    for frame in sse.split_frames(body if body.endswith(b"\n\n") else body + b"\n\n"):
        data = sse.data_of(frame)
        if data and data.strip():
            events += reader.frame(data)
    return events


def is_whole(api: TextApi, one: Recording) -> bool:
    """Say whether a recorded answer came to its end."""
    events = read(api.upstream.reader(terms(api.number)), one.body(), is_stream=one.is_stream)
    failed = any(isinstance(event, Failed) for event in events)
    return not failed and any(isinstance(event, Finished) for event in events)


@cache
def whole() -> dict[str, tuple[TextApi, Recording]]:
    """Return every recorded exchange of text whose answer came to its end, and its API."""
    return {
        stem: (api, one)
        for api in TEXT_APIS.values()
        for stem, one in recorded(api.name).items()
        if one.status == 200 and is_whole(api, one)
    }


def last_counts(events: list[Event]) -> Quantities | None:
    """Return the last count that can be true."""
    found = [one.quantities for one in events if isinstance(one, Used) and one.quantities]
    return found[-1] if found else None


def written(client: TextApi, events: list[Event], *, is_stream: bool) -> bytes:
    """Write an answer in a client's API."""
    upstream_endpoint = next(api.endpoint for api in UPSTREAM_APIS if api.endpoint != client.number)
    call = client.simple(is_stream=is_stream)
    writer = call.writer(terms(upstream_endpoint))
    used = last_counts(events)
    if not is_stream:
        return bytes(writer.whole(events, used, None))
    # One event at a time, as a stream brings them.
    parts = [writer.frames([event]) for event in events]
    return b"".join(parts) + bytes(writer.finish(used, None))


@every(stem=whole)
def test_an_answer_says_the_same_in_every_other_api(stem: str) -> None:
    """Text, reasoning, calls, why it ended and how many tokens: nothing lost, nothing invented."""
    api, one = whole()[stem]
    events = read(api.upstream.reader(terms(api.number)), one.body(), is_stream=one.is_stream)
    said = Said.of(events)
    for client in TEXT_APIS.values():
        if client is api or (said.has_choices and not client.has_choices):
            continue  # of several choices: such a request is refused on its way in
        for is_stream in (False, True):
            body = written(client, events, is_stream=is_stream)
            again = read(client.upstream.reader(terms(client.number)), body, is_stream=is_stream)
            assert Said.of(again).differs_from(said) == [], (client.name, is_stream)


REFUSED_SHARE_MAX: Final = 0.45
"""Requests with tools that the provider runs and files of the provider's cannot cross over."""


def crossed(api: TextApi, one: Recording, other: UpstreamApi) -> tuple[Conversation, Crossing]:
    """Carry a recorded request over.

    Raises:
        InvalidRequest: it cannot be.
    """
    call = api.read(one.request, is_stream=one.is_stream)
    translation = call.translation(terms(other.endpoint))
    assert isinstance(translation, Crossing)
    return call.conversation(), translation


def refusal_of(api: TextApi, one: Recording, other: UpstreamApi) -> InvalidRequest | None:
    """Return why a recorded request cannot cross over, None if it can."""
    try:
        crossed(api, one, other)
    except InvalidRequest as refusal:
        return refusal
    return None


def texts_of(conversation: Conversation) -> Iterator[str]:
    """Give every text of a conversation that must arrive."""
    for turn in conversation.turns:
        for part in turn.parts:
            if isinstance(part, Text):
                yield part.text
            elif isinstance(part, ToolCall):
                yield part.name
            elif isinstance(part, ToolResult):
                yield from (inner.text for inner in part.parts if isinstance(inner, Text))
            else:
                assert isinstance(part, Reasoning) or part.path


def strings(value: Any) -> Iterator[str]:
    """Give every string in a JSON value, and what JSON text inside it says."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


@every(stem=whole)
def test_a_request_crosses_over_whole_or_is_refused_by_name(stem: str) -> None:
    """Every text is in the body for the upstream; a refusal names a field of the client's."""
    api, one = whole()[stem]
    for other in UPSTREAM_APIS:
        if other.endpoint == api.number:
            continue
        refusal = refusal_of(api, one, other)
        assert refusal is None or refusal.param
        if refusal is None:
            _is_whole_in(api, one, other)


def _is_whole_in(api: TextApi, one: Recording, other: UpstreamApi) -> None:
    conversation, translation = crossed(api, one, other)
    body = json.loads(translation.body(1_000))
    carried = "\n".join(strings(body))
    for text in texts_of(conversation):
        assert text in carried or json.loads(json.dumps(text)) in carried
    tools = json.dumps(body.get("tools", []))
    assert all(f'"{tool.name}"' in tools for tool in conversation.tools)


def test_most_recorded_requests_cross_over() -> None:
    """Refusals are the exception, and every one has its reason."""
    refused: dict[str, int] = {}
    requests = [
        (api, one, other)
        for api, one in whole().values()
        for other in UPSTREAM_APIS
        if other.endpoint != api.number
    ]
    for api, one, other in requests:
        refusal = refusal_of(api, one, other)
        if refusal is not None:
            field_name = (refusal.param or "").partition("[")[0].partition(".")[0]
            refused[field_name] = refused.get(field_name, 0) + 1
    assert sum(refused.values()) <= REFUSED_SHARE_MAX * len(requests), refused


@pytest.mark.parametrize("client_name", TEXT_APIS)
def test_a_lost_word_would_be_noticed(client_name: str) -> None:
    """Control: what is compared is really there."""
    client = TEXT_APIS[client_name]
    events: list[Event] = [
        TextDelta(0, "word"),
        ToolCallBegun(0, 0, "call_1", "find"),
        ToolCallDelta(0, 0, '{"a":1}'),
        Finished(0, FinishReason.FINISH_REASON_TOOL_CALLS),
    ]
    for is_stream in (False, True):
        body = written(client, events, is_stream=is_stream)
        again = read(client.upstream.reader(terms(client.number)), body, is_stream=is_stream)
        said = Said.of(again)
        assert (said.texts, said.calls) == ({0: "word"}, [("find", {"a": 1})])
        less = body.replace(b"word", b"wor")
        lost = Said.of(read(client.upstream.reader(terms()), less, is_stream=is_stream))
        assert lost.differs_from(said) == ["texts"]
