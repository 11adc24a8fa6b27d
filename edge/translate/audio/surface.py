"""POST /v1/audio/speech and /v1/audio/transcriptions as a client API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from edge.translate import openai_errors
from edge.translate.audio import speech, transcription
from edge.translate.audio.speech import NativeSpeech, SpeechRequest
from edge.translate.audio.transcription import NativeTranscription, TranscriptionRequest
from edge.translate.surface import EVENT_STREAM, ModelLimits, NoWay, Problem, Terms, Translation
from kit.hold import RequestShape
from oneapi.catalog.v1 import catalog_pb2
from oneapi.common.v1 import endpoint_pb2

# The generated enums search their descriptors at each access.
_SPEECH: Final = endpoint_pb2.ENDPOINT_AUDIO_SPEECH
_TRANSCRIPTIONS: Final = endpoint_pb2.ENDPOINT_AUDIO_TRANSCRIPTIONS


class Speech:
    """The endpoint's side of clients."""

    endpoint = _SPEECH
    kind = int(catalog_pb2.Model.KIND_SPEECH)

    def read(
        self, raw: bytes, _sent: Mapping[bytes, bytes], _path: str, _query: bytes
    ) -> SpeechCall:
        """Return the request of a JSON body.

        Raises:
            InvalidRequest: the subclass says how, its `param` says where.
        """
        return SpeechCall(speech.read(raw))

    def error_body(self, problem: Problem, _request_id: str) -> bytes:
        """Return an error in OpenAI's envelope."""
        return openai_errors.error_body(problem)


class Transcriptions:
    """The endpoint's side of clients."""

    endpoint = _TRANSCRIPTIONS
    kind = int(catalog_pb2.Model.KIND_TRANSCRIPTION)

    def read(
        self, raw: bytes, sent: Mapping[bytes, bytes], _path: str, _query: bytes
    ) -> TranscriptionCall:
        """Return the request of a form.

        Raises:
            InvalidRequest: the subclass says how, its `param` says where.
        """
        return TranscriptionCall(transcription.read(raw, sent.get(b"content-type", b"")))

    def error_body(self, problem: Problem, _request_id: str) -> bytes:
        """Return an error in OpenAI's envelope."""
        return openai_errors.error_body(problem)


class _Call:
    """What both have in common: no limit of output can be sent, one answer, never free."""

    __slots__ = (
        "choices",
        "is_free",
        "media_bytes",
        "model",
        "service_tier",
        "stream",
        "stream_type",
        "token_limit",
    )

    def __init__(self, model: str | None, stream_type: bytes, *, stream: bool) -> None:
        self.model = model
        self.service_tier: str | None = None
        self.stream = stream
        self.stream_type = stream_type
        # A request that cannot be paid for whole is refused: its output cannot be capped.
        self.token_limit: int | None = 1
        self.choices = 1
        self.media_bytes = 0
        self.is_free = False


class SpeechCall(_Call):
    """A checked request for speech: always streamed, as audio or as events."""

    __slots__ = ("_request",)

    def __init__(self, request: SpeechRequest) -> None:
        super().__init__(request.model, request.stream_type, stream=True)
        self._request = request

    def shape(self, limits: ModelLimits) -> RequestShape:
        """Return the counts that bound what this request can use with this model."""
        return self._request.shape(limits)

    def translation(self, terms: Terms) -> Translation:
        """Return how this request reaches a candidate.

        Raises:
            NoWay: the candidate does not serve the endpoint itself.
        """
        if _SPEECH not in terms.serves:
            raise NoWay
        return NativeSpeech(self._request, terms)

    def error_event(self, problem: Problem, _request_id: str) -> bytes:
        """Return an error inside the answer: audio has no place for one."""
        if self.stream_type is EVENT_STREAM:
            return openai_errors.error_event(problem)
        return b""


class TranscriptionCall(_Call):
    """A checked request for a transcription."""

    __slots__ = ("_request",)

    def __init__(self, request: TranscriptionRequest) -> None:
        super().__init__(request.model, EVENT_STREAM, stream=request.stream)
        self._request = request
        self.media_bytes = request.form.file_bytes

    def shape(self, limits: ModelLimits) -> RequestShape:
        """Return the counts that bound what this request can use with this model.

        Raises:
            InvalidRequest: the model takes no audio, or cannot stream.
        """
        return self._request.shape(limits)

    def translation(self, terms: Terms) -> Translation:
        """Return how this request reaches a candidate.

        Raises:
            NoWay: the candidate does not serve the endpoint itself.
        """
        if _TRANSCRIPTIONS not in terms.serves:
            raise NoWay
        return NativeTranscription(self._request, terms)

    def error_event(self, problem: Problem, _request_id: str) -> bytes:
        """Return an error inside a stream, as OpenAI's SDKs raise it."""
        return openai_errors.error_event(problem)
