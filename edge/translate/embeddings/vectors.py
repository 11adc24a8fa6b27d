"""Vectors as numbers or as base64 of little-endian 32-bit floats (OpenAI API reference)."""

from __future__ import annotations

import base64
import binascii
import math
import struct
from typing import Any, Final

from edge.translate.errors import MalformedAnswer

_FLOAT_BYTES: Final = 4
_NUMBERS: Final = frozenset({int, float})
"""What JSON's numbers are read as; `true` is of another type."""


def encoded(vector: Any, encoding: str | None) -> str | list[float]:
    """Return a provider's vector, in either form, as the client asked for it.

    Raises:
        MalformedAnswer: it is neither a list of numbers nor base64 of floats.
    """
    if encoding == "base64":
        return vector if isinstance(vector, str) else packed(vector)
    return unpacked(vector) if isinstance(vector, str) else numbers(vector)


def numbers(vector: Any) -> list[float]:
    """Return a list that has numbers only.

    Raises:
        MalformedAnswer: it is something else.
    """
    # No step of ours for each number: an answer has millions, and other requests wait meanwhile.
    if not isinstance(vector, list) or not _NUMBERS.issuperset(map(type, vector)):
        raise MalformedAnswer
    return vector


def packed(vector: Any) -> str:
    """Return numbers as base64.

    Raises:
        MalformedAnswer: they are no numbers, or too large for 32 bits.
    """
    values = numbers(vector)
    try:
        return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
    except (struct.error, OverflowError):
        raise MalformedAnswer from None


def unpacked(text: str) -> list[float]:
    """Return base64 as numbers, each exactly the 32-bit float that it was.

    Raises:
        MalformedAnswer: it is no base64 of whole, finite floats.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedAnswer from None
    if len(raw) % _FLOAT_BYTES:
        raise MalformedAnswer
    values = list(struct.unpack(f"<{len(raw) // _FLOAT_BYTES}f", raw))
    if not all(map(math.isfinite, values)):
        raise MalformedAnswer
    return values
