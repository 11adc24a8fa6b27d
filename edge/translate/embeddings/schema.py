"""What /openapi.json tells of embeddings; `request.py` enforces the requests."""

from __future__ import annotations

from typing import Final

from edge.translate.chat.schema import MODEL, NOT_TAKEN
from edge.translate.completions.schema import texts_or_tokens
from edge.translate.embeddings.request import FORMATS, MAX_DIMENSIONS, MAX_INPUTS
from edge.translate.operation import (
    COST,
    COUNT,
    JSON,
    NUMBER,
    TEXT,
    Operation,
    integer,
    list_of,
    object_of,
    optional,
    told,
)
from oneapi.common.v1 import endpoint_pb2

REQUEST: Final = object_of(
    {
        "model": MODEL,
        "input": texts_or_tokens(MAX_INPUTS),
        "encoding_format": told(
            optional({"enum": sorted(FORMATS)}), "`float`, or little-endian float32 in `base64`."
        ),
        "dimensions": told(optional(integer(1, MAX_DIMENSIONS)), "How long a vector is."),
        **NOT_TAKEN,
    },
    required=("input",),
)
_VECTOR: Final = {"anyOf": [list_of(NUMBER), TEXT]}
ANSWER: Final = object_of(
    {
        "object": TEXT,
        "data": list_of(object_of({"index": COUNT, "embedding": _VECTOR})),
        "model": told(TEXT, "The public model id."),
        "usage": object_of({"prompt_tokens": COUNT, "total_tokens": COUNT, "cost": COST}),
    },
    required=("data",),
)

EMBEDDINGS: Final = Operation(
    path="/v1/embeddings",
    endpoint=endpoint_pb2.ENDPOINT_EMBEDDINGS,
    api="openai",
    name="createEmbedding",
    title="Embeddings",
    summary="Vectors of texts, from providers of OpenAI's, Google's and Cohere's kind.",
    requests={JSON: REQUEST},
    answers={JSON: ANSWER},
)
