"""Which records there are, told in a few numbers: sets that differ are not equal by chance."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass

_CHARGE = struct.Struct(">q")
_HALVES = struct.Struct(">qq16x")

FINGERPRINT = """
SELECT count(*), coalesce(sum(charge_nanos), 0), coalesce(sum(high), 0), coalesce(sum(low), 0)
  FROM (SELECT charge_nanos,
               CAST(CAST('x' || encode(substr(hash, 1, 8), 'hex') AS bit(64)) AS bigint) AS high,
               CAST(CAST('x' || encode(substr(hash, 9, 8), 'hex') AS bit(64)) AS bigint) AS low
          FROM (SELECT charge_nanos, sha256(uuid_send(id) || int8send(charge_nanos)) AS hash
                  FROM usage_record WHERE id >= :first AND id < :end OFFSET 0) AS hashed) AS each
"""
"""The same numbers of the rows of a range of ids."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Records: how many, what they were charged, and two sums over a hash of each of them.

    The hash is SHA-256 over id and charge (8 bytes, big-endian); summed up are its first and its
    second eight bytes, as signed numbers. One record missing, doubled or charged otherwise, or
    another one in its place, changes both.
    """

    rows: int = 0
    nanos: int = 0
    high: int = 0
    low: int = 0

    def __add__(self, other: Fingerprint) -> Fingerprint:
        """Return that of both sets together; a record that is in both counts twice."""
        return Fingerprint(
            self.rows + other.rows,
            self.nanos + other.nanos,
            self.high + other.high,
            self.low + other.low,
        )


def fingerprint_of(records: Iterable[tuple[bytes, int]]) -> Fingerprint:
    """Return the fingerprint of records: of each its id and its charge in nano-dollars."""
    rows = nanos = high = low = 0
    for identifier, charge in records:
        digest = hashlib.sha256(identifier + _CHARGE.pack(charge)).digest()
        first, second = _HALVES.unpack(digest)
        rows, nanos = rows + 1, nanos + charge
        high, low = high + first, low + second
    return Fingerprint(rows, nanos, high, low)
