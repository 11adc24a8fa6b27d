"""Instances of JSON schemas as clients of chat models write them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.demo.schema import VALUES_MAX, UnsupportedSchemaError, instance_of

SEEDS = range(0, 400, 7)


def test_an_object_has_all_its_properties() -> None:
    """Strict schemas require every property, and more than these is not allowed."""
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "boolean"}, "c": {"type": "null"}},
        "required": ["a", "b", "c"],
        "additionalProperties": False,
    }
    made = instance_of(schema, 5)
    assert list(made) == ["a", "b", "c"]
    assert isinstance(made["a"], str)
    assert isinstance(made["b"], bool)
    assert made["c"] is None


@pytest.mark.parametrize(
    ("schema", "allowed"),
    [
        ({"enum": ["x", 3, None]}, ["x", 3, None]),
        ({"const": {"k": 1}}, [{"k": 1}]),
        ({"type": "integer", "minimum": 7, "maximum": 8}, [7, 8]),
        ({"type": "integer", "exclusiveMinimum": 7, "exclusiveMaximum": 9}, [8]),
        ({"type": "integer", "minimum": 7, "exclusiveMinimum": True, "maximum": 8}, [8]),
        ({"type": "integer", "multipleOf": 5, "minimum": 501, "maximum": 509}, [505]),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, [0.5]),
        ({"type": "number", "minimum": -4.5, "maximum": -4.25, "multipleOf": 0.25}, [-4.5, -4.25]),
        ({"type": "string", "minLength": 3, "maxLength": 3, "pattern": "^[xyz]{3}$"}, ["xxx"]),
        ({"type": "string", "format": "date"}, ["2026-01-01"]),
        ({"type": ["null", "integer"], "maximum": 0, "minimum": 0}, [0]),
        ({"anyOf": [{"type": "null"}, {"const": 1}]}, [1]),
        ({"oneOf": [{"const": 2}, {"const": 1}]}, [2]),
        ({"allOf": [{"type": "integer", "minimum": 4}, {"maximum": 4}]}, [4]),
        ({"minimum": 3, "maximum": 3}, [3]),
    ],
)
def test_scalars_keep_their_bounds(schema: dict[str, Any], allowed: list[Any]) -> None:
    """Whatever the seed, the value is allowed."""
    assert all(instance_of(schema, seed) in allowed for seed in SEEDS)


@pytest.mark.parametrize(("lowest", "highest"), [(0, 0), (2, 2), (3, 9), (0, 1)])
def test_strings_and_arrays_keep_their_lengths(lowest: int, highest: int) -> None:
    """Length bounds hold for text and for items."""
    text = instance_of({"type": "string", "minLength": lowest, "maxLength": highest}, 3)
    items = instance_of({"type": "array", "minItems": lowest, "maxItems": highest}, 3)
    assert lowest <= len(text) <= highest
    assert lowest <= len(items) <= highest


def test_tuples_follow_their_prefix() -> None:
    """Each place of a tuple has its own schema, and a closed tuple has no more places."""
    schema = {"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "items": False}
    assert instance_of(schema, 9) == [1, 2]


def test_unique_items_differ() -> None:
    """All three values of an enum are found when all three are asked for."""
    schema = {"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 3, "uniqueItems": True}
    assert sorted(instance_of(schema, 4)) == [1, 2, 3]


def test_references_are_followed_and_recursion_ends() -> None:
    """A linked list by reference, as code generators of schemas write it."""
    node = {
        "type": "object",
        "properties": {
            "value": {"type": "integer"},
            "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
        },
        "required": ["value", "next"],
    }
    made = instance_of({"$ref": "#/$defs/node", "$defs": {"node": node}}, 2)
    depth = 0
    while made is not None:
        assert isinstance(made["value"], int)
        made, depth = made["next"], depth + 1
    assert 1 <= depth < 10


def test_a_tree_of_arrays_ends() -> None:
    """Recursion through items that may be absent comes to an end."""
    schema = {
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#"}}},
    }
    assert "children" in instance_of(schema, 2)


def test_free_objects_get_as_many_properties_as_they_need() -> None:
    """A map has entries of its value schema."""
    schema = {"type": "object", "minProperties": 2, "additionalProperties": {"const": 1}}
    assert list(instance_of(schema, 1).values()) == [1, 1]


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"type": "strin"},
        {"$ref": "#/$defs/none"},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "#"},
        {"anyOf": []},
        {"type": "integer", "minimum": 5, "maximum": 4},
        {"type": "string", "minLength": 5, "maxLength": 4},
        {"type": "string", "pattern": "^ab$", "minLength": 9},
        {"type": "array", "minItems": VALUES_MAX + 1},
        {"type": "array", "items": {"const": 1}, "minItems": 2, "uniqueItems": True},
        {"type": "object", "minProperties": 1, "additionalProperties": False},
        {"type": "object", "properties": {"x": {"$ref": "#"}}, "required": ["x"]},
        {"type": "object", "required": "x"},
    ],
)
def test_schemas_without_an_instance_are_refused(schema: Any) -> None:
    """An impossible or unbounded schema is an error, and found quickly."""
    with pytest.raises(UnsupportedSchemaError):
        instance_of(schema, 1)


_SCHEMAS = st.recursive(
    st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null"]).map(
        lambda name: {"type": name}
    ),
    lambda inner: st.one_of(
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.dictionaries(st.text(max_size=4), inner, max_size=4).map(
            lambda properties: {"type": "object", "properties": properties}
        ),
    ),
    max_leaves=12,
)


def _fits(value: Any, schema: dict[str, Any]) -> bool:
    """Check an instance in the few keywords of the strategy above."""
    match schema["type"]:
        case "object":
            inner = schema.get("properties", {})
            return isinstance(value, dict) and all(_fits(value[k], inner[k]) for k in value)
        case "array":
            items = schema.get("items")
            return isinstance(value, list) and all(not items or _fits(v, items) for v in value)
    kinds: dict[str, type | tuple[type, ...]] = {
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
    }
    return value is None if schema["type"] == "null" else isinstance(value, kinds[schema["type"]])


@given(schema=_SCHEMAS, seed=st.integers(0, 2**64 - 1))
def test_any_nesting_gives_a_valid_instance(schema: dict[str, Any], seed: int) -> None:
    """Nested objects and arrays are filled by their own schemas, twice the same."""
    made = instance_of(schema, seed)
    assert _fits(made, schema)
    assert made == instance_of(schema, seed)
