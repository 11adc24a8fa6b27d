"""Byte ranges of files whose bytes never change under their ETag (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_RANGE: Final = re.compile(r"^bytes=(\d{1,19})?-(\d{1,19})?$", re.ASCII | re.IGNORECASE)


class RangeNotSatisfiable(ValueError):
    """A range begins behind the end of the file."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A part of a file."""

    offset: int
    length: int

    def content_range(self, size: int) -> str:
        """Return the value of Content-Range, of a file that has `size` bytes."""
        return f"bytes {self.offset}-{self.offset + self.length - 1}/{size}"


def wanted_range(
    header: str | None, if_range: str | None, etag: str, size: int
) -> ByteRange | None:
    """Return the part of a file that is asked for, None for all of it.

    A header that cannot be read, or names several parts, counts as none, as the RFC allows; so does
    one for another version of the file (a date never names ours).

    Raises:
        RangeNotSatisfiable: it begins behind the end.
    """
    if header is None or if_range not in {None, etag}:
        return None
    found = _RANGE.fullmatch(header.replace(" ", ""))
    if found is None or found.groups() == (None, None):
        return None
    first, last = found.groups()
    if first is None:
        length = min(int(last), size)
        if length == 0:
            raise RangeNotSatisfiable
        return ByteRange(size - length, length)
    offset, end = int(first), size if last is None else min(int(last) + 1, size)
    if last is not None and int(last) < offset:
        return None
    if offset >= size:
        raise RangeNotSatisfiable
    return ByteRange(offset, end - offset)


def is_fresh(if_none_match: str | None, etag: str) -> bool:
    """Say whether who asks has these bytes already."""
    if if_none_match is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in tags or "*" in tags
