r"""Edits of a JSON object as bytes: members are replaced or removed, every other byte stays.

So numbers keep their spelling and size, unknown members stay, and a large answer is not built
anew. The caller has parsed the bytes: they are one valid JSON object, and the names it gives are
members of its top level.

Why a search for bytes can be exact: inside a JSON string a quotation mark is always escaped, so
`model"` in a valid document ends a real string. If it occurs once, and no name is spelled with
\u00.. escapes, it is the member that the parser saw. Otherwise the document is scanned.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson

_OPENING: Final = b"{["
_ESCAPED_ASCII: Final = b"\\u00"
_NAME = re.compile(rb'[\s,]*("(?:[^"\\]+|\\.)*")\s*:\s*', re.DOTALL)
_SCALAR = re.compile(rb'"(?:[^"\\]+|\\.)*"|[^\s,\]}]+', re.DOTALL)
_NESTING = re.compile(rb'"(?:[^"\\]+|\\.)*"|[\[\]{}]', re.DOTALL)
_COLON = re.compile(rb"\s*:\s*")
_COMMA_AFTER = re.compile(rb"\s*,\s*")


class Member(NamedTuple):
    """Where a member of an object stands: its name from `start`, its value until `end`."""

    name: str
    start: int
    value_start: int
    end: int


def members(document: bytes) -> list[Member]:
    """Return the members of the top level in order, repeated names included."""
    found: list[Member] = []
    at = document.index(b"{") + 1
    while match := _NAME.match(document, at):
        at = value_end(document, match.end())
        quoted = match.group(1)
        name = orjson.loads(quoted) if b"\\" in quoted else quoted[1:-1].decode()
        found.append(Member(name, match.start(1), match.end(), at))
    return found


def value_end(document: bytes, start: int) -> int:
    """Return the end of the JSON value that starts here."""
    if document[start] in _OPENING:
        return _nested_end(document, start)
    match = _SCALAR.match(document, start)
    assert match is not None, "the caller has parsed the document"
    return match.end()


def raw_member(document: bytes, parsed: Mapping[str, Any], name: str) -> bytes:
    """Return the bytes of a member's value; of repeated names the last counts.

    `parsed` is the object that the document spells.

    Raises:
        KeyError: no member has this name.
    """
    ending = name.encode() + b'"'
    # A name that is escaped itself can look like the middle of a document.
    if document.count(ending) == 1 and _ESCAPED_ASCII not in document and '"' not in name:
        spelled = _usual_spelling(ending, parsed[name])
        if spelled is not None and spelled in document:
            return spelled[len(ending) + 2 :]
        single = _single(document, ending)
        return document[single.value_start : single.end]
    values = {one.name: document[one.value_start : one.end] for one in members(document)}
    return values[name]


def edit(document: bytes, parsed: Mapping[str, Any], edits: Mapping[str, bytes | None]) -> bytes:
    """Return the object with members replaced by raw JSON, or removed where it is None.

    `parsed` is the object that the document spells; each name of the edits is in it.
    """
    if _ESCAPED_ASCII in document:
        return _rebuilt(document, edits)
    edited = document
    for name, raw in edits.items():
        ending = name.encode() + b'"'
        if document.count(ending) != 1:
            return _rebuilt(document, edits)
        edited = _edit_single(edited, ending, parsed[name], raw)
    return edited


def put(document: bytes, parsed: Mapping[str, Any], name: str, raw: bytes) -> bytes:
    """Return the object with this member, replaced in its place or added as the last one."""
    if name in parsed:
        return _rebuilt(document, {name: raw})
    close = document.rindex(b"}")
    comma = b"," if parsed else b""
    return document[:close] + comma + orjson.dumps(name) + b":" + raw + document[close:]


def _edit_single(document: bytes, ending: bytes, old: Any, raw: bytes | None) -> bytes:
    """Edit the member whose name, the only one that ends so, is written before `ending`."""
    spelled = _usual_spelling(ending, old)
    if spelled is not None and raw is None and b"," + spelled in document:
        return document.replace(b"," + spelled, b"")
    if spelled is not None and raw is not None and spelled in document:
        return document.replace(spelled, b'"%b:%b' % (ending, raw))
    single = _single(document, ending)
    start, end = (single.value_start, single.end) if raw is not None else _removal(document, single)
    return document[:start] + (raw or b"") + document[end:]


def _usual_spelling(ending: bytes, value: Any) -> bytes | None:
    """Return how most providers spell a member that is null, a string or an object.

    A number is not found by its spelling: it could be the beginning of another one.
    """
    if value is None:
        return b'"%b:null' % ending
    if type(value) is not str and type(value) is not dict:
        return None
    try:
        return b'"%b:%b' % (ending, orjson.dumps(value))
    except orjson.JSONEncodeError:  # nested more deeply than it writes
        return None


def _single(document: bytes, ending: bytes) -> Member:
    at = document.index(ending)
    colon = _COLON.match(document, at + len(ending))
    assert colon is not None, "the caller has found the name among the members"
    start = colon.end()
    return Member(ending[:-1].decode(), at - 1, start, value_end(document, start))


def _removal(document: bytes, member: Member) -> tuple[int, int]:
    """Return the span whose removal takes a member and one comma beside it out of its object."""
    before = document[: member.start].rstrip()
    if before.endswith(b","):
        return len(before) - 1, member.end
    after = _COMMA_AFTER.match(document, member.end)
    return member.start, after.end() if after is not None else member.end


def _rebuilt(document: bytes, edits: Mapping[str, bytes | None]) -> bytes:
    parts = []
    for one in members(document):
        raw = edits.get(one.name, document[one.value_start : one.end])
        if raw is not None:
            parts.append(document[one.start : one.value_start] + raw)
    return b"{" + b",".join(parts) + b"}"


def _nested_end(document: bytes, start: int) -> int:
    depth = 0
    for match in _NESTING.finditer(document, start):
        token = match.group()
        if token in {b"{", b"["}:
            depth += 1
        elif token in {b"}", b"]"}:
            depth -= 1
            if depth == 0:
                return match.end()
    raise AssertionError("the caller has parsed the document")
