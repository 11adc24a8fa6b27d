"""Build a valid instance of a JSON schema, for structured answers and tool arguments.

It covers what clients send to chat models: objects, arrays, enums, unions, references, numeric and
length bounds, patterns and the usual formats. Values come from the seed, never from the prompt.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_CEILING, Decimal
from typing import Any

from edge.demo.pattern import UnsupportedPatternError, sample
from edge.demo.words import derive, word

JsonValue = Any
Schema = dict[str, JsonValue]
AnySchema = Schema | bool

VALUES_MAX = 10_000
DEPTH_MAX = 32
STRING_CHARACTERS_MAX = 10_000
_DEPTH_FULL = 4
"""Below this depth optional properties and items appear; deeper, a recursive schema ends."""

_FORMATS = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "demo@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


_TYPES = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})


class UnsupportedSchemaError(Exception):
    """The demo cannot build an instance: too large, too deep, contradictory, or an odd pattern."""


def instance_of(schema: AnySchema, seed: int) -> JsonValue:
    """Give one valid instance; raises UnsupportedSchemaError where it finds none."""
    return _Builder(schema).value(schema, seed, 0)


class _Builder:
    def __init__(self, root: AnySchema) -> None:
        self._root = root
        self._values_left = VALUES_MAX

    def value(self, schema: AnySchema, seed: int, depth: int) -> JsonValue:
        self._values_left -= 1
        if self._values_left < 0 or depth > DEPTH_MAX:
            raise UnsupportedSchemaError
        plain = self._resolve(schema, depth)
        if "const" in plain:
            return plain["const"]
        if isinstance(plain.get("enum"), list) and plain["enum"]:
            return plain["enum"][seed % len(plain["enum"])]
        return self._typed(_type_of(plain, depth), plain, seed, depth)

    def _typed(self, name: str, schema: Schema, seed: int, depth: int) -> JsonValue:
        if name == "object":
            return self._object(schema, seed, depth)
        if name == "array":
            return self._array(schema, seed, depth)
        return _SCALARS[name](schema, seed)

    def _resolve(self, schema: AnySchema, depth: int) -> Schema:
        """Follow references and take one branch of each union, until plain keywords remain."""
        plain = _as_object(schema)
        for _ in range(DEPTH_MAX):
            if "$ref" in plain:
                rest = {key: value for key, value in plain.items() if key != "$ref"}
                plain = _merge([self._reference(plain["$ref"]), rest])
            elif "allOf" in plain:
                parts = [self._resolve(part, depth) for part in _list(plain["allOf"])]
                plain = _merge([*parts, {k: v for k, v in plain.items() if k != "allOf"}])
            elif "anyOf" in plain or "oneOf" in plain:
                key = "anyOf" if "anyOf" in plain else "oneOf"
                branch = _as_object(_branch(_list(plain[key]), depth))
                plain = _merge([branch, {k: v for k, v in plain.items() if k != key}])
            else:
                return plain
        raise UnsupportedSchemaError

    def _reference(self, pointer: JsonValue) -> Schema:
        if not isinstance(pointer, str) or not pointer.startswith("#"):
            raise UnsupportedSchemaError
        node: JsonValue = self._root
        for part in pointer.removeprefix("#").strip("/").split("/") if pointer != "#" else ():
            name = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(node, dict) or name not in node:
                raise UnsupportedSchemaError
            node = node[name]
        return _as_object(node)

    def _object(self, schema: Schema, seed: int, depth: int) -> dict[str, JsonValue]:
        properties = _as_object(schema.get("properties", {}))
        required = [name for name in _list(schema.get("required", [])) if isinstance(name, str)]
        names = list(properties) if depth < _DEPTH_FULL else []
        names += [name for name in required if name not in names]
        result = {
            name: self.value(properties.get(name, {}), derive(seed, index), depth + 1)
            for index, name in enumerate(names)
        }
        extra = schema.get("additionalProperties", True)
        while len(result) < _count(schema.get("minProperties", 0)):
            if extra is False or self._values_left <= 0:
                raise UnsupportedSchemaError
            index = len(result)
            result[f"extra_{index}"] = self.value(extra, derive(seed, index), depth + 1)
        return result

    def _array(self, schema: Schema, seed: int, depth: int) -> list[JsonValue]:
        first = _list(schema.get("prefixItems", []))
        lowest = _count(schema.get("minItems", 0))
        highest = _count(schema.get("maxItems", VALUES_MAX))
        rest = schema.get("items", {})
        wanted = max(lowest, len(first) or 1) if depth < _DEPTH_FULL else lowest
        wanted = min(wanted, highest, len(first) if rest is False else wanted)
        if wanted < lowest:
            raise UnsupportedSchemaError
        unique = schema.get("uniqueItems") is True
        result: list[JsonValue] = []
        salt = 0
        while len(result) < wanted:
            item_schema = first[len(result)] if len(result) < len(first) else rest
            item = self.value(item_schema, seed + salt if unique else derive(seed, salt), depth + 1)
            salt += 1
            if not unique or item not in result:
                result.append(item)
        return result


def _as_object(schema: JsonValue) -> Schema:
    if schema is True:
        return {}
    if not isinstance(schema, dict):
        raise UnsupportedSchemaError
    return schema


def _list(value: JsonValue) -> list[JsonValue]:
    if not isinstance(value, list):
        raise UnsupportedSchemaError
    return value


def _count(value: JsonValue) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise UnsupportedSchemaError
    return int(min(value, VALUES_MAX + 1))


def _merge(parts: list[Schema]) -> Schema:
    merged: Schema = {}
    for part in parts:
        properties = {**merged.get("properties", {}), **part.get("properties", {})}
        required = [*merged.get("required", []), *part.get("required", [])]
        merged = {**merged, **part}
        if properties:
            merged["properties"] = properties
        if required:
            merged["required"] = required
    return merged


def _branch(branches: list[JsonValue], depth: int) -> JsonValue:
    """Take the first branch that is not null; deep down null, so that recursion ends."""
    if not branches:
        raise UnsupportedSchemaError
    nulls = [one for one in branches if isinstance(one, dict) and one.get("type") == "null"]
    others = [one for one in branches if one not in nulls]
    if depth >= _DEPTH_FULL and nulls:
        return nulls[0]
    if depth >= _DEPTH_FULL:
        return min(others, key=lambda one: "$ref" in str(one))
    return (others or nulls)[0]


def _type_of(schema: Schema, depth: int) -> str:
    declared = schema.get("type")
    if isinstance(declared, list) and declared:
        others = [name for name in declared if name != "null"]
        declared = (
            "null" if not others or (depth >= _DEPTH_FULL and "null" in declared) else others[0]
        )
    if declared is None:
        declared = _implied_type(schema)
    if declared not in _TYPES:
        raise UnsupportedSchemaError
    return str(declared)


def _implied_type(schema: Schema) -> str:
    if "properties" in schema or "additionalProperties" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    if {"minimum", "maximum", "multipleOf"} & schema.keys():
        return "number"
    return "string"


def _string(schema: Schema, seed: int) -> str:
    text = _FORMATS.get(str(schema.get("format")), word(seed))
    lowest = _count(schema.get("minLength", 0))
    highest = _count(schema.get("maxLength", STRING_CHARACTERS_MAX))
    if isinstance(schema.get("pattern"), str):
        try:
            text = sample(schema["pattern"])
        except UnsupportedPatternError:
            raise UnsupportedSchemaError from None
        if not lowest <= len(text) <= highest:
            raise UnsupportedSchemaError
    if max(lowest, 0) > min(highest, STRING_CHARACTERS_MAX):
        raise UnsupportedSchemaError
    return text.ljust(lowest, "a")[:highest]


def _integer(schema: Schema, seed: int) -> int:
    return int(_bounded(schema, seed, step=Decimal(1)))


def _number(schema: Schema, seed: int) -> int | float:
    value = _bounded(schema, seed, step=None)
    return int(value) if value == value.to_integral_value() else float(value)


def _bounded(schema: Schema, seed: int, step: Decimal | None) -> Decimal:
    """Take seed % 100 where the bounds allow it, else the lowest allowed multiple."""
    low, low_open = _bound(schema, "minimum", "exclusiveMinimum")
    high, high_open = _bound(schema, "maximum", "exclusiveMaximum")
    multiple = _decimal(schema.get("multipleOf")) or step
    for candidate in _candidates(seed, low, high, multiple):
        above = low is None or candidate > low or (candidate == low and not low_open)
        below = high is None or candidate < high or (candidate == high and not high_open)
        if above and below and (multiple is None or candidate % multiple == 0):
            return candidate
    raise UnsupportedSchemaError


def _candidates(
    seed: int, low: Decimal | None, high: Decimal | None, multiple: Decimal | None
) -> list[Decimal]:
    grid = multiple or Decimal(1)
    found = [Decimal(seed % 100) * grid if multiple else Decimal(seed % 100)]
    if low is not None:
        base = (low / grid).to_integral_value(rounding=ROUND_CEILING) * grid
        found += [base, base + grid]
    if high is not None:
        base = (high / grid).to_integral_value(rounding="ROUND_FLOOR") * grid
        found += [base, base - grid]
    if low is not None and high is not None:
        found.append((low + high) / 2)
    return found


def _bound(schema: Schema, inclusive: str, exclusive: str) -> tuple[Decimal | None, bool]:
    """Read a bound in both spellings: a number of its own, or draft 4's flag."""
    plain, strict = _decimal(schema.get(inclusive)), schema.get(exclusive)
    if strict is True:
        return plain, True
    strict_value = _decimal(strict)
    if strict_value is None:
        return plain, False
    stricter = max if inclusive == "minimum" else min
    if plain is None or stricter(plain, strict_value) == strict_value:
        return strict_value, True
    return plain, False


def _decimal(value: JsonValue) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return Decimal(str(value))


_SCALARS: dict[str, Callable[[Schema, int], JsonValue]] = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": lambda _schema, seed: bool(seed & 1),
    "null": lambda _schema, _seed: None,
}
