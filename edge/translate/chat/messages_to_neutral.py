"""The messages of a chat completions request as turns of the neutral form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from edge.translate import fields
from edge.translate.chat import reasoning_details
from edge.translate.errors import (
    InvalidType,
    InvalidValue,
    MissingParameter,
    UnsupportedParameter,
    UnsupportedValue,
)
from edge.translate.media_urls import data_of, is_of_web, web_url
from edge.translate.neutral.conversation import (
    Audio,
    File,
    Image,
    Maker,
    Part,
    Reasoning,
    Refusal,
    Role,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)

_ROLES: Final[dict[str, Role]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
_HINTS: Final = frozenset({"annotations", "cache_control"})
"""What clients send back with an answer, and marks for caches."""
_READ: Final = frozenset({"role", "content"})
_READ_OF_ASSISTANT: Final = frozenset(
    {"refusal", "tool_calls", "reasoning", "reasoning_content", "reasoning_details"}
)
_READ_OF_TOOL: Final = frozenset({"tool_call_id", "name"})
_REFUSED: Final = frozenset({"name", "audio", "function_call", "prefix"})
_PDF: Final = "application/pdf"


def turns(body: dict[str, Any]) -> list[Turn]:
    """Return the turns; results of tools that follow each other are one turn.

    Raises:
        InvalidRequest: a field has the wrong type, or no place in the neutral form.
    """
    found: list[Turn] = []
    names: dict[str, str] = {}
    for path, message in fields.mappings(body, "messages"):
        turn = _turn(path, message, names)
        if turn.role == "tool" and found and found[-1].role == "tool":
            found[-1].parts += turn.parts
        else:
            found.append(turn)
    return found


def _turn(path: str, message: dict[str, Any], names: dict[str, str]) -> Turn:
    word = fields.required_text(message, "role", path)
    if word == "function":
        raise UnsupportedValue(f"{path}.role")
    if word not in _ROLES:
        raise InvalidValue(f"{path}.role")
    role = _ROLES[word]
    _refuse_others(path, message, role)
    parts = _content(path, message.get("content"), role)
    if role == "assistant":
        parts = [*_reasoning(path, message), *parts, *_calls(path, message)]
        names |= {part.id: part.name for part in parts if isinstance(part, ToolCall)}
    elif role == "tool":
        parts = [_result(path, message, parts, names)]
    return Turn(role, parts, path)


def _refuse_others(path: str, message: dict[str, Any], role: Role) -> None:
    read = _READ
    if role == "assistant":
        read |= _READ_OF_ASSISTANT
    elif role == "tool":
        read |= _READ_OF_TOOL
    for name, value in message.items():
        # Clients send back all of an answer: what is null or empty in it says nothing.
        if value and name not in read and name not in _HINTS:
            raise UnsupportedParameter(f"{path}.{name}" if name in _REFUSED else path)


def _content(path: str, content: Any, role: Role) -> list[Part]:
    place = f"{path}.content"
    if content is None and role == "assistant":
        return []
    if isinstance(content, str):
        return [Text(place, content)] if content else []
    if not isinstance(content, list):
        raise (
            MissingParameter(place)
            if content is None
            else InvalidType(place, "a string or an array")
        )
    return [_part(at, part) for at, part in fields.mappings({"content": content}, "content", path)]


def _part(path: str, part: dict[str, Any]) -> Part:
    kind = part.get("type")
    reader = _PARTS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise UnsupportedValue(f"{path}.type")
    return reader(path, part)


def _text(path: str, part: dict[str, Any]) -> Text:
    return Text(path, fields.required_text(part, "text", path))


def _refusal(path: str, part: dict[str, Any]) -> Refusal:
    return Refusal(path, fields.required_text(part, "refusal", path))


def _audio(path: str, part: dict[str, Any]) -> Audio:
    audio = fields.required_mapping(part, "input_audio", path)
    inside = f"{path}.input_audio"
    data = fields.required_text(audio, "data", inside)
    return Audio(path, fields.required_text(audio, "format", inside), data)


def _document(path: str, part: dict[str, Any]) -> File:
    """Read Mistral's part."""
    return File(path, url=web_url(f"{path}.document_url", part.get("document_url")))


def _thinking(path: str, part: dict[str, Any]) -> Reasoning:
    """Read Mistral's part."""
    inner = fields.mappings(part, "thinking", path)
    pieces = [fields.required_text(one, "text", at) for at, one in inner]
    return Reasoning(path, Maker.CHAT, "".join(pieces))


def _image(path: str, part: dict[str, Any]) -> Image:
    place = f"{path}.image_url"
    image = part.get("image_url")
    if isinstance(image, str):  # Mistral's spelling
        image = {"url": image}
    if not isinstance(image, dict):
        raise InvalidType(place, "an object")
    url = fields.required_text(image, "url", place)
    detail = fields.text(image, "detail", place)
    if (found := data_of(f"{place}.url", url)) is not None:
        return Image(path, *found, detail=detail)
    return Image(path, url=web_url(f"{place}.url", url), detail=detail)


def _file(path: str, part: dict[str, Any]) -> File:
    place = f"{path}.file"
    file = fields.required_mapping(part, "file", path)
    if file.get("file_id") is not None:
        # The file would be one that an upstream keeps.
        raise UnsupportedParameter(f"{place}.file_id")
    data = fields.required_text(file, "file_data", place)
    name = fields.text(file, "filename", place)
    if (found := data_of(f"{place}.file_data", data)) is not None:
        return File(path, *found, name=name)
    if is_of_web(data):  # OpenRouter's way to give an address
        return File(path, url=data, name=name)
    return File(path, _PDF, data, name=name)


def _reasoning(path: str, message: dict[str, Any]) -> list[Part]:
    if message.get("reasoning_details"):
        return list(reasoning_details.read(message, path))
    for name in ("reasoning_content", "reasoning"):
        text = fields.text(message, name, path)
        if text:
            return [Reasoning(f"{path}.{name}", Maker.CHAT, text)]
    return []


def _calls(path: str, message: dict[str, Any]) -> list[Part]:
    refusal = fields.text(message, "refusal", path)
    parts: list[Part] = [Refusal(f"{path}.refusal", refusal)] if refusal else []
    for place, call in fields.mappings(message, "tool_calls", path):
        if call.get("type", "function") != "function":
            raise UnsupportedValue(f"{place}.type")
        function = fields.required_mapping(call, "function", place)
        inside = f"{place}.function"
        parts.append(
            ToolCall(
                place,
                id=fields.required_text(call, "id", place),
                name=fields.required_text(function, "name", inside),
                arguments=_arguments(function, inside),
                signature=reasoning_details.signature_of(call),
            )
        )
    return parts


def _arguments(function: dict[str, Any], path: str) -> str:
    arguments = fields.text(function, "arguments", path) or "{}"
    try:
        value = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise InvalidValue(f"{path}.arguments")
    return arguments


def _result(
    path: str, message: dict[str, Any], content: list[Part], names: dict[str, str]
) -> ToolResult:
    call_id = fields.required_text(message, "tool_call_id", path)
    name = names.get(call_id) or fields.text(message, "name", path)
    parts: list[Text | Image | File] = []
    for part in content:
        if not isinstance(part, Text | Image | File):
            raise UnsupportedValue(f"{part.path}.type")
        parts.append(part)
    return ToolResult(path, call_id, name, parts)


_PARTS: Final[dict[str, Callable[[str, dict[str, Any]], Part]]] = {
    "text": _text,
    "refusal": _refusal,
    "image_url": _image,
    "input_audio": _audio,
    "file": _file,
    "document_url": _document,
    "thinking": _thinking,
}
