"""POST /v1/images/generations and /v1/images/edits as a client API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from edge.translate import openai_errors
from edge.translate.images.native import NativeImages
from edge.translate.images.request import ImageRequest, read_edit, read_generation
from edge.translate.surface import EVENT_STREAM, ModelLimits, NoWay, Problem, Terms, Translation
from kit.hold import RequestShape
from oneapi.catalog.v1 import catalog_pb2
from oneapi.common.v1 import endpoint_pb2

# The generated enums search their descriptors at each access.
_GENERATIONS: Final = endpoint_pb2.ENDPOINT_IMAGE_GENERATIONS
_EDITS: Final = endpoint_pb2.ENDPOINT_IMAGE_EDITS
_IMAGE: Final = int(catalog_pb2.Model.KIND_IMAGE)


class ImageGenerations:
    """The endpoint's side of clients."""

    endpoint = _GENERATIONS
    kind = _IMAGE

    def read(
        self, raw: bytes, _sent: Mapping[bytes, bytes], _path: str, _query: bytes
    ) -> ImageCall:
        """Return the request of a JSON body.

        Raises:
            InvalidRequest: the subclass says how, its `param` says where.
        """
        return ImageCall(read_generation(raw), self.endpoint, b"/images/generations")

    def error_body(self, problem: Problem, _request_id: str) -> bytes:
        """Return an error in OpenAI's envelope."""
        return openai_errors.error_body(problem)


class ImageEdits:
    """The endpoint's side of clients."""

    endpoint = _EDITS
    kind = _IMAGE

    def read(self, raw: bytes, sent: Mapping[bytes, bytes], _path: str, _query: bytes) -> ImageCall:
        """Return the request of a form, or of a JSON body.

        Raises:
            InvalidRequest: the subclass says how, its `param` says where.
        """
        read = read_edit(raw, sent.get(b"content-type", b""))
        return ImageCall(read, self.endpoint, b"/images/edits")

    def error_body(self, problem: Problem, _request_id: str) -> bytes:
        """Return an error in OpenAI's envelope."""
        return openai_errors.error_body(problem)


class ImageCall:
    """A checked request for images."""

    __slots__ = (
        "_endpoint",
        "_path",
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

    def __init__(
        self, request: ImageRequest, endpoint: endpoint_pb2.Endpoint.ValueType, path: bytes
    ) -> None:
        self._request = request
        self._endpoint = endpoint
        self._path = path
        self.model = request.model
        self.service_tier: str | None = None
        self.stream = request.stream
        # No limit of output can be sent: a request that cannot be paid for whole is refused.
        self.token_limit: int | None = 1
        self.choices = 1
        self.media_bytes = request.media_bytes
        self.is_free = False
        self.stream_type = EVENT_STREAM

    def shape(self, limits: ModelLimits) -> RequestShape:
        """Return the counts that bound what this request can use with this model.

        Raises:
            InvalidRequest: it has images and the model takes none.
        """
        return self._request.shape(limits)

    def translation(self, terms: Terms) -> Translation:
        """Return how this request reaches a candidate.

        Raises:
            NoWay: the candidate does not serve the endpoint itself.
        """
        if self._endpoint not in terms.serves:
            raise NoWay
        return NativeImages(self._request, terms, self._path)

    def error_event(self, problem: Problem, _request_id: str) -> bytes:
        """Return an error inside a stream, as OpenAI's SDKs raise it."""
        return openai_errors.error_event(problem)
