"""Embeddings for an upstream that serves OpenAI's embeddings: bytes pass, with our edits.

A field that the client did not send is not sent on as null either: some upstreams refuse that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NoReturn

import orjson

from edge.translate import splice
from edge.translate.answer import JSON_TYPE, AnswerStream, WholeAnswer
from edge.translate.embeddings import usage
from edge.translate.embeddings.request import EmbeddingRequest
from edge.translate.errors import MalformedAnswer
from edge.translate.json_body import answer_object
from edge.translate.native_body import forwarded
from edge.translate.surface import Header, Terms
from edge.translate.usage import PriceOf, UsageTally
from oneapi.metering.v1.usage_record_pb2 import FinishReason


@dataclass(frozen=True, slots=True)
class Dialect:
    """How an upstream's embeddings differ: the field of dimensions; is `float` known."""

    dimensions_field: str = "dimensions"
    knows_float: bool = True


_OPENAI: Final = Dialect()
_BY_UPSTREAM: Final = {
    "mistral": Dialect(dimensions_field="output_dimension"),
    # Takes `base64` or nothing (Voyage API reference, embeddings).
    "voyage": Dialect(dimensions_field="output_dimension", knows_float=False),
}


class NativeEmbedding:
    """One request for one candidate, and its answer on the way back."""

    __slots__ = ("_request", "_terms")

    path = b"/embeddings"
    headers: tuple[Header, ...] = ()
    content_type = JSON_TYPE
    written_bytes = 0

    def __init__(self, request: EmbeddingRequest, terms: Terms) -> None:
        self._request = request
        self._terms = terms

    def body(self, _output_limit: int | None) -> bytes:
        """Return the body for the upstream."""
        dialect = _BY_UPSTREAM.get(self._terms.upstream, _OPENAI)
        body = forwarded(self._request.body, self._terms.upstream_model)
        if dialect.dimensions_field != "dimensions" and "dimensions" in body:
            body[dialect.dimensions_field] = body.pop("dimensions")
        if not dialect.knows_float and body.get("encoding_format") == "float":
            del body["encoding_format"]
        return orjson.dumps(body)

    def stream(self, _price_of: PriceOf) -> AnswerStream:
        """Embeddings have no streams."""
        no_stream()

    def whole(self, body: bytes, _content_type: bytes, price_of: PriceOf) -> WholeAnswer:
        """Return the answer with the public model id and the cost; vectors stay as they are.

        Raises:
            MalformedAnswer: it is not a list of embeddings.
        """
        answer = answer_object(body)
        data = answer.get("data")
        if not isinstance(data, list):
            raise MalformedAnswer
        tally = UsageTally(price_of)
        edits: dict[str, bytes | None] = {}
        if "model" in answer:
            edits["model"] = orjson.dumps(self._terms.public_model)
        if isinstance(counted := answer.get("usage"), dict):
            cost = tally.take(usage.from_openai(counted))
            if tally.quantities is not None:
                shown = usage.shown(tally.quantities, cost)
                edits["usage"] = orjson.dumps({**counted, **shown})
        return WholeAnswer(
            body=splice.edit(body, answer, edits),
            quantities=tally.quantities,
            usage_invalid=tally.invalid,
            finish_reason=FinishReason.FINISH_REASON_STOP,
            has_output=bool(data),
            content_bytes=0,
        )


def no_stream() -> NoReturn:
    """Refuse what no request asks for: none of this surface has `stream`."""
    raise AssertionError("this surface has no streams")
