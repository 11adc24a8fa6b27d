"""What bounds the usage of a request: bytes of text, and the catalogue's maxima for media.

Tools that the client runs cost what the request shows. Those that the provider runs read what it
does not show, so they are refused, and with them what they left in earlier answers. There are two
exceptions: tool search reads no more than the tools in the request, once for each search; searches
of the web are taken where the catalogue bounds them, and `max_tool_calls` keeps their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from edge.translate import fields, searches, tool_count
from edge.translate.errors import (
    IntegerBelowMinimum,
    InvalidType,
    StatelessOnly,
    UnsupportedValue,
)
from edge.translate.json_body import written
from edge.translate.media_urls import refuse_elsewhere
from edge.translate.surface import ModelLimits
from kit.hold import RequestShape

CLIENT_TOOLS: Final = frozenset({"function", "custom", "apply_patch", "local_shell"})
"""Tools that the client runs, by OpenAI's description of each."""
WEB_SEARCHES: Final = frozenset(
    {
        *("web_search", "web_search_2025_08_26"),
        *("web_search_preview", "web_search_preview_2025_03_11"),
    }
)
"""The tool's names, by OpenAI's description: the provider searches the web."""
WEB_SEARCH_CALL: Final = "web_search_call"
SEARCH_READINGS: Final = 4
"""How often a request with hosted tool search may be read.

Recorded: one search, that is two readings, counts at most 1.2 tokens for each byte; counts that
exceed the hold are refused in any case (ADR 0010).
"""
TEXT_ITEMS: Final = frozenset(
    {
        *("reasoning", "compaction", "function_call", "custom_tool_call", "tool_search_call"),
        *("local_shell_call", "local_shell_call_output", "shell_call", "shell_call_output"),
        *("apply_patch_call", "apply_patch_call_output"),
    }
)
PART_ITEMS: Final = {
    "message": "content",
    "function_call_output": "output",
    "custom_tool_call_output": "output",
}
"""Items that can hold media, and in which member."""
TOOL_ITEMS: Final = frozenset({"additional_tools", "tool_search_output"})
TEXT_PARTS: Final = frozenset(
    {"input_text", "output_text", "text", "refusal", "summary_text", "reasoning_text"}
)
_DATA_FIELDS: Final = ("image_url", "file_data", "file_url")


def shape(body: Mapping[str, Any], limits: ModelLimits) -> tuple[RequestShape, int]:
    """Return the counts that bound what a request can use with a model, and its bytes of media.

    Raises:
        InvalidRequest: it has media or tools for which the catalogue has no maximum.
    """
    calls = _web_searches(body, limits)
    has_tools, searches_tools = _tools(body, "")
    media_bytes = media_tokens = 0
    for path, item in _items(body):
        if item.get("type") == WEB_SEARCH_CALL:
            # What an earlier search found may be read again.
            if not searches.calls_of(limits):
                raise UnsupportedValue(f"{path}.type")
            media_tokens += limits.tool_call_max_tokens
            continue
        more_tools, more_searches = _item_tools(path, item)
        has_tools, searches_tools = has_tools or more_tools, searches_tools or more_searches
        for place, part in _parts(path, item):
            maximum = _maximum(place, part, limits)
            media_tokens += maximum
            media_bytes += _data_bytes(part) if maximum else 0
    overhead = limits.input_overhead_tokens
    if has_tools:
        overhead = max(overhead, limits.input_overhead_with_tools_tokens)
    readings = SEARCH_READINGS if searches_tools else 1
    bound = RequestShape(
        text_bytes=readings * (len(written(body)) - media_bytes),
        overhead_tokens=readings * overhead,
        media_tokens=readings * media_tokens,
    )
    if calls is not None:
        searches.set_aside(bound, calls, limits)
    return bound, media_bytes


def _web_searches(body: Mapping[str, Any], limits: ModelLimits) -> int | None:
    """Return how many searches of the web the request may cause, None if it asks for none.

    A limit of none is refused: it is not said that a provider takes 0 for a limit.
    """
    for path, tool in fields.mappings(body, "tools"):
        if fields.required_text(tool, "type", path) in WEB_SEARCHES:
            calls, wanted = searches.calls_of(limits), body.get("max_tool_calls")
            if not calls:
                raise UnsupportedValue(f"{path}.type")
            if wanted == 0:
                raise IntegerBelowMinimum("max_tool_calls", 1)
            return calls if wanted is None else min(wanted, calls)
    return None


def _tools(holder: Mapping[str, Any], where: str) -> tuple[bool, bool]:
    """Check tools; say whether there are any, and whether the provider searches among them."""
    tools = fields.mappings(holder, "tools", where)
    tool_count.check(tools, fields.below(where, "tools"))
    searches = False
    for path, tool in tools:
        kind = fields.required_text(tool, "type", path)
        if kind == "namespace":
            searches = _tools(tool, path)[1] or searches
        elif kind == "tool_search":
            searches = searches or tool.get("execution") != "client"
        elif kind == "shell":
            _check_shell(tool, path)
        elif kind not in CLIENT_TOOLS and (where or kind not in WEB_SEARCHES):
            raise UnsupportedValue(f"{path}.type")
    return bool(tools), searches


def _check_shell(tool: Mapping[str, Any], path: str) -> None:
    """Refuse a shell that is not said to be the client's: the provider's runs in a container."""
    environment = fields.mapping(tool, "environment", path) or {}
    if environment.get("type") != "local":
        raise UnsupportedValue(f"{path}.environment")


def _items(body: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    given = body.get("input")
    if isinstance(given, list):
        for index, item in enumerate(given):
            yield f"input[{index}]", item


def _item_tools(path: str, item: Mapping[str, Any]) -> tuple[bool, bool]:
    kind = item.get("type") or "message"
    if kind in TOOL_ITEMS:
        return _tools(item, path)
    if kind not in TEXT_ITEMS and kind not in PART_ITEMS:
        raise UnsupportedValue(f"{path}.type")
    return False, False


def _parts(path: str, item: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    name = PART_ITEMS.get(item.get("type") or "message")
    parts = item.get(name) if name is not None else None
    if not isinstance(parts, list):
        if isinstance(parts, dict):
            raise InvalidType(f"{path}.{name}", "a string or an array of objects")
        return
    for place, part in enumerate(parts):
        if not isinstance(part, dict):
            raise InvalidType(f"{path}.{name}[{place}]", "an object")
        yield f"{path}.{name}[{place}]", part


def _maximum(path: str, part: Mapping[str, Any], limits: ModelLimits) -> int:
    kind = fields.required_text(part, "type", path)
    if kind in TEXT_PARTS:
        return 0
    if part.get("file_id") is not None:
        raise StatelessOnly(f"{path}.file_id")
    for name in _DATA_FIELDS:
        refuse_elsewhere(f"{path}.{name}", part.get(name))
    if kind == "input_image":
        return _required(limits.image_max_tokens, path)
    if kind == "input_file":
        return _required(limits.file_max_tokens, path)
    raise UnsupportedValue(f"{path}.type")


def _required(maximum: int, path: str) -> int:
    if maximum <= 0:
        raise UnsupportedValue(path)
    return maximum


def _data_bytes(part: Mapping[str, Any]) -> int:
    """Return the bytes of the data inside a media part: never more than they take serialised."""
    data = [part.get(name) for name in _DATA_FIELDS]
    return sum(len(one.encode()) for one in data if isinstance(one, str))
