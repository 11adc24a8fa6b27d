"""Generated content by an upstream that serves it: the request, and the whole answer.

Unknown fields pass. What the provider sees is what is billed: the object is serialised again from
what was parsed, in one spelling.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from edge.translate import finish, splice
from edge.translate.answer import JSON_TYPE, StreamEnding, WholeAnswer
from edge.translate.errors import MalformedAnswer
from edge.translate.generate.errors import failed_frame
from edge.translate.generate.seals import without_foreign
from edge.translate.generate.stream import GenerateLook
from edge.translate.json_body import answer_object, written
from edge.translate.native_stream import NativeStream
from edge.translate.surface import Header, Terms
from edge.translate.usage import PriceOf, UsageTally

NOT_FORWARDED: Final = ("model", "labels")
"""The model stands in the path; labels are kept in the provider's billing."""


class NativeGenerate:
    """One request for one candidate, and its answer on the way back."""

    __slots__ = (
        "_body",
        "_choices",
        "_terms",
        "content_type",
        "headers",
        "path",
        "written_bytes",
    )

    def __init__(
        self, body: Mapping[str, Any], terms: Terms, *, stream: bool, choices: int, tier: str | None
    ) -> None:
        """`tier` is the service tier that chose a lane: it would change the upstream's price."""
        self._terms = terms
        self._choices = choices
        self._body = {name: value for name, value in body.items() if name not in NOT_FORWARDED}
        self._body["contents"] = without_foreign(body["contents"])
        if tier is not None:
            self._body.pop("serviceTier", None)
        if self._body.get("store"):
            self._body["store"] = False
        self.path = path_of(terms.upstream_model, stream=stream)
        self.headers: tuple[Header, ...] = ()
        self.content_type = JSON_TYPE
        self.written_bytes = 0

    def body(self, output_limit: int | None) -> bytes:
        """Return the body for the upstream; `output_limit` caps the tokens of a candidate."""
        return written(limited(self._body, output_limit))

    def stream(self, price_of: PriceOf) -> NativeStream:
        """Return what carries a streamed answer to the client.

        This API has no terminal frame: its streams end with their body.
        """
        look = GenerateLook(self._terms.public_model)
        return NativeStream(look, StreamEnding.EOF, price_of, failed_frame, choices=self._choices)

    def whole(self, body: bytes, _content_type: bytes, price_of: PriceOf) -> WholeAnswer:
        """Return a whole answer with our two edits: the public model id, and the cost.

        Raises:
            MalformedAnswer: the body is not an answer of this API.
        """
        answer = answer_object(body)
        tally = UsageTally(price_of)
        look = GenerateLook(self._terms.public_model).look(body, answer, tally.take)
        if look.error is not None:
            raise MalformedAnswer
        return WholeAnswer(
            body=splice.edit(body, answer, look.edits),
            quantities=tally.quantities,
            usage_invalid=tally.invalid,
            finish_reason=finish.of_choices(reason for _, reason in look.finished),
            has_output=look.made,
            content_bytes=look.content_bytes,
        )


def path_of(model: str, *, stream: bool) -> bytes:
    """Return where a model generates, below the upstream's base URL."""
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"/models/{quote(model, safe='/+')}:{method}".encode()


def limited(body: Mapping[str, Any], output_limit: int | None) -> dict[str, Any]:
    """Return the body with an output limit of ours, the smaller one where it has its own."""
    if output_limit is None:
        return dict(body)
    config = body.get("generationConfig") or {}
    own = config.get("maxOutputTokens")
    limit = output_limit if own is None else min(int(own), output_limit)
    return {**body, "generationConfig": {**config, "maxOutputTokens": limit}}
