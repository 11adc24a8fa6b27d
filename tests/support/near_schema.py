"""Values near a JSON Schema: most fulfil it, many just fail, so that both sides are told apart.

Made by chance from a seed, not by Hypothesis' strategies: trees of these are far slower.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, Final

from edge.translate.operation import SCHEMAS, Schema

DEPTH_MAX: Final = 9
ATOMS: Final[tuple[Any, ...]] = (None, False, True, 0, 1, 2, -1, 0.5, "", "a", "text", [], {})
"""No number such as 1.0: for JSON Schema it is an integer, for most parsers it is not."""


class NearSchema:
    """Makes values; the same seed makes the same ones."""

    def __init__(self, shared: Mapping[str, Schema], seed: int, *, wrong: float = 0.04) -> None:
        """Refer to shared schemas; put something else in a value's place so often."""
        self._shared = shared
        self._chance = random.Random(seed)
        self._wrong = wrong

    def value(self, schema: Schema, depth: int = 0) -> Any:
        """Return a value that may or may not fulfil the schema."""
        if depth > DEPTH_MAX or (depth and self._chance.random() < self._wrong):
            return self._anything()
        if "$ref" in schema:
            return self.value(self._shared[schema["$ref"].removeprefix(SCHEMAS)], depth + 1)
        if "enum" in schema:
            return self._chance.choice(schema["enum"])
        if "const" in schema:
            return schema["const"]
        if "anyOf" in schema and "properties" not in schema:
            return self.value(self._chance.choice(schema["anyOf"]), depth + 1)
        kinds = schema.get("type", "object" if "properties" in schema else "anything")
        kind = self._chance.choice(kinds) if isinstance(kinds, list) else kinds
        return self._of_kind(kind, schema, depth)

    def _anything(self) -> Any:
        match self._chance.randrange(6):
            case 0:
                return [self._chance.choice(ATOMS)]
            case 1:
                return {"a": self._chance.choice(ATOMS)}
        return self._chance.choice(ATOMS)

    def _of_kind(self, kind: str, schema: Schema, depth: int) -> Any:
        makers: dict[str, Callable[[], Any]] = {
            "null": lambda: None,
            "boolean": lambda: self._chance.random() < 0.5,
            "integer": lambda: self._integer(schema),
            "number": lambda: self._integer(schema),
            "string": lambda: self._text(schema),
            "array": lambda: self._array(schema, depth),
            "object": lambda: self._object(schema, depth),
        }
        return makers.get(kind, self._anything)()

    def _array(self, schema: Schema, depth: int) -> list[Any]:
        least = min(schema.get("minItems", 0), self._chance.randrange(8))
        count = max(least, self._chance.randrange(3))
        return [self.value(schema.get("items", {}), depth + 1) for _ in range(count)]

    def _integer(self, schema: Schema) -> int:
        low, high = schema.get("minimum", -2), schema.get("maximum", 2**31)
        if self._chance.random() < self._wrong:
            return int(self._chance.choice((low - 1, high + 1)))
        return int(self._chance.choice((low, low + 1, high)))

    def _text(self, schema: Schema) -> str:
        if "examples" in schema and self._chance.random() > self._wrong:
            return str(self._chance.choice(schema["examples"]))
        return self._chance.choice(("demo", "a", "text" if schema.get("minLength") else ""))

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        required = schema.get("required", ())
        found = {}
        for name, inner in schema.get("properties", {}).items():
            often = 1 - self._wrong if name in required else 0.3
            if self._chance.random() < often:
                found[name] = self.value(inner, depth + 1)
        if self._chance.random() < 0.1:
            found["unknown"] = self._chance.choice(ATOMS)
        for branch in ("then", "else"):
            if branch in schema and self._chance.random() < 0.5:
                more = self.value(schema[branch], depth + 1)
                found |= more if isinstance(more, dict) else {}
        return found
