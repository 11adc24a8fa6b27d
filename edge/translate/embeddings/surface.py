"""POST /v1/embeddings: OpenAI's embeddings as a client API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from edge.translate.answer import JSON_TYPE
from edge.translate.chat.surface import error_body
from edge.translate.embeddings.native import NativeEmbedding
from edge.translate.embeddings.request import EmbeddingRequest, parse, shape
from edge.translate.embeddings.upstream import (
    CohereEmbeddings,
    CrossingEmbedding,
    EmbeddingApi,
    GoogleEmbeddings,
)
from edge.translate.json_body import parsed
from edge.translate.surface import ModelLimits, NoWay, Problem, Terms, Translation
from kit.hold import RequestShape
from oneapi.catalog.v1 import catalog_pb2
from oneapi.common.v1 import endpoint_pb2

# The generated enums search their descriptors at each access.
_EMBEDDINGS: Final = endpoint_pb2.ENDPOINT_EMBEDDINGS
_GENERATE: Final = endpoint_pb2.ENDPOINT_GENERATE_CONTENT
_OWN_APIS: Final[dict[str, EmbeddingApi]] = {"cohere-v2": CohereEmbeddings()}
"""Upstreams, by their names in the catalogue, that embed by an API of their own."""
_GOOGLE: Final = GoogleEmbeddings()


class EmbeddingsSurface:
    """The endpoint's side of clients."""

    endpoint = _EMBEDDINGS
    kind = int(catalog_pb2.Model.KIND_EMBEDDING)

    def read(
        self, raw: bytes, _sent: Mapping[bytes, bytes], _path: str, _query: bytes
    ) -> EmbeddingCall:
        """Return the request of a body.

        Raises:
            InvalidRequest: the subclass says how, its `param` says where.
        """
        return EmbeddingCall(parse(parsed(raw)))

    def error_body(self, problem: Problem, _request_id: str) -> bytes:
        """Return an error in OpenAI's envelope."""
        return error_body(problem)


class EmbeddingCall:
    """A checked request; what it holds is content."""

    __slots__ = ("_request", "media_bytes", "model")

    service_tier: str | None = None
    stream = False
    token_limit: int | None = 1
    """There is no output: the least that admission takes, of no choice."""
    choices = 0
    is_free = False
    stream_type = JSON_TYPE

    def __init__(self, request: EmbeddingRequest) -> None:
        self._request = request
        self.model = request.model
        self.media_bytes = 0

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
        own = _OWN_APIS.get(terms.upstream)
        if own is not None:
            return CrossingEmbedding(self._request, own, terms)
        if _EMBEDDINGS in terms.serves:
            return NativeEmbedding(self._request, terms)
        if _GENERATE in terms.serves:
            return CrossingEmbedding(self._request, _GOOGLE, terms)
        raise NoWay

    def error_event(self, _problem: Problem, _request_id: str) -> bytes:
        """Return nothing: there are no streams."""
        return b""
