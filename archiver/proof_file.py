"""What one downloaded file proves: alone little, with its manifest beside it that it is ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from archiver.manifest import Manifest, ManifestNotValid, parse_manifest, read_manifest
from archiver.model import Part, Totals
from archiver.proof_folder import sha256_of
from archiver.verify import NotProved, read_totals, verify_bytes
from kit.platform_keys import PublicKeys
from oneapi.partitions.v1.partition_pb2 import ArchiveFile

BESIDE_MAX: Final = 1_000
USAGE_SUFFIX: Final = ".parquet"


@dataclass(frozen=True, slots=True)
class FileAlone:
    """What a file says without a manifest; sums are None of one that has none, such as costs."""

    size_bytes: int
    sha256: bytes
    totals: Totals | None


def look_at(path: Path) -> FileAlone:
    """Read a file to its end: that its pages are whole is all that it can prove of itself.

    Raises:
        NotProved: it is a usage file whose bytes have changed.
        OSError: it cannot be read.
    """
    digest, size = sha256_of(path), path.stat().st_size
    try:
        totals = read_totals(path) if path.suffix == USAGE_SUFFIX else None
    except NotProved:
        if _has_usage(path):
            raise
        totals = None
    return FileAlone(size, digest, totals)


def manifest_beside(path: Path) -> Path | None:
    """Return the manifest in a file's folder that names it, else any, None if there is none."""
    found: Path | None = None
    digest = sha256_of(path)
    for number, other in enumerate(sorted(path.parent.glob("*.json"))):
        if number >= BESIDE_MAX:
            break
        if not other.is_file():
            continue
        try:
            manifest = parse_manifest(read_manifest(other))
        except (ManifestNotValid, OSError):
            continue
        if any(part.sha256 == digest for part in manifest.parts):
            return other
        found = other
    return found


def verify_file(path: Path, manifest: bytes, keys: PublicKeys) -> tuple[Manifest, Part]:
    """Prove that a file is one of those that a signed manifest names, and its sums what that says.

    Raises:
        ManifestNotValid: it is no manifest of this version.
        NotProved: something is not so.
    """
    found = parse_manifest(manifest)
    if not found.is_signed_by(keys):
        raise NotProved("signature")
    digest = sha256_of(path)
    for part in found.parts:
        if part.sha256 == digest:
            verify_bytes(path, part)
            if part.kind == ArchiveFile.KIND_USAGE_PARQUET and read_totals(path) != part.totals:
                raise NotProved("sums")
            return found, part
    raise NotProved("file_named")


def _has_usage(path: Path) -> bool:
    """Say whether a file is meant to hold usage; one that nobody can read may be."""
    import pyarrow.parquet as pq  # noqa: PLC0415
    from pyarrow import ArrowException  # noqa: PLC0415

    try:
        return "request_id" in pq.read_schema(path).names
    except (ArrowException, OSError):
        return True
