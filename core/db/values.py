"""Conversions between our values and PostgreSQL's: ids are 16 bytes with us, uuid in tables."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID


def to_uuid(identifier: bytes) -> UUID:
    """Return a 16-byte id as a uuid parameter.

    Raises:
        ValueError: not 16 bytes.
    """
    return UUID(bytes=identifier)


def uuid_array(identifiers: Iterable[bytes]) -> str:
    """Return ids as one text parameter to be cast to `uuid[]`.

    Of some hundred thousand: a list of values would keep the event loop for half a second.
    """
    return "{" + ",".join(map(bytes.hex, identifiers)) + "}"


def from_uuid(value: UUID) -> bytes:
    """Return a uuid column as a 16-byte id."""
    return value.bytes
