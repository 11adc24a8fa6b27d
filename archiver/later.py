"""Later revisions: what came late is added, what is to be erased is rewritten."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from archiver.columns import UUID
from archiver.export import ROWS_PER_GROUP, Group, UsageFile, id_bytes
from archiver.ids import IdSorter, KnownIds
from archiver.initial import Billing, read_billing
from archiver.manifest import Manifest, parse_manifest
from archiver.model import CountedMonth, Draft, Part, Settlement, ids_name, personal_folders
from archiver.parts import (
    Revised,
    Workshop,
    drafts,
    sha256_of,
    sign_and_store,
    store_costs,
    store_ids,
    store_settlements,
    store_usage,
)
from archiver.settlements import with_settlements
from archiver.store.errors import ObjectDamaged
from archiver.totals import combined, rows_of
from kit.ids import ID_BYTES, parse_id
from oneapi.partitions.v1.partition_pb2 import ArchiveFile, RevisionReason
from oneapi.partitions.v1.partition_service_pb2 import RecordDeletionRequest

LATE: Final = RevisionReason.REVISION_REASON_LATE
ERASURE: Final = RevisionReason.REVISION_REASON_ERASURE
USAGE: Final = ArchiveFile.KIND_USAGE_PARQUET
SETTLEMENTS: Final = ArchiveFile.KIND_SETTLEMENTS_PARQUET
MANIFEST: Final = ArchiveFile.KIND_MANIFEST
IDS: Final = ArchiveFile.KIND_IDS
LATE_ROWS_MAX: Final = 200_000
"""Late records of one revision: their ids go to core in one call."""
ERASED_KEY: Final = bytes(ID_BYTES)
_PERSONAL: Final = frozenset(
    {USAGE, ArchiveFile.KIND_FOCUS_PARQUET, ArchiveFile.KIND_FOCUS_CSV}
)  # fmt: skip


async def publish_late(shop: Workshop, month: date, revision: int) -> tuple[int, int]:
    """Add the late records of a published month; return how many, and how many were doubles.

    Raises:
        LeaseLost: another archiver works.
        StoreUnavailable: the store failed; to be repeated.
    """
    folder, known_folder = shop.fresh("late"), shop.fresh("known")
    files = await shop.core.files(month, newest_only=False)
    known = [await _fetched(shop, file, known_folder) for file in files if file.kind == IDS]
    billing = await read_billing(shop, month)
    sorter = IdSorter(month, shop.fresh("ids"))
    late = _Late(shop, month, revision, billing, sorter)
    try:
        with KnownIds(known) as ids:
            chosen = _Doubles(ids)
            messages = shop.core.export_late(month)
            async with aclosing(drafts(messages, folder, keep=chosen.without)) as found:
                async for workspace_id, draft in found:
                    if draft is not None:
                        late.drafts[workspace_id] = draft
        published = await late.publish(chosen)
    finally:
        sorter.close()
    return published, len(chosen.doubles)


class _Doubles:
    """Takes rows out of an export that are in the archive already, and remembers both kinds.

    Takes no more than a revision can name; what is left over comes with the next one.
    """

    def __init__(self, known: KnownIds) -> None:
        self._known = known
        self.doubles: list[bytes] = []
        self.fresh: dict[bytes, list[bytes]] = {}
        self._taken = 0
        self._by_settlement: Counter[bytes] = Counter()

    def without(self, group: Group) -> pa.Table:
        rows = group.rows.combine_chunks()
        kept = [
            self._keeps(group.workspace_id, identifier, settlement_id)
            for identifier, settlement_id in zip(
                _ids(rows, "id"), _ids(rows, "settlement_id"), strict=True
            )
        ]
        return rows.filter(pa.array(kept, pa.bool_()))

    def are_all_of(self, settlement: Settlement) -> bool:
        """Say whether every record of a settlement is among the fresh ones: its root covers all."""
        settlement_id = parse_id("txn", settlement.transaction_id)
        return self._by_settlement[settlement_id] == settlement.record_count

    def _keeps(self, workspace_id: bytes, identifier: bytes, settlement_id: bytes) -> bool:
        if self._taken == LATE_ROWS_MAX:
            return False
        self._taken += 1
        if identifier in self._known:
            self.doubles.append(identifier)
            return False
        self.fresh.setdefault(workspace_id, []).append(identifier)
        self._by_settlement[settlement_id] += 1
        return True


class _Late:
    """One revision for late records."""

    def __init__(
        self, shop: Workshop, month: date, revision: int, billing: Billing, sorter: IdSorter
    ) -> None:
        self._shop = shop
        self._month = month
        self._revision = revision
        self._billing = billing
        self._sorter = sorter
        self.drafts: dict[bytes, Draft] = {}

    async def publish(self, chosen: _Doubles) -> int:
        files: list[ArchiveFile] = []
        parts = self._shop.core.totals(self._month, None, late=True)
        folder = self._shop.fresh("settlements")
        async with aclosing(with_settlements(parts, folder, chosen.are_all_of)) as totals:
            async for counted in totals:
                draft = self.drafts.get(counted.workspace_id)
                if draft is not None:
                    files += (await self._one(counted, draft, chosen)).files
        late_ids = [identifier for ids in chosen.fresh.values() for identifier in ids]
        if late_ids:
            path = self._shop.fresh("late-ids") / "ids"
            ids = await asyncio.to_thread(self._sorter.finish, path)
            name = ids_name(self._month, self._revision, ids.sha256)
            files.append(await store_ids(self._shop, name, ids, self._revision))
        await self._shop.core.publish(
            self._month,
            self._revision,
            LATE,
            files,
            late_ids=late_ids,
            duplicate_ids=chosen.doubles,
        )
        return len(late_ids)

    async def _one(self, counted: CountedMonth, draft: Draft, chosen: _Doubles) -> Revised:
        owner = counted.workspace_id
        before = await newest_manifest(self._shop, self._month, owner)
        parts = [] if before is None else parts_of(before[0], USAGE)
        roots = [] if before is None else parts_of(before[0], SETTLEMENTS)
        number = len(parts) + 1
        part, copy = await store_usage(self._shop, owner, self._month, number, draft, self._sorter)
        folder = self._shop.fresh("parts")
        paths = [*[await _fetched_part(self._shop, each, folder) for each in parts], copy]
        billing = self._billing.get(owner)
        costs = await store_costs(self._shop, owner, self._month, paths, billing)
        roots += await store_settlements(
            self._shop, owner, self._month, len(roots) + 1, counted.settlements
        )
        manifest = Manifest(
            workspace_id=owner,
            month=self._month,
            revision=self._revision,
            reason=LATE,
            supersedes=None if before is None else before[1],
            parts=(*parts, part, *roots, *costs),
            totals=combined([each.totals for each in (*parts, part) if each.totals]),
            ledger_charge_nanos=0 if before is None else before[0].ledger_charge_nanos,
        )
        copy.unlink()
        return await sign_and_store(self._shop, manifest, chosen.fresh[owner])


async def erase_keys(
    shop: Workshop, month: date, workspace_id: bytes, key_id: bytes | None, revision: int
) -> int:
    """Take a key's id, or with None those of all, out of a workspace's month; return how many.

    The rows stay, and with them sums, roots and proofs: no leaf holds a key's id.

    Raises:
        LeaseLost: another archiver works.
        StoreUnavailable: the store failed; to be repeated.
    """
    before = await newest_manifest(shop, month, workspace_id)
    if before is None:
        return 0
    folder, manifest = shop.fresh("erasure"), before[0]
    old = [(part, await _fetched_part(shop, part, folder)) for part in parts_of(manifest, USAGE)]
    erased = await asyncio.to_thread(_count_key, [path for _, path in old], key_id)
    if not erased:
        return 0
    sorter = IdSorter(month, shop.fresh("ids"))
    parts, paths = [], []
    try:
        for number, (_, path) in enumerate(old, start=1):
            target = folder / f"erased-{number}.parquet"
            draft = await asyncio.to_thread(rewritten, path, target, key_id)
            part, copy = await store_usage(shop, workspace_id, month, number, draft, sorter)
            parts.append(part)
            paths.append(copy)
    finally:
        sorter.close()
    billing = (await read_billing(shop, month)).get(workspace_id)
    costs = await store_costs(shop, workspace_id, month, paths, billing)
    revised = replace(
        manifest,
        revision=revision,
        reason=ERASURE,
        supersedes=before[1],
        parts=(*parts, *parts_of(manifest, SETTLEMENTS), *costs),
        totals=combined([each.totals for each in parts if each.totals]),
    )
    files = (await sign_and_store(shop, revised)).files
    await shop.core.publish(month, revision, ERASURE, files)
    await delete_replaced(shop, month, workspace_id)
    return erased


async def delete_replaced(shop: Workshop, month: date, workspace_id: bytes) -> int:
    """Delete files with keys' ids that no newest manifest names; return how many there were.

    Also those of attempts that were cut off, which nobody was ever told of.

    Raises:
        LeaseLost: another archiver works: what nobody was told of may be on its way.
        StoreUnavailable: the store failed; to be repeated.
    """
    newest = {file.name for file in await shop.core.files(month, workspace_id, newest_only=True)}
    every = await shop.core.files(month, workspace_id, newest_only=False)
    names = [file.name for file in every if file.kind in _PERSONAL and file.name not in newest]
    known = {file.name for file in every}
    stored = [
        name
        for folder in personal_folders(workspace_id, month)
        for name in await shop.store.names(folder)
    ]
    await shop.core.check_lease()
    for name in (*names, *(each for each in stored if each not in known)):
        await shop.store.delete(name)
    if names:
        reason = RecordDeletionRequest.REASON_ERASURE
        await shop.core.record_deletion(month, reason, names)
    return len(names)


async def newest_manifest(
    shop: Workshop, month: date, workspace_id: bytes
) -> tuple[Manifest, bytes] | None:
    """Return the manifest that counts and its hash, None if the workspace has none.

    Raises:
        ObjectDamaged: it is not what was published.
        StoreUnavailable: the store failed; to be repeated.
    """
    files = await shop.core.files(month, workspace_id, newest_only=True)
    for file in files:
        if file.kind == MANIFEST:
            content = await shop.store.read(file.name)
            if sha256_of(content) != file.sha256:
                raise ObjectDamaged(name=file.name)
            return parse_manifest(content), file.sha256
    return None


def parts_of(manifest: Manifest, kind: ArchiveFile.Kind.ValueType) -> list[Part]:
    """Return the files of a kind that a manifest names, in their order."""
    return [part for part in manifest.parts if part.kind == kind]


async def _fetched(shop: Workshop, file: ArchiveFile, folder: Path) -> Path:
    path = folder / sha256_of(file.name.encode()).hex()
    found = await shop.store.fetch(file.name, path)
    if (found.size_bytes, found.sha256) != (file.size_bytes, file.sha256):
        raise ObjectDamaged(name=file.name)
    return path


async def _fetched_part(shop: Workshop, part: Part, folder: Path) -> Path:
    file = ArchiveFile(name=part.name, size_bytes=part.size_bytes, sha256=part.sha256)
    return await _fetched(shop, file, folder)


def _count_key(paths: Sequence[Path], key_id: bytes | None) -> int:
    counts = [
        pc.sum(_to_erase(rows.column("key_id").storage, key_id)).as_py() or 0
        for path in paths
        for rows in rows_of(path)
    ]
    return sum(counts)


def _to_erase(keys: pa.Array, key_id: bytes | None) -> pa.Array:
    """Return which rows have the key's id or, with None, any."""
    if key_id is None:
        return pc.not_equal(keys, pa.scalar(ERASED_KEY, pa.binary(ID_BYTES)))
    return pc.equal(keys, pa.scalar(key_id, pa.binary(ID_BYTES)))


def rewritten(path: Path, target: Path, key_id: bytes | None) -> Draft:
    """Write a usage file again without a key's id or, with None, any."""
    nobody = pa.scalar(ERASED_KEY, pa.binary(ID_BYTES))
    file = UsageFile(target)
    for rows in rows_of(path, at_once=ROWS_PER_GROUP):
        storage = rows.column("key_id").storage
        kept = pc.if_else(_to_erase(storage, key_id), nobody, storage)
        place = rows.schema.get_field_index("key_id")
        erased = pa.ExtensionArray.from_storage(UUID, kept)
        changed = rows.set_column(place, rows.schema.field(place), erased)
        file.add_converted(pa.Table.from_batches([changed]))
    return file.finish()


def _ids(rows: pa.Table, name: str) -> list[bytes]:
    if not rows.num_rows:
        return []
    content = bytes(id_bytes(rows.column(name).chunk(0)))
    return [content[at : at + ID_BYTES] for at in range(0, len(content), ID_BYTES)]
