"""What bounds the usage of a request: bytes of text, and the catalogue's maxima for media.

As in `chat/shape.py`: media without a maximum in the catalogue, and whatever makes the provider run
tools, other models or another price, are refused by name, as a hold must be true. Searches of the
web are taken where the catalogue bounds them (`searches.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edge.translate import fields, searches, tool_count
from edge.translate.errors import (
    InvalidType,
    MissingParameter,
    UnsupportedParameter,
    UnsupportedValue,
)
from edge.translate.json_body import written
from edge.translate.media_urls import refuse_elsewhere
from edge.translate.messages.searches import is_search, uses
from edge.translate.native_body import UNBOUND_FIELDS, refuse_unbound
from edge.translate.surface import ModelLimits
from kit.hold import RequestShape

TEXT_BLOCKS: Final = frozenset(
    {
        *("text", "thinking", "redacted_thinking", "tool_use", "search_result"),
        *("tool_reference", "tool_addition", "tool_removal", "compaction"),
        *("server_tool_use", "mcp_tool_use", "mcp_tool_result", "tool_search_tool_result"),
        *("code_execution_tool_result", "bash_code_execution_tool_result"),
        "text_editor_code_execution_tool_result",
    }
)
"""Blocks that are no more tokens than bytes, earlier calls of the provider's tools and their plain
results among them. Pages that it found are not: they are encrypted, and read again in full."""
FOUND_PAGES: Final = "web_search_tool_result"
"""What an earlier search found."""
CONTAINERS: Final = frozenset({"tool_result", "mid_conv_system"})
"""Blocks with a `content` of their own."""
CLIENT_TOOLS: Final = ("bash_", "text_editor_", "computer_", "memory_")
"""Tools that Anthropic describes and the client runs, by the beginnings of their types."""
TOOLSETS: Final = ("computer_toolset_", "browser_toolset_")
"""Descriptions of unknown length."""
PROVIDER_FIELDS: Final = ("mcp_servers", "container", "fallbacks")
"""Servers that the provider calls, containers that it keeps, other models that it asks."""
OTHER_UNBOUND: Final = tuple(name for name in UNBOUND_FIELDS if name not in PROVIDER_FIELDS)
"""What other providers of this API know; an empty list of Anthropic's own fields says nothing."""
_OTHER_UNBOUND: Final = frozenset(OTHER_UNBOUND)
_DATA_SOURCES: Final = frozenset({"base64", "url"})


@dataclass(slots=True)
class Media:
    """Where a request has media, and how many bytes of data they are."""

    images: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    found_pages: list[str] = field(default_factory=list)
    data_bytes: int = 0


def shape(body: Mapping[str, Any], limits: ModelLimits) -> tuple[RequestShape, int]:
    """Return the counts that bound what a request can use with this model, and its media's bytes.

    Raises:
        InvalidRequest: it has media or tools for which the catalogue has no maximum.
    """
    _refuse_dearer(body)
    overhead = limits.input_overhead_tokens
    if _refuse_provider_tools(body):
        overhead = max(overhead, limits.input_overhead_with_tools_tokens)
    found = media(body)
    tokens = 0
    for maximum, paths in (
        (limits.image_max_tokens, found.images),
        (limits.file_max_tokens, found.files),
        (limits.tool_call_max_tokens, found.found_pages),
    ):
        if paths and maximum <= 0:
            raise UnsupportedValue(paths[0])
        tokens += maximum * len(paths)
    bound = RequestShape(
        text_bytes=len(written(body)) - found.data_bytes,
        overhead_tokens=overhead,
        media_tokens=tokens,
    )
    if granted := uses(body, limits):
        searches.set_aside(bound, sum(granted), limits)
    return bound, found.data_bytes


def media(body: Mapping[str, Any]) -> Media:
    """Return the media of a request.

    Raises:
        InvalidRequest: a block is none that we know a bound of.
    """
    found = Media()
    for path, block in _blocks(body, "system", "system"):
        _look(path, block, found)
    for place, message in fields.mappings(body, "messages"):
        for path, block in _blocks(message, "content", f"{place}.content"):
            _look(path, block, found)
    return found


def refuse_kept(body: Mapping[str, Any]) -> None:
    """Refuse, where nothing is held, what would reach for things under our account.

    Raises:
        InvalidRequest: the servers, containers, models or files are named; or there are too many
            tools, or blocks that we do not know.
    """
    _refuse_provider_fields(body)
    tool_count.check(fields.mappings(body, "tools"), "tools")
    media(body)


def _refuse_provider_fields(body: Mapping[str, Any]) -> None:
    refuse_unbound(body, _OTHER_UNBOUND)
    for name in PROVIDER_FIELDS:
        if body.get(name):
            raise UnsupportedParameter(name)


def _refuse_dearer(body: Mapping[str, Any]) -> None:
    _refuse_provider_fields(body)
    if fields.text(body, "speed") not in {None, "standard"}:
        raise UnsupportedValue("speed")
    # Some regions cost more than the list price.
    if fields.text(body, "inference_geo") not in {None, "global"}:
        raise UnsupportedValue("inference_geo")
    management = fields.mapping(body, "context_management") or {}
    for place, edit in fields.mappings(management, "edits", "context_management"):
        # A summary is an answer of its own, of no known length, that the total leaves out.
        if str(edit.get("type")).startswith("compact"):
            raise UnsupportedValue(f"{place}.type")


def _refuse_provider_tools(body: Mapping[str, Any]) -> bool:
    """Say whether there are tools, all of them the client's or web search."""
    tools = fields.mappings(body, "tools")
    tool_count.check(tools, "tools")
    for place, tool in tools:
        kind = fields.text(tool, "type", place)
        if kind in {None, "custom"} or is_search(tool):
            continue
        if kind.startswith(TOOLSETS) or not kind.startswith(CLIENT_TOOLS):
            raise UnsupportedValue(f"{place}.type")
    return bool(tools)


def _blocks(
    holder: Mapping[str, Any], name: str, path: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    content = holder.get(name)
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list):
        raise InvalidType(path, "a string or an array of objects")
    for index, block in enumerate(content):
        if not isinstance(block, dict):
            raise InvalidType(f"{path}[{index}]", "an object")
        yield f"{path}[{index}]", block


def _look(path: str, block: Mapping[str, Any], found: Media) -> None:
    kind = block.get("type")
    if kind is None:
        raise MissingParameter(f"{path}.type")
    if not isinstance(kind, str):
        raise InvalidType(f"{path}.type", "a string")
    if kind == "image":
        _source(path, block, found.images, found)
    elif kind == "document":
        _document(path, block, found)
    elif kind in CONTAINERS:
        for inner_path, inner in _blocks(block, "content", f"{path}.content"):
            _look(inner_path, inner, found)
    elif kind == FOUND_PAGES:
        found.found_pages.append(f"{path}.type")
    elif kind not in TEXT_BLOCKS:
        raise UnsupportedValue(f"{path}.type")


def _document(path: str, block: Mapping[str, Any], found: Media) -> None:
    source = fields.required_mapping(block, "source", path)
    kind = source.get("type")
    if kind == "text":
        return  # as many tokens as bytes at most, like any other text
    if kind == "content":
        for inner_path, inner in _blocks(source, "content", f"{path}.source.content"):
            _look(inner_path, inner, found)
        return
    _source(path, block, found.files, found)


def _source(path: str, block: Mapping[str, Any], paths: list[str], found: Media) -> None:
    source = fields.required_mapping(block, "source", path)
    kind = source.get("type")
    if not isinstance(kind, str) or kind not in _DATA_SOURCES:
        # Files that the provider keeps for the account, which is ours and not the client's.
        raise UnsupportedValue(f"{path}.source.type")
    refuse_elsewhere(f"{path}.source.url", source.get("url"))
    paths.append(path)
    data = fields.text(source, "data", f"{path}.source")
    found.data_bytes += len(data.encode()) if data else 0
