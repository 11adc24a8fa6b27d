"""Cuts what a call to core carries into parts that the contract allows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def batches(items: dict[K, V], size: int) -> Iterator[dict[K, V]]:
    """Give all items in their order, at most `size` at a time."""
    left = iter(items.items())
    while batch := dict(itertools.islice(left, size)):
        yield batch
