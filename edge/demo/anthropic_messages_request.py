"""Reading a request of Anthropic's messages: what is used is checked, the rest is ignored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from edge.demo.answer import OUTPUT_TOKENS_MAX, PARALLEL_CALLS_MAX, Question, Tool, last_turn
from edge.demo.errors import BadRequestError
from edge.demo.openai_chat_request import (
    BYTES_PER_TOKEN,
    IMAGE_TOKENS,
    MESSAGE_TOKENS,
    MESSAGES_MAX,
    REASONING_TOKENS,
)
from edge.demo.words import seed_of

BUDGET_TOKENS_MIN = 1024
DEFAULT_EFFORT = "high"
_ROLES = frozenset({"user", "assistant", "system"})
_SEED_FIELDS = ("system", "messages", "tools", "output_config")
_MEDIA = frozenset({"image", "document"})
_TEXT_FIELDS = ("text", "thinking", "data", "signature", "name", "id", "tool_use_id")

Json = Any


@dataclass(frozen=True, slots=True)
class MessagesRequest:
    """A checked request: the protocol's own wishes, and the question behind it."""

    model: str
    stream: bool
    shows_thinking: bool
    question: Question


def parse_messages(body: dict[str, Json], *, counts_only: bool = False) -> MessagesRequest:
    """Turn a request body into a question; raises BadRequestError with the field at fault."""
    try:
        question = _question(body, counts_only=counts_only)
    except orjson.JSONEncodeError:
        # Nesting that can be read but, beyond 254 levels, not be written again.
        raise BadRequestError("invalid_json") from None
    thinking = body.get("thinking")
    shown = not isinstance(thinking, dict) or thinking.get("display") != "omitted"
    return MessagesRequest(body["model"], body.get("stream") is True, shown, question)


def _question(body: dict[str, Json], *, counts_only: bool) -> Question:
    messages = _messages(body)
    limit = _integer(body, "max_tokens", 1)
    if limit is None and not counts_only:
        raise BadRequestError("missing_required_parameter", "max_tokens")
    offered = _tools(body)
    return Question(
        seed=_seed(body),
        prompt_tokens=_prompt_tokens(body, messages),
        output_tokens_max=min(limit or OUTPUT_TOKENS_MAX, OUTPUT_TOKENS_MAX),
        reasoning_tokens=_reasoning_tokens(body, limit),
        calls=_calls(body, offered) if _waits_for_calls(last_turn(messages)) else (),
        schema=_schema(body),
        stop=_stop(body),
    )


def _seed(body: dict[str, Json]) -> int:
    """Hash what decides the answer, so that streaming or a token limit does not change it."""
    parts = (orjson.dumps(body.get(field), option=orjson.OPT_SORT_KEYS) for field in _SEED_FIELDS)
    return seed_of(*parts)


def _messages(body: dict[str, Json]) -> list[dict[str, Json]]:
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise BadRequestError("missing_required_parameter", "messages")
    if not messages:
        raise BadRequestError("empty_array", "messages")
    if len(messages) > MESSAGES_MAX:
        raise BadRequestError("array_above_max_length", "messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise BadRequestError("invalid_value", f"messages[{index}].role")
    return messages


def _prompt_tokens(body: dict[str, Json], messages: list[dict[str, Json]]) -> int:
    """Count 4 a message, a quarter of the bytes of text, calls and tools, and 85 an image."""
    contents = [message.get("content") for message in messages]
    if body.get("system"):
        contents.append(body["system"])
    size_bytes, media = 0, 0
    for content in contents:
        for block in _blocks(content):
            text_bytes, shown = _measured(block)
            size_bytes += text_bytes
            media += shown
    if body.get("tools"):
        size_bytes += len(orjson.dumps(body["tools"]))
    text_tokens = -(-size_bytes // BYTES_PER_TOKEN)
    return MESSAGE_TOKENS * len(contents) + text_tokens + IMAGE_TOKENS * media


def _blocks(content: Json) -> Iterator[dict[str, Json]]:
    """Yield the blocks of a content, those inside tool results included."""
    if isinstance(content, str):
        yield {"type": "text", "text": content}
        return
    if not isinstance(content, list):
        raise BadRequestError("invalid_type", "messages")
    for block in content:
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            raise BadRequestError("invalid_value", "messages")
        yield block
        if block["type"] == "tool_result" and block.get("content"):
            yield from _blocks(block["content"])


def _measured(block: dict[str, Json]) -> tuple[int, int]:
    """Measure one block as bytes of text and number of media."""
    if block["type"] in _MEDIA:
        return 0, 1
    texts = [block.get(field) for field in _TEXT_FIELDS]
    size = sum(len(one.encode("utf-8", "surrogatepass")) for one in texts if isinstance(one, str))
    return size + (len(orjson.dumps(block["input"])) if block.get("input") else 0), 0


def _tools(body: dict[str, Json]) -> tuple[Tool, ...]:
    tools = body.get("tools") or []
    if not isinstance(tools, list):
        raise BadRequestError("invalid_type", "tools")
    return tuple(_tool(tool, index) for index, tool in enumerate(tools) if not _is_web_search(tool))


def _is_web_search(tool: Json) -> bool:
    """Say whether a tool is one that is run here: it never is."""
    return isinstance(tool, dict) and str(tool.get("type")).startswith("web_search_")


def _tool(tool: Json, index: int) -> Tool:
    if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
        raise BadRequestError("invalid_value", f"tools[{index}]")
    parameters = tool.get("input_schema") or {"type": "object", "properties": {}}
    if not isinstance(parameters, dict):
        raise BadRequestError("invalid_type", f"tools[{index}].input_schema")
    return Tool(tool["name"], parameters)


def _waits_for_calls(message: dict[str, Json]) -> bool:
    """Say whether the user speaks, and not a tool."""
    kinds = [block["type"] for block in _blocks(message.get("content"))]
    return message["role"] == "user" and "tool_result" not in kinds


def _calls(body: dict[str, Json], offered: tuple[Tool, ...]) -> tuple[Tool, ...]:
    """Pick the tools to call: the chosen one, the first, or all where that is said to be wished."""
    choice = body.get("tool_choice") or {"type": "auto"}
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind == "none" or not offered:
        return ()
    if kind == "tool":
        offered = tuple(tool for tool in offered if tool.name == choice.get("name"))
    if kind not in {"auto", "any", "tool"} or not offered:
        raise BadRequestError("invalid_value", "tool_choice")
    return offered[: PARALLEL_CALLS_MAX if choice.get("disable_parallel_tool_use") is False else 1]


def _schema(body: dict[str, Json]) -> dict[str, Json] | None:
    config = body.get("output_config") or {}
    wanted = config.get("format") if isinstance(config, dict) else None
    if wanted is None:
        return None
    schema = wanted.get("schema") if isinstance(wanted, dict) else None
    if not isinstance(schema, dict):
        raise BadRequestError("invalid_value", "output_config.format")
    return schema


def _stop(body: dict[str, Json]) -> tuple[str, ...]:
    stop = body.get("stop_sequences") or []
    if not isinstance(stop, list) or not all(isinstance(one, str) for one in stop):
        raise BadRequestError("invalid_type", "stop_sequences")
    return tuple(sequence for sequence in stop if sequence)


def _reasoning_tokens(body: dict[str, Json], limit: int | None) -> int:
    thinking = body.get("thinking") or {"type": "disabled"}
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    config = body.get("output_config") or {}
    effort = config.get("effort", DEFAULT_EFFORT) if isinstance(config, dict) else None
    if not isinstance(effort, str) or effort not in {*REASONING_TOKENS, "max"}:
        raise BadRequestError("invalid_value", "output_config.effort")
    match kind:
        case "disabled":
            return 0
        case "adaptive":
            return REASONING_TOKENS.get(effort, REASONING_TOKENS["xhigh"])
        case "enabled":
            budget = _integer(thinking, "budget_tokens", BUDGET_TOKENS_MIN) or 0
            if limit is not None and budget >= limit:
                raise BadRequestError("invalid_value", "thinking.budget_tokens")
            return REASONING_TOKENS["medium"]
    raise BadRequestError("invalid_value", "thinking.type")


def _integer(body: dict[str, Json], field: str, lowest: int) -> int | None:
    value = body.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRequestError("invalid_type", field)
    if value < lowest:
        raise BadRequestError("integer_below_min_value", field)
    return value
