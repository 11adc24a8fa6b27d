"""POST /v1/chat/completions: OpenAI's chat completions as a client API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import orjson

from edge.translate import sse
from edge.translate.answer import JSON_TYPE, StreamEnding, WholeAnswer
from edge.translate.chat import native, shape, to_neutral
from edge.translate.chat.answer_writer import ChatAnswerWriter
from edge.translate.chat.native import ChatRequest
from edge.translate.chat.stream import ChatStream, upstream_error_event
from edge.translate.json_body import parsed
from edge.translate.neutral.conversation import Conversation
from edge.translate.quirks import quirks_of
from edge.translate.surface import (
    EVENT_STREAM,
    Header,
    ModelLimits,
    Problem,
    Terms,
    Translation,
)
from edge.translate.upstreams import crossing
from edge.translate.usage import PriceOf
from kit.hold import RequestShape
from oneapi.catalog.v1 import catalog_pb2
from oneapi.common.v1 import endpoint_pb2

# The generated enums search their descriptors at each access.
_CHAT: Final = endpoint_pb2.ENDPOINT_CHAT_COMPLETIONS
OPENROUTER: Final = "/api/"
"""Where OpenRouter's clients come; they take a cost as a number only."""


class ChatSurface:
    """The endpoint's side of clients."""

    endpoint = _CHAT
    kind = int(catalog_pb2.Model.KIND_TEXT)

    def read(self, raw: bytes, _sent: Mapping[bytes, bytes], path: str, _query: bytes) -> ChatCall:
        """Return the request of a body.

        Raises:
            InvalidRequest: the subclass says how, its `param` says where.
        """
        call = ChatCall(native.parse(parsed(raw)))
        call.cost_as_number = path.startswith(OPENROUTER)
        return call

    def error_body(self, problem: Problem, _request_id: str) -> bytes:
        """Return an error in OpenAI's envelope; its four keys are always there."""
        return error_body(problem)


class ChatCall:
    """A checked request; `chat` is content."""

    __slots__ = (
        "_chat",
        "_conversation",
        "choices",
        "cost_as_number",
        "is_free",
        "media_bytes",
        "model",
        "service_tier",
        "stream",
        "stream_type",
        "token_limit",
    )

    def __init__(self, chat: ChatRequest) -> None:
        self._chat = chat
        self._conversation: Conversation | None = None
        self.model = chat.model
        self.service_tier = chat.service_tier
        self.stream = chat.stream
        self.token_limit = chat.token_limit
        self.choices = chat.choices
        self.media_bytes = 0
        self.is_free = False
        self.cost_as_number = False
        self.stream_type = EVENT_STREAM

    def shape(self, limits: ModelLimits) -> RequestShape:
        """Return the counts that bound what this request can use with this model.

        Raises:
            InvalidRequest: it has media or tools for which the catalogue has no maximum.
        """
        bound, self.media_bytes = shape.bound_of(self._chat, limits)
        return bound

    def translation(self, terms: Terms) -> Translation:
        """Return how this request reaches a candidate.

        Raises:
            InvalidRequest: something in it cannot be carried over; the field is named.
        """
        if _CHAT in terms.serves:
            return NativeChat(self._chat, terms, cost_as_number=self.cost_as_number)
        return crossing(self, terms)

    def conversation(self) -> Conversation:
        """Return the request in the neutral form, read once.

        Raises:
            InvalidRequest: the neutral form has no place for something; the field is named.
        """
        if self._conversation is None:
            self._conversation = to_neutral.conversation(self._chat.body, self.token_limit)
        return self._conversation

    def writer(self, terms: Terms) -> ChatAnswerWriter:
        """Return what writes one answer as a chat completion."""
        return ChatAnswerWriter(
            terms,
            include_usage=self._chat.include_usage,
            cost_as_number=self.cost_as_number,
        )

    def failed_event(self, message: str) -> bytes:
        """Return a provider's in-band error in OpenAI's shape, with our code."""
        return upstream_error_event(message)

    def error_event(self, problem: Problem, _request_id: str) -> bytes:
        """Return the in-band error of a stream, as OpenAI's SDKs raise it."""
        return sse.frame_of(error_body(problem))


class NativeChat:
    """A chat for an upstream that serves chats: bytes pass, with our edits."""

    __slots__ = ("_chat", "_cost_as_number", "_terms")

    path = b"/chat/completions"
    headers: tuple[Header, ...] = ()
    content_type = JSON_TYPE
    written_bytes = 0

    def __init__(self, chat: ChatRequest, terms: Terms, *, cost_as_number: bool) -> None:
        self._chat = chat
        self._cost_as_number = cost_as_number
        self._terms = terms

    def body(self, output_limit: int | None) -> bytes:
        """Return the body for the upstream."""
        terms = self._terms
        return native.prepare(
            self._chat,
            upstream_model=terms.upstream_model,
            output_limit=output_limit,
            quirks=quirks_of(terms.upstream),
        )

    def stream(self, price_of: PriceOf) -> ChatStream:
        """Return what carries a streamed answer to the client."""
        chat, terms = self._chat, self._terms
        terminal = terms.ends_with_terminal_frame
        stream = ChatStream(
            public_model=terms.public_model,
            show_usage=chat.include_usage,
            price_of=price_of,
            ending=StreamEnding.TERMINAL if terminal else StreamEnding.EOF,
            choices=chat.choices,
            quirks=quirks_of(terms.upstream),
            cost_as_number=self._cost_as_number,
        )
        stream.searches = chat.searches
        return stream

    def whole(self, body: bytes, _content_type: bytes, price_of: PriceOf) -> WholeAnswer:
        """Return a whole answer as the client gets it.

        Raises:
            MalformedAnswer: it is not a JSON object.
        """
        terms = self._terms
        return native.response(
            body,
            public_model=terms.public_model,
            price_of=price_of,
            quirks=quirks_of(terms.upstream),
            cost_as_number=self._cost_as_number,
            searches=self._chat.searches,
        )


def error_body(problem: Problem) -> bytes:
    """Return an error in OpenAI's envelope, for every surface that is OpenAI's."""
    error = {
        "message": problem.message,
        "type": problem.type,
        "param": problem.param,
        "code": problem.code,
    }
    return orjson.dumps({"error": {**error, **problem.extra}})
