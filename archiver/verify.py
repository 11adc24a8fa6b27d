"""Proves a month of the archive from its files alone: manifest, files, sums and settlements.

Only the manifest, the files that it names and the platform's public keys are needed. Each step
raises where it fails; what returns has been proved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from archiver.columns import QUANTITIES, to_nanos
from archiver.manifest import Manifest, parse_manifest
from archiver.model import Part, Settlement, Totals
from archiver.store.errors import ObjectDamaged
from archiver.totals import Tally, combined, rows_of
from kit.canonical import record_leaf
from kit.ids import format_id
from kit.merkle import root
from kit.platform_keys import PublicKeys
from oneapi.partitions.v1.partition_pb2 import ArchiveFile

READ_BYTES: Final = 1024 * 1024
_LATE: Final = "late"
_LEAF_COLUMNS: Final = (
    *("request_id", "price_version", "charge", "waive_reason", "settlement_id"),
    *QUANTITIES,
)


class NotProved(ValueError):
    """A month of the archive is not what its manifest says; `check` is where it failed."""

    def __init__(self, check: str) -> None:
        super().__init__(check)
        self.check = check


def verify_month(manifest: bytes, keys: PublicKeys, path_of: Callable[[str], Path]) -> Manifest:
    """Check a manifest, every file that it names, and every settlement's root.

    `path_of` says where a file of a name is here.

    Raises:
        ManifestNotValid: it is no manifest of this version.
        NotProved: something that it says is not so.
    """
    found = parse_manifest(manifest)
    _check("signature", holds=found.is_signed_by(keys))
    _check("ledger", holds=found.ledger_charge_nanos == found.totals.charge_nanos)
    parts = []
    for part in found.parts:
        path = path_of(part.name)
        verify_bytes(path, part)
        if part.kind == ArchiveFile.KIND_USAGE_PARQUET:
            parts.append(read_totals(path))
            _check("sums", holds=parts[-1] == part.totals and parts[-1].records == part.rows)
    _check("totals", holds=combined(parts) == found.totals)
    usage = [part for part in found.parts if part.kind == ArchiveFile.KIND_USAGE_PARQUET]
    verify_settlements(found.settlements, [path_of(part.name) for part in usage])
    return found


def verify_bytes(path: Path, part: Part) -> None:
    """Check a file's size and hash.

    Raises:
        NotProved: it is missing, or another one.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while piece := file.read(READ_BYTES):
                digest.update(piece)
                size += len(piece)
    except OSError:
        raise NotProved("file_missing") from None
    _check("file", holds=(size, digest.digest()) == (part.size_bytes, part.sha256))


def read_totals(path: Path) -> Totals:
    """Return what a usage file adds up to, as it is read back with its checksums.

    Raises:
        NotProved: it cannot be read, or its ids do not grow.
    """
    tally = Tally()
    try:
        for rows in rows_of(path):
            tally.add(rows)
    except ObjectDamaged:
        raise NotProved("file_readable") from None
    return tally.totals()


def verify_settlements(settlements: tuple[Settlement, ...], paths: list[Path]) -> None:
    """Check that the rows are exactly the records of the settlements (RFC 6962 roots).

    A late row was charged nothing, so its waiver need not be among them: one that also has a record
    which was in the archive before is not.

    Raises:
        NotProved: a root or a count differs, or a charged row is of another settlement.
    """
    named = {each.transaction_id for each in settlements}
    leaves: dict[str, list[tuple[bytes, bytes]]] = {name: [] for name in named}
    for path in paths:
        for rows in rows_of(path):
            for row in rows.select(list(_LEAF_COLUMNS)).to_pylist():
                name = format_id("txn", row["settlement_id"].bytes)
                _check("settlements", holds=name in named or _is_late(row))
                leaves.setdefault(name, []).append((row["request_id"].bytes, _leaf(row)))
    for settlement in settlements:
        ordered = [leaf for _, leaf in sorted(leaves[settlement.transaction_id])]
        _check("record_count", holds=len(ordered) == settlement.record_count)
        _check("records_root", holds=root(ordered) == settlement.records_root)


def _is_late(row: Mapping[str, Any]) -> bool:
    return (row["waive_reason"], row["charge"]) == (_LATE, 0)


def _leaf(row: Mapping[str, Any]) -> bytes:
    quantities = tuple(row[name] for name in QUANTITIES)
    charge = to_nanos(row["charge"])
    return record_leaf(row["request_id"].bytes, row["price_version"], quantities, charge)


def _check(name: str, *, holds: bool) -> None:
    if not holds:
        raise NotProved(name)
