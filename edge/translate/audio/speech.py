"""Requests for speech, and the audio on its way back. Source: OpenAI API reference, audio."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from edge.translate import finish, json_body, native_body
from edge.translate.answer import (
    JSON_TYPE,
    AnswerStream,
    EndKind,
    Fault,
    StreamEnd,
    StreamEnding,
    WholeAnswer,
)
from edge.translate.audio import usage
from edge.translate.errors import (
    InvalidType,
    InvalidValue,
    MalformedAnswer,
    MissingParameter,
)
from edge.translate.native_stream import CostOf, Look, NativeStream
from edge.translate.openai_errors import failed_event, message_of
from edge.translate.surface import EVENT_STREAM, Header, ModelLimits, Terms
from edge.translate.usage import PriceOf, UsageTally, with_cost
from kit.charge import Quantities
from kit.hold import RequestShape

FORMAT_TYPES: Final = {
    "mp3": b"audio/mpeg",
    "opus": b"audio/ogg",
    "aac": b"audio/aac",
    "flac": b"audio/flac",
    "wav": b"audio/wav",
    "pcm": b"audio/pcm",
}
DEFAULT_FORMAT: Final = "mp3"


@dataclass(slots=True)
class SpeechRequest:
    """A checked request for speech; `body` is content. `characters`: code points of the input."""

    body: dict[str, Any] = field(repr=False)
    model: str | None = field(repr=False)
    stream_type: bytes
    characters: int
    text_bytes: int

    def shape(self, limits: ModelLimits) -> RequestShape:
        """Return what bounds the usage: characters, and the most audio of one answer."""
        return RequestShape(
            text_bytes=self.text_bytes,
            overhead_tokens=limits.input_overhead_tokens,
            choices=0,
            has_audio=True,
            fixed_output_tokens=limits.max_output_tokens,
        )


def read(raw: bytes) -> SpeechRequest:
    """Return the request of a JSON body; unknown fields pass.

    Raises:
        InvalidRequest: the subclass says how, its `param` says where.
    """
    body = json_body.parsed(raw)
    native_body.refuse_unbound(body)
    text = _text(body, "input")
    if not text:
        raise MissingParameter("input")
    audio_format = _text(body, "response_format") or DEFAULT_FORMAT
    if audio_format not in FORMAT_TYPES:
        raise InvalidValue("response_format")
    stream_format = _text(body, "stream_format") or "audio"
    if stream_format not in {"audio", "sse"}:
        raise InvalidValue("stream_format")
    return SpeechRequest(
        body=body,
        model=_text(body, "model") or None,
        stream_type=EVENT_STREAM if stream_format == "sse" else FORMAT_TYPES[audio_format],
        characters=len(text),
        text_bytes=len(json_body.written(body)),
    )


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidType(name, "a string")
    return value or ""


class NativeSpeech:
    """One request for speech for one candidate: bytes pass."""

    __slots__ = ("_request", "_terms")

    path = b"/audio/speech"
    headers: tuple[Header, ...] = ()
    content_type = JSON_TYPE
    written_bytes = 0

    def __init__(self, request: SpeechRequest, terms: Terms) -> None:
        self._request = request
        self._terms = terms

    def body(self, _output_limit: int | None) -> bytes:
        """Return the body for the upstream; no limit of ours fits in, and none is ever applied."""
        return orjson.dumps(native_body.forwarded(self._request.body, self._terms.upstream_model))

    def stream(self, price_of: PriceOf) -> AnswerStream:
        """Return what carries the audio, or the events with it, to the client."""
        request, most = self._request, self._terms.max_output_tokens
        if request.stream_type is not EVENT_STREAM:
            return AudioBytes(request.characters, most, price_of)
        look = SpeechFrames(request.characters, most)
        ending = StreamEnding.TERMINAL
        return NativeStream(look, ending, price_of, failed_event, estimate=look.estimated)

    def whole(self, _body: bytes, _content_type: bytes, _price_of: PriceOf) -> WholeAnswer:
        """Refuse: speech is always streamed.

        Raises:
            MalformedAnswer: always.
        """
        raise MalformedAnswer


class AudioBytes:
    """Audio as it comes. Its last byte waits for the end: the whole is had only if it is recorded.

    What it is made of tells nothing of its end, so the body's own end decides.
    """

    __slots__ = (
        "_characters",
        "_held",
        "_max_output_tokens",
        "_tally",
        "content_bytes",
        "events",
        "over",
    )

    def __init__(self, characters: int, max_output_tokens: int, price_of: PriceOf) -> None:
        self._characters = characters
        self._max_output_tokens = max_output_tokens
        self._tally = UsageTally(price_of)
        self._held = b""
        self.over = False
        self.events = 0
        self.content_bytes = 0

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes of the upstream; return what the client gets now."""
        if not chunk:
            return b""
        relayed = self._held + chunk[:-1]
        self._held = chunk[-1:]
        self.events += bool(relayed)
        self.content_bytes += len(relayed)
        return relayed

    def finish(self, *, body_complete: bool) -> StreamEnd:
        """Return the end. `body_complete`: the body ended at its last chunk or Content-Length."""
        made = bool(self._held)
        is_proper = body_complete and made
        if is_proper and usage.is_counted_by_us(self._max_output_tokens):
            self._tally.take(usage.of_characters(self._characters))
        return StreamEnd(
            kind=EndKind.PROPER if is_proper else EndKind.CUT,
            fault=Fault.NONE,
            tail=self._held if is_proper else b"",
            quantities=self._tally.quantities,
            usage_invalid=self._tally.invalid,
            usage_decreased=False,
            finish_reason=finish.STOP if is_proper else finish.UNSPECIFIED,
            has_output=made,
            events=self.events,
            content_bytes=self.content_bytes,
            estimated=usage.estimated_speech(
                self._characters, self.content_bytes, self._max_output_tokens
            ),
        )


class SpeechFrames:
    """Reads `speech.audio.*` events; `done` ends the answer."""

    __slots__ = ("_audio_bytes", "_characters", "_max_output_tokens")

    def __init__(self, characters: int, max_output_tokens: int) -> None:
        self._characters = characters
        self._max_output_tokens = max_output_tokens
        self._audio_bytes = 0

    def look(self, data: bytes, event: dict[str, Any], cost_of: CostOf) -> Look:
        """Return what the frame with this data says; counts of usage go through `cost_of`."""
        kind = event.get("type")
        if kind == "error" or event.get("error"):
            return Look({}, error=message_of(event))
        audio = event.get("audio")
        size = len(audio) * 3 // 4 if isinstance(audio, str) else 0
        self._audio_bytes += size
        look = Look({}, made=size > 0, content_bytes=size)
        told = event.get("usage")
        if kind == "speech.audio.done":
            look.finished = ((0, finish.STOP),)
            look.is_terminal = True
            if usage.is_counted_by_us(self._max_output_tokens):
                cost = cost_of(usage.of_characters(self._characters))
                look.edits = with_cost(data, event, cost) if isinstance(told, dict) else {}
                return look
        if isinstance(told, dict):
            look.edits = with_cost(data, event, cost_of(usage.from_speech(told)))
        return look

    def estimated(self) -> Quantities:
        """Return what to charge where the provider counts nothing."""
        return usage.estimated_speech(self._characters, self._audio_bytes, self._max_output_tokens)
