"""Moderations as a client asks for them: what we use is checked, everything else passes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from edge.translate import fields, native_body
from edge.translate.chat.native import model_of
from edge.translate.errors import (
    EmptyArray,
    InvalidType,
    InvalidValue,
    MissingParameter,
    UnsupportedValue,
)
from edge.translate.json_body import written
from edge.translate.media_urls import refuse_elsewhere
from edge.translate.surface import ModelLimits
from kit.hold import RequestShape

DEFAULT_MODEL: Final = "omni-moderation-latest"
"""What OpenAI's API reference says of a request without a model."""
MAX_INPUTS: Final = 2_048


# What is made for each request is not frozen: that would double the time of making it.
@dataclass(slots=True)
class ModerationRequest:
    """A checked request. `body` is content: it is never shown, logged or kept.

    `image_paths` are the paths of its images, `media_bytes` what their URLs or data take.
    """

    body: dict[str, Any] = field(repr=False)
    model: str = field(repr=False)
    image_paths: list[str]
    media_bytes: int


def parse(body: dict[str, Any]) -> ModerationRequest:
    """Return the request, or say which field is wrong.

    Raises:
        InvalidRequest: the subclass says how, its `param` says where.
    """
    native_body.refuse_unbound(body)
    images = _images(body)
    return ModerationRequest(
        body=body,
        model=model_of(body) or DEFAULT_MODEL,
        image_paths=[path for path, _ in images],
        media_bytes=sum(size for _, size in images),
    )


def shape(request: ModerationRequest, limits: ModelLimits) -> RequestShape:
    """Return the counts that bound what this request can use with this model.

    Raises:
        InvalidRequest: it has images, for which the catalogue has no maximum.
    """
    if request.image_paths and limits.image_max_tokens <= 0:
        raise UnsupportedValue(request.image_paths[0])
    return RequestShape(
        text_bytes=len(written(request.body)) - request.media_bytes,
        overhead_tokens=limits.input_overhead_tokens,
        media_tokens=limits.image_max_tokens * len(request.image_paths),
        choices=0,
    )


def _images(body: dict[str, Any]) -> list[tuple[str, int]]:
    """Check the input; return the path of each image in it and the bytes of its URL."""
    given = body.get("input")
    if given is None:
        raise MissingParameter("input")
    if isinstance(given, str):
        return []
    if not isinstance(given, list):
        raise InvalidType("input", "a string or an array")
    if not given:
        raise EmptyArray("input")
    if len(given) > MAX_INPUTS:
        raise InvalidValue("input")
    if isinstance(given[0], str):
        fields.texts(body, "input")
        return []
    parts = fields.mappings(body, "input")
    return [(path, size) for path, part in parts if (size := _image_bytes(path, part))]


def _image_bytes(path: str, part: dict[str, Any]) -> int:
    """Return the bytes of an image's URL, 0 of a text."""
    kind = fields.required_text(part, "type", path)
    if kind == "text":
        fields.required_text(part, "text", path)
        return 0
    if kind != "image_url":
        raise UnsupportedValue(f"{path}.type")
    image = fields.required_mapping(part, "image_url", path)
    url = fields.required_text(image, "url", f"{path}.image_url")
    if not url:
        raise InvalidValue(f"{path}.image_url.url")
    refuse_elsewhere(f"{path}.image_url.url", url)
    return len(url.encode())
