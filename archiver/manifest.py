"""Manifests: what a workspace's month in the archive is made of, signed by the platform key.

Canonical JSON (`kit.canonical`): keys sorted, no spaces, numbers as decimal texts, so that no
reader rounds. The signature covers the hash of everything but `signature` itself. Nothing in it
depends on when or how often it was made: `created_at` is when the month became eligible.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from archiver.calendar import NoMonth, eligible_at, end_of, format_month, parse_month, start_of
from archiver.columns import COLUMNS, QUANTITIES, SCHEMA_ID
from archiver.model import FOCUS_VERSION, GENERATOR, Part, Totals
from kit.archive_manifest import FORMAT, manifest_message
from kit.canonical import Canonical, encode
from kit.ids import InvalidIdError, format_id, parse_id
from kit.money import InvalidAmountError, format_dollars, parse_dollars
from kit.platform_keys import PublicKeys
from oneapi.partitions.v1.partition_pb2 import ArchiveFile, RevisionReason

KINDS: Final = {
    ArchiveFile.KIND_USAGE_PARQUET: "usage_parquet",
    ArchiveFile.KIND_FOCUS_PARQUET: "focus_parquet",
    ArchiveFile.KIND_FOCUS_CSV: "focus_csv",
    ArchiveFile.KIND_SETTLEMENTS_PARQUET: "settlements_parquet",
}
REASONS: Final = {
    RevisionReason.REVISION_REASON_INITIAL: "initial",
    RevisionReason.REVISION_REASON_LATE: "late",
    RevisionReason.REVISION_REASON_ERASURE: "erasure",
}
_KIND_OF: Final = {word: kind for kind, word in KINDS.items()}
_REASON_OF: Final = {word: reason for reason, word in REASONS.items()}
BYTES_MAX: Final = 64 * 1024 * 1024
"""What the store reads in one piece; a larger text is no manifest of ours."""
_INTEGER: Final = re.compile(r"^[0-9]{1,19}$", re.ASCII)
_NAME: Final = re.compile(r"^[a-z0-9][A-Za-z0-9._=/-]{0,255}$", re.ASCII)
_PARTS_MAX: Final = 10_000
"""A manifest of so many files is still a small object."""


class ManifestNotValid(ValueError):
    """A text is no manifest of this version; carries no part of it."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest says."""

    workspace_id: bytes
    month: date
    revision: int
    reason: RevisionReason.ValueType
    supersedes: bytes | None
    """The SHA-256 of the manifest before this one, whole as it is stored."""
    parts: tuple[Part, ...]
    totals: Totals
    ledger_charge_nanos: int
    key_id: str = ""
    signature: bytes = b""

    @property
    def settlements(self) -> int:
        """How many settlements its files name."""
        kind = ArchiveFile.KIND_SETTLEMENTS_PARQUET
        return sum(part.rows for part in self.parts if part.kind == kind)

    def sha256(self) -> bytes:
        """Return the hash that is signed: of everything but the signature."""
        return hashlib.sha256(encode(_unsigned(self))).digest()

    def signed(self, key_id: str, signature: bytes) -> Manifest:
        """Return it with a signature."""
        return replace(self, key_id=key_id, signature=signature)

    def to_bytes(self) -> bytes:
        """Return the bytes that are stored."""
        signature: Canonical = {"key_id": self.key_id, "ed25519": self.signature}
        return encode({**_unsigned(self), "signature": signature})

    def is_signed_by(self, keys: PublicKeys) -> bool:
        """Say whether the platform signed exactly this."""
        workspace = format_id("ws", self.workspace_id)
        month = format_month(self.month)
        message = manifest_message(workspace, month, self.revision, self.sha256())
        return keys.verifies(self.key_id, self.signature, message)


def parse_manifest(text: bytes) -> Manifest:
    """Read a stored manifest.

    Raises:
        ManifestNotValid: not one of this version, or not the canonical bytes of what it says.
    """
    if len(text) > BYTES_MAX:
        raise ManifestNotValid
    try:
        manifest = _parsed(json.loads(text))
        again = manifest.to_bytes()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, NoMonth):
        raise ManifestNotValid from None
    except (InvalidIdError, InvalidAmountError, OverflowError):
        # A month has an end and a day on which it becomes eligible: the calendar ends before.
        raise ManifestNotValid from None
    # What was not understood (a wrong column, a second key) must not count as read.
    if again != text:
        raise ManifestNotValid
    return manifest


def read_manifest(path: Path) -> bytes:
    """Return the text of a manifest's file, no more of it than a manifest can have.

    Raises:
        ManifestNotValid: it is larger.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        text = file.read(BYTES_MAX + 1)
    if len(text) > BYTES_MAX:
        raise ManifestNotValid
    return text


def _unsigned(manifest: Manifest) -> dict[str, Canonical]:
    month = manifest.month
    return {
        "format": FORMAT,
        "schema": SCHEMA_ID,
        "focus_version": FOCUS_VERSION,
        "generator": GENERATOR,
        "columns": [_column(column) for column in COLUMNS],
        "workspace_id": format_id("ws", manifest.workspace_id),
        "month": format_month(month),
        "period": {"start": _time(start_of(month)), "end": _time(end_of(month))},
        "created_at": _time(eligible_at(month)),
        "revision": manifest.revision,
        "reason": REASONS[manifest.reason],
        "supersedes": manifest.supersedes,
        "files": [_part(part) for part in manifest.parts],
        "totals": _totals(manifest.totals),
        "ledger": {
            "charges": _dollars(manifest.ledger_charge_nanos),
            "equal": manifest.ledger_charge_nanos == manifest.totals.charge_nanos,
        },
        "settlements": manifest.settlements,
        "complete": True,
    }


def _column(column: Any) -> dict[str, Canonical]:
    return {
        "name": column.name,
        "type": str(column.type),
        "unit": column.unit,
        "description": column.description,
    }


def _part(part: Part) -> dict[str, Canonical]:
    return {
        "name": part.name,
        "kind": KINDS[part.kind],
        "size_bytes": part.size_bytes,
        "rows": part.rows,
        "sha256": part.sha256,
        "totals": None if part.totals is None else _totals(part.totals),
        "settlements_root": part.root,
    }


def _totals(totals: Totals) -> dict[str, Canonical]:
    return {
        "records": totals.records,
        "first_request_id": totals.first_id,
        "last_request_id": totals.last_id,
        "request_ids_sha256": totals.ids_hash,
        "quantities": dict(zip(QUANTITIES, totals.quantities, strict=True)),
        "charge": _dollars(totals.charge_nanos),
        "waived": _dollars(totals.waived_nanos),
    }


def _dollars(nanos: int) -> str:
    return format_dollars(nanos)


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _parsed(found: Mapping[str, Any]) -> Manifest:
    if found["format"] != FORMAT or found["schema"] != SCHEMA_ID:
        raise ManifestNotValid
    signature = found["signature"]
    supersedes = found["supersedes"]
    return Manifest(
        workspace_id=parse_id("ws", found["workspace_id"]),
        month=parse_month(found["month"]),
        revision=_int(found["revision"]),
        reason=_REASON_OF[found["reason"]],
        supersedes=None if supersedes is None else bytes.fromhex(supersedes),
        parts=tuple(_parsed_part(part) for part in _list(found["files"], _PARTS_MAX)),
        totals=_parsed_totals(found["totals"]),
        ledger_charge_nanos=parse_dollars(found["ledger"]["charges"]),
        key_id=_text(signature["key_id"]),
        signature=bytes.fromhex(signature["ed25519"]),
    )


def _parsed_part(found: Mapping[str, Any]) -> Part:
    if not _NAME.fullmatch(found["name"]) or ".." in found["name"]:
        raise ManifestNotValid
    totals, root = found["totals"], found["settlements_root"]
    return Part(
        kind=_KIND_OF[found["kind"]],
        name=found["name"],
        size_bytes=_int(found["size_bytes"]),
        rows=_int(found["rows"]),
        sha256=bytes.fromhex(found["sha256"]),
        totals=None if totals is None else _parsed_totals(totals),
        root=None if root is None else bytes.fromhex(root),
    )


def _parsed_totals(found: Mapping[str, Any]) -> Totals:
    return Totals(
        records=_int(found["records"]),
        first_id=bytes.fromhex(found["first_request_id"]),
        last_id=bytes.fromhex(found["last_request_id"]),
        ids_hash=bytes.fromhex(found["request_ids_sha256"]),
        quantities=tuple(_int(found["quantities"][name]) for name in QUANTITIES),
        charge_nanos=parse_dollars(found["charge"]),
        waived_nanos=parse_dollars(found["waived"]),
    )


def _int(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ManifestNotValid
    return int(text)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ManifestNotValid
    return value


def _list(value: Any, limit: int) -> Sequence[Any]:
    if not isinstance(value, list) or len(value) > limit:
        raise ManifestNotValid
    return value
