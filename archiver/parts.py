"""Stores the files of one workspace's month, reads them back, and signs the manifest over them.

Nothing that was written is believed: sizes, hashes and sums are those of what the store gives back.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from archiver.abreast import Desk, ahead, to_its_end
from archiver.core_link import CoreLink
from archiver.export import Group, Regrouper, UsageFile, id_bytes, read_ipc
from archiver.ids import IdSorter
from archiver.manifest import Manifest
from archiver.model import (
    CostFiles,
    Draft,
    Part,
    Totals,
    focus_name,
    manifest_name,
    settlements_name,
    usage_name,
)
from archiver.settlements import count_and_root
from archiver.store.errors import ObjectDamaged, ObjectExists
from archiver.store.objects import ObjectStore
from archiver.totals import Tally, rows_of
from kit.files import private_folder
from kit.ids import format_id
from oneapi.common.v1.money_pb2 import Money
from oneapi.partitions.v1.partition_pb2 import ArchiveFile

SEATS: Final = 2
SMALL_BYTES: Final = 1024 * 1024
"""A file of about one row group: two such are read and summed at once, a larger one alone."""
_ENDS: Final = {
    ArchiveFile.KIND_FOCUS_PARQUET: "parquet",
    ArchiveFile.KIND_FOCUS_CSV: "csv.gz",
}


@dataclass(frozen=True, slots=True)
class Workshop:
    """What every step works with."""

    core: CoreLink
    store: ObjectStore
    costs: CostFiles
    folder: Path
    """Private, on this machine's disk; what a crash left in it means nothing."""
    desk: Desk = field(default_factory=lambda: Desk(SEATS))
    """For whatever has much of a file in memory."""

    def fresh(self, name: str) -> Path:
        """Return an empty folder, and remove those of that name before.

        A thread cannot be cancelled: one of an attempt that failed may write on for a while, and
        must not find the files of the next attempt where its own were.
        """
        root = private_folder(self.folder)
        for old in root.glob(f"{name}.*"):
            shutil.rmtree(old, ignore_errors=True)
        return Path(tempfile.mkdtemp(prefix=f"{name}.", dir=root))


@dataclass(frozen=True, slots=True)
class Revised:
    """A revision of a workspace's month: its stored files and how they are published."""

    manifest: Manifest
    files: tuple[ArchiveFile, ...]


async def drafts(
    messages: AsyncIterator[bytes],
    folder: Path,
    *,
    keep: Callable[[Group], pa.Table] = lambda group: group.rows,
) -> AsyncGenerator[tuple[bytes, Draft | None], None]:
    """Yield each workspace of an export with its usage file, None if no row of it was kept.

    Raises:
        ExportNotUnderstood: the export is not what this version knows.
        OSError: the disk is full.
    """
    file = None
    groups = ahead(_groups(messages, Regrouper()), 1)
    try:
        async for group in groups:
            rows = keep(group)
            if rows.num_rows:
                file = file or _new_file(folder / f"{group.workspace_id.hex()}.parquet")
                await to_its_end(file.add, rows)
            if group.last:
                finished, file = file, None
                draft = await to_its_end(finished.finish) if finished else None
                yield group.workspace_id, draft
    finally:
        await groups.aclose()
        if file is not None:
            file.abandon()


def _new_file(path: Path) -> UsageFile:
    # An export that broke before may have left it: whoever exports again has no use for it.
    path.unlink(missing_ok=True)
    return UsageFile(path)


async def _groups(
    messages: AsyncIterator[bytes], regrouper: Regrouper
) -> AsyncGenerator[Group, None]:
    async for message in messages:
        for batch in read_ipc(message):
            for group in regrouper.add(batch):
                yield group
    for group in regrouper.end():
        yield group


async def store_usage(
    shop: Workshop, workspace_id: bytes, month: date, number: int, draft: Draft, ids: IdSorter
) -> tuple[Part, Path]:
    """Store a usage file and return what was read back, with the copy that it was read into.

    Raises:
        ObjectDamaged: what came back is not what was written.
        StoreUnavailable: the store failed; to be repeated.
    """
    name = usage_name(workspace_id, month, number, draft.sha256)
    copy = await _stored(shop, name, draft)
    async with shop.desk.seat(alone=draft.size_bytes > SMALL_BYTES):
        totals = await asyncio.to_thread(_inspect, copy, ids)
    return Part(draft.kind, name, draft.size_bytes, totals.records, draft.sha256, totals), copy


async def store_settlements(
    shop: Workshop, workspace_id: bytes, month: date, number: int, draft: Draft | None
) -> list[Part]:
    """Store a file of settlements, if there is one, and return what was read back.

    Raises:
        ObjectDamaged: what came back is not what was written.
        StoreUnavailable: the store failed; to be repeated.
    """
    if draft is None:
        return []
    name = settlements_name(workspace_id, month, number, draft.sha256)
    copy = await _stored(shop, name, draft)
    async with shop.desk.seat(alone=draft.size_bytes > SMALL_BYTES):
        count, root = await asyncio.to_thread(count_and_root, copy)
    copy.unlink()
    if (count, root) != (draft.rows, draft.root):
        raise ObjectDamaged(name=name)
    return [Part(draft.kind, name, draft.size_bytes, count, draft.sha256, None, root)]


async def store_costs(
    shop: Workshop, workspace_id: bytes, month: date, usage: Sequence[Path], billing: Any
) -> list[Part]:
    """Write and store the cost files of a workspace's month, read back and compared.

    Raises:
        ObjectDamaged: what came back is not what was written.
        StoreUnavailable: the store failed; to be repeated.
    """
    folder = shop.fresh(f"costs-{workspace_id.hex()}")
    size_bytes = sum(path.stat().st_size for path in usage)
    async with shop.desk.seat(alone=size_bytes > SMALL_BYTES):
        made = await asyncio.to_thread(
            shop.costs.write, workspace_id, month, list(usage), billing, folder
        )
    parts = []
    for draft in made:
        name = focus_name(workspace_id, month, _ENDS[draft.kind], draft.sha256)
        (await _stored(shop, name, draft)).unlink()
        parts.append(Part(draft.kind, name, draft.size_bytes, draft.rows, draft.sha256, None))
    folder.rmdir()
    return parts


async def store_ids(shop: Workshop, name: str, draft: Draft, revision: int) -> ArchiveFile:
    """Store the sorted ids of a revision and return the file.

    Raises:
        ObjectDamaged: what came back is not what was written.
        StoreUnavailable: the store failed; to be repeated.
    """
    (await _stored(shop, name, draft)).unlink()
    part = Part(draft.kind, name, draft.size_bytes, draft.rows, draft.sha256, None)
    return file_message(part, None, revision)


async def sign_and_store(
    shop: Workshop, manifest: Manifest, late_ids: Sequence[bytes] = ()
) -> Revised:
    """Let core sign a manifest, store it, and return the revision as it is published.

    Raises:
        LeaseLost: another archiver works.
        StoreUnavailable: the store failed; to be repeated.
    """
    key_id, signature = await shop.core.sign(
        manifest.month,
        manifest.workspace_id,
        manifest.totals,
        revision=manifest.revision,
        reason=manifest.reason,
        manifest_sha256=manifest.sha256(),
        late_ids=late_ids,
    )
    signed = manifest.signed(key_id, signature)
    content = signed.to_bytes()
    name = manifest_name(signed.workspace_id, signed.month, signed.revision)
    try:
        await shop.store.put_new(name, content)
    except ObjectExists:
        # Of an attempt before ours that published nothing, else this revision would not be next.
        # Who loses the lease behind this look can replace nothing any more.
        seen = await shop.store.look_at(name)
        await shop.core.check_lease()
        await shop.store.replace(name, content, seen)
    if await shop.store.read(name) != content:
        raise ObjectDamaged(name=name)
    return Revised(signed, _files(signed, name, content))


def file_message(part: Part, workspace_id: bytes | None, revision: int) -> ArchiveFile:
    """Return a file as core writes it down."""
    charge = part.totals.charge_nanos if part.totals else 0
    return ArchiveFile(
        name=part.name,
        kind=part.kind,
        workspace_id=format_id("ws", workspace_id) if workspace_id else "",
        revision=revision,
        size_bytes=part.size_bytes,
        rows=part.rows,
        sha256=part.sha256,
        charges=Money(amount_nanos=charge, currency_code="USD"),
    )


def _files(manifest: Manifest, name: str, content: bytes) -> tuple[ArchiveFile, ...]:
    own = Part(ArchiveFile.KIND_MANIFEST, name, len(content), 0, sha256_of(content), None)
    return tuple(
        file_message(part, manifest.workspace_id, manifest.revision)
        for part in (*manifest.parts, own)
    )


async def _stored(shop: Workshop, name: str, draft: Draft) -> Path:
    """Store a file and fetch it again; what it was written to is removed."""
    await shop.store.put_file(name, draft.path)
    copy = draft.path.with_suffix(".back")
    found = await shop.store.fetch(name, copy)
    if (found.size_bytes, found.sha256) != (draft.size_bytes, draft.sha256):
        # Its name says its hash, so it is of no use to anybody: the next attempt writes it anew.
        await shop.core.check_lease()
        await shop.store.delete(name)
        raise ObjectDamaged(name=name)
    draft.path.unlink()
    return copy


def _inspect(path: Path, ids: IdSorter) -> Totals:
    tally = Tally()
    for rows in rows_of(path):
        tally.add(rows)
        ids.add(id_bytes(rows.column("request_id")))
    return tally.totals()


def sha256_of(content: bytes) -> bytes:
    """Return the SHA-256 of bytes."""
    return hashlib.sha256(content).digest()
