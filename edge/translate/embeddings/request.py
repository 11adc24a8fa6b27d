"""Embeddings as a client asks for them: what we use is checked, everything else passes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from edge.translate import fields, native_body
from edge.translate.chat.native import model_of
from edge.translate.completions.request import Prompt, prompts_of, size_of
from edge.translate.errors import InvalidValue
from edge.translate.json_body import written
from edge.translate.surface import ModelLimits
from kit.hold import RequestShape

MAX_INPUTS: Final = 2_048
MAX_DIMENSIONS: Final = 65_536
FORMATS: Final = frozenset({"float", "base64"})


# What is made for each request is not frozen: that would double the time of making it.
@dataclass(slots=True)
class EmbeddingRequest:
    """A checked request. `body` and `inputs` are content: they are never shown, logged or kept.

    `encoding` is None where the client did not say; then vectors are lists of numbers.
    """

    body: dict[str, Any] = field(repr=False)
    inputs: list[Prompt] = field(repr=False)
    model: str | None = field(repr=False)
    encoding: str | None
    dimensions: int | None


def parse(body: dict[str, Any]) -> EmbeddingRequest:
    """Return the request, or say which field is wrong.

    Raises:
        InvalidRequest: the subclass says how, its `param` says where.
    """
    native_body.refuse_unbound(body)
    encoding = fields.text(body, "encoding_format")
    if encoding is not None and encoding not in FORMATS:
        raise InvalidValue("encoding_format")
    return EmbeddingRequest(
        body=body,
        inputs=prompts_of(body, "input", MAX_INPUTS),
        model=model_of(body),
        encoding=encoding,
        dimensions=fields.integer(body, "dimensions", minimum=1, maximum=MAX_DIMENSIONS),
    )


def shape(request: EmbeddingRequest, limits: ModelLimits) -> RequestShape:
    """Return the counts that bound what this request can use with this model.

    There is no output. Providers add to each input.

    Raises:
        InvalidRequest: the body is nested too deeply to be sent on.
    """
    rest = {name: value for name, value in request.body.items() if name != "input"}
    return RequestShape(
        text_bytes=len(written(rest)) + sum(map(size_of, request.inputs)),
        overhead_tokens=limits.input_overhead_tokens * len(request.inputs),
        choices=0,
    )
