"""Reading an OpenAI responses request: what is used is checked, the rest is ignored.

The demo keeps nothing, so it takes what a provider takes with `store: false`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from edge.demo.answer import (
    OUTPUT_TOKENS_MAX,
    PARALLEL_CALLS_MAX,
    Question,
    Tool,
    last_turn,
    schema_of_any_object,
)
from edge.demo.errors import BadRequestError
from edge.demo.openai_chat_request import (
    BYTES_PER_TOKEN,
    IMAGE_TOKENS,
    MESSAGE_TOKENS,
    MESSAGES_MAX,
    REASONING_TOKENS,
)
from edge.demo.words import seed_of

_SEED_FIELDS = ("input", "instructions", "tools", "text")
_ENCRYPTED = "reasoning.encrypted_content"
_TEXT_MEMBERS = ("text", "refusal", "arguments", "output", "input", "encrypted_content")

Json = Any


@dataclass(frozen=True, slots=True)
class ResponsesRequest:
    """A checked request: the protocol's own wishes, and the question behind it."""

    body: Mapping[str, Json]
    stream: bool
    shows_summary: bool
    shows_encrypted: bool
    question: Question


def parse_responses(body: dict[str, Json]) -> ResponsesRequest:
    """Turn a request body into a question; raises BadRequestError with the field at fault."""
    included = body.get("include")
    reasoning = _object(body, "reasoning")
    try:
        question = _question(body)
    except orjson.JSONEncodeError:
        # Nesting that can be read but, beyond 254 levels, not be written again.
        raise BadRequestError("invalid_json") from None
    return ResponsesRequest(
        body=body,
        stream=body.get("stream") is True,
        shows_summary=reasoning.get("summary") is not None,
        shows_encrypted=isinstance(included, list) and _ENCRYPTED in included,
        question=question,
    )


def _question(body: dict[str, Json]) -> Question:
    items = _items(body)
    last = last_turn(items)
    is_asked = last.get("role") == "user" and last.get("type", "message") == "message"
    return Question(
        seed=_seed(body),
        prompt_tokens=_prompt_tokens(body, items),
        output_tokens_max=_output_tokens_max(body),
        reasoning_tokens=_reasoning_tokens(body),
        calls=_calls(body, _tools(body)) if is_asked else (),
        schema=_schema(body),
    )


def _seed(body: dict[str, Json]) -> int:
    """Hash what decides the answer, so that streaming or a token limit does not change it."""
    parts = (orjson.dumps(body.get(field), option=orjson.OPT_SORT_KEYS) for field in _SEED_FIELDS)
    return seed_of(*parts)


def _items(body: dict[str, Json]) -> list[dict[str, Json]]:
    given = body.get("input")
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list):
        raise BadRequestError("missing_required_parameter", "input")
    if not given:
        raise BadRequestError("empty_array", "input")
    if len(given) > MESSAGES_MAX:
        raise BadRequestError("array_above_max_length", "input")
    for index, item in enumerate(given):
        if not isinstance(item, dict) or not (item.get("role") or item.get("type")):
            raise BadRequestError("invalid_value", f"input[{index}]")
        if item.get("type") == "item_reference":
            raise BadRequestError("item_not_found", f"input[{index}]")
    return given


def _prompt_tokens(body: dict[str, Json], items: list[dict[str, Json]]) -> int:
    """Count 4 an item, a quarter of the bytes of text and tools, and 85 an image."""
    size_bytes, images = 0, 0
    if isinstance(body.get("instructions"), str):
        size_bytes += _bytes_of(body["instructions"])
    for item in items:
        for part in (item, *_parts(item, "content"), *_parts(item, "output")):
            size_bytes += sum(_bytes_of(part.get(name)) for name in ("content", *_TEXT_MEMBERS))
            images += part.get("type") == "input_image"
    if body.get("tools"):
        size_bytes += len(orjson.dumps(body["tools"]))
    text_tokens = -(-size_bytes // BYTES_PER_TOKEN)
    return MESSAGE_TOKENS * len(items) + text_tokens + IMAGE_TOKENS * images


def _parts(item: dict[str, Json], name: str) -> list[dict[str, Json]]:
    parts = item.get(name)
    return [one for one in parts if isinstance(one, dict)] if isinstance(parts, list) else []


def _bytes_of(text: Json) -> int:
    return len(text.encode("utf-8", "surrogatepass")) if isinstance(text, str) else 0


def _tools(body: dict[str, Json]) -> tuple[Tool, ...]:
    tools = body.get("tools") or []
    if not isinstance(tools, list):
        raise BadRequestError("invalid_type", "tools")
    functions = [
        (index, tool)
        for index, tool in enumerate(tools)
        if isinstance(tool, dict) and tool.get("type") == "function"
    ]
    return tuple(_tool(tool, index) for index, tool in functions)


def _tool(tool: dict[str, Json], index: int) -> Tool:
    parameters = tool.get("parameters") or {"type": "object", "properties": {}}
    if not isinstance(tool.get("name"), str) or not isinstance(parameters, dict):
        raise BadRequestError("invalid_value", f"tools[{index}]")
    return Tool(tool["name"], parameters)


def _calls(body: dict[str, Json], offered: tuple[Tool, ...]) -> tuple[Tool, ...]:
    """Pick the tools to call: the chosen one, the first, or all where parallel calls are wished."""
    choice = body.get("tool_choice") or "auto"
    if choice == "none" or not offered:
        return ()
    if isinstance(choice, dict):
        if str(choice.get("type")).startswith("web_search"):
            return ()  # it never searches
        entries = choice.get("tools") if choice.get("type") == "allowed_tools" else [choice]
        entries = entries if isinstance(entries, list) else []
        names = [one.get("name") for one in entries if isinstance(one, dict)]
        offered = tuple(tool for tool in offered if tool.name in names)
        if not offered:
            raise BadRequestError("invalid_value", "tool_choice")
    elif not isinstance(choice, str) or choice not in {"auto", "required"}:
        raise BadRequestError("invalid_value", "tool_choice")
    return offered[: PARALLEL_CALLS_MAX if body.get("parallel_tool_calls") is True else 1]


def _schema(body: dict[str, Json]) -> dict[str, Json] | None:
    wanted = _object(body, "text").get("format")
    if wanted is None:
        return None
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return schema_of_any_object()
    schema = wanted.get("schema") if kind == "json_schema" else None
    if not isinstance(schema, dict):
        raise BadRequestError("invalid_value", "text.format")
    return schema


def _output_tokens_max(body: dict[str, Json]) -> int:
    value = body.get("max_output_tokens")
    if value is None:
        return OUTPUT_TOKENS_MAX
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRequestError("invalid_type", "max_output_tokens")
    if value < 1:
        raise BadRequestError("integer_below_min_value", "max_output_tokens")
    return min(value, OUTPUT_TOKENS_MAX)


def _reasoning_tokens(body: dict[str, Json]) -> int:
    effort = _object(body, "reasoning").get("effort")
    if effort is None:
        return 0
    if not isinstance(effort, str) or effort not in REASONING_TOKENS:
        raise BadRequestError("invalid_value", "reasoning.effort")
    return REASONING_TOKENS[effort]


def _object(body: dict[str, Json], name: str) -> dict[str, Json]:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequestError("invalid_type", name)
    return value
