"""POST /v1/completions: OpenAI's text completions as a client API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from edge.translate import sse
from edge.translate.chat.stream import upstream_error_event
from edge.translate.chat.surface import error_body
from edge.translate.completions import to_neutral
from edge.translate.completions.answer_writer import CompletionWriter
from edge.translate.completions.native import NativeCompletion
from edge.translate.completions.request import CompletionRequest, parse
from edge.translate.completions.shape import shape
from edge.translate.json_body import parsed
from edge.translate.neutral.conversation import Conversation
from edge.translate.surface import EVENT_STREAM, ModelLimits, Problem, Terms, Translation
from edge.translate.upstreams import crossing
from kit.hold import RequestShape
from oneapi.catalog.v1 import catalog_pb2
from oneapi.common.v1 import endpoint_pb2

# The generated enums search their descriptors at each access.
_COMPLETIONS: Final = endpoint_pb2.ENDPOINT_COMPLETIONS


class CompletionsSurface:
    """The endpoint's side of clients."""

    endpoint = _COMPLETIONS
    kind = int(catalog_pb2.Model.KIND_TEXT)

    def read(
        self, raw: bytes, _sent: Mapping[bytes, bytes], _path: str, _query: bytes
    ) -> CompletionCall:
        """Return the request of a body.

        Raises:
            InvalidRequest: the subclass says how, its `param` says where.
        """
        return CompletionCall(parse(parsed(raw)))

    def error_body(self, problem: Problem, _request_id: str) -> bytes:
        """Return an error in OpenAI's envelope."""
        return error_body(problem)


class CompletionCall:
    """A checked request; what it holds is content."""

    __slots__ = (
        "_conversation",
        "_request",
        "choices",
        "is_free",
        "media_bytes",
        "model",
        "service_tier",
        "stream",
        "stream_type",
        "token_limit",
    )

    def __init__(self, request: CompletionRequest) -> None:
        self._request = request
        self._conversation: Conversation | None = None
        self.model = request.model
        self.service_tier = request.service_tier
        self.stream = request.stream
        self.token_limit: int | None = request.token_limit
        self.choices = request.choices
        self.media_bytes = 0
        self.is_free = False
        self.stream_type = EVENT_STREAM

    def shape(self, limits: ModelLimits) -> RequestShape:
        """Return the counts that bound what this request can use with this model.

        Raises:
            InvalidRequest: the body cannot be sent on.
        """
        return shape(self._request, limits)

    def translation(self, terms: Terms) -> Translation:
        """Return how this request reaches a candidate.

        Raises:
            InvalidRequest: something in it cannot be carried over; the field is named.
        """
        if _COMPLETIONS in terms.serves:
            return NativeCompletion(self._request, terms)
        return crossing(self, terms)

    def conversation(self) -> Conversation:
        """Return the request in the neutral form, read once.

        Raises:
            InvalidRequest: the neutral form has no place for something; the field is named.
        """
        if self._conversation is None:
            self._conversation = to_neutral.conversation(self._request)
        return self._conversation

    def writer(self, terms: Terms) -> CompletionWriter:
        """Return what writes one answer as a completion."""
        return CompletionWriter(terms, include_usage=self._request.include_usage)

    def failed_event(self, message: str) -> bytes:
        """Return a provider's in-band error in OpenAI's shape, with our code."""
        return upstream_error_event(message)

    def error_event(self, problem: Problem, _request_id: str) -> bytes:
        """Return the in-band error of a stream, as OpenAI's SDKs raise it."""
        return sse.frame_of(error_body(problem))
