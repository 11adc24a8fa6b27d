"""Bodies as JSON objects: a request's read in bounded time and memory, an answer's.

The parser makes up to 30 bytes of memory of each byte, and blocks the worker while it does: 32 MiB
of `[],` take seconds and almost a gigabyte. So the values of a large body are counted before it is
parsed, at the speed of a search for bytes.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from edge.translate.errors import InvalidJson, MalformedAnswer, NestedTooDeeply, TooComplex

MAX_VALUES: Final = 500_000
"""Of lists, objects and their members together: several times what a full context needs."""
UNCOUNTED_BYTES: Final = 1024 * 1024
"""A body up to this size cannot hold so many that it would matter."""
PIECE_BYTES: Final = 256 * 1024
_STRUCTURE: Final = (b"[", b"{", b",")


def parsed(body: bytes) -> dict[str, Any]:
    """Return the object.

    Raises:
        InvalidRequest: the body is no JSON object, or has too many values.
    """
    if len(body) > UNCOUNTED_BYTES and has_too_many_values(body):
        raise TooComplex(MAX_VALUES)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidJson("The request body is not valid JSON.") from None
    if not isinstance(document, dict):
        raise InvalidJson("The request body is not a JSON object.")
    return document


def written(value: Any) -> bytes:
    """Return what a client sent, or a part of it, as JSON for an upstream.

    Raises:
        NestedTooDeeply: what can be read can be nested more deeply than what can be written again.
    """
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        raise NestedTooDeeply from None


def answer_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object that an upstream sent, a whole answer or one event of a stream.

    Raises:
        MalformedAnswer: it is none.
    """
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise MalformedAnswer from None
    if not isinstance(found, dict):
        raise MalformedAnswer
    return found


def objects(value: Any) -> list[dict[str, Any]]:
    """Return the objects in a JSON list, none if it is not a list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def answer_text(made: Any) -> str:
    """Return a value of an upstream's answer as JSON text.

    Raises:
        MalformedAnswer: it is nested more deeply than what can be written.
    """
    try:
        return orjson.dumps(made).decode()
    except orjson.JSONEncodeError:
        raise MalformedAnswer from None


def made_bytes(made: Any) -> int:
    """Return the bytes of a value of an upstream's answer, which passes as it came.

    0 where it is nested more deeply than what can be written: it is not charged for by its size.
    """
    try:
        return len(orjson.dumps(made))
    except orjson.JSONEncodeError:
        return 0


def has_too_many_values(body: bytes) -> bool:
    """Say whether valid JSON has more values than we take; of what is not JSON, any answer."""
    if _count(body) + body.count(b'"') <= MAX_VALUES:
        return False
    # Text may be full of brackets and commas: what is inside strings does not count. Piece by
    # piece, so that what is far beyond the limit is known after the first.
    values = quotes = at = 0
    in_text = False
    while at < len(body):
        piece = _piece(body, at)
        at += len(piece)
        parts = piece.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')
        values += _count(b"".join(parts[in_text::2]))
        quotes += len(parts) - 1
        in_text ^= len(parts) % 2 == 0
        if values > MAX_VALUES or quotes > 4 * MAX_VALUES:
            return True
    return False


def _piece(body: bytes, start: int) -> bytes:
    """Return a piece that does not end inside an escape."""
    end = start + PIECE_BYTES
    piece = body[start:end]
    backslashes = len(piece) - len(piece.rstrip(b"\\"))
    return piece if backslashes % 2 == 0 else body[start : end + 1]


def _count(text: bytes) -> int:
    return sum(text.count(sign) for sign in _STRUCTURE)
