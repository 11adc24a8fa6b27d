"""What /openapi.json tells of generateContent; `request.py` and `shape.py` enforce the requests."""

from __future__ import annotations

from typing import Final

from edge.translate.chat.native import MAX_MESSAGES, MAX_TOKEN_LIMIT
from edge.translate.generate.request import MAX_CANDIDATES, PLAIN_TIERS, ROLES
from edge.translate.operation import (
    COST,
    COUNT,
    EVENTS,
    JSON,
    NOTHING,
    TEXT,
    Operation,
    Schema,
    integer,
    list_of,
    object_of,
    optional,
    reference,
    told,
)
from edge.translate.tiers import LANE_TIERS
from edge.translate.tool_count import MAX_TOOLS
from oneapi.common.v1 import endpoint_pb2

ENVELOPE: Final[Schema] = object_of(
    {
        "error": object_of(
            {
                "code": told({"type": "integer"}, "The HTTP status."),
                "message": TEXT,
                "status": told(TEXT, "The name of a google.rpc.Code."),
                "details": list_of(
                    object_of({"@type": TEXT, "reason": TEXT, "domain": TEXT}, required=("@type",))
                ),
            },
            required=("code", "message", "status", "details"),
        )
    },
    required=("error",),
)
"""Google's errors; `reason` is our code in capitals."""


def _one_or_more(name: str, **more: int) -> Schema:
    """Return a list, or one object in its place, as Google's own examples have it."""
    return {"anyOf": [reference(name), list_of(reference(name), **more)]}


_ONLY: Final[Schema] = {"type": "null"}
"""What a field that is not in the list may be."""
_OBJECT: Final = optional(object_of({}))
_MEDIA: Final[dict[str, Schema]] = {
    "inlineData": optional(
        object_of({"mimeType": {"type": "string", "minLength": 1}}, required=("mimeType",))
    ),
    "fileData": told(
        optional(
            object_of(
                {
                    "fileUri": {
                        "type": "string",
                        "pattern": "^https?://",
                        "examples": ["https://a.example/b"],
                    },
                    "mimeType": {"type": "string", "minLength": 1},
                },
                required=("fileUri", "mimeType"),
            )
        ),
        "A file at a URL that anyone can read; not one in a store of Google's.",
    ),
}
SHARED: Final[dict[str, Schema]] = {
    "GoogleObject": object_of({}),
    "GoogleResultPart": {
        **object_of(_MEDIA),
        "additionalProperties": _ONLY,
    },
    "GooglePart": {
        **object_of(
            {
                "text": {},
                **_MEDIA,
                "functionCall": _OBJECT,
                "functionResponse": optional(
                    object_of({"parts": optional(_one_or_more("GoogleResultPart"))})
                ),
                "executableCode": _OBJECT,
                "codeExecutionResult": _OBJECT,
                "videoMetadata": _OBJECT,
                "mediaResolution": _OBJECT,
                "thought": {},
                "thoughtSignature": {},
                "toolCall": {},
                "toolResponse": {},
                "partMetadata": {},
            }
        ),
        "additionalProperties": _ONLY,
    },
    "GoogleContent": object_of(
        {
            "role": optional({"enum": [*sorted(ROLES), ""]}),
            "parts": optional(_one_or_more("GooglePart")),
        }
    ),
    "GoogleTool": {
        **object_of(
            {
                "functionDeclarations": told(
                    optional(_one_or_more("GoogleObject", maxItems=MAX_TOOLS)),
                    "Functions that your program runs.",
                )
            }
        ),
        "additionalProperties": _ONLY,
    },
}
_SYSTEM: Final = optional(object_of({"parts": optional(_one_or_more("GooglePart"))}))
_MODALITY: Final[Schema] = {
    "type": "string",
    "pattern": "^(?i:text|audio)$",
    "examples": ["TEXT", "audio", "IMAGE"],
}
_CONFIG: Final[dict[str, Schema]] = {
    "thinkingConfig": _OBJECT,
    "responseModalities": told(optional(list_of(_MODALITY)), "`TEXT`, and `AUDIO`."),
}
_COUNTED: Final[dict[str, Schema]] = {
    "contents": told(_one_or_more("GoogleContent", minItems=1, maxItems=MAX_MESSAGES), "Turns."),
    "systemInstruction": _SYSTEM,
    "tools": optional(_one_or_more("GoogleTool", maxItems=MAX_TOOLS)),
    "toolConfig": optional(
        object_of({"functionCallingConfig": _OBJECT, "retrievalConfig": _OBJECT})
    ),
    "safetySettings": optional(_one_or_more("GoogleObject")),
}
_TIERS: Final = "|".join(sorted(LANE_TIERS | PLAIN_TIERS))

REQUEST: Final = object_of(
    {
        **_COUNTED,
        "generationConfig": optional(
            object_of(
                {
                    "maxOutputTokens": told(
                        optional(integer(1, MAX_TOKEN_LIMIT)), "The most output tokens."
                    ),
                    "candidateCount": optional(integer(1, MAX_CANDIDATES)),
                    **_CONFIG,
                }
            )
        ),
        "serviceTier": told(
            {
                "type": ["string", "null"],
                "pattern": f"^(?i:(service_tier_)?({_TIERS}))$",
                "examples": ["FLEX", "service_tier_priority", "auto"],
            },
            "`FLEX` chooses the lane `economy`, `PRIORITY` the lane `priority`.",
        ),
        "cachedContent": told(NOTHING, "It would lie at the provider: not taken."),
    },
    required=("contents",),
)
_CONTENTS: Final = object_of(
    {**_COUNTED, "generationConfig": optional(object_of(_CONFIG))}, required=("contents",)
)
COUNT_REQUEST: Final[Schema] = {
    "description": "Contents, or a whole request to generate.",
    "type": "object",
    "properties": {"generateContentRequest": _OBJECT},
    "if": {
        "required": ["generateContentRequest"],
        "properties": {"generateContentRequest": {"not": {"type": "null"}}},
    },
    "then": {"properties": {"generateContentRequest": _CONTENTS}},
    "else": _CONTENTS,
}

ANSWER: Final = object_of(
    {
        "candidates": list_of(
            object_of({"content": object_of({}), "finishReason": TEXT, "index": COUNT})
        ),
        "promptFeedback": object_of({}),
        "usageMetadata": object_of(
            {
                "promptTokenCount": COUNT,
                "candidatesTokenCount": COUNT,
                "totalTokenCount": COUNT,
                "cost": COST,
            }
        ),
        "modelVersion": told(TEXT, "The public model id."),
        "responseId": TEXT,
    }
)
_MODEL: Final = told(TEXT, "A public model id or an alias, maybe with `:lane` behind it.")
_SPELLING: Final = "Fields may be in camel or in snake case."

GENERATE: Final = Operation(
    path="/v1beta/models/{model}:generateContent",
    endpoint=endpoint_pb2.ENDPOINT_GENERATE_CONTENT,
    api="google",
    name="generateContent",
    title="Generate content",
    summary=f"Google's Gemini API: text, functions, thinking, images, files. {_SPELLING}",
    requests={JSON: REQUEST},
    answers={JSON: ANSWER},
    path_parameters={"model": _MODEL},
    shared=SHARED,
)
STREAM: Final = Operation(
    path="/v1beta/models/{model}:streamGenerateContent",
    endpoint=endpoint_pb2.ENDPOINT_GENERATE_CONTENT,
    api="google",
    name="streamGenerateContent",
    title="Generate content, streamed",
    summary="The same in pieces: with `?alt=sse` as server-sent events, else as one JSON array. "
    f"Keep-alive comments are sent between events only. {_SPELLING}",
    requests={JSON: REQUEST},
    answers={EVENTS: ANSWER, JSON: list_of(ANSWER)},
    path_parameters={"model": _MODEL},
    query_parameters={"alt": {"enum": ["sse", "json"]}},
)
COUNT_TOKENS: Final = Operation(
    path="/v1beta/models/{model}:countTokens",
    endpoint=endpoint_pb2.ENDPOINT_COUNT_TOKENS,
    api="google",
    name="countTokens",
    title="Count tokens",
    summary="What a request would read, counted by an upstream of Google's kind. It is free.",
    requests={JSON: COUNT_REQUEST},
    answers={JSON: object_of({"totalTokens": COUNT})},
    path_parameters={"model": _MODEL},
)
