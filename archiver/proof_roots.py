"""Proves that rows are exactly the records of their settlements, in memory that rows do not grow.

Rows come in the order of their ids, which is the order of the leaves, so each settlement's tree is
grown row by row: some hashes are kept while it is not whole, and nothing when it is.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

from archiver.columns import QUANTITIES, to_nanos
from archiver.export import id_bytes
from archiver.model import Settlement
from archiver.totals import rows_of
from kit.canonical import record_leaf
from kit.ids import ID_BYTES, InvalidIdError, parse_id
from kit.merkle import GrowingRoot

ROWS_AT_ONCE: Final = 1_024
"""Of each part, as Python's values: parts are read side by side."""
_LATE: Final = "late"
_COLUMNS: Final = (
    *("request_id", "price_version", "charge", "waive_reason", "settlement_id"),
    *QUANTITIES,
)


class RootsDiffer(ValueError):
    """Rows are not the records of the settlements; `check` is what does not hold."""

    def __init__(self, check: str) -> None:
        super().__init__(check)
        self.check = check


class _Record(NamedTuple):
    request_id: bytes
    settlement_id: bytes
    leaf: bytes
    is_late: bool
    """A late row was charged nothing."""


class _Open:
    """A settlement whose records are not all there yet."""

    __slots__ = ("settlement", "tree")

    def __init__(self, settlement: Settlement) -> None:
        self.settlement = settlement
        self.tree = GrowingRoot()

    def add(self, leaf: bytes) -> bool:
        """Take a record; say whether it was the last one."""
        self.tree.add(leaf)
        if self.tree.count < self.settlement.record_count:
            return False
        _check("records_root", holds=self.tree.root() == self.settlement.records_root)
        return True


def check_roots(settlements: Iterable[Settlement], paths: list[Path]) -> None:
    """Check that the rows of usage files are the records of the settlements (RFC 6962 roots).

    A late row was charged nothing, so its waiver need not be among them: one that also has a record
    which was in the archive before is not.

    Raises:
        RootsDiffer: a root or a count differs, a charged row is of another settlement, or a request
            is there twice.
        ObjectDamaged: a file cannot be read.
    """
    open_ones, whole = _by_id(settlements), set[bytes]()
    before = b""
    for record in _records(paths):
        _check("request_ids", holds=before < record.request_id)
        before = record.request_id
        found = open_ones.get(record.settlement_id)
        if found is None:
            _check("record_count", holds=record.settlement_id not in whole)
            _check("settlements", holds=record.is_late)
        elif found.add(record.leaf):
            del open_ones[record.settlement_id]
            whole.add(record.settlement_id)
    _check("record_count", holds=not open_ones)


def _by_id(settlements: Iterable[Settlement]) -> dict[bytes, _Open]:
    found: dict[bytes, _Open] = {}
    for settlement in settlements:
        try:
            name = parse_id("txn", settlement.transaction_id)
        except InvalidIdError:
            raise RootsDiffer("settlements") from None
        # One without records settled nothing, and none is named twice.
        _check("settlements", holds=name not in found and settlement.record_count > 0)
        found[name] = _Open(settlement)
    return found


def _records(paths: list[Path]) -> Iterator[_Record]:
    """Yield the rows of files, each in the order of ids, in the order of all ids."""
    return heapq.merge(*(_records_of(path) for path in paths), key=attrgetter("request_id"))


def _records_of(path: Path) -> Iterator[_Record]:
    for rows in rows_of(path, list(_COLUMNS)):
        for start in range(0, rows.num_rows, ROWS_AT_ONCE):
            yield from _converted(rows.slice(start, ROWS_AT_ONCE))


def _converted(rows: Any) -> Iterator[_Record]:
    ids, settlement_ids = (_ids(rows.column(name)) for name in ("request_id", "settlement_id"))
    charges = map(to_nanos, rows.column("charge").to_pylist())
    reasons = rows.column("waive_reason").to_pylist()
    versions = rows.column("price_version").to_pylist()
    quantities = zip(*(rows.column(name).to_pylist() for name in QUANTITIES), strict=True)
    for request_id, settlement_id, charge, reason, version, used in zip(
        ids, settlement_ids, charges, reasons, versions, quantities, strict=True
    ):
        leaf = record_leaf(request_id, version, used, charge)
        yield _Record(request_id, settlement_id, leaf, (reason, charge) == (_LATE, 0))


def _ids(values: Any) -> list[bytes]:
    flat = bytes(id_bytes(values))
    return [flat[place : place + ID_BYTES] for place in range(0, len(flat), ID_BYTES)]


def _check(name: str, *, holds: bool) -> None:
    if not holds:
        raise RootsDiffer(name)
