"""Merkle trees after RFC 6962 section 2.1: roots, inclusion proofs and their verification."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of a leaf: SHA-256 of 0x00 and the leaf."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node: SHA-256 of 0x01 and both children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the tree hash of leaves in their order; of none, the hash of nothing."""
    if not leaves:
        return EMPTY_ROOT
    level = [leaf_hash(leaf) for leaf in leaves]
    while len(level) > 1:
        level = _next_level(level)
    return level[0]


class GrowingRoot:
    """The tree hash of leaves that come one after the other: a hash for each level is kept."""

    __slots__ = ("_full", "count")

    def __init__(self) -> None:
        """Begin without leaves."""
        self.count = 0
        self._full: list[bytes] = []
        """Roots of full subtrees, largest first: one for each bit of the count."""

    def add(self, leaf: bytes) -> None:
        """Take the next leaf."""
        current, left = leaf_hash(leaf), self.count
        while left & 1:
            current, left = node_hash(self._full.pop(), current), left >> 1
        self._full.append(current)
        self.count += 1

    def root(self) -> bytes:
        """Return the same as `root` of the leaves so far."""
        if not self._full:
            return EMPTY_ROOT
        *larger, current = self._full
        for left in reversed(larger):
            current = node_hash(left, current)
        return current


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the audit path of a leaf, from the leaf's sibling upwards.

    Raises:
        IndexError: there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(index)
    level = [leaf_hash(leaf) for leaf in leaves]
    path = []
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        level = _next_level(level)
        index //= 2
    return path


def root_from_proof(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root that a proof leads to, or None if it does not fit the tree's size."""
    if not 0 <= index < size:
        return None
    current, width, used = leaf_hash(leaf), size, 0
    while width > 1:
        if index ^ 1 < width:
            if used == len(path):
                return None
            sibling, used = path[used], used + 1
            current = node_hash(sibling, current) if index % 2 else node_hash(current, sibling)
        index, width = index // 2, (width + 1) // 2
    return current if used == len(path) else None


def _next_level(level: list[bytes]) -> list[bytes]:
    # An odd last node moves up unchanged; this equals RFC 6962's split at the largest power of two.
    pairs = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    return pairs + level[len(pairs) * 2 :]
