"""A request of responses in the neutral form.

Fields that only hint are left out (`HINTS`); for any other that the neutral form has no place for
the request is refused by the field's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from edge.translate import fields
from edge.translate.errors import InvalidValue, UnsupportedParameter, UnsupportedValue
from edge.translate.native_body import NOT_FORWARDED
from edge.translate.neutral.conversation import (
    Conversation,
    OutputFormat,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    Turn,
)
from edge.translate.responses.read_items import ItemReader
from edge.translate.responses.read_tools import namespaces, tools_of

HINTS: Final = frozenset(
    {
        *NOT_FORWARDED,
        *("user", "safety_identifier", "service_tier", "store"),
        *("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"),
        # Of streams, of tools that the provider runs (there are none), and what was checked before.
        *("stream", "stream_options", "max_tool_calls", "background", "context_management"),
        *("previous_response_id", "conversation", "prompt", "moderation"),
    }
)
"""What does not change the answer's meaning."""
READ: Final = frozenset(
    {
        *("model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls"),
        *("text", "reasoning", "include", "max_output_tokens", "temperature", "top_p"),
        *("top_logprobs", "frequency_penalty", "presence_penalty", "truncation"),
    }
)
_LOGPROBS: Final = "message.output_text.logprobs"
_INCLUDED: Final = frozenset(
    {
        *("reasoning.encrypted_content", "message.input_image.image_url"),
        *("file_search_call.results", "web_search_call.results"),
        *("web_search_call.action.sources", "computer_call_output.output.image_url"),
        *("code_interpreter_call.outputs",),
    }
)
"""What may be asked to be shown and is shown anyway, or belongs to tools that are not there."""
_EFFORTS: Final = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max"})
_MODES: Final[dict[str, Literal["auto", "none", "required"]]] = {
    "auto": "auto",
    "none": "none",
    "required": "required",
}
_VERBOSITIES: Final = frozenset({"low", "medium", "high"})
_MAX_TOP_LOGPROBS: Final = 20


def conversation(body: Mapping[str, Any]) -> Conversation:
    """Return the request in the neutral form.

    Raises:
        InvalidRequest: something has no place there, or is not what the API says; it is named.
    """
    for name, value in body.items():
        if name not in READ and name not in HINTS and value is not None:
            # An unknown name is the client's own word.
            raise UnsupportedParameter("body")
    if fields.text(body, "truncation") not in {None, "disabled"}:
        raise UnsupportedParameter("truncation")
    read = Conversation(turns=[])
    spaces = namespaces(body)
    items = ItemReader(spaces)
    _read_turns(body, read, items)
    _read_tools(body, read, tools_of(body, "", spaces) + items.tools)
    _read_text(body, read)
    _read_reasoning(body, read)
    _read_sampling(body, read)
    return read


def _set(read: Conversation, name: str, path: str, value: Any) -> None:
    if value is not None:
        setattr(read, name, value)
        read.paths[name] = path


def _read_turns(body: Mapping[str, Any], read: Conversation, items: ItemReader) -> None:
    if (instructions := fields.text(body, "instructions")) is not None:
        read.turns.append(Turn("system", [Text("instructions", instructions)], "instructions"))
    given = body["input"]
    if isinstance(given, str):
        read.turns.append(Turn("user", [Text("input", given)], "input"))
        return
    for index, item in enumerate(given):
        items.read(item, f"input[{index}]")
    if not items.turns:
        raise UnsupportedValue("input")
    read.turns += items.turns


def _read_tools(body: Mapping[str, Any], read: Conversation, tools: list[Tool]) -> None:
    # A tool that a search has found is there twice.
    by_name: dict[str, Tool] = {}
    for tool in tools:
        by_name.setdefault(tool.name, tool)
    read.tools = [*by_name.values()]
    if read.tools:
        read.paths["tools"] = "tools"
    _set(read, "parallel_tools", "parallel_tool_calls", fields.flag(body, "parallel_tool_calls"))
    choice = body.get("tool_choice")
    if choice is not None:
        _read_choice(choice, read)


def _read_choice(choice: Any, read: Conversation) -> None:
    if isinstance(choice, str) and choice in _MODES:
        _set(read, "tool_choice", "tool_choice", ToolChoice(_MODES[choice]))
    elif isinstance(choice, dict) and choice.get("type") == "function":
        name = _name_of(choice, "tool_choice")
        _set(read, "tool_choice", "tool_choice", ToolChoice("named", [name]))
    elif isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        _allow(choice, read)
    else:
        raise UnsupportedValue("tool_choice")


def _allow(choice: dict[str, Any], read: Conversation) -> None:
    """Keep the allowed tools only: the model may call no other, which is what was asked."""
    mode = _MODES.get(fields.text(choice, "mode", "tool_choice") or "")
    if mode is None or mode == "none":
        raise InvalidValue("tool_choice.mode")
    names = set()
    for path, one in fields.mappings(choice, "tools", "tool_choice"):
        if one.get("type") != "function":
            raise UnsupportedValue(f"{path}.type")
        names.add(_name_of(one, path))
    read.tools = [tool for tool in read.tools if tool.name in names]
    if not read.tools:
        raise InvalidValue("tool_choice.tools")
    _set(read, "tool_choice", "tool_choice", ToolChoice(mode))


def _name_of(chosen: dict[str, Any], path: str) -> str:
    name = fields.required_text(chosen, "name", path)
    if not name:
        raise InvalidValue(f"{path}.name")
    return name


def _read_text(body: Mapping[str, Any], read: Conversation) -> None:
    text = fields.mapping(body, "text") or {}
    _refuse_others(text, {"format", "verbosity"}, "text")
    verbosity = fields.text(text, "verbosity", "text")
    if verbosity is not None and verbosity not in _VERBOSITIES:
        raise InvalidValue("text.verbosity")
    _set(read, "verbosity", "text.verbosity", verbosity)
    given = fields.mapping(text, "format", "text")
    if given is not None:
        _set(read, "output_format", "text.format", _format_of(given))


def _format_of(given: dict[str, Any]) -> OutputFormat | None:
    kind = given.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return OutputFormat("json")
    if kind != "json_schema":
        raise InvalidValue("text.format.type")
    schema = fields.required_mapping(given, "schema", "text.format")
    return OutputFormat(
        "schema",
        name=_name_of(given, "text.format"),
        schema=schema,
        strict=fields.flag(given, "strict", "text.format"),
        description=fields.text(given, "description", "text.format"),
    )


def _read_reasoning(body: Mapping[str, Any], read: Conversation) -> None:
    reasoning = fields.mapping(body, "reasoning") or {}
    # `context` chooses among earlier reasoning of the model's own API: none crosses over.
    _refuse_others(
        reasoning, {"effort", "summary", "generate_summary", "mode", "context"}, "reasoning"
    )
    effort = fields.text(reasoning, "effort", "reasoning")
    if effort is not None and effort not in _EFFORTS:
        raise InvalidValue("reasoning.effort")
    summary = fields.text(reasoning, "summary", "reasoning") or fields.text(
        reasoning, "generate_summary", "reasoning"
    )
    if effort is not None or summary is not None:
        path = "reasoning.effort" if effort is not None else "reasoning.summary"
        shown = True if summary is not None else None
        _set(read, "thinking", path, Thinking(effort=effort, shown=shown))


def _read_sampling(body: Mapping[str, Any], read: Conversation) -> None:
    for name in ("temperature", "top_p", "frequency_penalty", "presence_penalty"):
        value = fields.number(body, name)
        is_default = value == 0 and name.endswith("_penalty")
        _set(read, name, name, None if is_default else value)
    limit = fields.integer(body, "max_output_tokens")
    _set(read, "max_output_tokens", "max_output_tokens", limit)
    for index, one in enumerate(fields.elements(body, "include")):
        if one == _LOGPROBS:
            read.logprobs, read.paths["logprobs"] = True, f"include[{index}]"
        elif not isinstance(one, str) or one not in _INCLUDED:
            raise UnsupportedValue(f"include[{index}]")
    top = fields.integer(body, "top_logprobs", minimum=0, maximum=_MAX_TOP_LOGPROBS)
    if top:
        read.logprobs, read.paths["logprobs"] = True, "top_logprobs"
        _set(read, "top_logprobs", "top_logprobs", top)


def _refuse_others(given: Mapping[str, Any], known: set[str], path: str) -> None:
    for name, value in given.items():
        if name not in known and value is not None:
            raise UnsupportedParameter(path)
