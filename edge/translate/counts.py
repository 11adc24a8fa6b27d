"""Counts in providers' usage objects, read without repairing any: what contradicts is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kit.charge import MAX_QUANTITY


class Contradiction(Exception):
    """The counts cannot all be true."""


def count(counts: Mapping[str, Any], name: str, *, required: bool = False) -> int:
    """Return a count, 0 where it is absent or null.

    Raises:
        Contradiction: it is no integer in 0..MAX_QUANTITY, or is required and absent.
    """
    value = counts.get(name)
    if value is None and not required:
        return 0
    if type(value) is not int or not 0 <= value <= MAX_QUANTITY:
        raise Contradiction
    return value


def details_of(counts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an object of more counts, empty where it is absent or null.

    Raises:
        Contradiction: it is no object.
    """
    found = counts.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Contradiction
    return found


def difference(whole: int, part: int) -> int:
    """Return what is left of a count without a part of it.

    Raises:
        Contradiction: the part is larger.
    """
    if part > whole:
        raise Contradiction
    return whole - part
