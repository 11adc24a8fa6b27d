"""What /openapi.json tells of messages; `request.py` and `shape.py` enforce the requests."""

from __future__ import annotations

from typing import Final

from edge.translate.chat.schema import NOT_TAKEN
from edge.translate.messages import searches
from edge.translate.messages.request import MAX_MESSAGES, MAX_TOKEN_LIMIT
from edge.translate.messages.shape import (
    CLIENT_TOOLS,
    FOUND_PAGES,
    OTHER_UNBOUND,
    PROVIDER_FIELDS,
    TEXT_BLOCKS,
    TOOLSETS,
)
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
from edge.translate.tiers import LANE_TIERS, PLAIN_TIERS
from edge.translate.tool_count import MAX_TOOLS
from oneapi.common.v1 import endpoint_pb2

ENVELOPE: Final[Schema] = object_of(
    {
        "type": {"const": "error"},
        "error": object_of(
            {
                "type": told(TEXT, "By the status, such as `rate_limit_error`."),
                "message": TEXT,
                "details": object_of({"error_code": TEXT, "param": TEXT}),
            },
            required=("type", "message"),
        ),
        "request_id": optional(TEXT),
    },
    required=("type", "error"),
)
"""Anthropic's errors: whole bodies, and the data of `error` events."""

_BLOCK: Final = reference("AnthropicBlock")
_BLOCKS: Final = told({"anyOf": [TEXT, list_of(_BLOCK)]}, "Text, or a list of blocks.")
_DATA: Final = object_of(
    {"type": {"enum": ["base64", "url"]}, "data": optional(TEXT), "url": MEDIA_URL},
    required=("type",),
)
_TEXT_SOURCE: Final = object_of({"type": {"const": "text"}}, required=("type",))
_BLOCK_SOURCE: Final = object_of(
    {"type": {"const": "content"}, "content": optional(_BLOCKS)}, required=("type",)
)


def _block(kind: Schema, **properties: Schema) -> Schema:
    required = tuple(name for name in properties if name == "source")
    return object_of({"type": kind, **properties}, required=("type", *required))


SHARED: Final[dict[str, Schema]] = {
    "AnthropicBlock": {
        "anyOf": [
            _block({"const": "image"}, source=_DATA),
            _block(
                {"const": "document"},
                source={"anyOf": [_DATA, _TEXT_SOURCE, _BLOCK_SOURCE]},
            ),
            _block({"enum": ["mid_conv_system", "tool_result"]}, content=optional(_BLOCKS)),
            _block({"enum": sorted({*TEXT_BLOCKS, FOUND_PAGES})}),
        ]
    }
}
_TOOL: Final = object_of(
    {
        "type": told(
            {
                "type": ["string", "null"],
                "pattern": f"^(custom$|{'|'.join(CLIENT_TOOLS)})",
                "not": {"type": "string", "pattern": f"^({'|'.join(TOOLSETS)})"},
                "examples": ["custom", "bash_20250124", "computer_toolset_1"],
            },
            "Your tools, and those of Anthropic's that your program runs.",
        )
    }
)
_SEARCH: Final = told(
    object_of(
        {
            "type": {"type": "string", "pattern": f"^{searches.PATTERN}$"},
            "max_uses": optional(integer(1)),
            "allowed_callers": {"enum": [None, searches.DIRECT]},
        },
        required=("type",),
    )
    | {
        "anyOf": [
            {"properties": {"type": {"const": searches.PLAIN}}},
            {
                "required": ["allowed_callers"],
                "properties": {"allowed_callers": {"const": searches.DIRECT}},
            },
        ]
    },
    "Where the model's catalogue entry bounds it.",
)
_EDIT: Final = object_of({"type": {"not": {"type": "string", "pattern": "^compact"}}})


def _messages(message: Schema) -> Schema:
    return list_of(message, minItems=1, maxItems=MAX_MESSAGES)


_COMMON: Final[dict[str, Schema]] = {
    "model": told(optional(TEXT), "As in chat completions."),
    "stream": told(optional(BOOLEAN), "Whether the answer comes as server-sent events."),
    "service_tier": told(
        optional({"enum": sorted(LANE_TIERS | PLAIN_TIERS)}), "As in chat completions."
    ),
    "thinking": optional(object_of({})),
}
_UNBOUND: Final[dict[str, Schema]] = {
    **{
        name: told(NOTHING, "What the provider would run or keep: not taken.")
        for name in PROVIDER_FIELDS
    },
    **{name: NOT_TAKEN[name] for name in OTHER_UNBOUND},
}

REQUEST: Final = object_of(
    {
        **_COMMON,
        "max_tokens": told(integer(1, MAX_TOKEN_LIMIT), "The most output tokens."),
        "messages": _messages(object_of({"content": _BLOCKS}, required=("content",))),
        "system": optional(_BLOCKS),
        "tools": optional(list_of({"anyOf": [_TOOL, _SEARCH]}, maxItems=MAX_TOOLS)),
        "speed": optional({"enum": ["standard"]}),
        "inference_geo": optional({"enum": ["global"]}),
        "context_management": optional(object_of({"edits": optional(list_of(_EDIT))})),
        **_UNBOUND,
    },
    required=("messages", "max_tokens"),
)
COUNT_REQUEST: Final = object_of(
    {
        **_COMMON,
        "max_tokens": optional(integer(1, MAX_TOKEN_LIMIT)),
        "messages": _messages(object_of({"content": _BLOCKS}, required=("content",))),
        "system": optional(_BLOCKS),
        "tools": optional(list_of(object_of({}), maxItems=MAX_TOOLS)),
        **_UNBOUND,
    },
    required=("messages",),
)

_USAGE: Final = object_of({"input_tokens": COUNT, "output_tokens": COUNT, "cost": COST})
ANSWER: Final = object_of(
    {
        "id": TEXT,
        "type": {"const": "message"},
        "role": {"const": "assistant"},
        "model": told(TEXT, "The public model id."),
        "content": list_of(object_of({"type": TEXT}, required=("type",))),
        "stop_reason": optional(TEXT),
        "usage": _USAGE,
    },
    required=("id", "type", "role", "model", "content", "stop_reason", "usage"),
)
EVENT: Final = object_of(
    {"type": told(TEXT, "`message_start`, …, `message_stop`, or `error`.")}, required=("type",)
)

MESSAGES: Final = Operation(
    path="/v1/messages",
    endpoint=endpoint_pb2.ENDPOINT_MESSAGES,
    api="anthropic",
    name="createMessage",
    title="Messages",
    summary="Anthropic's Messages: text, tools, thinking, images, documents, streams. "
    "Of its headers `anthropic-version` and `anthropic-beta` are read.",
    requests={JSON: REQUEST},
    answers={JSON: ANSWER, EVENTS: EVENT},
    shared=SHARED,
)
COUNT_TOKENS: Final = Operation(
    path="/v1/messages/count_tokens",
    endpoint=endpoint_pb2.ENDPOINT_COUNT_TOKENS,
    api="anthropic",
    name="countMessageTokens",
    title="Counting message tokens",
    summary="How many input tokens a message would have, counted by an upstream of Anthropic's "
    "kind. It is free.",
    requests={JSON: COUNT_REQUEST},
    answers={JSON: object_of({"input_tokens": COUNT}, required=("input_tokens",))},
)
