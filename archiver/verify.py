"""Proves a month of the archive from its files alone: manifest, files, sums and settlements.

Only the manifest, the files that it names and the platform's public keys are needed. Each step
raises where it fails; what returns has been proved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import Final

from archiver.manifest import Manifest, parse_manifest
from archiver.model import Part, Settlement, Totals
from archiver.proof_roots import RootsDiffer, check_roots
from archiver.settlements import count_and_root, settlements_of
from archiver.store.errors import ObjectDamaged
from archiver.totals import Tally, combined, rows_of
from kit.platform_keys import PublicKeys
from oneapi.partitions.v1.partition_pb2 import ArchiveFile

READ_BYTES: Final = 1024 * 1024


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
    parts, usage, settlements = [], [], []
    for part in found.parts:
        path = path_of(part.name)
        verify_bytes(path, part)
        if part.kind == ArchiveFile.KIND_USAGE_PARQUET:
            usage.append(path)
            parts.append(read_totals(path))
            _check("sums", holds=parts[-1] == part.totals and parts[-1].records == part.rows)
        if part.kind == ArchiveFile.KIND_SETTLEMENTS_PARQUET:
            settlements.append(path)
            _check("settlements_root", holds=_read_root(path) == (part.rows, part.root))
    _check("totals", holds=combined(parts) == found.totals)
    named = chain.from_iterable(map(settlements_of, settlements))
    verify_settlements(chain.from_iterable(named), usage)
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


def _read_root(path: Path) -> tuple[int, bytes]:
    try:
        return count_and_root(path)
    except ObjectDamaged:
        raise NotProved("file_readable") from None


def verify_settlements(settlements: Iterable[Settlement], paths: list[Path]) -> None:
    """Check that the rows are exactly the records of the settlements (RFC 6962 roots).

    Raises:
        NotProved: a root or a count differs, a charged row is of another settlement, or a request
            is there twice.
    """
    try:
        check_roots(settlements, paths)
    except RootsDiffer as fault:
        raise NotProved(fault.check) from None


def _check(name: str, *, holds: bool) -> None:
    if not holds:
        raise NotProved(name)
