"""The tools of a request as functions, under names that every API has.

Functions in a namespace are called by two names; other APIs have one. There a function is called
`namespace__name`, and its calls come back to the client under both. Where that is no name
elsewhere, because it is too long or has other characters, it is cut and marked.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from edge.translate import fields
from edge.translate.errors import InvalidValue, UnsupportedValue
from edge.translate.neutral.conversation import Tool

Namespaces = dict[str, tuple[str, str]]
"""By the one name: the namespace and the name in it."""
NAME_MAX: Final = 64
"""The longest name of a function at OpenAI's chat, Anthropic and Google (their API references)."""
MARK_LENGTH: Final = 8
_NOT_IN_NAMES: Final = re.compile(r"[^a-zA-Z0-9_-]")


def namespaces(body: Mapping[str, Any]) -> Namespaces:
    """Return the functions in namespaces of a body that was checked."""
    found: Namespaces = {}
    for tool in _every_tool(body):
        space, inner = tool.get("name"), tool.get("tools")
        if tool.get("type") != "namespace" or not isinstance(space, str):
            continue
        for one in inner if isinstance(inner, list) else ():
            name = one.get("name") if isinstance(one, dict) else None
            if isinstance(name, str):
                found[_joined(space, name)] = (space, name)
    return found


def _every_tool(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    given = body.get("input")
    for holder in (body, *(given if isinstance(given, list) else ())):
        tools = holder.get("tools")
        for tool in tools if isinstance(tools, list) else ():
            if isinstance(tool, dict):
                yield tool


def called(name: str, namespace: str | None, spaces: Namespaces) -> str:
    """Return the one name of a function that was called by two.

    Tools that a search has found are called in a namespace of their own, which is not among those.
    """
    joined = name if namespace is None else _joined(namespace, name)
    return joined if joined in spaces else name


def _joined(namespace: str, name: str) -> str:
    joined = f"{namespace}__{name}"
    plain = _NOT_IN_NAMES.sub("_", joined)
    if plain == joined and len(joined) <= NAME_MAX:
        return joined
    # Of the whole, so that names that begin alike stay apart.
    mark = hashlib.sha256(joined.encode(errors="surrogatepass")).hexdigest()[:MARK_LENGTH]
    return f"{plain[: NAME_MAX - MARK_LENGTH - 1]}_{mark}"


def tools_of(holder: Mapping[str, Any], path: str, spaces: Namespaces) -> list[Tool]:
    """Return the functions that the client runs.

    Raises:
        InvalidRequest: there is another kind of tool, or a name could mean two functions.
    """
    found: list[Tool] = []
    for place, tool in fields.mappings(holder, "tools", path):
        if is_search(tool):
            continue
        if tool.get("type") == "namespace":
            found += _of_namespace(tool, place, spaces)
            continue
        one = _function(tool, place)
        if one.name in spaces:
            raise UnsupportedValue(f"{place}.name")
        found.append(one)
    return found


def _of_namespace(tool: dict[str, Any], path: str, spaces: Namespaces) -> list[Tool]:
    space = fields.required_text(tool, "name", path)
    about = fields.text(tool, "description", path)
    functions = [_function(one, place) for place, one in fields.mappings(tool, "tools", path)]
    for function in functions:
        joined = _joined(space, function.name)
        if spaces.get(joined) != (space, function.name):
            raise UnsupportedValue(f"{function.path}.name")
        function.name = joined
        told = [text for text in (about, function.description) if text]
        function.description = "\n\n".join(told) or None
    return functions


def is_search(tool: Mapping[str, Any]) -> bool:
    """Say whether a tool is the provider's search among the request's tools.

    It only decides when the model reads of a tool: without it, it reads of all of them at once.
    """
    return tool.get("type") == "tool_search" and tool.get("execution") != "client"


def is_of_search(item: Mapping[str, Any]) -> bool:
    """Say whether an item is a step of the provider's search."""
    is_step = item.get("type") in {"tool_search_call", "tool_search_output"}
    return is_step and item.get("execution") != "client"


def _function(tool: dict[str, Any], path: str) -> Tool:
    if tool.get("type") != "function":
        raise UnsupportedValue(f"{path}.type")
    name = fields.required_text(tool, "name", path)
    if not name:
        raise InvalidValue(f"{path}.name")
    return Tool(
        path=path,
        name=name,
        description=fields.text(tool, "description", path),
        parameters=fields.mapping(tool, "parameters", path),
        strict=fields.flag(tool, "strict", path),
    )
