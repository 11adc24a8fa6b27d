"""What /openapi.json tells of responses; `request.py` and `shape.py` enforce the requests."""

from __future__ import annotations

from typing import Final

from edge.translate.chat.schema import MODEL, NOT_TAKEN, SERVICE_TIER
from edge.translate.operation import (
    BOOLEAN,
    COST,
    COUNT,
    EVENTS,
    JSON,
    MEDIA_URL,
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
from edge.translate.responses.request import (
    ENDPOINT,
    KEPT_ANSWERS,
    MAX_ITEMS,
    MAX_TOKEN_LIMIT,
    UNBOUND,
)
from edge.translate.responses.shape import (
    CLIENT_TOOLS,
    PART_ITEMS,
    TEXT_ITEMS,
    TEXT_PARTS,
    TOOL_ITEMS,
    WEB_SEARCH_CALL,
    WEB_SEARCHES,
)
from edge.translate.tool_count import MAX_TOOLS

_ABSENT: Final[Schema] = {"type": "null"}
_TEXT_PART: Final = object_of({"type": {"enum": sorted(TEXT_PARTS)}}, required=("type",))
_MEDIA_PART: Final = object_of(
    {
        "type": {"enum": ["input_file", "input_image"]},
        "image_url": MEDIA_URL,
        "file_url": MEDIA_URL,
        "file_id": told(_ABSENT, "No files are kept: not taken."),
    },
    required=("type",),
)
_CONTENT: Final[Schema] = {
    "description": "Text, or a list of parts.",
    "not": {"type": "object"},
    "items": {"anyOf": [_TEXT_PART, _MEDIA_PART]},
}
_TOOLS: Final = optional(list_of(reference("ResponsesTool"), maxItems=MAX_TOOLS))
_WEB_SEARCH: Final = told(
    object_of({"type": {"enum": sorted(WEB_SEARCHES)}}, required=("type",)),
    "Where the model's catalogue entry bounds it.",
)
_OUTPUTS: Final = sorted(name for name, member in PART_ITEMS.items() if member == "output")
_MESSAGE: Final[Schema] = {
    **object_of({"type": {"enum": ["message", "", None]}, "content": _CONTENT}),
    # What has an id and nothing else refers to an item that was kept.
    "anyOf": [
        {"required": ["role"]},
        {"not": {"required": ["id"]}},
        {"required": ["type"], "properties": {"type": {"type": "string"}}},
    ],
}
SHARED: Final[dict[str, Schema]] = {
    "ResponsesTool": {
        "anyOf": [
            object_of(
                {"type": {"enum": sorted({*CLIENT_TOOLS, "tool_search"})}}, required=("type",)
            ),
            object_of({"type": {"const": "namespace"}, "tools": _TOOLS}, required=("type",)),
            object_of(
                {
                    "type": {"const": "shell"},
                    "environment": object_of({"type": {"const": "local"}}, required=("type",)),
                },
                required=("type", "environment"),
            ),
        ]
    },
    "ResponsesItem": {
        "anyOf": [
            _MESSAGE,
            object_of(
                {"type": {"enum": sorted({*TEXT_ITEMS, WEB_SEARCH_CALL})}}, required=("type",)
            ),
            object_of({"type": {"enum": _OUTPUTS}, "output": _CONTENT}, required=("type",)),
            object_of({"type": {"enum": sorted(TOOL_ITEMS)}, "tools": _TOOLS}, required=("type",)),
        ]
    },
}
REQUEST: Final = object_of(
    {
        "model": MODEL,
        "input": told(
            {
                "anyOf": [
                    TEXT,
                    list_of(reference("ResponsesItem"), minItems=1, maxItems=MAX_ITEMS),
                ]
            },
            "Text, or a list of items: the whole conversation, each time.",
        ),
        "stream": told(optional(BOOLEAN), "Whether the answer comes as server-sent events."),
        "max_output_tokens": told(
            optional(integer(1, MAX_TOKEN_LIMIT)), "The most output tokens, reasoning included."
        ),
        "tools": told(
            optional(
                list_of({"anyOf": [reference("ResponsesTool"), _WEB_SEARCH]}, maxItems=MAX_TOOLS)
            ),
            "Your tools; of OpenAI's those that your program runs, and web search.",
        ),
        "max_tool_calls": told(
            optional(integer(0, MAX_TOKEN_LIMIT)),
            "The most searches of the web: at least 1 where they are among the tools.",
        ),
        "reasoning": optional(object_of({"mode": optional({"enum": ["standard"]})})),
        "service_tier": SERVICE_TIER,
        "store": told(optional(BOOLEAN), "Taken, and always false: nothing is kept."),
        "background": told({"enum": [None, False]}, "It would be kept: not taken."),
        **{name: told(_ABSENT, "What it names would be kept: not taken.") for name in KEPT_ANSWERS},
        **NOT_TAKEN,
        **{
            name: told(NOTHING, "The provider would read or write more than the request shows.")
            for name in UNBOUND
        },
    },
    required=("input",),
    **{
        "not": {
            "properties": {
                "max_tool_calls": {"const": 0},
                "tools": {"type": "array", "contains": _WEB_SEARCH},
            },
            "required": ["max_tool_calls", "tools"],
        }
    },
)
ANSWER: Final = object_of(
    {
        "id": TEXT,
        "object": {"const": "response"},
        "created_at": {"type": "number"},
        "status": TEXT,
        "model": told(TEXT, "The public model id."),
        "output": list_of(object_of({"type": TEXT}, required=("type",))),
        "usage": optional(object_of({"input_tokens": COUNT, "output_tokens": COUNT, "cost": COST})),
    },
    required=("id", "object", "status", "model", "output"),
)
EVENT: Final = object_of(
    {"type": told(TEXT, "`response.created`, …, `response.completed`."), "sequence_number": COUNT},
    required=("type",),
)

RESPONSES: Final = Operation(
    path="/v1/responses",
    endpoint=ENDPOINT,
    api="openai",
    name="createResponse",
    title="Responses",
    summary="OpenAI's Responses, without its store: every request brings its whole conversation. "
    "`previous_response_id`, `conversation` and `background` are refused.",
    requests={JSON: REQUEST},
    answers={JSON: ANSWER, EVENTS: EVENT},
    shared=SHARED,
)
