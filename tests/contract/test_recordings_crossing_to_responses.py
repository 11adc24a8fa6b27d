"""Every recorded text answer of another API, asked for by a client of responses.

A recorded request is read by its own API, written as one of responses, and read again as a client
sends it. Then it crosses over to where the answer was recorded. What the client gets is valid for
OpenAI's types, and says what the provider said: no word, call or count is lost or invented.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import orjson
import pytest

from edge.translate.answer import EndKind
from edge.translate.chat.surface import ChatSurface
from edge.translate.errors import InvalidRequest, MalformedAnswer
from edge.translate.generate.surface import GenerateSurface
from edge.translate.messages.surface import MessagesSurface
from edge.translate.neutral.conversation import Conversation
from edge.translate.neutral.events import (
    Event,
    Failed,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallBegun,
    ToolCallDelta,
    Used,
)
from edge.translate.responses.surface import ResponsesSurface
from edge.translate.surface import ClientRequest, Surface, Terms, Translation
from edge.translate.upstreams import UPSTREAM_APIS
from kit.charge import Dimension, Quantities
from oneapi.common.v1.endpoint_pb2 import Endpoint
from tests.contract.test_recordings_chat import events, price_of
from tests.support.every import every
from tests.support.openai_types import check_event, check_response
from tests.support.recordings import Recording, load_fixtures, load_recordings

CHAT: Final = Endpoint.ENDPOINT_CHAT_COMPLETIONS
MESSAGES: Final = Endpoint.ENDPOINT_MESSAGES
GENERATE: Final = Endpoint.ENDPOINT_GENERATE_CONTENT
RESPONSES: Final = Endpoint.ENDPOINT_RESPONSES
SURFACES: Final[dict[int, Surface]] = {
    CHAT: ChatSurface(),
    MESSAGES: MessagesSurface(),
    GENERATE: GenerateSurface(),
    RESPONSES: ResponsesSurface(),
}
APIS: Final = {api.endpoint: api for api in UPSTREAM_APIS}
LEAST_CROSSINGS: Final = 8
"""Of our own fixtures alone, from each API."""


@dataclass(frozen=True)
class Made:
    """What an answer says, in the order of its events."""

    text: str
    refusal: str
    calls: tuple[tuple[str, str], ...]
    used: Quantities | None


def endpoint_of(recording: Recording) -> Endpoint.ValueType | None:
    """Return the API that a recording is of, None for those that are not text or not answered."""
    path = recording.path.partition("?")[0]
    if recording.status != 200 or "/v2/" in path:
        return None
    if path.endswith("/chat/completions"):
        return CHAT
    if path.endswith("/messages"):
        return MESSAGES
    if path.endswith((":generateContent", ":streamGenerateContent")):
        return GENERATE
    return None


@cache
def recordings() -> dict[str, Recording]:
    """All answered texts: the recordings beside the repository, if any, and our fixtures."""
    every = [*load_recordings(), *load_fixtures()]
    return {one.stem: one for one in every if endpoint_of(one) is not None}


def terms(endpoint: Endpoint.ValueType, recording: Recording) -> Terms:
    """Return the terms of the provider that answered."""
    return Terms(
        upstream=recording.provider,
        upstream_model="upstream-model",
        serves=frozenset({endpoint}),
        ends_with_terminal_frame=endpoint != GENERATE,
        public_model="public-model",
        max_output_tokens=64_000,
        request_id="req_" + "0" * 32,
        created=1,
    )


def asked(endpoint: Endpoint.ValueType, body: dict[str, Any], *, stream: bool) -> ClientRequest:
    """Read a request of an API as its clients send it."""
    method = "streamGenerateContent" if stream else "generateContent"
    path = f"/v1beta/models/m:{method}" if endpoint == GENERATE else "/"
    if endpoint != GENERATE:
        body = {"model": "m", **body, "stream": stream}
    if endpoint == CHAT and stream:
        body["stream_options"] = {"include_usage": True}
    return SURFACES[endpoint].read(orjson.dumps(body), {}, path, b"alt=sse")


def crossed(recording: Recording) -> Translation | None:
    """Return how a client of responses reaches the recorded answer, None if it cannot ask."""
    upstream = endpoint_of(recording)
    assert upstream is not None
    at = terms(upstream, recording)
    try:
        own = asked(upstream, dict(recording.request), stream=recording.is_stream)
        conversation: Conversation = own.conversation()  # type: ignore[attr-defined]
        body = APIS[RESPONSES].write(conversation, at, stream=recording.is_stream)
        body = orjson.loads(orjson.dumps(APIS[RESPONSES].limit(body, at, 4096)))
        request = asked(RESPONSES, body, stream=recording.is_stream)
        return request.translation(at)
    except InvalidRequest:
        return None


def made_of(found: list[Event]) -> Made:
    """Put together what the first choice of an answer says."""
    text = refusal = ""
    calls: list[list[str]] = []
    used = None
    for event in found:
        match event:
            case TextDelta(choice=0, text=piece):
                text += piece
            case RefusalDelta(choice=0, text=piece):
                refusal += piece
            case ToolCallBegun(choice=0, name=name):
                calls.append([name, ""])
            case ToolCallDelta(choice=0, call=call, arguments=piece):
                calls[call][1] += piece
            case Used(quantities=counted) if counted is not None:
                used = counted
    exact = ((name, json.dumps(json.loads(given or "{}"))) for name, given in calls)
    return Made(text, refusal, tuple(exact), used)


def read(endpoint: Endpoint.ValueType, at: Terms, body: bytes, *, stream: bool) -> list[Event]:
    """Read an answer of an API."""
    reader = APIS[endpoint].reader(at)
    if not stream:
        return reader.whole(body)
    frames = [reader.frame(data.encode()) for data in events(body.decode())]
    return [event for frame in frames for event in frame]


def answer_of(translation: Translation, recording: Recording, step: int) -> bytes | None:
    """Return all that the client gets, None where the provider failed."""
    body = recording.body()
    if not recording.is_stream:
        try:
            return translation.whole(body, b"application/json", price_of).body
        except MalformedAnswer:
            return None
    stream = translation.stream(price_of)
    relayed = b"".join(stream.feed(body[at : at + step]) for at in range(0, len(body), step))
    end = stream.finish(body_complete=True)
    return relayed + end.tail if end.kind is EndKind.PROPER else None


def total(used: Quantities) -> tuple[int, int]:
    """Return what every API counts: all of the input, all of the output."""
    taken = sum(used[one] for one in Dimension if "INPUT" in one.name or "CACHE" in one.name)
    made = used[Dimension.OUTPUT] + used[Dimension.REASONING]
    return taken, made + used[Dimension.AUDIO_OUTPUT] + used[Dimension.IMAGE_OUTPUT]


@every(stem=recordings)
def test_a_client_of_responses_gets_what_the_provider_said(stem: str) -> None:
    """Its words, its calls, its counts."""
    recording = recordings()[stem]
    upstream = endpoint_of(recording)
    assert upstream is not None
    translation = crossed(recording)
    if translation is None:
        return
    got = answer_of(translation, recording, step=1000)
    at = terms(upstream, recording)
    said = read(upstream, at, recording.body(), stream=recording.is_stream)
    if got is None:
        assert any(isinstance(one, Failed) for one in said) or "cut" in stem
        return
    heard = read(RESPONSES, at, got, stream=recording.is_stream)
    before, after = made_of(said), made_of(heard)
    assert (after.text, after.refusal, after.calls) == (before.text, before.refusal, before.calls)
    if before.used is not None:
        assert after.used is not None
        assert total(after.used) == total(before.used)
    reasoning = [one.text for one in heard if isinstance(one, ReasoningDelta)]
    assert "".join(reasoning) == "".join(
        one.text for one in said if isinstance(one, ReasoningDelta)
    )
    check(got, recording)


def check(got: bytes, recording: Recording) -> None:
    """Check what a client gets against OpenAI's types."""
    if not recording.is_stream:
        check_response(orjson.loads(got))
        return
    for data in events(got.decode()):
        check_event(json.loads(data))


@pytest.mark.parametrize("upstream", [CHAT, MESSAGES, GENERATE])
def test_enough_crosses_over_from_each_api(upstream: Endpoint.ValueType) -> None:
    """A reader that refuses everything would pass the test above."""
    of_upstream = [one for one in recordings().values() if endpoint_of(one) == upstream]
    assert sum(crossed(one) is not None for one in of_upstream) >= LEAST_CROSSINGS
