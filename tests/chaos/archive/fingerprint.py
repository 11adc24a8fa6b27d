"""Which records there are, told in a few numbers: sets that differ are not equal by chance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from kit.ids import ID_BYTES

_MODULUS = 1 << 128


@dataclass(slots=True)
class Fingerprint:
    """Records: how many, their ids combined in two ways, and what they were charged.

    A record that is missing, doubled or another one changes at least one of the four. Of few
    records the ids themselves are kept as well, so that nothing is left to chance.
    """

    exact: bool
    rows: int = 0
    xored: int = 0
    added: int = 0
    nanos: int = 0
    ids: set[bytes] = field(default_factory=set)

    def add(self, ids: Iterable[bytes], nanos: int = 0) -> Self:
        """Take records and what all of them together were charged."""
        for each in ids:
            number = int.from_bytes(each, "big")
            self.rows += 1
            self.xored ^= number
            self.added = (self.added + number) % _MODULUS
            if self.exact:
                assert each not in self.ids, "a record is there twice"
                self.ids.add(each)
        self.nanos += nanos
        return self

    def join(self, other: Fingerprint) -> Self:
        """Take the records of another one, which must all be new."""
        assert not self.ids & other.ids, "a record is there twice"
        self.ids |= other.ids
        self.rows += other.rows
        self.xored ^= other.xored
        self.added = (self.added + other.added) % _MODULUS
        self.nanos += other.nanos
        return self


def cut(content: bytes | memoryview) -> Iterable[bytes]:
    """Yield ids that stand one behind the other."""
    for start in range(0, len(content), ID_BYTES):
        yield bytes(content[start : start + ID_BYTES])
