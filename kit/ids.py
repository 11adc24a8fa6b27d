"""Identifiers: UUIDv7 (RFC 9562) as 16 bytes inside, `prefix_` and 32 hex digits outside.

A request's id is its usage record's id everywhere. Its first 48 bits are milliseconds since 1970
(UTC), so that ids sort by time and a calendar month is a range of ids.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from typing import Final

ID_BYTES: Final = 16
PAYMENT_PREFIX: Final = "pay"
"""Of payments: documents name them too, and know nothing else of them."""
_TEXT = re.compile(r"^([a-z]{2,8})_([0-9a-f]{32})$")
_STORE_BYTES: Final = 4096
_PIECE_BYTES: Final = 8
_COUNTER_BITS: Final = 12
_COUNTER_MAX: Final = (1 << _COUNTER_BITS) - 1


class InvalidIdError(ValueError):
    """A text is not an id of the expected kind; carries no part of the text."""


class RandomStore:
    """Random bytes of the system, fetched many at once: a system call each would cost more.

    No piece is handed out twice: not to two threads, and a forked process fetches its own.
    """

    def __init__(self) -> None:
        """Fetch nothing yet."""
        self._pieces: list[bytes] = []
        os.register_at_fork(after_in_child=self._pieces.clear)

    def take(self, count: int) -> bytes:
        """Return up to 8 bytes that were never returned before."""
        while True:
            try:
                return self._pieces.pop()[:count]
            except IndexError:
                raw = os.urandom(_STORE_BYTES)
                self._pieces.extend(
                    raw[at : at + _PIECE_BYTES] for at in range(0, _STORE_BYTES, _PIECE_BYTES)
                )


_random = RandomStore()


class IdSource:
    """Mints UUIDv7 ids that never go backwards, even if the clock does (RFC 9562, method 1)."""

    def __init__(
        self,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        random_bytes: Callable[[int], bytes] = _random.take,
    ) -> None:
        """Take the time in nanoseconds since 1970 and the random bytes from the callables."""
        self._now_ns = now_ns
        self._random_bytes = random_bytes
        self._last_ms = 0
        self._counter = 0

    def new(self) -> bytes:
        """Return a new id, larger than every id this source has returned."""
        now_ms = self._now_ns() // 1_000_000
        if now_ms > self._last_ms:
            self._last_ms = now_ms
            self._counter = int.from_bytes(self._random_bytes(2), "big") & (_COUNTER_MAX >> 1)
        elif self._counter < _COUNTER_MAX:
            self._counter += 1
        else:
            self._last_ms += 1
            self._counter = 0
        return uuid7_bytes(self._last_ms, self._counter, self._random_bytes(8))


def uuid7_bytes(unix_ms: int, counter: int, random8: bytes) -> bytes:
    """Pack a UUIDv7 from milliseconds since 1970, a 12-bit counter and 8 random bytes."""
    tail = (int.from_bytes(random8, "big") & ((1 << 62) - 1)) | (0b10 << 62)
    head = (unix_ms << 16) | (0x7 << 12) | (counter & _COUNTER_MAX)
    return head.to_bytes(8, "big") + tail.to_bytes(8, "big")


_request_ids = IdSource()


def new_request_id() -> bytes:
    """Return the 16-byte id of a new request, from the process's own monotonic source."""
    return _request_ids.new()


def unix_ms_of(identifier: bytes) -> int:
    """Return the milliseconds since 1970 (UTC) that a UUIDv7 carries."""
    return int.from_bytes(identifier[:6], "big")


def uuid7_floor(unix_ms: int) -> bytes:
    """Return the smallest 16-byte value of a millisecond: the lower bound of an id range."""
    return unix_ms.to_bytes(6, "big") + bytes(10)


def format_id(prefix: str, identifier: bytes) -> str:
    """Return the outside form of an id, such as `req_0199…`."""
    return f"{prefix}_{identifier.hex()}"


def parse_id(prefix: str, text: str) -> bytes:
    """Return the 16 bytes of an outside form.

    Raises:
        InvalidIdError: the text is not an id with this prefix.
    """
    match = _TEXT.fullmatch(text)
    if match is None or match.group(1) != prefix:
        raise InvalidIdError(prefix)
    return bytes.fromhex(match.group(2))


def parse_optional_id(prefix: str, text: str) -> bytes | None:
    """Read an id that may be left out: an empty text names nothing.

    Raises:
        InvalidIdError: as `parse_id`.
    """
    return parse_id(prefix, text) if text else None
