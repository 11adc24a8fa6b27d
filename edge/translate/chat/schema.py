"""What /openapi.json tells of chat completions; `native.py` and `shape.py` enforce the requests."""

from __future__ import annotations

from typing import Final

from edge.translate.chat.native import (
    MAX_CHOICES,
    MAX_MESSAGES,
    MAX_TOKEN_LIMIT,
)
from edge.translate.chat.shape import (
    AUDIO_PARTS,
    CLIENT_TOOLS,
    FILE_PARTS,
    IMAGE_PARTS,
    TEXT_PARTS,
    WEB_SEARCH,
)
from edge.translate.native_body import UNBOUND_FIELDS
from edge.translate.operation import (
    BOOLEAN,
    COST,
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
from edge.translate.tiers import LANE_TIERS, PLAIN_TIERS
from edge.translate.tool_count import MAX_TOOLS
from oneapi.common.v1 import endpoint_pb2

_PART_TYPES: Final = sorted(TEXT_PARTS | IMAGE_PARTS | AUDIO_PARTS | FILE_PARTS)

ENVELOPE: Final[Schema] = object_of(
    {
        "error": object_of(
            {
                "message": TEXT,
                "type": TEXT,
                "param": told(optional(TEXT), "The field of the request, such as `messages[0]`."),
                "code": told(optional(TEXT), "What happened; see the table of errors."),
            },
            required=("message", "type", "param", "code"),
        )
    },
    required=("error",),
)
"""OpenAI's errors: whole bodies, and the data of events inside streams."""

MODEL: Final[Schema] = told(
    optional(TEXT),
    "A public model id or an alias, with `:lane` behind it if you like. Without it the default "
    "model of the API key.",
)
SERVICE_TIER: Final[Schema] = told(
    optional({"enum": sorted(LANE_TIERS | PLAIN_TIERS)}),
    "`flex` chooses the lane `economy`; `priority` and `fast` the lane `priority`.",
)
STREAM_OPTIONS: Final[Schema] = told(
    optional(object_of({"include_usage": optional(BOOLEAN)})),
    "With `include_usage` a last chunk has usage and cost.",
)
NOT_TAKEN: Final[dict[str, Schema]] = {
    name: told({"enum": [None, False]}, "It would cost what nobody can bound: not taken.")
    for name in UNBOUND_FIELDS
}
_MESSAGE: Final = object_of(
    {
        "content": {
            "description": "Text, or a list of parts.",
            "items": object_of({"type": {"enum": _PART_TYPES}}, required=("type",)),
        }
    }
)
_TOOL: Final = object_of({"type": told({"enum": sorted(CLIENT_TOOLS)}, "Your tools only.")})

REQUEST: Final = object_of(
    {
        "model": MODEL,
        "messages": list_of(_MESSAGE, minItems=1, maxItems=MAX_MESSAGES),
        "stream": told(optional(BOOLEAN), "Whether the answer comes as server-sent events."),
        "stream_options": STREAM_OPTIONS,
        "max_completion_tokens": told(
            optional(integer(1, MAX_TOKEN_LIMIT)),
            "The most output tokens of one choice. Less is set aside for a lower limit.",
        ),
        "max_tokens": told(
            optional(integer(1, MAX_TOKEN_LIMIT)), "The same; the smaller one counts."
        ),
        "n": told(optional(integer(1, MAX_CHOICES)), "How many choices; each is billed."),
        "best_of": optional(integer(1, MAX_CHOICES)),
        "service_tier": SERVICE_TIER,
        "tools": optional(list_of(_TOOL, maxItems=MAX_TOOLS)),
        "functions": optional(list_of({}, maxItems=MAX_TOOLS)),
        "modalities": optional(list_of({"enum": ["text", "audio"]})),
        WEB_SEARCH: told(
            {"anyOf": [{"enum": [None, False]}, object_of({})]},
            "One search of the web for each answer, where the model's catalogue entry bounds it.",
        ),
        **NOT_TAKEN,
    },
    required=("messages",),
)

USAGE: Final = object_of(
    {"prompt_tokens": COUNT, "completion_tokens": COUNT, "total_tokens": COUNT, "cost": COST}
)
_FINISH: Final = told(optional(TEXT), "`stop`, `length`, `tool_calls`, `content_filter`, …")

ANSWER: Final = object_of(
    {
        "id": TEXT,
        "object": TEXT,
        "created": {"type": "integer"},
        "model": told(TEXT, "The public model id."),
        "choices": list_of(
            object_of(
                {
                    "index": COUNT,
                    "message": object_of(
                        {"role": TEXT, "content": optional(TEXT), "tool_calls": {}}
                    ),
                    "finish_reason": _FINISH,
                },
                required=("message",),
            )
        ),
        "usage": USAGE,
    },
    required=("choices",),
)
CHUNK: Final = object_of(
    {
        "id": TEXT,
        "object": TEXT,
        "model": told(TEXT, "The public model id."),
        "choices": list_of(
            object_of({"index": COUNT, "delta": object_of({}), "finish_reason": _FINISH})
        ),
        "usage": optional(USAGE),
    },
)

CHAT: Final = Operation(
    path="/v1/chat/completions",
    endpoint=endpoint_pb2.ENDPOINT_CHAT_COMPLETIONS,
    api="openai",
    name="createChatCompletion",
    title="Chat completions",
    summary="OpenAI's chat completions: text, tools, structured output, images, streams.",
    requests={JSON: REQUEST},
    answers={JSON: ANSWER, EVENTS: CHUNK},
)
