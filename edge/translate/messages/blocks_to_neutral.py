"""The blocks of a message request as turns of the neutral form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edge.translate import fields
from edge.translate.errors import (
    InvalidType,
    InvalidValue,
    UnsupportedParameter,
    UnsupportedValue,
)
from edge.translate.json_body import written
from edge.translate.media_urls import web_url
from edge.translate.messages import call_ids
from edge.translate.neutral.conversation import (
    File,
    Image,
    Maker,
    Part,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)

_HINTS: Final = frozenset({"type", "cache_control"})
_CITATIONS: Final = frozenset({"citations"})
_PREFIX_ROLE: Final = "assistant"


@dataclass(slots=True, repr=False)
class _Reading:
    """The turns so far, and the names of the tools that were called, by the call's id."""

    turns: list[Turn] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def add(self, role: Role, part: Part, path: str) -> None:
        """Add a part to the turn of this role and message, which begins if another one was last."""
        if not self.turns or self.turns[-1].role != role or self.turns[-1].path != path:
            self.turns.append(Turn(role, [], path))
        self.turns[-1].parts.append(part)


def turns(body: Mapping[str, Any]) -> list[Turn]:
    """Return the system prompt and the messages as turns; tool results are turns of their own.

    Raises:
        InvalidRequest: a block has no place in the neutral form; it is named.
    """
    reading = _Reading()
    for path, block in _blocks(body, "system", ""):
        reading.add("system", _text(path, block), "system")
    messages = fields.mappings(body, "messages")
    for path, message in messages:
        _message(path, message, reading)
    if messages and messages[-1][1].get("role") == _PREFIX_ROLE:
        # The answer would go on where the message ends; other APIs answer anew.
        raise UnsupportedValue(f"{messages[-1][0]}.role")
    return reading.turns


def _message(path: str, message: Mapping[str, Any], reading: _Reading) -> None:
    role = fields.required_text(message, "role", path)
    for place, block in _blocks(message, "content", path):
        kind = fields.required_text(block, "type", place)
        match role:
            case "system":
                reading.add("system", _text(place, block), path)
            case "assistant":
                part = _assistants(place, kind, block, reading)
                # Blank text: Anthropic would not take it, and other upstreams made it for us.
                if not isinstance(part, Text) or part.text.strip():
                    reading.add("assistant", part, path)
            case "user" if kind == "tool_result":
                reading.add("tool", _tool_result(place, block, reading), path)
            case "user" if kind == "mid_conv_system":
                _check(place, block, frozenset({"content"}))
                for inner, text in _blocks(block, "content", place):
                    reading.add("system", _text(inner, text), path)
            case "user":
                reading.add("user", _users(place, kind, block), path)
            case _:
                raise InvalidValue(f"{path}.role")


def _blocks(
    holder: Mapping[str, Any], name: str, path: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the blocks of a content with their paths; a string is one block of text."""
    content = holder.get(name)
    place = fields.below(path, name)
    if isinstance(content, str):
        if content:
            yield place, {"type": "text", "text": content}
    elif content is not None:
        if not isinstance(content, list):
            raise InvalidType(place, "a string or an array of objects")
        yield from fields.mappings(holder, name, path)


def _check(path: str, block: Mapping[str, Any], known: frozenset[str]) -> None:
    """Refuse a block that says more than we carry over; its fields may be the client's words."""
    for name, value in block.items():
        if value and name not in known and name not in _HINTS:
            raise UnsupportedParameter(path)


def _text(path: str, block: Mapping[str, Any]) -> Text:
    if fields.required_text(block, "type", path) != "text":
        raise UnsupportedValue(f"{path}.type")
    # Citations of an earlier answer say where it came from, not what it says.
    _check(path, block, _CITATIONS | {"text"})
    return Text(path, fields.required_text(block, "text", path))


def _users(path: str, kind: str, block: Mapping[str, Any]) -> Text | Image | File:
    match kind:
        case "text":
            return _text(path, block)
        case "image":
            return _image(path, block)
        case "document":
            return _document(path, block)
    raise UnsupportedValue(f"{path}.type")


def _image(path: str, block: Mapping[str, Any]) -> Image:
    _check(path, block, frozenset({"source"}))
    source, place = fields.required_mapping(block, "source", path), f"{path}.source"
    match fields.required_text(source, "type", place):
        case "base64":
            return Image(
                path,
                media_type=fields.required_text(source, "media_type", place),
                data=fields.required_text(source, "data", place),
            )
        case "url":
            url = fields.required_text(source, "url", place)
            return Image(path, url=web_url(f"{place}.url", url))
    raise UnsupportedValue(f"{place}.type")


def _document(path: str, block: Mapping[str, Any]) -> File | Text:
    cited = fields.mapping(block, "citations", path) or {}
    if cited.get("enabled"):
        raise UnsupportedParameter(f"{path}.citations")
    if block.get("context"):
        raise UnsupportedParameter(f"{path}.context")
    _check(path, block, frozenset({"source", "title", "citations"}))
    source, place = fields.required_mapping(block, "source", path), f"{path}.source"
    name = fields.text(block, "title", path)
    match fields.required_text(source, "type", place):
        case "base64":
            media_type = fields.required_text(source, "media_type", place)
            data = fields.required_text(source, "data", place)
            return File(path, media_type=media_type, data=data, name=name)
        case "url":
            url = fields.required_text(source, "url", place)
            return File(path, url=web_url(f"{place}.url", url), name=name)
        case "text":
            return Text(path, fields.required_text(source, "data", place))
    raise UnsupportedValue(f"{place}.type")


def _assistants(path: str, kind: str, block: Mapping[str, Any], reading: _Reading) -> Part:
    match kind:
        case "text":
            return _text(path, block)
        case "thinking":
            return Reasoning(
                path,
                Maker.ANTHROPIC,
                fields.text(block, "thinking", path) or "",
                signature=fields.text(block, "signature", path) or None,
            )
        case "redacted_thinking":
            data = fields.required_text(block, "data", path)
            return Reasoning(path, Maker.ANTHROPIC, "", redacted=data)
        case "tool_use":
            return _tool_call(path, block, reading)
    raise UnsupportedValue(f"{path}.type")


def _tool_call(path: str, block: Mapping[str, Any], reading: _Reading) -> ToolCall:
    _check(path, block, frozenset({"id", "name", "input", "caller"}))
    sent = fields.required_text(block, "id", path)
    name = fields.required_text(block, "name", path)
    given = fields.mapping(block, "input", path) or {}
    call_id, signature = call_ids.split(sent)
    reading.names[call_id] = name
    return ToolCall(path, call_id, name, written(given).decode(), signature)


def _tool_result(path: str, block: Mapping[str, Any], reading: _Reading) -> ToolResult:
    _check(path, block, frozenset({"tool_use_id", "content", "is_error"}))
    call_id, _ = call_ids.split(fields.required_text(block, "tool_use_id", path))
    parts = [
        _users(place, fields.required_text(inner, "type", place), inner)
        for place, inner in _blocks(block, "content", path)
    ]
    is_error = bool(fields.flag(block, "is_error", path))
    return ToolResult(path, call_id, reading.names.get(call_id), parts, is_error)
