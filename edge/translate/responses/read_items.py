"""The items of a request's input as turns of a conversation."""

from __future__ import annotations

from typing import Any, Final, cast

from edge.translate import fields
from edge.translate.errors import (
    InvalidType,
    InvalidValue,
    MissingParameter,
    UnsupportedParameter,
    UnsupportedValue,
)
from edge.translate.media_urls import data_of, web_url
from edge.translate.neutral.conversation import (
    File,
    Image,
    Maker,
    Part,
    Reasoning,
    Refusal,
    Role,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from edge.translate.responses import sealed
from edge.translate.responses.read_tools import Namespaces, called, is_of_search, tools_of

_ROLES: Final[dict[str, Role]] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "system",
}
_TEXTS: Final = frozenset({"input_text", "output_text", "text"})
_HINTS: Final = frozenset({"id", "status", "type", "phase", "prompt_cache_breakpoint"})
_CALL_HINTS: Final = _HINTS | {"caller", "namespace"}
"""Who called a tool, and where it came from: the call is answered by its id."""


class ItemReader:
    """Reads items in order; what an assistant made between two others' turns is one turn."""

    def __init__(self, spaces: Namespaces) -> None:
        self._spaces = spaces
        self.turns: list[Turn] = []
        self.tools: list[Tool] = []
        """Tools that came with an item instead of the request."""
        self._names: dict[str, str] = {}
        self._call_signature: str | None = None
        self._calling: Turn | None = None
        """The last turn that has calls."""

    def read(self, item: dict[str, Any], path: str) -> None:
        """Read one item.

        Raises:
            InvalidRequest: the neutral form has no place for it, or it is not what the API says.
        """
        kind = item.get("type") or "message"
        if kind == "message":
            self._read_message(item, path)
        elif kind == "function_call":
            self._read_call(item, path)
        elif kind == "function_call_output":
            self._read_result(item, path)
        elif kind == "reasoning":
            self._read_reasoning(item, path)
        elif kind == "additional_tools" or is_of_search(item):
            self.tools += tools_of(item, path, self._spaces)
        else:
            raise UnsupportedValue(f"{path}.type")

    def _read_message(self, item: dict[str, Any], path: str) -> None:
        _refuse_others(item, {"role", "content"} | _HINTS, path)
        role = _ROLES.get(fields.text(item, "role", path) or "")
        if role is None:
            raise InvalidValue(f"{path}.role")
        parts = _parts_of(item, "content", path, is_assistant=role == "assistant")
        if role == "assistant" and self._is_calling():
            # Said between calls: the results must follow the turn that has all of them.
            self.turns[-1].parts += parts
        else:
            self.turns.append(Turn(role, parts, path))

    def _read_call(self, item: dict[str, Any], path: str) -> None:
        _refuse_others(item, {"call_id", "name", "arguments"} | _CALL_HINTS, path)
        call_id, name = _required(item, "call_id", path), _required(item, "name", path)
        name = called(name, fields.text(item, "namespace", path), self._spaces)
        arguments = fields.required_text(item, "arguments", path)
        self._names[call_id] = name
        call = ToolCall(path, call_id, name, arguments, self._call_signature)
        self._call_signature = None
        self._calling = self._assistant_turn(path)
        self._calling.parts.append(call)

    def _read_result(self, item: dict[str, Any], path: str) -> None:
        _refuse_others(item, {"call_id", "name", "output"} | _CALL_HINTS, path)
        parts = _parts_of(item, "output", path, is_assistant=False)
        if item.get("call_id") is None:
            # What a tool says without being called: no other API has results of no call, so it
            # stands as said by the user, who runs the tools.
            self.turns.append(Turn("user", parts, path))
            return
        call_id = _required(item, "call_id", path)
        name = self._names.get(call_id) or fields.text(item, "name", path)
        result = ToolResult(path, call_id, name, cast("list[Text | Image | File]", parts))
        if not self.turns or self.turns[-1].role != "tool":
            self.turns.append(Turn("tool", [], path))
        self.turns[-1].parts.append(result)

    def _read_reasoning(self, item: dict[str, Any], path: str) -> None:
        _refuse_others(item, {"summary", "content", "encrypted_content"} | _HINTS, path)
        text = "".join([*_texts(item, "summary", path), *_texts(item, "content", path)])
        content = fields.text(item, "encrypted_content", path)
        opened = sealed.opened(content)
        if opened is not None and opened.kind == "call":
            self._call_signature = opened.payload
            return
        reasoning = Reasoning(path, Maker.RESPONSES, text, signature=content)
        if opened is not None:
            reasoning.maker = opened.maker
            reasoning.signature = opened.payload if opened.kind == "signed" else None
            reasoning.redacted = opened.payload if opened.kind == "redacted" else None
        reasoning.id = fields.text(item, "id", path)
        if self.turns and self.turns[-1].role == "assistant" and not self._is_calling():
            self.turns.append(Turn("assistant", [reasoning], path))
        else:
            self._assistant_turn(path).parts.append(reasoning)

    def _assistant_turn(self, path: str) -> Turn:
        if not self.turns or self.turns[-1].role != "assistant":
            self.turns.append(Turn("assistant", [], path))
        return self.turns[-1]

    def _is_calling(self) -> bool:
        """Say whether the last turn has calls whose results are still to come, or reasoning only.

        The next words of the assistant belong to that turn.
        """
        if not self.turns or self.turns[-1].role != "assistant":
            return False
        last = self.turns[-1]
        # Reasoning after words begins a turn of its own, so where it is last there is nothing else.
        return last is self._calling or not last.parts or isinstance(last.parts[-1], Reasoning)


def _parts_of(item: dict[str, Any], name: str, path: str, *, is_assistant: bool) -> list[Part]:
    given = item.get(name)
    where = f"{path}.{name}"
    if isinstance(given, str):
        return [Text(where, given)]
    if given is None:
        raise MissingParameter(where)
    if not isinstance(given, list):
        raise InvalidType(where, "a string or an array of objects")
    return [
        _part_of(part, place, is_assistant=is_assistant)
        for place, part in fields.mappings(item, name, path)
    ]


def _part_of(part: dict[str, Any], path: str, *, is_assistant: bool) -> Part:
    kind = fields.text(part, "type", path)
    if kind in _TEXTS:
        _refuse_others(part, {"text", "annotations", "logprobs"} | _HINTS, path)
        return Text(path, fields.required_text(part, "text", path))
    if kind == "refusal" and is_assistant:
        return Refusal(path, fields.required_text(part, "refusal", path))
    if kind == "input_image" and not is_assistant:
        return _image_of(part, path)
    if kind == "input_file" and not is_assistant:
        return _file_of(part, path)
    raise UnsupportedValue(f"{path}.type")


def _image_of(part: dict[str, Any], path: str) -> Image:
    _refuse_others(part, {"image_url", "detail"} | _HINTS, path)
    url = fields.required_text(part, "image_url", path)
    detail = fields.text(part, "detail", path)
    if (found := data_of(f"{path}.image_url", url)) is not None:
        return Image(path, *found, detail=detail)
    return Image(path, url=web_url(f"{path}.image_url", url), detail=detail)


def _file_of(part: dict[str, Any], path: str) -> File:
    _refuse_others(part, {"file_data", "file_url", "filename", "detail"} | _HINTS, path)
    name = fields.text(part, "filename", path)
    url = fields.text(part, "file_url", path)
    if url is not None:
        return File(path, url=web_url(f"{path}.file_url", url), name=name)
    data = fields.required_text(part, "file_data", path)
    # Without a media type: only PDF is taken so (OpenAI API reference, file inputs).
    found = data_of(f"{path}.file_data", data) or ("application/pdf", data)
    return File(path, *found, name=name)


def _texts(item: dict[str, Any], name: str, path: str) -> list[str]:
    parts = fields.mappings(item, name, path)
    return [fields.required_text(part, "text", place) for place, part in parts]


def _required(item: dict[str, Any], name: str, path: str) -> str:
    value = fields.required_text(item, name, path)
    if not value:
        raise InvalidValue(f"{path}.{name}")
    return value


def _refuse_others(given: dict[str, Any], known: set[str] | frozenset[str], path: str) -> None:
    """Refuse what is not known; its name is the client's own word, so the object is named."""
    for name, value in given.items():
        if name not in known and value is not None:
            raise UnsupportedParameter(path)
