"""Publishes a revision: in one transaction the files are written down and reads go to the archive.

What is published is whole: every workspace with records has a signed manifest, the files' rows and
charges are the signed ones, and their sum is what the hot store has and the ledger settled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from core.audit import Act
from core.db.database import Pool, Transaction
from core.partitions import file_store, month_store, totals
from core.partitions.errors import ArchiveDiffers, MonthNotReady
from core.partitions.file_store import SignedTotals
from core.partitions.lease import hold_fence
from core.partitions.model import (
    File,
    FileKind,
    MonthFacts,
    Reason,
    State,
    month_name,
)
from core.partitions.months import read_month, require


@dataclass(frozen=True, slots=True)
class Revision:
    """What is to be published."""

    month: date
    number: int
    reason: Reason
    files: Sequence[File]
    late_ids: Sequence[bytes] = ()
    duplicate_ids: Sequence[bytes] = ()


async def publish(pool: Pool, act: Act, fence: int, revision: Revision) -> MonthFacts:
    """Publish a revision; one that was published is left as it is.

    Raises:
        MonthNotReady: the month is not frozen, an older one is not published, or another revision
            is next.
        ArchiveDiffers: the files are not all that was signed, or not what was published before.
    """
    month = revision.month
    async with pool.transaction("system") as tx:
        await totals.take_time(tx)
        await hold_fence(tx, fence)
        facts = await read_month(tx, month)
        if revision.number <= facts.revision:
            await _check_stored(tx, revision)
            return facts
        await _check_turn(tx, facts, act, revision)
        records = await _check_whole(tx, revision)
        await file_store.insert_files(tx, month, revision.files, act.now)
        await _check_stored(tx, revision)
        await file_store.supersede(tx, month, revision.files)
        await _mark_late(tx, act, revision)
        await month_store.set_published(
            tx, month, revision=revision.number, records=records, now=act.now
        )
        await act.audit(tx, "partitions.PublishMonth", f"{month_name(month)}:{revision.number}")
        facts = await read_month(tx, month)
        await tx.commit()
    return facts


async def _check_turn(tx: Transaction, facts: MonthFacts, act: Act, revision: Revision) -> None:
    initial = revision.reason is Reason.INITIAL
    if initial:
        require(facts, act, State.FROZEN)
        for older in await month_store.read_months(tx):
            if older.month < facts.month and older.state(act.now) < State.PUBLISHED:
                raise MonthNotReady(month=month_name(facts.month), older=month_name(older.month))
    else:
        require(facts, act, State.PUBLISHED, State.DETACHED, State.DROPPED)
    if revision.number != facts.revision + 1 or initial != (revision.number == 1):
        raise MonthNotReady(month=month_name(facts.month), revision=facts.revision)


async def _check_whole(tx: Transaction, revision: Revision) -> int:
    """Return how many records the month has with this revision."""
    month = revision.month
    signed = await file_store.signed_of_revision(tx, month, revision.number)
    owners = {file.workspace_id for file in revision.files if file.workspace_id is not None}
    # Signatures of an attempt that was given up may be left; of a first revision none may.
    if not owners <= signed.keys() or (
        revision.reason is Reason.INITIAL and owners != signed.keys()
    ):
        raise _differs(month, "manifests")
    _check_sums(revision, {owner: signed[owner] for owner in owners})
    before = await file_store.records_before(tx, month, revision.number)
    after = before | {owner: signed[owner].totals.records for owner in owners}
    records = sum(after.values())
    if revision.reason is Reason.INITIAL:
        if (records, records) != await totals.count_records(tx, month):
            raise _differs(month, "records")
    elif records - sum(before.values()) != len(revision.late_ids):
        raise _differs(month, "late_ids")
    return records


def _check_sums(revision: Revision, signed: Mapping[bytes, SignedTotals]) -> None:
    rows: dict[bytes, int] = defaultdict(int)
    charges: dict[bytes, int] = defaultdict(int)
    manifests: dict[bytes, int] = defaultdict(int)
    for file in revision.files:
        if file.workspace_id is not None and file.kind is FileKind.USAGE_PARQUET:
            rows[file.workspace_id] += file.rows
            charges[file.workspace_id] += file.charges
        # The file of this revision, which says that what was signed for it is published.
        is_manifest = file.kind is FileKind.MANIFEST and file.revision == revision.number
        if file.workspace_id is not None and is_manifest:
            manifests[file.workspace_id] += 1
    for owner, each in signed.items():
        if (rows[owner], charges[owner]) != (each.totals.records, each.totals.charges):
            raise _differs(revision.month, "rows")
        if manifests[owner] != 1:
            raise _differs(revision.month, "manifests")


async def _check_stored(tx: Transaction, revision: Revision) -> None:
    """Require that all files are written down as they are named now."""
    known = await file_store.files_by_name(tx, [file.name for file in revision.files])
    for file in revision.files:
        row = known.get(file.name)
        if row is None or row.month != revision.month or row.deleted_at is not None:
            raise _differs(revision.month, "files")
        if file_store.file_of(row).content != file.content:
            raise _differs(revision.month, "files")


async def _mark_late(tx: Transaction, act: Act, revision: Revision) -> None:
    for ids, duplicate in ((revision.late_ids, False), (revision.duplicate_ids, True)):
        if ids:
            marked = await file_store.mark_late(
                tx,
                revision.month,
                ids,
                revision=revision.number,
                duplicate=duplicate,
                now=act.now,
            )
            if marked != len(ids):
                raise _differs(revision.month, "late_ids")


def _differs(month: date, fields: str) -> ArchiveDiffers:
    return ArchiveDiffers(month=month_name(month), fields=fields)
