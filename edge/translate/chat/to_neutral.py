"""A chat completions request in the neutral form, for upstreams that do not serve chat.

Fields of OpenAI's API reference and of compatible providers are read where the neutral form has a
place for them. Hints are left out; everything else is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

from edge.translate import fields
from edge.translate.chat import messages_to_neutral
from edge.translate.errors import InvalidType, InvalidValue, UnsupportedParameter, UnsupportedValue
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
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "prediction",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "usage",
        "cache_control",
    }
)
"""What does not change the meaning of an answer: caches, end users, speed, delivery, our lane.

`usage` is OpenRouter's way to ask for usage, `cache_control` its marks for caches.
"""
READ: Final = frozenset(
    {
        "model",
        "messages",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "reasoning_effort",
        "reasoning",
        "thinking",
        "include_reasoning",
        "reasoning_format",
        "max_tokens",
        "max_completion_tokens",
        "modalities",
        "n",
        "temperature",
        "top_p",
        "top_k",
        "frequency_penalty",
        "presence_penalty",
        "seed",
        "stop",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "verbosity",
    }
)
REFUSED: Final = frozenset(
    {
        "audio",
        "functions",
        "function_call",
        "web_search_options",
        "moderation",
        "best_of",
        "min_p",
        "top_a",
        "min_tokens",
        "repetition_penalty",
        "prompt_mode",
        "safe_prompt",
        "random_seed",
        "chat_template_kwargs",
        "enable_thinking",
        "clear_thinking",
        "documents",
        "provider",
        "models",
        "transforms",
        "route",
        "guided_json",
        "guided_regex",
        "structured_outputs",
    }
)
"""Fields without a neutral place that may be named in a refusal; unknown names are the client's."""
EFFORTS: Final = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max"})
_USUAL: Final = "default"
"""Groq's word for the effort that a model has by itself."""
VERBOSITIES: Final = frozenset({"low", "medium", "high"})


def conversation(body: dict[str, Any], token_limit: int | None) -> Conversation:
    """Return a checked body in the neutral form; `token_limit` is the client's, for one choice.

    Raises:
        InvalidRequest: a field has the wrong type, or no place in the neutral form.
    """
    _refuse_others(body)
    choice, allowed = _tool_choice(body)
    result = Conversation(
        turns=messages_to_neutral.turns(body),
        tools=[tool for tool in _tools(body) if allowed is None or tool.name in allowed],
        tool_choice=choice,
        parallel_tools=fields.flag(body, "parallel_tool_calls"),
        output_format=_output_format(body),
        thinking=_thinking(body),
        max_output_tokens=token_limit,
        temperature=fields.number(body, "temperature"),
        top_p=fields.number(body, "top_p"),
        top_k=fields.integer(body, "top_k"),
        frequency_penalty=fields.number(body, "frequency_penalty") or None,
        presence_penalty=fields.number(body, "presence_penalty") or None,
        seed=fields.integer(body, "seed"),
        stop=fields.texts(body, "stop"),
        choices=fields.integer(body, "n") or 1,
        logprobs=bool(fields.flag(body, "logprobs")),
        top_logprobs=fields.integer(body, "top_logprobs") or None,
        logit_bias=_logit_bias(body),
        verbosity=_one_of(body, "verbosity", VERBOSITIES),
    )
    result.paths = dict(_paths(body, result))
    return result


def _refuse_others(body: dict[str, Any]) -> None:
    for name, value in body.items():
        if value is None or name in READ or name in HINTS:
            continue
        raise UnsupportedParameter(name if name in REFUSED else "body")
    if set(fields.texts(body, "modalities")) - {"text"}:
        raise UnsupportedParameter("modalities")


def _paths(body: dict[str, Any], read: Conversation) -> Iterable[tuple[str, str]]:
    """Name the client's field of each neutral one that it set to more than its default."""
    same = ("temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "seed")
    for name in (*same, "stop", "logprobs", "top_logprobs", "logit_bias", "verbosity"):
        if getattr(read, name) not in (None, False, []):
            yield name, name
    if read.choices != 1:
        yield "choices", "n"
    others = (
        ("tool_choice", read.tool_choice, ("tool_choice",)),
        ("parallel_tools", read.parallel_tools, ("parallel_tool_calls",)),
        ("output_format", read.output_format, ("response_format",)),
        ("thinking", read.thinking, ("reasoning_effort", "reasoning", "thinking")),
        ("max_output_tokens", read.max_output_tokens, ("max_completion_tokens", "max_tokens")),
    )
    for name, value, spellings in others:
        sent = [spelling for spelling in spellings if body.get(spelling) is not None]
        if value is not None and sent:
            yield name, sent[0]


def _one_of(
    holder: dict[str, Any], name: str, values: frozenset[str], path: str = ""
) -> str | None:
    value = fields.text(holder, name, path)
    if value is not None and value not in values:
        raise InvalidValue(fields.below(path, name))
    return value


def _logit_bias(body: dict[str, Any]) -> dict[str, float] | None:
    bias = fields.mapping(body, "logit_bias")
    for value in (bias or {}).values():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidType("logit_bias", "an object of numbers")
    return bias or None


def _tools(body: dict[str, Any]) -> list[Tool]:
    return [_tool(path, tool) for path, tool in fields.mappings(body, "tools")]


def _tool(path: str, tool: dict[str, Any]) -> Tool:
    if tool.get("type", "function") != "function":
        raise UnsupportedValue(f"{path}.type")
    function = fields.required_mapping(tool, "function", path)
    inside = f"{path}.function"
    return Tool(
        path=path,
        name=fields.required_text(function, "name", inside),
        description=fields.text(function, "description", inside),
        parameters=fields.mapping(function, "parameters", inside),
        strict=fields.flag(function, "strict", inside),
    )


def _tool_choice(body: dict[str, Any]) -> tuple[ToolChoice | None, set[str] | None]:
    """Return the choice, and the names of the tools that are left where it restricts them."""
    choice = body.get("tool_choice")
    if choice is None:
        return None, None
    if isinstance(choice, str):
        return ToolChoice(_mode(choice, "tool_choice")), None
    if not isinstance(choice, dict):
        raise InvalidType("tool_choice", "a string or an object")
    if choice.get("type") == "function":
        function = fields.required_mapping(choice, "function", "tool_choice")
        name = fields.required_text(function, "name", "tool_choice.function")
        return ToolChoice("named", [name]), None
    if choice.get("type") == "allowed_tools":
        return _allowed_tools(fields.required_mapping(choice, "allowed_tools", "tool_choice"))
    raise UnsupportedValue("tool_choice.type")


def _allowed_tools(allowed: dict[str, Any]) -> tuple[ToolChoice, set[str]]:
    path = "tool_choice.allowed_tools"
    mode = _mode(fields.required_text(allowed, "mode", path), f"{path}.mode")
    names = set()
    for place, entry in fields.mappings(allowed, "tools", path):
        function = fields.required_mapping(entry, "function", place)
        names.add(fields.required_text(function, "name", f"{place}.function"))
    return ToolChoice(mode), names


def _mode(word: str, path: str) -> Literal["auto", "none", "required"]:
    match word:
        case "auto" | "none" | "required":
            return word
        case "any":  # Mistral's word
            return "required"
    raise InvalidValue(path)


def _output_format(body: dict[str, Any]) -> OutputFormat | None:
    wanted = fields.mapping(body, "response_format")
    if wanted is None:
        return None
    match wanted.get("type"):
        case "text":
            return None
        case "json_object":
            return OutputFormat("json")
        case "json_schema":
            path = "response_format.json_schema"
            inside = fields.required_mapping(wanted, "json_schema", "response_format")
            return OutputFormat(
                "schema",
                name=fields.text(inside, "name", path) or "answer",
                schema=fields.mapping(inside, "schema", path),
                strict=fields.flag(inside, "strict", path),
                description=fields.text(inside, "description", path),
            )
    raise UnsupportedValue("response_format.type")


def _thinking(body: dict[str, Any]) -> Thinking | None:
    """Read OpenAI's field, else OpenRouter's, else the switch of Anthropic, DeepSeek and others.

    Who asks for reasoning is shown it, unless told otherwise: compatible services answer so, and a
    chat has a place for it.
    """
    effort = _one_of(body, "reasoning_effort", EFFORTS | {_USUAL})
    effort = None if effort == _USUAL else effort
    wanted = fields.mapping(body, "reasoning")
    switch = fields.mapping(body, "thinking")
    shown, asked = _shown(body), effort is not None
    if wanted is not None:
        enabled = fields.flag(wanted, "enabled", "reasoning")
        if enabled is False:
            effort = "none"
        if fields.flag(wanted, "exclude", "reasoning"):
            shown = False
        effort = _one_of(wanted, "effort", EFFORTS, "reasoning") or effort
        budget = fields.integer(wanted, "max_tokens", "reasoning", minimum=0)
        asked = bool(effort or budget or enabled)
        return _as_shown(Thinking(effort, budget, shown=shown), asked=asked)
    if switch is not None:
        kind = switch.get("type")
        if kind not in ("enabled", "disabled", "adaptive"):
            raise InvalidValue("thinking.type")
        budget = fields.integer(switch, "budget_tokens", "thinking", minimum=0)
        effort = "none" if kind == "disabled" else effort
        return _as_shown(Thinking(effort, budget, shown=shown), asked=True)
    if effort is None and shown is None:
        return None
    thinking = _as_shown(Thinking(effort, shown=shown), asked=asked)
    thinking.is_shown_by_default = shown is None and bool(thinking.shown)
    return thinking


def _as_shown(thinking: Thinking, *, asked: bool) -> Thinking:
    is_off = thinking.effort == "none" or thinking.budget_tokens == 0
    if thinking.shown is None and asked and not is_off:
        thinking.shown = True
    return thinking


def _shown(body: dict[str, Any]) -> bool | None:
    """Say whether the client wants to read the reasoning, by Groq's two fields."""
    place = fields.text(body, "reasoning_format")
    if place is None:
        return fields.flag(body, "include_reasoning")
    if place not in {"parsed", "hidden"}:
        # Groq's `raw` puts reasoning into the text, between tags.
        raise UnsupportedValue("reasoning_format")
    return place == "parsed"
