"""POST /v1/messages and /v1/messages/count_tokens: Anthropic's Messages as a client API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from edge.translate.errors import CountingUnavailable
from edge.translate.json_body import parsed, written
from edge.translate.messages import errors, request, searches, shape
from edge.translate.messages.answer_writer import MessagesWriter
from edge.translate.messages.native import NativeCount, NativeMessages
from edge.translate.messages.request import MessagesRequest
from edge.translate.messages.to_neutral import conversation
from edge.translate.neutral.conversation import Conversation
from edge.translate.surface import EVENT_STREAM, ModelLimits, Problem, Terms, Translation
from edge.translate.upstreams import crossing
from kit.hold import RequestShape
from oneapi.catalog.v1 import catalog_pb2
from oneapi.common.v1 import endpoint_pb2

# The generated enums search their descriptors at each access.
_MESSAGES: Final = endpoint_pb2.ENDPOINT_MESSAGES
_COUNT: Final = endpoint_pb2.ENDPOINT_COUNT_TOKENS
_TEXT: Final = int(catalog_pb2.Model.KIND_TEXT)


class MessagesSurface:
    """The endpoint's side of clients."""

    endpoint = _MESSAGES
    kind = _TEXT

    def read(
        self, raw: bytes, sent: Mapping[bytes, bytes], _path: str, query: bytes
    ) -> MessagesCall:
        """Return the request of a body.

        Raises:
            InvalidRequest: the subclass says how, its `param` says where.
        """
        return MessagesCall(request.parse(parsed(raw), sent, query))

    def error_body(self, problem: Problem, request_id: str) -> bytes:
        """Return an error in Anthropic's envelope."""
        return errors.error_body(problem, request_id)


class MessagesCountSurface:
    """Counting tokens before they are sent: free, and only where an upstream counts itself."""

    endpoint = _COUNT
    kind = _TEXT

    def read(self, raw: bytes, sent: Mapping[bytes, bytes], _path: str, query: bytes) -> CountCall:
        """Return the request of a body.

        Raises:
            InvalidRequest: the subclass says how, its `param` says where.
        """
        return CountCall(request.parse(parsed(raw), sent, query, counts_only=True))

    def error_body(self, problem: Problem, request_id: str) -> bytes:
        """Return an error in Anthropic's envelope."""
        return errors.error_body(problem, request_id)


class MessagesCall:
    """A checked request; what is inside is content."""

    __slots__ = (
        "_conversation",
        "_request",
        "_searches",
        "choices",
        "is_free",
        "media_bytes",
        "model",
        "service_tier",
        "stream",
        "stream_type",
        "token_limit",
    )

    def __init__(self, asked: MessagesRequest) -> None:
        self._request = asked
        self._conversation: Conversation | None = None
        self._searches: list[int] = []
        self.model = asked.model
        self.service_tier = asked.service_tier
        self.stream = asked.stream
        self.token_limit = asked.token_limit
        self.choices = 1
        self.media_bytes = 0
        self.is_free = False
        self.stream_type = EVENT_STREAM

    def shape(self, limits: ModelLimits) -> RequestShape:
        """Return the counts that bound what this request can use with this model.

        Raises:
            InvalidRequest: it has media or tools for which the catalogue has no maximum.
        """
        bound, self.media_bytes = shape.shape(self._request.body, limits)
        self._searches = searches.uses(self._request.body, limits)
        return bound

    def translation(self, terms: Terms) -> Translation:
        """Return how this request reaches a candidate.

        Raises:
            InvalidRequest: something in it cannot be carried over; the field is named.
        """
        if _MESSAGES in terms.serves:
            return NativeMessages(self._request, terms, searches=self._searches)
        return crossing(self, terms)

    def conversation(self) -> Conversation:
        """Return the request in the neutral form, read once.

        Raises:
            InvalidRequest: the neutral form has no place for something; the field is named.
        """
        if self._conversation is None:
            self._conversation = conversation(self._request.body)
        return self._conversation

    def writer(self, terms: Terms) -> MessagesWriter:
        """Return what writes one answer."""
        return MessagesWriter(terms)

    def failed_event(self, message: str) -> bytes:
        """Return a provider's in-band error as a frame."""
        return errors.stream_error(message, "api_error", None)

    def error_event(self, problem: Problem, request_id: str) -> bytes:
        """Return the in-band error of a stream."""
        return errors.error_event(problem, request_id)


class CountCall(MessagesCall):
    """A request to count tokens."""

    __slots__ = ()

    def __init__(self, asked: MessagesRequest) -> None:
        super().__init__(asked)
        self.is_free = True
        self.token_limit = None

    def shape(self, _limits: ModelLimits) -> RequestShape:
        """Return no bound: nothing is generated, and nothing is charged.

        Raises:
            InvalidRequest: it refers to what lies under our account, or cannot be sent on.
        """
        shape.refuse_kept(self._request.body)
        return RequestShape(text_bytes=len(written(self._request.body)), overhead_tokens=0)

    def translation(self, terms: Terms) -> Translation:
        """Return how this request reaches a candidate.

        Raises:
            CountingUnavailable: it does not count tokens of messages.
        """
        if {_MESSAGES, _COUNT} <= terms.serves:
            return NativeCount(self._request, terms)
        raise CountingUnavailable
