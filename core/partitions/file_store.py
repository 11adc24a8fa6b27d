"""All SQL of archived files, of signed totals, and of which late records are in files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Row

from core.db.database import Transaction
from core.db.values import to_uuid, uuid_array
from core.ledger.store import optional_bytes, optional_uuid
from core.metering.partitions import id_range
from core.partitions.model import File, FileKind, Totals

FILES_AT_ONCE: Final = 2_000
"""In one statement: the event loop turns rows into values, and serves others in between."""
_FILE: Final = (
    "name, month, workspace_id, kind, revision, size_bytes, records, sha256, charges_nanos,"
    " published_at, deleted_at"
)
_INSERT: Final = """
INSERT INTO archive_file (name, month, workspace_id, kind, revision, size_bytes, records, sha256,
                          charges_nanos, published_at)
SELECT name, :month, workspace_id, kind, revision, size_bytes, records, sha256, charges_nanos, :now
  FROM unnest(CAST(:names AS text[]), CAST(:workspaces AS uuid[]), CAST(:kinds AS smallint[]),
              CAST(:revisions AS integer[]), CAST(:sizes AS bigint[]), CAST(:records AS bigint[]),
              CAST(:hashes AS bytea[]), CAST(:charges AS bigint[]))
       AS row (name, workspace_id, kind, revision, size_bytes, records, sha256, charges_nanos)
ON CONFLICT (name) DO NOTHING
"""
_SUPERSEDE: Final = """
UPDATE archive_file SET current = false
 WHERE month = :month AND current AND NOT (name = ANY(CAST(:names AS text[])))
   AND (workspace_id = ANY(CAST(:workspaces AS uuid[])) OR (workspace_id IS NULL AND :shared))
"""
_KEPT: Final = f"""
SELECT {_FILE} FROM archive_file
 WHERE month = :month AND deleted_at IS NULL AND name > :after ORDER BY name LIMIT :limit
"""  # noqa: S608 - constant
_BY_NAME: Final = f"""
SELECT {_FILE}, current FROM archive_file WHERE name = ANY(CAST(:names AS text[]))
"""  # noqa: S608 - constant
_NOBODY: Final = "coalesce(workspace_id, '00000000-0000-0000-0000-000000000000')"
_LIST: Final = f"""
SELECT {_FILE} FROM archive_file
 WHERE (CAST(:workspace AS uuid) IS NULL OR workspace_id = CAST(:workspace AS uuid))
   AND (CAST(:month AS date) IS NULL OR month = CAST(:month AS date))
   AND (NOT :newest OR (current AND deleted_at IS NULL))
   AND (CAST(:after AS text) IS NULL OR (month, {_NOBODY}, revision, name) > (
        SELECT month, {_NOBODY}, revision, name FROM archive_file WHERE name = :after))
 ORDER BY month, {_NOBODY}, revision, name LIMIT :limit
"""  # noqa: S608 - constants
_DELETE: Final = """
UPDATE archive_file SET deleted_at = :now, deletion_reason = :reason, current = false
 WHERE month = :month AND name = ANY(CAST(:names AS text[])) AND deleted_at IS NULL
"""
_SIGN: Final = """
INSERT INTO archive_totals (month, workspace_id, revision, records, charges_nanos, waived_nanos,
                            quantities, ids_hash, manifest_sha256, key_id, signature, signed_at)
VALUES (:month, :workspace, :revision, :records, :charges, :waived, :quantities, :ids_hash,
        :manifest, :key_id, :signature, :now)
ON CONFLICT (month, workspace_id, revision) DO UPDATE SET
    records = excluded.records, charges_nanos = excluded.charges_nanos,
    waived_nanos = excluded.waived_nanos, quantities = excluded.quantities,
    ids_hash = excluded.ids_hash, manifest_sha256 = excluded.manifest_sha256,
    key_id = excluded.key_id, signature = excluded.signature, signed_at = excluded.signed_at
"""
_TOTALS: Final = (
    "workspace_id, revision, records, charges_nanos, waived_nanos, quantities, ids_hash,"
    " manifest_sha256, key_id, signature"
)
# What was signed for a revision that came without it was never published: another one took its
# number.
IS_PUBLISHED: Final = f"""EXISTS (
    SELECT 1 FROM archive_file AS f
     WHERE f.month = t.month AND f.workspace_id = t.workspace_id AND f.revision = t.revision
       AND f.kind = {int(FileKind.MANIFEST)})
"""  # noqa: S608 - constant
_NEWEST_TOTALS: Final = f"""
SELECT {_TOTALS} FROM archive_totals AS t
 WHERE month = :month AND workspace_id = :workspace AND revision < :revision AND {IS_PUBLISHED}
 ORDER BY revision DESC LIMIT 1
"""  # noqa: S608 - constants
_OF_REVISION: Final = f"""
SELECT {_TOTALS} FROM archive_totals WHERE month = :month AND revision = :revision
   AND (CAST(:workspace AS uuid) IS NULL OR workspace_id = CAST(:workspace AS uuid))
"""  # noqa: S608 - constants
_BEFORE: Final = f"""
SELECT DISTINCT ON (workspace_id) workspace_id, records FROM archive_totals AS t
 WHERE month = :month AND revision < :revision AND {IS_PUBLISHED}
 ORDER BY workspace_id, revision DESC
"""  # noqa: S608 - constants
# Of records that wait, and of this month only: what else was named is no late record of it.
_MARK_LATE: Final = """
INSERT INTO usage_late_archived (id, workspace_id, month, revision, duplicate, archived_at)
SELECT r.id, r.workspace_id, :month, :revision, :duplicate, :now FROM usage_late AS r
 WHERE r.id = ANY(CAST(:ids AS uuid[])) AND r.id >= :first AND r.id < :end
ON CONFLICT (id) DO NOTHING
"""
# A settlement's records leave together, or the proof of its root would miss those that left.
_FORGET_LATE: Final = """
DELETE FROM usage_late AS r USING usage_late_archived AS a
 WHERE a.id = r.id AND a.month = :month AND a.archived_at <= :before
   AND NOT EXISTS (
       SELECT 1 FROM usage_late AS o LEFT JOIN usage_late_archived AS b ON b.id = o.id
        WHERE o.settlement_id = r.settlement_id
          AND (b.id IS NULL OR b.archived_at > :before))
"""
# Their ids stay: what comes again is known, and changes nothing.
_KNOW_LATE: Final = """
INSERT INTO usage_late_archived (id, workspace_id, month, revision, duplicate, archived_at)
SELECT id, workspace_id, :month, :revision, false, :now FROM usage_late
 WHERE id >= :first AND id < :end
ON CONFLICT (id) DO NOTHING
"""
_EXPIRE_LATE: Final = "DELETE FROM usage_late WHERE id >= :first AND id < :end"


@dataclass(frozen=True, slots=True)
class SignedTotals:
    """What a workspace's month added up to when its manifest was signed."""

    totals: Totals
    revision: int
    manifest_sha256: bytes
    key_id: str
    signature: bytes


async def insert_files(tx: Transaction, month: date, files: Sequence[File], now: datetime) -> None:
    """Write files that are not there yet."""
    for start in range(0, len(files), FILES_AT_ONCE):
        part = files[start : start + FILES_AT_ONCE]
        await tx.run(
            _INSERT,
            month=month,
            now=now,
            names=[file.name for file in part],
            workspaces=[optional_uuid(file.workspace_id) for file in part],
            kinds=[int(file.kind) for file in part],
            revisions=[file.revision for file in part],
            sizes=[file.size_bytes for file in part],
            records=[file.rows for file in part],
            hashes=[file.sha256 for file in part],
            charges=[file.charges for file in part],
        )


async def supersede(tx: Transaction, month: date, files: Sequence[File]) -> None:
    """Let what these workspaces' manifests no longer name be no part of the archive any more."""
    owners = {file.workspace_id for file in files if file.workspace_id is not None}
    await tx.run(
        _SUPERSEDE,
        month=month,
        names=[file.name for file in files],
        workspaces=[to_uuid(owner) for owner in owners],
        shared=any(file.workspace_id is None for file in files),
    )


async def kept_files(tx: Transaction, month: date) -> list[File]:
    """Read all files of a month that are not deleted."""
    files: list[File] = []
    while True:
        after = files[-1].name if files else ""
        rows = await tx.all(_KEPT, month=month, after=after, limit=FILES_AT_ONCE)
        files += map(file_of, rows)
        if len(rows) < FILES_AT_ONCE:
            return files


async def files_by_name(tx: Transaction, names: Sequence[str]) -> dict[str, Row[Any]]:
    """Read the rows of files by their names."""
    found: dict[str, Row[Any]] = {}
    for start in range(0, len(names), FILES_AT_ONCE):
        part = list(names[start : start + FILES_AT_ONCE])
        found |= {row.name: row for row in await tx.all(_BY_NAME, names=part)}
    return found


async def list_files(
    tx: Transaction,
    *,
    workspace_id: bytes | None,
    month: date | None,
    newest_only: bool,
    after: str,
    limit: int,
) -> list[Row[Any]]:
    """Read files by month, workspace, revision and name, behind the one that is named."""
    return await tx.all(
        _LIST,
        workspace=optional_uuid(workspace_id),
        month=month,
        newest=newest_only,
        after=after or None,
        limit=limit,
    )


async def mark_deleted(
    tx: Transaction, month: date, names: Sequence[str], *, reason: int, now: datetime
) -> int:
    """Write that files were deleted, and why; return of how many that is news."""
    return await tx.run(_DELETE, month=month, names=list(names), reason=reason, now=now)


async def write_signed(tx: Transaction, month: date, signed: SignedTotals, now: datetime) -> None:
    """Write what was signed; of a revision that was not published, the newest signature counts."""
    totals = signed.totals
    await tx.run(
        _SIGN,
        month=month,
        workspace=to_uuid(totals.workspace_id),
        revision=signed.revision,
        records=totals.records,
        charges=totals.charges,
        waived=totals.waived,
        quantities=list(totals.quantities),
        ids_hash=totals.ids_hash,
        manifest=signed.manifest_sha256,
        key_id=signed.key_id,
        signature=signed.signature,
        now=now,
    )


async def signed_before(
    tx: Transaction, month: date, workspace_id: bytes, revision: int
) -> SignedTotals | None:
    """Read what was signed and published last of a workspace's month, before a revision."""
    row = await tx.one(
        _NEWEST_TOTALS, month=month, workspace=to_uuid(workspace_id), revision=revision
    )
    return None if row is None else _signed_of(row)


async def signed_of_revision(
    tx: Transaction, month: date, revision: int, workspace_id: bytes | None = None
) -> dict[bytes, SignedTotals]:
    """Read what was signed of a revision, by workspace."""
    rows = await tx.all(
        _OF_REVISION, month=month, revision=revision, workspace=optional_uuid(workspace_id)
    )
    return {row.workspace_id.bytes: _signed_of(row) for row in rows}


async def records_before(tx: Transaction, month: date, revision: int) -> dict[bytes, int]:
    """Read how many records each workspace's newest manifest has, before a revision."""
    rows = await tx.all(_BEFORE, month=month, revision=revision)
    return {row.workspace_id.bytes: row.records for row in rows}


async def mark_late(
    tx: Transaction,
    month: date,
    ids: Sequence[bytes],
    *,
    revision: int,
    duplicate: bool,
    now: datetime,
) -> int:
    """Write that late records are in the archive; return how many of them are news."""
    first, end = map(to_uuid, id_range(month))
    return await tx.run(
        _MARK_LATE,
        month=month,
        ids=uuid_array(ids),
        revision=revision,
        duplicate=duplicate,
        now=now,
        first=first,
        end=end,
    )


async def forget_late(tx: Transaction, month: date, before: datetime) -> int:
    """Remove late records that have been in the archive for long enough."""
    return await tx.run(_FORGET_LATE, month=month, before=before)


async def know_late(tx: Transaction, month: date, revision: int, now: datetime) -> int:
    """Remember all late records of an expired month; return how many no file ever had."""
    first, end = map(to_uuid, id_range(month))
    return await tx.run(_KNOW_LATE, month=month, revision=revision, now=now, first=first, end=end)


async def expire_late(tx: Transaction, month: date) -> None:
    """Remove all late records of an expired month; as the owner of the usage tables."""
    first, end = map(to_uuid, id_range(month))
    await tx.run(_EXPIRE_LATE, first=first, end=end)


def file_of(row: Row[Any]) -> File:
    """Return a row as a file."""
    return File(
        name=row.name,
        kind=FileKind(row.kind),
        workspace_id=optional_bytes(row.workspace_id),
        revision=row.revision,
        size_bytes=row.size_bytes,
        rows=row.records,
        sha256=bytes(row.sha256),
        charges=row.charges_nanos,
    )


def _signed_of(row: Row[Any]) -> SignedTotals:
    totals = Totals(
        workspace_id=row.workspace_id.bytes,
        records=row.records,
        charges=row.charges_nanos,
        waived=row.waived_nanos,
        quantities=tuple(row.quantities),
        ids_hash=bytes(row.ids_hash),
    )
    return SignedTotals(
        totals, row.revision, bytes(row.manifest_sha256), row.key_id, bytes(row.signature)
    )
