"""The body of a request as JSON: bounded work, whatever it holds."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.translate import json_body
from edge.translate.errors import InvalidRequest
from edge.translate.json_body import MAX_VALUES, UNCOUNTED_BYTES, has_too_many_values, parsed

MANY = MAX_VALUES + 1


def code_of(body: bytes) -> str | None:
    """Return the code of the error that a body gets, None if it is taken."""
    try:
        parsed(body)
    except InvalidRequest as error:
        return error.code
    return None


@pytest.mark.parametrize(
    "value",
    [
        b"[" + b"[]," * MANY + b"[]]",
        b"[" + b"{}," * MANY + b"{}]",
        b"[" + b"12," * MANY + b"1]",
        b'["a"' + b',"a"' * MANY * 2 + b"]",
        b'[{"a":1}' + b',{"a":1}' * MANY + b"]",
    ],
    ids=["lists", "objects", "numbers", "texts", "members"],
)
def test_a_body_of_too_many_values_is_refused_before_it_is_parsed(value: bytes) -> None:
    """They would take a gigabyte and hold the worker up for seconds."""
    assert code_of(b'{"x":%b}' % value) == "body_too_complex"


@pytest.mark.parametrize("sign", ["[", "{", ",", "\\", '"', '\\"', "[],{}"])
def test_what_stands_in_text_does_not_count(sign: str) -> None:
    """A prompt may be a table or a program."""
    text = sign * MANY
    assert len(text) <= UNCOUNTED_BYTES * 4
    assert code_of(orjson.dumps({"messages": [{"content": text + "x" * UNCOUNTED_BYTES}]})) is None


def test_a_long_talk_is_taken() -> None:
    """The most messages that a request may have, with parts, beside a megabyte of text."""
    one = {"role": "user", "content": [{"type": "text", "text": "a, [b], {c}"}]}
    talk = {"messages": [one] * 16_384, "x": "y" * UNCOUNTED_BYTES}
    assert code_of(orjson.dumps(talk)) is None


_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('ab\\",[]{}:', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text('a\\"[,', max_size=3), inner)
    ),
    max_leaves=30,
)


def _values_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(0, len(value) - 1) + sum(map(_values_of, value.values()))
    if isinstance(value, list):
        return 1 + max(0, len(value) - 1) + sum(map(_values_of, value))
    return 0


@given(value=_VALUES, limit=st.integers(0, 40), piece=st.integers(1, 40))
def test_the_count_is_exact(value: Any, limit: int, piece: int) -> None:
    """Of lists, objects and the members beyond the first, however text is escaped."""
    body = json.dumps(value).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_body, "MAX_VALUES", limit)
        patch.setattr(json_body, "PIECE_BYTES", piece)
        strings = body.replace(rb"\\", b"").replace(rb"\"", b"").count(b'"')
        expected = _values_of(value) > limit or strings > 4 * limit
        assert has_too_many_values(body) == expected


@given(st.binary(max_size=60))
def test_any_bytes_are_an_object_or_an_error(body: bytes) -> None:
    """Never another exception, never another type."""
    if code_of(body) is None:
        assert isinstance(parsed(body), dict)
