"""Images of an OpenAI-compatible upstream: bytes pass, but for the cost in `usage`."""

from __future__ import annotations

from typing import Any, Final

import orjson

from edge.translate import finish, sse
from edge.translate.answer import StreamEnding, WholeAnswer
from edge.translate.images.request import ImageRequest
from edge.translate.images.stream import Edits, ImageFrames
from edge.translate.images.usage import estimated, from_images, is_counted_by_us
from edge.translate.json_body import answer_object
from edge.translate.native_stream import CostOf, NativeStream
from edge.translate.openai_errors import failed_event
from edge.translate.splice import edit
from edge.translate.surface import Header, Terms
from edge.translate.usage import PriceOf, UsageTally, with_cost
from kit.charge import Quantities

MAX_FRAME_BYTES: Final = sse.LARGE_FRAME_BYTES
"""An event of a stream of images holds a whole one: 3840 x 2160 points as base64, at the most."""


class NativeImages:
    """One request for images for one candidate."""

    __slots__ = ("_request", "_terms", "content_type", "path")

    headers: tuple[Header, ...] = ()
    written_bytes = 0

    def __init__(self, request: ImageRequest, terms: Terms, path: bytes) -> None:
        self._request = request
        self._terms = terms
        self.path = path
        self.content_type = request.content_type(terms)

    def body(self, _output_limit: int | None) -> bytes:
        """Return the body for the upstream; no limit of ours fits in, and none is ever applied."""
        return self._request.written(self._terms)

    def stream(self, price_of: PriceOf) -> NativeStream:
        """Return what carries the events to the client."""
        look = ImageFrames(self._counted)
        return NativeStream(
            look,
            StreamEnding.TERMINAL,
            price_of,
            failed_event,
            MAX_FRAME_BYTES,
            estimate=lambda: self._estimated(look.completed),
        )

    def whole(self, body: bytes, _content_type: bytes, price_of: PriceOf) -> WholeAnswer:
        """Return a whole answer as the client gets it.

        Raises:
            MalformedAnswer: it is not a JSON object.
        """
        answer = answer_object(body)
        tally = UsageTally(price_of)
        images = images_in(answer)
        edits = self._counted(body, answer, images, tally.take)
        if "model" in answer:
            edits["model"] = orjson.dumps(self._terms.public_model)
        return WholeAnswer(
            body=edit(body, answer, edits),
            quantities=tally.quantities,
            usage_invalid=tally.invalid,
            finish_reason=finish.STOP if images else finish.UNSPECIFIED,
            has_output=images > 0,
            content_bytes=0,
            estimated=self._estimated(images),
        )

    def _counted(
        self, document: bytes, answer: dict[str, Any], images: int, cost_of: CostOf
    ) -> Edits:
        """Count what an answer or an event with so many images used; return the cost's edits.

        Where the price is by the image, what else the provider counts says nothing.
        """
        usage = answer.get("usage")
        if is_counted_by_us(self._terms.max_output_tokens):
            cost = cost_of(self._estimated(images))
        elif isinstance(usage, dict):
            cost = cost_of(from_images(usage))
        else:
            return {}
        return with_cost(document, answer, cost) if isinstance(usage, dict) else {}

    def _estimated(self, images: int) -> Quantities:
        request = self._request
        return estimated(
            request.text_bytes,
            images=min(images, request.images),
            image_tokens=self._terms.max_output_tokens,
        )


def images_in(answer: dict[str, Any]) -> int:
    """Return how many images an answer has."""
    data = answer.get("data")
    if not isinstance(data, list):
        return 0
    return sum(
        1 for one in data if isinstance(one, dict) and (one.get("b64_json") or one.get("url"))
    )
