"""The fields of a request as rows of a table, read from its schema."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from edge.translate.operation import SCHEMAS, Schema

DEPTH_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class FieldRow:
    """A field, its type and bounds, and what it means to us."""

    path: str
    kind: str
    required: bool
    meaning: str


def fields_of(requests: dict[str, Schema]) -> list[FieldRow]:
    """Return the fields that we check or use, nested ones behind what holds them."""
    rows = (row for schema in requests.values() for row in _fields(schema, "", 0))
    return list({row.path: row for row in rows}.values())


def _fields(schema: Schema, before: str, depth: int) -> Iterator[FieldRow]:
    required = schema.get("required", ())
    for name, inner in schema.get("properties", {}).items():
        path = f"{before}{name}"
        yield FieldRow(path, _kind(inner), name in required, inner.get("description", ""))
        if depth < DEPTH_MAX:
            yield from _fields(inner, f"{path}.", depth + 1)
            yield from _fields(inner.get("items", {}), f"{path}[].", depth + 1)


def _kind(schema: Schema) -> str:
    """Return the type and the bounds of a field, such as `integer, 1 to 128`."""
    if schema.get("type") == "null" or not any(schema.get("enum", [True])):
        return "nothing"
    if "enum" in schema:
        return " | ".join(_word(one) for one in schema["enum"] if one)
    if "const" in schema:
        return _word(schema["const"])
    if "anyOf" in schema:
        others = [one for one in schema["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(map(_kind, others)))
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(SCHEMAS)
    stated = schema.get("type", "any")
    kinds = [one for one in (stated if isinstance(stated, list) else [stated]) if one != "null"]
    if kinds == ["array"] and "$ref" in schema.get("items", {}):
        kinds = [f"array of {_kind(schema['items'])}"]
    return ", ".join([" or ".join(kinds), *_bounds(schema)])


def _bounds(schema: Schema) -> Iterator[str]:
    for least, most, unit in (
        ("minimum", "maximum", ""),
        ("minItems", "maxItems", " elements"),
        ("minLength", "maxLength", " characters"),
    ):
        low, high = schema.get(least), schema.get(most)
        if low is not None and high is not None:
            yield f"{low:,} to {high:,}{unit}"
        elif high is not None:
            yield f"at most {high:,}{unit}"
        elif low:
            yield f"at least {low:,}{unit}"


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
