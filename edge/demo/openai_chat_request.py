"""Reading an OpenAI chat completions request: what is used is checked, the rest is ignored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from edge.demo.answer import (
    CHOICES_MAX,
    OUTPUT_TOKENS_MAX,
    PARALLEL_CALLS_MAX,
    Question,
    Tool,
    last_turn,
    schema_of_any_object,
)
from edge.demo.errors import BadRequestError
from edge.demo.words import seed_of

MESSAGES_MAX = 10_000
STOP_SEQUENCES_MAX = 4
MESSAGE_TOKENS = 4
IMAGE_TOKENS = 85
BYTES_PER_TOKEN = 4
REASONING_TOKENS = {"none": 0, "minimal": 4, "low": 8, "medium": 16, "high": 32, "xhigh": 64}
_TIERS = frozenset({"default", "flex", "priority"})
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_SEED_FIELDS = ("messages", "tools", "response_format", "seed")

Json = Any


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A checked request: the protocol's own wishes, and the question behind it."""

    model: str
    stream: bool
    include_usage: bool
    service_tier: str
    question: Question


def parse_body(raw: bytes) -> dict[str, Json]:
    """Read the JSON object and its model name."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise BadRequestError("invalid_json") from None
    if not isinstance(body, dict):
        raise BadRequestError("invalid_json")
    if not isinstance(body.get("model"), str):
        raise BadRequestError("missing_required_parameter", "model")
    return body


def parse_chat(body: dict[str, Json]) -> ChatRequest:
    """Turn a request body into a question; raises BadRequestError with the field at fault."""
    options = body.get("stream_options") or {}
    tier = body.get("service_tier")
    try:
        question = _question(body)
    except orjson.JSONEncodeError:
        # Nesting that can be read but, beyond 254 levels, not be written again.
        raise BadRequestError("invalid_json") from None
    return ChatRequest(
        model=body["model"],
        stream=body.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        service_tier=tier if tier in _TIERS else "default",
        question=question,
    )


def _question(body: dict[str, Json]) -> Question:
    messages = _messages(body)
    offered = _tools(body)
    return Question(
        seed=_seed(body),
        prompt_tokens=_prompt_tokens(messages, body.get("tools")),
        choices=integer(body, "n", 1, CHOICES_MAX) or 1,
        output_tokens_max=output_tokens_max(body),
        reasoning_tokens=_reasoning_tokens(body),
        calls=_calls(body, offered) if last_turn(messages).get("role") == "user" else (),
        schema=_schema(body),
        stop=stop_sequences(body),
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


def _prompt_tokens(messages: list[dict[str, Json]], tools: Json) -> int:
    """Count 4 a message, a quarter of the bytes of text, calls and tools, and 85 an image."""
    size_bytes, images = 0, 0
    for index, message in enumerate(messages):
        text_bytes, shown = _content(message.get("content"), index)
        size_bytes += text_bytes
        images += shown
        if message.get("tool_calls"):
            size_bytes += len(orjson.dumps(message["tool_calls"]))
    if tools:
        size_bytes += len(orjson.dumps(tools))
    text_tokens = -(-size_bytes // BYTES_PER_TOKEN)
    return MESSAGE_TOKENS * len(messages) + text_tokens + IMAGE_TOKENS * images


def _content(content: Json, index: int) -> tuple[int, int]:
    """Measure one message's content as bytes of text and number of images."""
    if content is None:
        return 0, 0
    if isinstance(content, str):
        return len(content.encode("utf-8", "surrogatepass")), 0
    if not isinstance(content, list):
        raise BadRequestError("invalid_type", f"messages[{index}].content")
    size_bytes, images = 0, 0
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "image_url":
            images += 1
        elif kind in {"text", "refusal"} and isinstance(part.get(kind), str):
            size_bytes += len(part[kind].encode("utf-8", "surrogatepass"))
        else:
            raise BadRequestError("invalid_value", f"messages[{index}].content")
    return size_bytes, images


def _tools(body: dict[str, Json]) -> tuple[Tool, ...]:
    tools = body.get("tools") or []
    if not isinstance(tools, list):
        raise BadRequestError("invalid_type", "tools")
    return tuple(_tool(tool, index) for index, tool in enumerate(tools))


def _tool(tool: Json, index: int) -> Tool:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise BadRequestError("invalid_value", f"tools[{index}]")
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    if not isinstance(parameters, dict):
        raise BadRequestError("invalid_type", f"tools[{index}].function.parameters")
    return Tool(function["name"], parameters)


def _calls(body: dict[str, Json], offered: tuple[Tool, ...]) -> tuple[Tool, ...]:
    """Pick the tools to call: the chosen one, the first, or all where parallel calls are wished."""
    choice = body.get("tool_choice") or "auto"
    if choice == "none" or not offered:
        return ()
    if isinstance(choice, dict):
        offered = _chosen(choice, offered)
    elif choice not in {"auto", "required"}:
        raise BadRequestError("invalid_value", "tool_choice")
    return offered[: PARALLEL_CALLS_MAX if body.get("parallel_tool_calls") is True else 1]


def _chosen(choice: dict[str, Json], offered: tuple[Tool, ...]) -> tuple[Tool, ...]:
    allowed = choice.get("allowed_tools")
    entries = allowed.get("tools") if isinstance(allowed, dict) else [choice]
    functions = [one.get("function") for one in entries or [] if isinstance(one, dict)]
    names = [one.get("name") for one in functions if isinstance(one, dict)]
    chosen = tuple(tool for tool in offered if tool.name in names)
    if not chosen:
        raise BadRequestError("invalid_value", "tool_choice")
    return chosen


def _schema(body: dict[str, Json]) -> dict[str, Json] | None:
    wanted = body.get("response_format")
    if wanted is None:
        return None
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return schema_of_any_object()
    described = wanted.get("json_schema") if kind == "json_schema" else None
    schema = described.get("schema") if isinstance(described, dict) else None
    if not isinstance(schema, dict):
        raise BadRequestError("invalid_value", "response_format")
    return schema


def stop_sequences(body: dict[str, Json]) -> tuple[str, ...]:
    """Read `stop`, one sequence or several."""
    stop = body.get("stop")
    sequences = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(sequences, list) or not all(isinstance(one, str) for one in sequences):
        raise BadRequestError("invalid_type", "stop")
    if len(sequences) > STOP_SEQUENCES_MAX:
        raise BadRequestError("array_above_max_length", "stop")
    return tuple(sequence for sequence in sequences if sequence)


def output_tokens_max(body: dict[str, Json]) -> int:
    """Read the output limit under both of its names."""
    given = integer(body, "max_completion_tokens", 1)
    if given is None:
        given = integer(body, "max_tokens", 1)
    return OUTPUT_TOKENS_MAX if given is None else min(given, OUTPUT_TOKENS_MAX)


def _reasoning_tokens(body: dict[str, Json]) -> int:
    effort = body.get("reasoning_effort")
    if effort is None:
        return 0
    if not isinstance(effort, str) or effort not in REASONING_TOKENS:
        raise BadRequestError("invalid_value", "reasoning_effort")
    return REASONING_TOKENS[effort]


def integer(
    body: dict[str, Json], field: str, lowest: int, highest: int | None = None
) -> int | None:
    """Read an integer within bounds, None if it is absent."""
    value = body.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRequestError("invalid_type", field)
    if value < lowest:
        raise BadRequestError("integer_below_min_value", field)
    if highest is not None and value > highest:
        raise BadRequestError("integer_above_max_value", field)
    return value
