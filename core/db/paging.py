"""Pages of lists (AIP-158): sizes are coerced, tokens say after which row to go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from kit.ids import ID_BYTES
from kit.reasons import InvalidArgument

DEFAULT_PAGE_SIZE: Final = 100
MAX_PAGE_SIZE: Final = 1_000
LAST_ID: Final = b"\xff" * ID_BYTES
"""Above every id: where a list that shows the newest first begins."""
_INT_BYTES: Final = 8

RowT = TypeVar("RowT")


def page_size(requested: int) -> int:
    """Return how many rows a page has: 100 for 0, never more than 1,000."""
    return min(requested, MAX_PAGE_SIZE) or DEFAULT_PAGE_SIZE


def split_page(
    rows: list[RowT], size: int, token_of: Callable[[RowT], str]
) -> tuple[list[RowT], str]:
    """Cut a list that was read with one row more than the page has into page and next token."""
    if len(rows) <= size:
        return rows, ""
    return rows[:size], token_of(rows[size - 1])


def id_token(identifier: bytes) -> str:
    """Return the token of a list ordered by id."""
    return identifier.hex()


def parse_id_token(token: str) -> bytes:
    """Return the id after which to go on, LAST_ID for the first page.

    Raises:
        InvalidArgument: the token is none of ours.
    """
    if not token:
        return LAST_ID
    return _parse(token, ID_BYTES)


def int_token(number: int) -> str:
    """Return the token of a list ordered by a number."""
    return number.to_bytes(_INT_BYTES, "big").hex()


def parse_int_token(token: str, first: int) -> int:
    """Return the number after which to go on, `first` for the first page.

    Raises:
        InvalidArgument: the token is none of ours.
    """
    if not token:
        return first
    return int.from_bytes(_parse(token, _INT_BYTES), "big") & (2**63 - 1)


def _parse(token: str, length: int) -> bytes:
    try:
        value = bytes.fromhex(token)
    except ValueError:
        raise InvalidArgument(fields="page_token") from None
    if len(value) != length:
        raise InvalidArgument(fields="page_token")
    return value
