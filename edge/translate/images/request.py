"""Requests for images: what we use is checked, and what bounds their usage.

A generation is JSON; unknown fields pass, but for those that nothing would be held for. An edit is
a form, of which the fields below pass, or JSON with references to images. Source: OpenAI API
reference, images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from edge.translate import json_body, multipart, native_body
from edge.translate.answer import JSON_TYPE
from edge.translate.errors import (
    EmptyArray,
    IntegerAboveMaximum,
    IntegerBelowMinimum,
    InvalidType,
    InvalidValue,
    MissingParameter,
    UnsupportedParameter,
    UnsupportedValue,
)
from edge.translate.form import Form, Kind
from edge.translate.form import read as read_form
from edge.translate.json_body import written
from edge.translate.media_urls import refuse_elsewhere
from edge.translate.surface import ModelLimits, Terms
from kit.hold import RequestShape

MAX_IMAGES: Final = 10
MAX_PARTIAL_IMAGES: Final = 3
MAX_SOURCES: Final = 16
UNBOUND_FIELDS: Final = tuple(
    name for name in native_body.UNBOUND_FIELDS if name != native_body.MODERATION
)
UNHELD_FIELDS: Final = (
    # Images to begin with, as xAI, Together, Black Forest Labs, ByteDance and fal name them.
    *("image", "image_url", "image_urls", "image_prompt", "input_image", "input_images"),
    *("reference_image", "reference_images", "condition_image", "init_image", "image_base64"),
    # How many are made, where it is not called `n`.
    *("num_images", "num_outputs", "batch_size", "max_images", "sequential_image_generation"),
)
"""Fields by which other providers read or make more images than OpenAI's fields say."""
OPENAI_SOURCES: Final = ("images", "mask")
"""Where an edit has its images; a generation has none."""
PARTIAL_IMAGE_TOKENS: Final = 100
"""What each partial image of a stream costs more (OpenAI guide, image generation)."""
EDIT_FIELDS: Final = {
    "image": Kind.IMAGES,
    "image[]": Kind.IMAGES,
    "mask": Kind.IMAGES,
    **dict.fromkeys(
        (
            *("model", "prompt", "n", "size", "quality", "background", "moderation", "user"),
            *("response_format", "output_format", "output_compression", "input_fidelity"),
            *("stream", "partial_images"),
        ),
        Kind.TEXT,
    ),
}


@dataclass(slots=True)
class ImageRequest:
    """A checked request for images; `body` or `form` is content.

    `sources`: the images that it edits, a mask included.
    """

    body: dict[str, Any] | None = field(repr=False)
    form: Form | None = field(repr=False)
    model: str | None = field(repr=False)
    stream: bool
    images: int
    partial_images: int
    sources: int
    text_bytes: int
    media_bytes: int

    def shape(self, limits: ModelLimits) -> RequestShape:
        """Return what bounds the usage: no limit that could be sent bounds the output.

        Raises:
            InvalidRequest: the model takes no images.
        """
        if self.sources and limits.image_max_tokens <= 0:
            raise UnsupportedValue("image")
        return RequestShape(
            text_bytes=self.text_bytes,
            overhead_tokens=limits.input_overhead_tokens,
            media_tokens=self.sources * limits.image_max_tokens,
            choices=0,
            fixed_output_tokens=self.images * self.most_tokens(limits.max_output_tokens),
        )

    def most_tokens(self, max_output_tokens: int) -> int:
        """Return the most output tokens of one image, by the model's maximum."""
        return max_output_tokens + self.partial_images * PARTIAL_IMAGE_TOKENS

    def content_type(self, terms: Terms) -> bytes:
        """Return the content type of what goes upstream."""
        return (
            JSON_TYPE
            if self.form is None
            else multipart.content_type_of(multipart.boundary_of(terms.request_id))
        )

    def written(self, terms: Terms) -> bytes:
        """Return what goes upstream: the client's fields, with the upstream's own model."""
        if self.form is not None:
            return self.form.written(
                multipart.boundary_of(terms.request_id), model=terms.upstream_model
            )
        return orjson.dumps(native_body.forwarded(self.body or {}, terms.upstream_model))


def read_generation(raw: bytes) -> ImageRequest:
    """Return the request of a JSON body.

    Raises:
        InvalidRequest: the subclass says how, its `param` says where.
    """
    body = json_body.parsed(raw)
    native_body.refuse_unbound(body, OPENAI_SOURCES)
    return _of_json(body, sources=0, media_bytes=0)


def read_edit(raw: bytes, content_type: bytes) -> ImageRequest:
    """Return the request of a form, or of a JSON body with references to images.

    Raises:
        InvalidRequest: the subclass says how, its `param` says where.
    """
    if multipart.is_form(content_type):
        return _of_form(read_form(raw, content_type, EDIT_FIELDS))
    body = json_body.parsed(raw)
    references = body.get("images")
    if references is None:
        raise MissingParameter("images")
    if not isinstance(references, list):
        raise InvalidType("images", "an array of objects")
    if not references:
        raise EmptyArray("images")
    if len(references) > MAX_SOURCES:
        raise InvalidValue("images")
    named = [(f"images[{index}]", one) for index, one in enumerate(references)]
    if body.get("mask") is not None:
        named.append(("mask", body["mask"]))
    media_bytes = sum(_reference_bytes(path, one) for path, one in named)
    return _of_json(body, sources=len(named), media_bytes=media_bytes)


def _reference_bytes(path: str, reference: Any) -> int:
    """Return the bytes of an image that stands in a body."""
    if not isinstance(reference, dict):
        raise InvalidType(path, "an object")
    if reference.get("file_id") is not None:
        # We keep no files, and an upstream's would be ours and not the client's.
        raise UnsupportedParameter(f"{path}.file_id")
    url = reference.get("image_url")
    if url is None:
        raise MissingParameter(f"{path}.image_url")
    if not isinstance(url, str):
        raise InvalidType(f"{path}.image_url", "a string")
    refuse_elsewhere(f"{path}.image_url", url)
    return len(url.encode())


def _of_json(body: dict[str, Any], *, sources: int, media_bytes: int) -> ImageRequest:
    native_body.refuse_unbound(body, UNBOUND_FIELDS)
    native_body.refuse_unbound(body, UNHELD_FIELDS)
    _check_text(body, "prompt")
    stream = body.get("stream")
    if not isinstance(stream, bool | None):
        raise InvalidType("stream", "a boolean")
    model = body.get("model")
    if not isinstance(model, str | None):
        raise InvalidType("model", "a string")
    images = _integer(body, "n", 1, MAX_IMAGES, 1)
    _check_streamed(images, stream=bool(stream))
    return ImageRequest(
        body=body,
        form=None,
        model=model or None,
        stream=bool(stream),
        images=images,
        partial_images=_integer(body, "partial_images", 0, MAX_PARTIAL_IMAGES, 0),
        sources=sources,
        text_bytes=len(written(body)) - media_bytes,
        media_bytes=media_bytes,
    )


def _of_form(form: Form) -> ImageRequest:
    form.required("prompt")
    sources = form.files("image", "image[]")
    if not sources:
        raise MissingParameter("image")
    if len(sources) > MAX_SOURCES:
        raise InvalidValue("image")
    images, stream = form.integer("n", 1, MAX_IMAGES) or 1, form.flag("stream")
    _check_streamed(images, stream=stream)
    return ImageRequest(
        body=None,
        form=form,
        model=form.text("model") or None,
        stream=stream,
        images=images,
        partial_images=form.integer("partial_images", 0, MAX_PARTIAL_IMAGES) or 0,
        sources=len(sources) + len(form.files("mask")),
        text_bytes=form.text_bytes,
        media_bytes=form.file_bytes,
    )


def _check_streamed(images: int, *, stream: bool) -> None:
    """Refuse several images in one stream.

    OpenAI's reference has `usage` in the event of each image, and does not say whether it counts
    that image or all up to it: what to charge for several cannot be known.
    """
    if stream and images > 1:
        raise UnsupportedParameter("n")


def _check_text(body: Mapping[str, Any], name: str) -> None:
    value = body.get(name)
    if value is None or value == "":
        raise MissingParameter(name)
    if not isinstance(value, str):
        raise InvalidType(name, "a string")


def _integer(body: Mapping[str, Any], name: str, minimum: int, maximum: int, default: int) -> int:
    value = body.get(name)
    if value is None:
        return default
    if type(value) is not int:
        raise InvalidType(name, "an integer")
    if value < minimum:
        raise IntegerBelowMinimum(name, minimum)
    if value > maximum:
        raise IntegerAboveMaximum(name, maximum)
    return value
