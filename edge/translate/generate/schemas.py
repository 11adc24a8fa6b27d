"""Google's `Schema` as the JSON schema that it is a dialect of (OpenAPI 3.0 with own words)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edge.translate.errors import InvalidType, InvalidValue
from edge.translate.generate.spelling import camel_case

MAX_DEPTH: Final = 64
_TYPES: Final = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
_INTEGERS: Final = frozenset(
    {"maxItems", "minItems", "maxLength", "minLength", "maxProperties", "minProperties"}
)
"""64-bit numbers, which protobuf's JSON spells as text."""
_OWN: Final = frozenset({"nullable", "propertyOrdering", "example"})
_KEYWORDS: Final = {"defs": "$defs", "ref": "$ref"}


def json_schema(schema: Any, path: str, *, depth: int = 0) -> dict[str, Any]:
    """Return the JSON schema of a `Schema`; the order of properties is the only thing left out.

    Raises:
        InvalidRequest: it is no schema; `path` is the field that it stands in.
    """
    if not isinstance(schema, Mapping):
        raise InvalidType(path, "an object")
    if depth > MAX_DEPTH:
        raise InvalidValue(path)
    spelled = {camel_case(name): value for name, value in schema.items() if value is not None}
    made: dict[str, Any] = {}
    for name, value in spelled.items():
        if name not in _OWN:
            made[_KEYWORDS.get(name, name)] = _value(name, value, path, depth)
    if "example" in spelled:
        made["examples"] = [spelled["example"]]
    return _nullable(made) if spelled.get("nullable") is True else made


def _value(name: str, value: Any, path: str, depth: int) -> Any:
    if name == "type":
        return _type(value, path)
    if name in {"properties", "defs", "$defs"}:
        if not isinstance(value, Mapping):
            raise InvalidType(path, "an object")
        return {key: json_schema(one, path, depth=depth + 1) for key, one in value.items()}
    if name == "items" or (name == "additionalProperties" and isinstance(value, Mapping)):
        return json_schema(value, path, depth=depth + 1)
    if name == "anyOf":
        if not isinstance(value, list):
            raise InvalidType(path, "an array")
        return [json_schema(one, path, depth=depth + 1) for one in value]
    if name in _INTEGERS and isinstance(value, str) and value.isdecimal() and value.isascii():
        return int(value[:19])
    return value


def _type(value: Any, path: str) -> Any:
    if isinstance(value, list):
        return [_type(one, path) for one in value if not isinstance(one, list)]
    word = value.lower() if isinstance(value, str) else None
    if word not in _TYPES:
        raise InvalidValue(path)
    return word


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    kind = schema.get("type")
    if isinstance(kind, str) and kind != "null":
        made = {**schema, "type": [kind, "null"]}
        if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
            made["enum"] = [*schema["enum"], None]
        return made
    if isinstance(schema.get("anyOf"), list):
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    return schema
