"""What /openapi.json tells of images; `request.py` enforces the requests."""

from __future__ import annotations

from typing import Final

from edge.translate.chat.schema import NOT_TAKEN
from edge.translate.form import Kind
from edge.translate.images.request import (
    EDIT_FIELDS,
    MAX_IMAGES,
    MAX_PARTIAL_IMAGES,
    MAX_SOURCES,
    OPENAI_SOURCES,
    UNBOUND_FIELDS,
    UNHELD_FIELDS,
)
from edge.translate.operation import (
    BOOLEAN,
    COST,
    COUNT,
    EVENTS,
    FORM,
    JSON,
    MEDIA_URL,
    TEXT,
    Operation,
    Schema,
    integer,
    list_of,
    object_of,
    optional,
    told,
)
from oneapi.common.v1 import endpoint_pb2

_PROMPT: Final = told({"type": "string", "minLength": 1}, "What to draw.")
_NO: Final[Schema] = {"enum": [None, False]}
_COMMON: Final[dict[str, Schema]] = {
    "model": told(optional(TEXT), "A public model id or an alias."),
    "prompt": _PROMPT,
    "n": told(
        optional(integer(1, MAX_IMAGES)), "How many images; each is billed. One in a stream."
    ),
    "stream": told(optional(BOOLEAN), "Whether images come as server-sent events."),
    "partial_images": told(
        optional(integer(0, MAX_PARTIAL_IMAGES)), "How many previews a stream has; each is billed."
    ),
    **{name: NOT_TAKEN[name] for name in UNBOUND_FIELDS},
    **{name: told(_NO, "It would not be counted: not taken.") for name in UNHELD_FIELDS},
}
_STREAM_OF_SEVERAL: Final[Schema] = {
    "properties": {"stream": {"const": True}, "n": {"type": "integer", "minimum": 2}},
    "required": ["stream", "n"],
}
_NO_IMAGES: Final = {name: told(_NO, "Only edits have them.") for name in OPENAI_SOURCES}
GENERATION: Final = object_of(
    {**_COMMON, **_NO_IMAGES}, required=("prompt",), **{"not": _STREAM_OF_SEVERAL}
)
_REFERENCE: Final = object_of(
    {
        "image_url": TEXT | MEDIA_URL,
        "file_id": told({"type": "null"}, "No files are kept: not taken."),
    },
    required=("image_url",),
)
EDIT: Final = object_of(
    {
        **_COMMON,
        "images": list_of(_REFERENCE, minItems=1, maxItems=MAX_SOURCES),
        "mask": optional(_REFERENCE),
    },
    required=("prompt", "images"),
    **{"not": _STREAM_OF_SEVERAL},
)
_FILES: Final[Schema] = told(list_of({}), f"Image files, {MAX_SOURCES} at most.")
_IN_FORM: Final[dict[str, Schema]] = {
    "prompt": _PROMPT,
    "n": _COMMON["n"],
    "stream": _COMMON["stream"],
    "partial_images": _COMMON["partial_images"],
    "mask": {"description": "An image file."},
}
EDIT_FORM: Final[Schema] = {
    "type": "object",
    "properties": {
        name: _IN_FORM.get(name, TEXT if kind is Kind.TEXT else _FILES)
        for name, kind in EDIT_FIELDS.items()
    },
    "required": ["prompt"],
    "anyOf": [{"required": ["image"]}, {"required": ["image[]"]}],
    "not": _STREAM_OF_SEVERAL,
    "additionalProperties": False,
}
ANSWER: Final = object_of(
    {
        "created": {"type": "integer"},
        "data": list_of(object_of({"b64_json": optional(TEXT), "url": optional(TEXT)})),
        "usage": optional(object_of({"input_tokens": COUNT, "output_tokens": COUNT, "cost": COST})),
    },
    required=("data",),
)
EVENT: Final = object_of({"type": TEXT}, required=("type",))

GENERATIONS: Final = Operation(
    path="/v1/images/generations",
    endpoint=endpoint_pb2.ENDPOINT_IMAGE_GENERATIONS,
    api="openai",
    name="createImage",
    title="Image generations",
    summary="Images from words.",
    requests={JSON: GENERATION},
    answers={JSON: ANSWER, EVENTS: EVENT},
)
EDITS: Final = Operation(
    path="/v1/images/edits",
    endpoint=endpoint_pb2.ENDPOINT_IMAGE_EDITS,
    api="openai",
    name="editImage",
    title="Image edits",
    summary="Images from words and other images, which come in a form or as URLs in JSON. File "
    "names are replaced by neutral ones; a field that the form does not list is refused.",
    requests={FORM: EDIT_FORM, JSON: EDIT},
    answers={JSON: ANSWER, EVENTS: EVENT},
)
