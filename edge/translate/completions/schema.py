"""What /openapi.json tells of completions; `request.py` enforces the requests."""

from __future__ import annotations

from typing import Final

from edge.translate.chat.native import MAX_CHOICES, MAX_TOKEN_LIMIT
from edge.translate.chat.schema import MODEL, NOT_TAKEN, SERVICE_TIER, STREAM_OPTIONS, USAGE
from edge.translate.completions.request import DEFAULT_TOKEN_LIMIT, MAX_PROMPTS
from edge.translate.operation import (
    BOOLEAN,
    COUNT,
    EVENTS,
    JSON,
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


def texts_or_tokens(most: int) -> Schema:
    """Return the schema of a text, texts, tokens, or lists of tokens."""
    tokens = list_of(COUNT, minItems=1)
    each = list_of({"anyOf": [TEXT, tokens]}, minItems=1, maxItems=most)
    return told({"anyOf": [TEXT, tokens, each]}, "A text, tokens, or a list of either.")


REQUEST: Final = object_of(
    {
        "model": MODEL,
        "prompt": texts_or_tokens(MAX_PROMPTS),
        "max_tokens": told(
            optional(integer(1, MAX_TOKEN_LIMIT)),
            f"The most output tokens of one text; {DEFAULT_TOKEN_LIMIT} if it is not there.",
        ),
        "n": told(
            optional(integer(1, MAX_CHOICES)),
            f"How many texts for each prompt; a stream has {MAX_CHOICES} of them at most.",
        ),
        "best_of": told(optional(integer(1, MAX_CHOICES)), "How many are made; each is billed."),
        "stream": told(optional(BOOLEAN), "Whether the answer comes as server-sent events."),
        "stream_options": STREAM_OPTIONS,
        "service_tier": SERVICE_TIER,
        **NOT_TAKEN,
    },
    required=("prompt",),
)
_CHOICE: Final = object_of({"index": COUNT, "text": TEXT, "finish_reason": optional(TEXT)})
ANSWER: Final = object_of(
    {
        "id": TEXT,
        "object": TEXT,
        "model": told(TEXT, "The public model id."),
        "choices": list_of(_CHOICE),
        "usage": USAGE,
    },
    required=("choices",),
)
CHUNK: Final = object_of({"choices": list_of(_CHOICE), "usage": optional(USAGE)})

COMPLETIONS: Final = Operation(
    path="/v1/completions",
    endpoint=endpoint_pb2.ENDPOINT_COMPLETIONS,
    api="openai",
    name="createCompletion",
    title="Completions",
    summary="OpenAI's older text completions. A single prompt also reaches models that only have "
    "conversations; lists, tokens, `echo`, `suffix` and alike need an upstream with this endpoint.",
    requests={JSON: REQUEST},
    answers={JSON: ANSWER, EVENTS: CHUNK},
)
