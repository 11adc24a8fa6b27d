"""Embeddings for upstreams with an API of their own, answered in OpenAI's shape."""

from __future__ import annotations

from typing import Any, Final, Protocol

import orjson

from edge.translate.answer import JSON_TYPE, AnswerStream, WholeAnswer
from edge.translate.completions.request import size_of
from edge.translate.counts import Contradiction, count, details_of
from edge.translate.embeddings import usage, vectors
from edge.translate.embeddings.native import no_stream
from edge.translate.embeddings.request import EmbeddingRequest
from edge.translate.errors import MalformedAnswer, UnsupportedParameter, UnsupportedValue
from edge.translate.estimate import BYTES_PER_TOKEN
from edge.translate.json_body import answer_object
from edge.translate.surface import Header, Terms
from edge.translate.usage import PriceOf, UsageTally
from kit.charge import Quantities, quantities
from oneapi.metering.v1.usage_record_pb2 import FinishReason

HINTS: Final = frozenset({"user"})
READ: Final = frozenset({"model", "input", "encoding_format", "dimensions"})


class EmbeddingApi(Protocol):
    """How an upstream is asked for embeddings, and what its answer says."""

    def path(self, terms: Terms) -> bytes:
        """Return the path below the upstream's base URL."""

    def write(self, texts: list[str], request: EmbeddingRequest, terms: Terms) -> dict[str, Any]:
        """Return the body for the upstream."""

    def read(self, answer: dict[str, Any]) -> tuple[list[Any], Quantities | None, bool]:
        """Return vectors in the order of the texts, what was counted, and whether it is untrue.

        Raises:
            MalformedAnswer: it is not what this API answers.
        """


class GoogleEmbeddings:
    """Gemini's `batchEmbedContents`, which counts nothing in most answers."""

    def path(self, terms: Terms) -> bytes:
        """Return the path, which has the model."""
        return f"/models/{terms.upstream_model}:batchEmbedContents".encode()

    def write(self, texts: list[str], request: EmbeddingRequest, terms: Terms) -> dict[str, Any]:
        """Return a request for each text."""
        common: dict[str, Any] = {"model": f"models/{terms.upstream_model}"}
        if request.dimensions is not None:
            common["outputDimensionality"] = request.dimensions
        return {"requests": [{**common, "content": {"parts": [{"text": one}]}} for one in texts]}

    def read(self, answer: dict[str, Any]) -> tuple[list[Any], Quantities | None, bool]:
        """Return the values of each embedding, and the prompt's tokens where they are counted.

        Raises:
            MalformedAnswer: it has no embeddings.
        """
        embeddings = answer.get("embeddings")
        if not isinstance(embeddings, list):
            raise MalformedAnswer
        found = [one.get("values") if isinstance(one, dict) else None for one in embeddings]
        try:
            metadata = details_of(answer, "usageMetadata")
            if metadata.get("promptTokenCount") is None:
                return found, None, False
            counted = quantities(input=count(metadata, "promptTokenCount"), requests=1)
        except Contradiction:
            return found, None, True
        return found, counted, False


class CohereEmbeddings:
    """Cohere's `/v2/embed`, for upstreams at that API; `input_type` is what search indexes."""

    def path(self, _terms: Terms) -> bytes:
        """Return the path."""
        return b"/embed"

    def write(self, texts: list[str], request: EmbeddingRequest, terms: Terms) -> dict[str, Any]:
        """Return the request; vectors come as the client wants them."""
        body: dict[str, Any] = {
            "model": terms.upstream_model,
            "texts": texts,
            "input_type": "search_document",
            "embedding_types": [request.encoding or "float"],
        }
        if request.dimensions is not None:
            body["output_dimension"] = request.dimensions
        return body

    def read(self, answer: dict[str, Any]) -> tuple[list[Any], Quantities | None, bool]:
        """Return the vectors of the one type that was asked for, and the billed tokens.

        Raises:
            MalformedAnswer: it has no embeddings.
        """
        by_type = answer.get("embeddings")
        lists = list(by_type.values()) if isinstance(by_type, dict) else []
        found = next((one for one in lists if isinstance(one, list)), None)
        if found is None:
            raise MalformedAnswer
        try:
            billed = details_of(details_of(answer, "meta"), "billed_units")
            if billed.get("input_tokens") is None:
                return found, None, False
            counted = quantities(input=count(billed, "input_tokens"), requests=1)
        except Contradiction:
            return found, None, True
        return found, counted, False


class CrossingEmbedding:
    """One request for one candidate of another API, and its answer on the way back."""

    __slots__ = ("_api", "_body", "_request", "_terms", "headers", "path")

    content_type = JSON_TYPE
    written_bytes = 0
    """Only the texts are read, which are the client's: the JSON around each is no input."""

    def __init__(self, request: EmbeddingRequest, api: EmbeddingApi, terms: Terms) -> None:
        """Write the request in the upstream's API.

        Raises:
            InvalidRequest: it cannot be expressed there; the client's field is named.
        """
        self._request = request
        self._api = api
        self._terms = terms
        self._body = orjson.dumps(api.write(_texts(request), request, terms))
        self.path = api.path(terms)
        self.headers: tuple[Header, ...] = ()

    def body(self, _output_limit: int | None) -> bytes:
        """Return the body for the upstream."""
        return self._body

    def stream(self, _price_of: PriceOf) -> AnswerStream:
        """Embeddings have no streams."""
        no_stream()

    def whole(self, body: bytes, _content_type: bytes, price_of: PriceOf) -> WholeAnswer:
        """Return the answer in OpenAI's shape; without counts the caller estimates.

        Raises:
            MalformedAnswer: it is not what the upstream's API answers.
        """
        found, counted, is_untrue = self._api.read(answer_object(body))
        if len(found) != len(self._request.inputs):
            raise MalformedAnswer
        tally = UsageTally(price_of)
        cost = tally.take(counted) if counted is not None or is_untrue else None
        answer: dict[str, Any] = {
            "object": "list",
            "data": [
                {
                    "object": "embedding",
                    "index": index,
                    "embedding": vectors.encoded(vector, self._request.encoding),
                }
                for index, vector in enumerate(found)
            ],
            "model": self._terms.public_model,
            # OpenAI's schema requires it: 0 where nothing was counted.
            "usage": usage.shown(tally.quantities or quantities(), cost),
        }
        return WholeAnswer(
            body=orjson.dumps(answer),
            quantities=tally.quantities,
            usage_invalid=tally.invalid,
            finish_reason=FinishReason.FINISH_REASON_STOP,
            has_output=bool(found),
            content_bytes=0,
            estimated=quantities(input=_estimated_tokens(self._request), requests=1),
        )


def _estimated_tokens(request: EmbeddingRequest) -> int:
    """Return the tokens of the inputs as we estimate them; the rest of the body is not read."""
    return max(1, sum(map(size_of, request.inputs)) // BYTES_PER_TOKEN)


def _texts(request: EmbeddingRequest) -> list[str]:
    """Return the inputs as texts; tokens are those of one tokeniser, which is not the upstream's.

    Raises:
        InvalidRequest: an input is tokens, or a field has no place elsewhere.
    """
    for name, value in request.body.items():
        if value is not None and name not in READ and name not in HINTS:
            # Names that we do not know are the client's words.
            raise UnsupportedParameter("body")
    texts = [one for one in request.inputs if isinstance(one, str)]
    if len(texts) != len(request.inputs):
        raise UnsupportedValue("input")
    return texts
