"""A request's fields in one spelling: Google's JSON has two, and lists that may be left out.

Protobuf's JSON takes `generationConfig` and `generation_config` alike (ProtoJSON, field names), and
Google's own examples send one object where a list is meant. Everything after this sees camelCase
and lists. What is free-form stays as it is: arguments, results and schemas of functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from edge.translate.errors import InvalidType, InvalidValue


class _Field(NamedTuple):
    message: str
    is_list: bool = False


_LEAF: Final = _Field("leaf")
_MESSAGES: Final[dict[str, dict[str, _Field]]] = {
    "request": {
        "contents": _Field("content", is_list=True),
        "systemInstruction": _Field("content"),
        "tools": _Field("tool", is_list=True),
        "toolConfig": _Field("toolConfig"),
        "generationConfig": _Field("generationConfig"),
        "safetySettings": _Field("leaf", is_list=True),
    },
    "content": {"parts": _Field("part", is_list=True)},
    "part": {
        "inlineData": _LEAF,
        "fileData": _LEAF,
        "functionCall": _LEAF,
        "functionResponse": _Field("functionResponse"),
        "executableCode": _LEAF,
        "codeExecutionResult": _LEAF,
        "videoMetadata": _LEAF,
        "mediaResolution": _LEAF,
    },
    "functionResponse": {"parts": _Field("resultPart", is_list=True)},
    "resultPart": {"inlineData": _LEAF, "fileData": _LEAF},
    "tool": {"functionDeclarations": _Field("leaf", is_list=True)},
    "toolConfig": {"functionCallingConfig": _LEAF, "retrievalConfig": _LEAF},
    "generationConfig": {"thinkingConfig": _LEAF},
}


def canonical(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request with one spelling of each field that we know the message of.

    Raises:
        InvalidType: a message is no object, or a list has something else in it.
        InvalidValue: a field is there in both spellings: which one counts is the provider's choice.
    """
    return _message(body, "request", "")


def camel_case(name: str) -> str:
    """Return a field's JSON name for either of its spellings."""
    if "_" not in name or name.startswith("_") or name != name.lower():
        return name
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def _message(value: Mapping[str, Any], kind: str, path: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, inner in value.items():
        spelled = camel_case(name)
        if spelled in made:
            raise InvalidValue(path or "body")
        made[spelled] = inner
    for name, field in _MESSAGES.get(kind, {}).items():
        if made.get(name) is not None:
            made[name] = _value(made[name], field, f"{path}.{name}" if path else name)
    return made


def _value(value: Any, field: _Field, path: str) -> Any:
    if not field.is_list:
        return _object(value, field, path)
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        raise InvalidType(path, "an array of objects")
    return [_object(one, field, f"{path}[{index}]") for index, one in enumerate(value)]


def _object(value: Any, field: _Field, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidType(path, "an object")
    return _message(value, field.message, path)
