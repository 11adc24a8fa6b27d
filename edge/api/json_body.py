"""A request's body as a JSON object, read in bounded time and memory.

The parser makes up to 30 bytes of memory of each byte, and blocks the worker while it does: 32 MiB
of `[],` take seconds and almost a gigabyte. So the values of a large body are counted before it is
parsed, at the speed of a search for bytes.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from edge.errors import ApiError, invalid

MAX_VALUES: Final = 500_000
"""Of lists, objects and their members together: several times what a full context needs."""
UNCOUNTED_BYTES: Final = 1024 * 1024
"""A body up to this size cannot hold so many that it would matter."""
_STRUCTURE: Final = (b"[", b"{", b",")


def parsed(body: bytes) -> dict[str, Any]:
    """Return the object.

    Raises:
        ApiError: 400, the body is no JSON object, or has too many values.
    """
    if len(body) > UNCOUNTED_BYTES and has_too_many_values(body):
        raise ApiError(
            400,
            "body_too_complex",
            f"The request body has more than {MAX_VALUES} lists, objects and members.",
        )
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise invalid("invalid_json", "The request body is not valid JSON.") from None
    if not isinstance(document, dict):
        raise invalid("invalid_json", "The request body is not a JSON object.")
    return document


def has_too_many_values(body: bytes) -> bool:
    """Say whether valid JSON has more values than we take; of what is not JSON, any answer."""
    if _count(body) + body.count(b'"') <= MAX_VALUES:
        return False
    # Text may be full of brackets and commas: what is inside strings does not count.
    plain = body.replace(rb"\\", b"").replace(rb"\"", b"")
    if plain.count(b'"') > 4 * MAX_VALUES:
        return True
    return _count(b"".join(plain.split(b'"')[::2])) > MAX_VALUES


def _count(text: bytes) -> int:
    return sum(text.count(sign) for sign in _STRUCTURE)
