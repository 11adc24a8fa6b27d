"""Fields of a schema as people read them."""

from __future__ import annotations

import pytest

from edge.pages.fields import fields_of
from edge.translate.operation import (
    BOOLEAN,
    NOTHING,
    TEXT,
    Schema,
    integer,
    list_of,
    object_of,
    optional,
    reference,
    told,
)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (TEXT, "string"),
        (optional(integer(1, 2_048)), "integer, 1 to 2,048"),
        (integer(1), "integer, at least 1"),
        (optional({"enum": ["a", "b"]}), "a | b"),
        ({"const": "user"}, "user"),
        ({"anyOf": [TEXT, list_of(reference("Block"))]}, "string or array of Block"),
        (optional(reference("Block")), "Block"),
        (list_of(TEXT, minItems=1, maxItems=3), "array, 1 to 3 elements"),
        ({"type": "string", "maxLength": 255}, "string, at most 255 characters"),
        (NOTHING, "nothing"),
        (told({"type": "null"}, "Not taken."), "nothing"),
        ({}, "any"),
    ],
)
def test_a_type_is_told_in_words(schema: Schema, words: str) -> None:
    """With its bounds; that null is the same as absent goes without saying."""
    (row,) = fields_of({"application/json": object_of({"field": schema})})
    assert row.kind == words


def test_fields_inside_others_are_told_by_their_paths() -> None:
    """Of objects and of lists; what a form and JSON both have is told once."""
    inner = object_of({"b": told(BOOLEAN, "Words.")}, required=("b",))
    schema = object_of({"a": inner, "c": list_of(inner)})
    rows = fields_of({"application/json": schema, "multipart/form-data": schema})
    assert [(row.path, row.required, row.meaning) for row in rows] == [
        ("a", False, ""),
        ("a.b", True, "Words."),
        ("c", False, ""),
        ("c[].b", True, "Words."),
    ]
