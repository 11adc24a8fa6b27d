"""POST /v1beta/models/{model}:countTokens: what a request would read, counted by the provider.

It is free. Only an upstream that serves this API can count for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from edge.translate import finish, sse
from edge.translate.answer import JSON_TYPE, AnswerStream, WholeAnswer
from edge.translate.errors import CountingUnavailable, InvalidType, MalformedAnswer
from edge.translate.generate import shape
from edge.translate.generate.errors import envelope
from edge.translate.generate.request import check_contents, refuse_kept
from edge.translate.generate.seals import without_foreign
from edge.translate.generate.spelling import camel_case, canonical
from edge.translate.json_body import answer_object, written
from edge.translate.surface import EVENT_STREAM, Header, ModelLimits, Problem, Terms
from edge.translate.usage import PriceOf
from kit.hold import RequestShape
from oneapi.common.v1.endpoint_pb2 import Endpoint

# Both: an upstream of Anthropic's counts tokens too, in its own way.
_NEEDED: Final = frozenset({Endpoint.ENDPOINT_COUNT_TOKENS, Endpoint.ENDPOINT_GENERATE_CONTENT})
_WHOLE_REQUEST: Final = "generateContentRequest"


class CountRequest:
    """A checked request. `body` is content: it is never shown, logged or kept."""

    __slots__ = (
        "body",
        "choices",
        "is_free",
        "media_bytes",
        "model",
        "service_tier",
        "stream",
        "stream_type",
        "token_limit",
    )

    def __init__(self, sent: Mapping[str, Any], model: str) -> None:
        """Check what we use: contents, or a whole request to generate.

        Raises:
            InvalidRequest: the subclass says how, its `param` says where.
        """
        body = {camel_case(name): value for name, value in sent.items()}
        inner = body.get(_WHOLE_REQUEST)
        if inner is not None and not isinstance(inner, dict):
            raise InvalidType(_WHOLE_REQUEST, "an object")
        counted = canonical(body if inner is None else inner)
        check_contents(counted)
        refuse_kept(counted)
        shape.refuse_provider_tools(counted)
        self.media_bytes = shape.media_bytes(counted)
        self.body = counted
        self.model: str | None = model
        self.service_tier: str | None = None
        self.stream = False
        self.stream_type = EVENT_STREAM
        self.token_limit: int | None = None
        self.choices = 1
        self.is_free = True

    def shape(self, limits: ModelLimits) -> RequestShape:
        """Return the counts that bound the request.

        Raises:
            InvalidRequest: it has media for which the catalogue has no maximum.
        """
        return shape.shape(self.body, 1, limits)

    def translation(self, terms: Terms) -> NativeCount:
        """Return how this request reaches a candidate.

        Raises:
            CountingUnavailable: the candidate cannot count for this API.
            NestedTooDeeply: it cannot be sent on.
        """
        if not terms.serves >= _NEEDED:
            raise CountingUnavailable
        return NativeCount(self.body, terms)

    def error_event(self, problem: Problem, request_id: str) -> bytes:
        """Return an error as a frame; counts are not streamed."""
        return sse.frame_of(envelope(problem, request_id))


class NativeCount:
    """One count for one candidate."""

    __slots__ = ("_body", "content_type", "headers", "path", "written_bytes")

    def __init__(self, body: Mapping[str, Any], terms: Terms) -> None:
        """Write the request, one level deeper than it came.

        Raises:
            NestedTooDeeply: there it is too deep.
        """
        model = terms.upstream_model.removeprefix("models/")
        # Contents alone would leave out instructions and tools.
        named = {name: value for name, value in body.items() if name not in {"labels", "model"}}
        named["contents"] = without_foreign(body["contents"])
        self._body = written({_WHOLE_REQUEST: {"model": f"models/{model}", **named}})
        self.path = f"/models/{quote(model, safe='/+')}:countTokens".encode()
        self.headers: tuple[Header, ...] = ()
        self.content_type = JSON_TYPE
        self.written_bytes = 0

    def body(self, _output_limit: int | None) -> bytes:
        """Return the body for the upstream."""
        return self._body

    def stream(self, _price_of: PriceOf) -> AnswerStream:
        """Refuse: the request never asks for a stream."""
        raise MalformedAnswer

    def whole(self, body: bytes, _content_type: bytes, _price_of: PriceOf) -> WholeAnswer:
        """Return the count as it came.

        Raises:
            MalformedAnswer: the body is not a JSON object.
        """
        if answer_object(body).get("error"):
            raise MalformedAnswer
        return WholeAnswer(
            body=body,
            quantities=None,
            usage_invalid=False,
            finish_reason=finish.UNSPECIFIED,
            has_output=False,
            content_bytes=0,
        )
