"""Requests for transcriptions, and what comes back. Source: OpenAI API reference, audio."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from edge.translate import finish, multipart
from edge.translate.answer import JSON_TYPE, StreamEnding, WholeAnswer
from edge.translate.audio import mp3, usage, wav
from edge.translate.errors import (
    InvalidForm,
    InvalidValue,
    MalformedAnswer,
    MissingParameter,
    UnsupportedParameter,
    UnsupportedValue,
)
from edge.translate.form import Form, Kind
from edge.translate.form import read as read_form
from edge.translate.native_stream import CostOf, Look, NativeStream
from edge.translate.openai_errors import failed_event, message_of
from edge.translate.splice import edit
from edge.translate.surface import Header, ModelLimits, Terms
from edge.translate.usage import PriceOf, UsageTally, with_cost
from kit.charge import Quantities
from kit.hold import RequestShape

TEXT_TYPE: Final = b"text/plain; charset=utf-8"
JSON_FORMATS: Final = frozenset({"json", "verbose_json", "diarized_json"})
TEXT_FORMATS: Final = frozenset({"text", "srt", "vtt"})
_LISTS: Final = (
    *("include", "languages", "keywords", "timestamp_granularities"),
    *("known_speaker_names", "known_speaker_references"),
)
FIELDS: Final = {
    "file": Kind.AUDIO,
    **dict.fromkeys(
        (
            *("model", "language", "prompt", "response_format", "temperature", "stream"),
            *("chunking_strategy", "chunking_strategy[type]", "chunking_strategy[threshold]"),
            "chunking_strategy[prefix_padding_ms]",
            "chunking_strategy[silence_duration_ms]",
        ),
        Kind.TEXT,
    ),
    **dict.fromkeys((*_LISTS, *(f"{name}[]" for name in _LISTS)), Kind.TEXTS),
}


@dataclass(slots=True)
class TranscriptionRequest:
    """A checked request for a transcription; `form` is content.

    `seconds`: a bound of the audio's length where its file says it and seconds are priced. `bound`:
    the most units of audio. Both are known once `shape` was asked.
    """

    form: Form = field(repr=False)
    model: str | None = field(repr=False)
    stream: bool
    is_json: bool
    seconds: int | None = None
    bound: int = 0

    def shape(self, limits: ModelLimits) -> RequestShape:
        """Return what bounds the usage: the catalogue's most audio, or what its file holds.

        Raises:
            InvalidRequest: the model takes no audio, or cannot stream.
        """
        if limits.audio_max_tokens <= 0:
            raise UnsupportedValue("file")
        self.bound = limits.audio_max_tokens
        if usage.is_counted_by_us(limits.max_output_tokens):
            if self.stream:
                # Such models ignore the wish and send one JSON object (OpenAI API reference).
                raise UnsupportedParameter("stream")
            # Each frame of a file is a step: they are not taken where nothing depends on them.
            self.seconds = _seconds_of(self.form.files("file")[0].data)
            if self.seconds is not None:
                self.bound = min(self.bound, self.seconds)
        return RequestShape(
            text_bytes=self.form.text_bytes,
            overhead_tokens=limits.input_overhead_tokens,
            media_tokens=self.bound,
            choices=0,
            has_audio=True,
            fixed_output_tokens=limits.max_output_tokens,
        )


def read(raw: bytes, content_type: bytes) -> TranscriptionRequest:
    """Return the request of a form.

    Raises:
        InvalidRequest: the subclass says how, its `param` says where.
    """
    if not multipart.is_form(content_type):
        raise InvalidForm("The content type must be multipart/form-data with a boundary.")
    form = read_form(raw, content_type, FIELDS)
    if not form.files("file"):
        raise MissingParameter("file")
    answer_format = form.text("response_format") or "json"
    if answer_format not in JSON_FORMATS | TEXT_FORMATS:
        raise InvalidValue("response_format")
    return TranscriptionRequest(
        form=form,
        model=form.text("model") or None,
        stream=form.flag("stream"),
        is_json=answer_format in JSON_FORMATS,
    )


def _seconds_of(file: bytes | memoryview) -> int | None:
    """Return a bound of the audio's length, None where only decoding it would tell."""
    seconds = wav.seconds_of(file)
    return mp3.seconds_of(file) if seconds is None else seconds


class NativeTranscription:
    """One request for a transcription for one candidate: bytes pass, but for the cost."""

    __slots__ = ("_boundary", "_request", "_terms", "content_type")

    path = b"/audio/transcriptions"
    headers: tuple[Header, ...] = ()
    written_bytes = 0

    def __init__(self, request: TranscriptionRequest, terms: Terms) -> None:
        self._request = request
        self._terms = terms
        self._boundary = multipart.boundary_of(terms.request_id)
        self.content_type = multipart.content_type_of(self._boundary)

    def body(self, _output_limit: int | None) -> bytes:
        """Return the form for the upstream; no limit of ours fits in, and none is ever applied."""
        return self._request.form.written(self._boundary, model=self._terms.upstream_model)

    def stream(self, price_of: PriceOf) -> NativeStream:
        """Return what carries the events to the client."""
        look = TranscriptionFrames()
        return NativeStream(
            look,
            StreamEnding.TERMINAL,
            price_of,
            failed_event,
            estimate=lambda: self._estimated("".join(look.texts)),
        )

    def whole(self, body: bytes, content_type: bytes, price_of: PriceOf) -> WholeAnswer:
        """Return a whole answer as the client gets it.

        Raises:
            MalformedAnswer: it is not what was asked for.
        """
        if self._request.is_json or content_type.startswith(JSON_TYPE):
            return self._json(body, price_of)
        try:
            text = body.decode()
        except UnicodeDecodeError:
            raise MalformedAnswer from None
        return self._answer(body, TEXT_TYPE, text, UsageTally(price_of))

    def _json(self, body: bytes, price_of: PriceOf) -> WholeAnswer:
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise MalformedAnswer from None
        if not isinstance(answer, dict):
            raise MalformedAnswer
        tally = UsageTally(price_of)
        edits: dict[str, bytes | None] = {}
        has_usage = isinstance(answer.get("usage"), dict)
        by_seconds = usage.is_counted_by_us(self._terms.max_output_tokens)
        if has_usage or (by_seconds and answer.get("duration") is not None):
            cost = tally.take(usage.from_transcription(answer, by_seconds=by_seconds))
            edits = with_cost(body, answer, cost) if has_usage else {}
        text = answer.get("text")
        text = text if isinstance(text, str) else ""
        return self._answer(edit(body, answer, edits), JSON_TYPE, text, tally)

    def _answer(
        self, body: bytes, content_type: bytes, text: str, tally: UsageTally
    ) -> WholeAnswer:
        return WholeAnswer(
            body=body,
            quantities=tally.quantities,
            usage_invalid=tally.invalid,
            # Of silence nothing is to be said, and it took the same work.
            finish_reason=finish.STOP,
            has_output=bool(text),
            content_bytes=len(text.encode("utf-8", "surrogatepass")),
            content_type=content_type,
            estimated=self._estimated(text),
        )

    def _estimated(self, text: str) -> Quantities:
        return usage.estimated_transcription(
            text,
            known_seconds=self._request.seconds,
            bound=self._request.bound,
            max_output_tokens=self._terms.max_output_tokens,
        )


class TranscriptionFrames:
    """Reads `transcript.text.*` events; `done` ends the answer."""

    __slots__ = ("texts",)

    def __init__(self) -> None:
        self.texts: list[str] = []

    def look(self, data: bytes, event: dict[str, Any], cost_of: CostOf) -> Look:
        """Return what the frame with this data says; counts of usage go through `cost_of`."""
        kind = event.get("type")
        if kind == "error" or event.get("error"):
            return Look({}, error=message_of(event))
        look = Look({})
        delta = event.get("delta")
        if isinstance(delta, str) and delta:
            self.texts.append(delta)
            look.made, look.content_bytes = True, len(delta.encode("utf-8", "surrogatepass"))
        if kind == "transcript.text.done":
            look.made = look.made or bool(event.get("text"))
            look.finished = ((0, finish.STOP),)
            look.is_terminal = True
            if isinstance(event.get("usage"), dict):
                counted = usage.from_transcription(event, by_seconds=False)
                look.edits = with_cost(data, event, cost_of(counted))
        return look
