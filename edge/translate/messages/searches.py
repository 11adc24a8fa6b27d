"""Anthropic's web search: which of its versions have a bound, and how `max_uses` keeps it.

From `web_search_20260209` on the model may write code that searches and reads as often as it likes;
that needs a container, and no field bounds it. A tool whose only caller is the model itself
(`allowed_callers`: `direct`) is the plain search (guides to web search and server tools).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from edge.translate import fields, searches
from edge.translate.errors import UnsupportedValue
from edge.translate.surface import ModelLimits

PATTERN: Final = "web_search_[0-9]{8}"
PLAIN: Final = "web_search_20250305"
"""The version without code of the model's; later ones have it unless told otherwise."""
DIRECT: Final = ["direct"]
_NAMES: Final = re.compile(PATTERN)


def is_search(tool: Mapping[str, Any]) -> bool:
    """Say whether a tool is web search, of any version."""
    kind = tool.get("type")
    return isinstance(kind, str) and _NAMES.fullmatch(kind) is not None


def uses(body: Mapping[str, Any], limits: ModelLimits) -> list[int]:
    """Return the `max_uses` of each web search tool in turn: together the catalogue's at most.

    Raises:
        InvalidRequest: the catalogue or the tool's description leaves a search without a bound.
    """
    found = [(place, tool) for place, tool in fields.mappings(body, "tools") if is_search(tool)]
    granted: list[int] = []
    for place, tool in found:
        _check_callers(tool, place)
        wanted = fields.integer(tool, "max_uses", place, minimum=1)
        others = len(found) - len(granted) - 1  # each of those to come gets one at least
        left = searches.calls_of(limits) - sum(granted) - others
        if left < 1:
            raise UnsupportedValue(f"{place}.type")
        granted.append(min(wanted or left, left))
    return granted


def limited(tools: Any, granted: Sequence[int]) -> Any:
    """Return the tools for the upstream, each search with its `max_uses`."""
    left = iter(granted)
    return [
        {**tool, "max_uses": next(left)} if granted and is_search(tool) else tool for tool in tools
    ]


def _check_callers(tool: Mapping[str, Any], place: str) -> None:
    callers = tool.get("allowed_callers")
    if callers != DIRECT and (callers is not None or tool["type"] != PLAIN):
        raise UnsupportedValue(f"{place}.allowed_callers")
