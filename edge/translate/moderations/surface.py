"""POST /v1/moderations: OpenAI's moderations, native only.

Moderations cost what the catalogue says, which may be nothing. OpenAI counts no tokens; where an
upstream does, the count is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import orjson

from edge.translate import splice
from edge.translate.answer import JSON_TYPE, AnswerStream, WholeAnswer
from edge.translate.chat.surface import error_body
from edge.translate.embeddings import usage
from edge.translate.embeddings.native import no_stream
from edge.translate.errors import MalformedAnswer
from edge.translate.json_body import answer_object, parsed
from edge.translate.moderations.request import ModerationRequest, parse, shape
from edge.translate.native_body import forwarded
from edge.translate.surface import Header, ModelLimits, NoWay, Problem, Terms, Translation
from edge.translate.usage import PriceOf, UsageTally, with_cost
from kit.hold import RequestShape
from oneapi.catalog.v1 import catalog_pb2
from oneapi.common.v1 import endpoint_pb2
from oneapi.metering.v1.usage_record_pb2 import FinishReason

# The generated enums search their descriptors at each access.
_MODERATIONS: Final = endpoint_pb2.ENDPOINT_MODERATIONS


class ModerationsSurface:
    """The endpoint's side of clients."""

    endpoint = _MODERATIONS
    kind = int(catalog_pb2.Model.KIND_MODERATION)

    def read(
        self, raw: bytes, _sent: Mapping[bytes, bytes], _path: str, _query: bytes
    ) -> ModerationCall:
        """Return the request of a body.

        Raises:
            InvalidRequest: the subclass says how, its `param` says where.
        """
        return ModerationCall(parse(parsed(raw)))

    def error_body(self, problem: Problem, _request_id: str) -> bytes:
        """Return an error in OpenAI's envelope."""
        return error_body(problem)


class ModerationCall:
    """A checked request; what it holds is content."""

    __slots__ = ("_request", "media_bytes", "model")

    service_tier: str | None = None
    stream = False
    token_limit: int | None = 1
    """There is no output: the least that admission takes, of no choice."""
    choices = 0
    is_free = False
    stream_type = JSON_TYPE

    def __init__(self, request: ModerationRequest) -> None:
        self._request = request
        self.model: str | None = request.model
        self.media_bytes = request.media_bytes

    def shape(self, limits: ModelLimits) -> RequestShape:
        """Return the counts that bound what this request can use with this model.

        Raises:
            InvalidRequest: it has images, for which the catalogue has no maximum.
        """
        return shape(self._request, limits)

    def translation(self, terms: Terms) -> Translation:
        """Return how this request reaches a candidate.

        Raises:
            NoWay: it does not serve moderations.
        """
        if _MODERATIONS in terms.serves:
            return NativeModeration(self._request, terms)
        raise NoWay

    def error_event(self, _problem: Problem, _request_id: str) -> bytes:
        """Return nothing: there are no streams."""
        return b""


class NativeModeration:
    """One request for one candidate, and its answer on the way back."""

    __slots__ = ("_request", "_terms")

    path = b"/moderations"
    headers: tuple[Header, ...] = ()
    content_type = JSON_TYPE
    written_bytes = 0

    def __init__(self, request: ModerationRequest, terms: Terms) -> None:
        self._request = request
        self._terms = terms

    def body(self, _output_limit: int | None) -> bytes:
        """Return the body for the upstream."""
        return orjson.dumps(forwarded(self._request.body, self._terms.upstream_model))

    def stream(self, _price_of: PriceOf) -> AnswerStream:
        """Moderations have no streams."""
        no_stream()

    def whole(self, body: bytes, _content_type: bytes, price_of: PriceOf) -> WholeAnswer:
        """Return the answer with the public model id, and the cost where tokens are counted.

        Raises:
            MalformedAnswer: it has no results.
        """
        answer = answer_object(body)
        if not isinstance(answer.get("results"), list):
            raise MalformedAnswer
        tally = UsageTally(price_of)
        edits: dict[str, bytes | None] = {}
        if "model" in answer:
            edits["model"] = orjson.dumps(self._terms.public_model)
        if isinstance(counted := answer.get("usage"), dict):
            edits |= with_cost(body, answer, tally.take(usage.from_openai(counted)))
        return WholeAnswer(
            body=splice.edit(body, answer, edits),
            quantities=tally.quantities,
            usage_invalid=tally.invalid,
            finish_reason=FinishReason.FINISH_REASON_STOP,
            has_output=bool(answer["results"]),
            content_bytes=0,
        )
