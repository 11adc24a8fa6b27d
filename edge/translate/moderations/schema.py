"""What /openapi.json tells of moderations; `request.py` enforces the requests."""

from __future__ import annotations

from typing import Final

from edge.translate.chat.schema import MODEL, NOT_TAKEN
from edge.translate.moderations.request import DEFAULT_MODEL, MAX_INPUTS
from edge.translate.operation import (
    BOOLEAN,
    JSON,
    MEDIA_URL,
    TEXT,
    Operation,
    list_of,
    object_of,
    told,
)
from oneapi.common.v1 import endpoint_pb2

_TEXT_PART: Final = object_of({"type": {"const": "text"}, "text": TEXT}, required=("type", "text"))
_IMAGE_PART: Final = object_of(
    {
        "type": {"const": "image_url"},
        "image_url": object_of(
            {"url": {"type": "string", "minLength": 1} | MEDIA_URL}, required=("url",)
        ),
    },
    required=("type", "image_url"),
)
_PARTS: Final = list_of({"anyOf": [_TEXT_PART, _IMAGE_PART]}, minItems=1, maxItems=MAX_INPUTS)
REQUEST: Final = object_of(
    {
        "model": told(MODEL, f"A public model id or an alias; `{DEFAULT_MODEL}` if it is absent."),
        "input": told(
            {"anyOf": [TEXT, list_of(TEXT, minItems=1, maxItems=MAX_INPUTS), _PARTS]},
            "A text, texts, or parts: texts and images.",
        ),
        **NOT_TAKEN,
    },
    required=("input",),
)
ANSWER: Final = object_of(
    {
        "id": TEXT,
        "model": TEXT,
        "results": list_of(
            object_of(
                {"flagged": BOOLEAN, "categories": object_of({}), "category_scores": object_of({})}
            )
        ),
    },
    required=("results",),
)

MODERATIONS: Final = Operation(
    path="/v1/moderations",
    endpoint=endpoint_pb2.ENDPOINT_MODERATIONS,
    api="openai",
    name="createModeration",
    title="Moderations",
    summary="Whether texts and images fall into a provider's categories of harm.",
    requests={JSON: REQUEST},
    answers={JSON: ANSWER},
)
