"""Edits of JSON as bytes equal edits of its values."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.translate.splice import edit, members, put, raw_member

NAMES = st.sampled_from(
    [
        "model",
        "usage",
        "cost",
        "choices",
        "a",
        'x"model',
        "the model",
        "modél",
        'usage":null,',
        "\\",
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(['"model":"m"', ',"usage":null', "}]", "\\u00", '\\"'])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=6)
SPELLINGS = st.fixed_dictionaries(
    {
        "ensure_ascii": st.booleans(),
        "indent": st.sampled_from([None, 0, 3]),
        "separators": st.sampled_from([(",", ":"), (", ", ": "), (" ,", " : ")]),
    }
)


def exact(document: bytes) -> Any:
    """Parse with numbers as they are spelled."""
    return json.loads(document, parse_int=str, parse_float=str)


@given(OBJECTS, SPELLINGS, st.sampled_from([b'"new"', b'{"a":[1,"]"]}', None]))
def test_an_edit_of_the_bytes_equals_the_edit_of_the_values(
    value: dict[str, Any], spelling: dict[str, Any], raw: bytes | None
) -> None:
    """Whatever else the object holds, however it is spelled."""
    document = json.dumps(value, **spelling).encode()
    edits: dict[str, bytes | None] = {name: raw for name in ("model", "usage") if name in value}
    expected = exact(document)
    for name in edits:
        if raw is None:
            del expected[name]
        else:
            expected[name] = exact(raw)
    assert exact(edit(document, value, edits)) == expected


@given(OBJECTS, SPELLINGS)
def test_a_member_is_put_in_place_or_added(value: dict[str, Any], spelling: dict[str, Any]) -> None:
    """The cost goes into whatever usage object a provider sends."""
    document = json.dumps(value, **spelling).encode()
    assert exact(put(document, value, "cost", b'"0.10"')) == {**exact(document), "cost": "0.10"}


@given(OBJECTS, SPELLINGS)
def test_the_members_are_those_of_the_top_level(
    value: dict[str, Any], spelling: dict[str, Any]
) -> None:
    """In order, with the bytes of their values."""
    document = json.dumps(value, **spelling).encode()
    found = [(one.name, exact(document[one.value_start : one.end])) for one in members(document)]
    assert found == list(exact(document).items())
    assert {name: exact(raw_member(document, value, name)) for name in value} == exact(document)


@pytest.mark.parametrize(
    "number", [b"18446744073709551616", b"-0.0", b"1e400", b"0.1234567890123456789", b"1.0"]
)
def test_numbers_keep_their_spelling(number: bytes) -> None:
    """A number that no double can hold passes unchanged."""
    document = b'{"model":"m","n":' + number + b"}"
    assert edit(document, {"model": "m"}, {"model": b'"p"'}) == b'{"model":"p","n":' + number + b"}"


def test_every_one_of_repeated_members_is_edited() -> None:
    """Readers disagree which of them counts, so none may keep the old value."""
    document = b'{"model":"a","x":1,"model":"b"}'
    assert edit(document, {"model": "b", "x": 1}, {"model": b'"p"'}) == (
        b'{"model":"p","x":1,"model":"p"}'
    )
    assert edit(document, {"model": "b", "x": 1}, {"model": None}) == b'{"x":1}'


def test_a_name_spelled_with_escapes_is_edited() -> None:
    """Escapes in a name do not hide it."""
    document = b'{"\\u006dodel":"a","x":"model"}'
    assert json.loads(edit(document, {"model": "a"}, {"model": b'"p"'})) == {
        "model": "p",
        "x": "model",
    }


def test_of_repeated_members_the_last_value_is_read() -> None:
    """As parsers do."""
    assert raw_member(b'{"a":1,"a":{"b":2}}', {"a": {"b": 2}}, "a") == b'{"b":2}'


def test_an_object_nested_too_deeply_to_be_written_is_still_found() -> None:
    """The parser reads deeper than it writes."""
    deep = b'{"a":' * 300 + b"1" + b"}" * 300
    document = b'{"usage":' + deep + b"}"
    parsed = orjson.loads(document)
    assert raw_member(document, parsed, "usage") == deep
    assert edit(document, parsed, {"usage": b"{}"}) == b'{"usage":{}}'
