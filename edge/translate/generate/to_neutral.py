"""A client's request for generated content as a conversation that belongs to no API.

What other APIs have no place for is refused by name. Dropped are only hints, which do not change
what the answer means: `HINTS`, and safety settings that ask for less filtering (another provider
has no filter of Google's to lower; one that asks for more is refused, as none could promise it).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edge.translate import tool_count
from edge.translate.errors import InvalidType, InvalidValue, UnsupportedParameter, UnsupportedValue
from edge.translate.generate.config import Settings
from edge.translate.generate.parts import Contents
from edge.translate.generate.schemas import json_schema
from edge.translate.generate.shape import refuse_provider_tools
from edge.translate.neutral.conversation import Conversation, Text, Tool, ToolChoice, Turn

HINTS: Final = frozenset({"labels", "store", "serviceTier", "model"})
"""Fields of a request that no other API has, or that is ours to say."""
DECLARATION_HINTS: Final = frozenset({"response", "responseJsonSchema"})
"""What a function will return: the model sees it once it is returned."""
_FIELDS: Final = frozenset(
    {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings"}
)
_LESS_FILTERING: Final = frozenset({"OFF", "BLOCK_NONE", "HARM_BLOCK_THRESHOLD_UNSPECIFIED", None})
_MODES: Final = frozenset({None, "MODE_UNSPECIFIED", "AUTO", "VALIDATED", "ANY", "NONE"})


def conversation_of(body: Mapping[str, Any]) -> Conversation:
    """Return the conversation of a request in canonical spelling.

    Raises:
        InvalidRequest: the neutral form has no place for something; the field is named.
    """
    unknown = [n for n, v in body.items() if v is not None and n not in _FIELDS | HINTS]
    if unknown:
        # Its name could be anything: it is the client's.
        raise UnsupportedParameter("cachedContent" if "cachedContent" in unknown else "body")
    _check_safety(body.get("safetySettings") or ())
    refuse_provider_tools(body)
    turns = [*_system(body), *Contents().turns(body)]
    made = Conversation(turns=turns, tools=_tools(body.get("tools") or ()))
    if made.tools:
        made.paths["tools"] = "tools"
    _choose(made, body.get("toolConfig") or {})
    Settings(body.get("generationConfig") or {}).fill(made)
    return made


def _check_safety(settings: Any) -> None:
    for index, setting in enumerate(settings):
        threshold = setting.get("threshold")
        if isinstance(threshold, str | None) and threshold in _LESS_FILTERING:
            continue
        raise UnsupportedValue(f"safetySettings[{index}].threshold")


def _system(body: Mapping[str, Any]) -> list[Turn]:
    system = body.get("systemInstruction")
    if not system:
        return []
    texts: list[Any] = []
    for index, part in enumerate(system.get("parts") or ()):
        path = f"systemInstruction.parts[{index}]"
        text = part.get("text")
        if not isinstance(text, str) or set(part) - {"text"}:
            raise UnsupportedValue(path)
        texts.append(Text(f"{path}.text", text))
    return [Turn("system", texts, "systemInstruction")] if texts else []


def _tools(tools: Any) -> list[Tool]:
    return [
        _tool(declared, f"tools[{index}].functionDeclarations[{place}]")
        for index, tool in enumerate(tools)
        for place, declared in enumerate(tool.get("functionDeclarations") or ())
    ]


def _tool(declared: Mapping[str, Any], path: str) -> Tool:
    name, description = declared.get("name"), declared.get("description")
    if not isinstance(name, str) or not name:
        raise InvalidType(f"{path}.name", "a string")
    if not isinstance(description, str | None):
        raise InvalidType(f"{path}.description", "a string")
    if declared.get("behavior") not in (None, "UNSPECIFIED", "BLOCKING"):
        raise UnsupportedValue(f"{path}.behavior")
    known = {"name", "description", "parameters", "parametersJsonSchema", "behavior"}
    if any(v is not None for n, v in declared.items() if n not in known | DECLARATION_HINTS):
        raise UnsupportedValue(path)
    return Tool(path, name, description, _parameters(declared, path))


def _parameters(declared: Mapping[str, Any], path: str) -> dict[str, Any] | None:
    schema = declared.get("parametersJsonSchema")
    if schema is not None:
        if not isinstance(schema, dict):
            raise InvalidType(f"{path}.parametersJsonSchema", "an object")
        return schema
    if declared.get("parameters") is not None:
        return json_schema(declared["parameters"], f"{path}.parameters")
    return None


def _choose(made: Conversation, config: Mapping[str, Any]) -> None:
    """Take over which functions may be called.

    VALIDATED is AUTO with arguments that fit their schema: the schema goes along, and how well it
    is kept is the model's.
    """
    path = "toolConfig.functionCallingConfig"
    others = {"functionCallingConfig", "retrievalConfig", "includeServerSideToolInvocations"}
    if any(value is not None for name, value in config.items() if name not in others):
        raise UnsupportedParameter("toolConfig")
    calling = config.get("functionCallingConfig") or {}
    mode, names = calling.get("mode"), calling.get("allowedFunctionNames") or []
    if not isinstance(mode, str | None):
        raise InvalidType(f"{path}.mode", "a string")
    mode = mode.upper() if mode else None
    if mode not in _MODES:
        raise InvalidValue(f"{path}.mode")
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise InvalidType(f"{path}.allowedFunctionNames", "an array of strings")
    tool_count.check(names, f"{path}.allowedFunctionNames")
    if names and mode != "ANY":
        raise UnsupportedParameter(f"{path}.allowedFunctionNames")
    if mode in {"AUTO", "VALIDATED"}:
        made.tool_choice = ToolChoice("auto")
    elif mode == "NONE":
        made.tool_choice = ToolChoice("none")
    elif mode == "ANY":
        made.tool_choice = ToolChoice("named" if names else "required", names)
    if made.tool_choice is not None:
        made.paths["tool_choice"] = path
