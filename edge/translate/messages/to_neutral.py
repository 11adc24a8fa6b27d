"""A message request in the neutral form, for upstreams that do not serve messages.

Hints are left out; every other field the neutral form has no place for is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from edge.translate import fields
from edge.translate.errors import InvalidValue, UnsupportedParameter, UnsupportedValue
from edge.translate.messages import blocks_to_neutral
from edge.translate.native_body import NOT_FORWARDED
from edge.translate.neutral.conversation import (
    Conversation,
    OutputFormat,
    Thinking,
    Tool,
    ToolChoice,
)

HINTS: Final = frozenset(
    {
        *NOT_FORWARDED,
        "cache_control",
        "context_management",
        "diagnostics",
        "fallback_credit_token",
        "inference_geo",
        "service_tier",
        "speed",
        "stream",
    }
)
"""What does not change the meaning of an answer: caches, who asks, where and how fast, and what may
be left out of a long context. What of it costs more is refused before (`shape.py`)."""
READ: Final = frozenset(
    {
        *("model", "messages", "system", "max_tokens", "tools", "tool_choice", "thinking"),
        *("output_config", "output_format", "temperature", "top_p", "top_k", "stop_sequences"),
    }
)
REFUSED: Final = frozenset({"container", "mcp_servers", "fallbacks"})
"""Fields without a neutral place that may be named; unknown names are the client's own words."""
TOOL_FIELDS: Final = frozenset({"type", "name", "description", "input_schema", "strict"})
TOOL_HINTS: Final = frozenset({"cache_control", "eager_input_streaming"})
TOOL_REFUSED: Final = frozenset({"input_examples", "defer_loading", "allowed_callers"})
EFFORTS: Final = frozenset({"low", "medium", "high", "xhigh", "max"})


def conversation(body: Mapping[str, Any]) -> Conversation:
    """Return a checked body in the neutral form.

    Raises:
        InvalidRequest: a field has the wrong type, or no place in the neutral form.
    """
    _refuse_others(body, READ | HINTS, REFUSED, "")
    choice, parallel = _tool_choice(body)
    result = Conversation(
        turns=blocks_to_neutral.turns(body),
        tools=[_tool(path, tool) for path, tool in fields.mappings(body, "tools")],
        tool_choice=choice,
        parallel_tools=parallel,
        output_format=_output_format(body),
        thinking=_thinking(body),
        max_output_tokens=fields.integer(body, "max_tokens"),
        temperature=fields.number(body, "temperature"),
        top_p=fields.number(body, "top_p"),
        top_k=fields.integer(body, "top_k"),
        stop=fields.texts(body, "stop_sequences"),
    )
    result.paths = dict(_paths(body, result))
    return result


def _refuse_others(
    holder: Mapping[str, Any], known: frozenset[str], named: frozenset[str], path: str
) -> None:
    for name, value in holder.items():
        if name in known or not value:
            continue
        if name in named:
            raise UnsupportedParameter(fields.below(path, name))
        raise UnsupportedParameter(path or "body")


def _paths(body: Mapping[str, Any], read: Conversation) -> Iterator[tuple[str, str]]:
    """Name the client's field of each neutral one that it set."""
    for name in ("temperature", "top_p", "top_k", "tool_choice"):
        if getattr(read, name) is not None:
            yield name, name
    if read.stop:
        yield "stop", "stop_sequences"
    if read.parallel_tools is not None:
        yield "parallel_tools", "tool_choice.disable_parallel_tool_use"
    if read.max_output_tokens is not None:
        yield "max_output_tokens", "max_tokens"
    if read.thinking is not None:
        yield "thinking", "thinking" if body.get("thinking") else "output_config.effort"
    if read.output_format is not None:
        is_new = bool((body.get("output_config") or {}).get("format"))
        yield "output_format", "output_config.format" if is_new else "output_format"


def _tool(path: str, tool: Mapping[str, Any]) -> Tool:
    if fields.text(tool, "type", path) not in {None, "custom"}:
        # Described by Anthropic: only its own models know the arguments.
        raise UnsupportedValue(f"{path}.type")
    direct = tool.get("allowed_callers") == ["direct"]
    known = TOOL_FIELDS | TOOL_HINTS | ({"allowed_callers"} if direct else set())
    _refuse_others(tool, known, TOOL_REFUSED, path)
    return Tool(
        path=path,
        name=fields.required_text(tool, "name", path),
        description=fields.text(tool, "description", path),
        parameters=fields.mapping(tool, "input_schema", path),
        strict=fields.flag(tool, "strict", path),
    )


def _tool_choice(body: Mapping[str, Any]) -> tuple[ToolChoice | None, bool | None]:
    """Return the choice, and whether the model may call several tools at once, where it is said."""
    choice = fields.mapping(body, "tool_choice")
    if choice is None:
        return None, None
    alone = fields.flag(choice, "disable_parallel_tool_use", "tool_choice")
    parallel = None if alone is None else not alone
    match fields.required_text(choice, "type", "tool_choice"):
        case "auto":
            return ToolChoice("auto"), parallel
        case "none":
            return ToolChoice("none"), None
        case "any":
            return ToolChoice("required"), parallel
        case "tool":
            name = fields.required_text(choice, "name", "tool_choice")
            return ToolChoice("named", [name]), parallel
    raise InvalidValue("tool_choice.type")


def _output_format(body: Mapping[str, Any]) -> OutputFormat | None:
    config = fields.mapping(body, "output_config") or {}
    path, wanted = "output_config.format", fields.mapping(config, "format", "output_config")
    if wanted is None:
        path, wanted = "output_format", fields.mapping(body, "output_format")
    if wanted is None:
        return None
    if fields.required_text(wanted, "type", path) != "json_schema":
        raise UnsupportedValue(f"{path}.type")
    return OutputFormat(
        "schema", schema=fields.required_mapping(wanted, "schema", path), strict=True
    )


def _thinking(body: Mapping[str, Any]) -> Thinking | None:
    config = fields.mapping(body, "output_config") or {}
    _refuse_others(
        config, frozenset({"effort", "format"}), frozenset({"task_budget"}), "output_config"
    )
    effort = fields.text(config, "effort", "output_config")
    if effort is not None and effort not in EFFORTS:
        raise InvalidValue("output_config.effort")
    wanted = fields.mapping(body, "thinking")
    if wanted is None:
        return None if effort is None else Thinking(effort=effort)
    shown = _shown(wanted)
    match fields.required_text(wanted, "type", "thinking"):
        case "disabled":
            return Thinking(effort="none")
        case "adaptive":
            return Thinking(effort=effort, shown=shown)
        case "enabled":
            budget = fields.integer(wanted, "budget_tokens", "thinking", minimum=1)
            return Thinking(effort=effort, budget_tokens=budget, shown=shown is not False)
    raise UnsupportedValue("thinking.type")


def _shown(thinking: Mapping[str, Any]) -> bool | None:
    display = fields.text(thinking, "display", "thinking")
    if display not in {None, "summarized", "omitted"}:
        raise InvalidValue("thinking.display")
    return None if display is None else display == "summarized"
