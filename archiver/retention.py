"""The second look before rows are dropped, and the end of files after two years."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

from archiver.calendar import format_month
from archiver.core_link import CoreLink
from archiver.model import DELETIONS, deletion_name
from archiver.parts import Workshop
from archiver.store.errors import ObjectDamaged
from kit.canonical import Canonical, encode
from oneapi.partitions.v1.partition_pb2 import ArchiveFile
from oneapi.partitions.v1.partition_service_pb2 import RecordDeletionRequest

FORMAT: Final = "1api.club/archive_deletion/v1"


async def drop_checked(shop: Workshop, month: date) -> None:
    """Read every file of a month once more, to its end, and let core drop the rows.

    Raises:
        ObjectMissing: a file is gone.
        ObjectDamaged: a file is not what was published.
        StoreUnavailable: the store failed; to be repeated.
    """
    found = [await _looked_at(shop, file) for file in await _files(shop.core, month)]
    await shop.core.drop(month, found)


async def expire(shop: Workshop, month: date, now: datetime) -> int:
    """Delete a month's files, keep a record of it, and return how many there were.

    Raises:
        StoreUnavailable: the store failed; to be repeated.
    """
    files = await _files(shop.core, month)
    for file in files:
        await shop.store.delete(file.name)
    await _sweep(shop, month)
    record = _deletion_record(month, files, now)
    # Of an attempt that was cut off there may be one: it names what was left then as well.
    name = deletion_name(month, "expired")
    if await shop.store.size(name) is None:
        await shop.store.put_new(name, record)
    reason = RecordDeletionRequest.REASON_EXPIRED
    await shop.core.record_deletion(month, reason, [file.name for file in files])
    return len(files)


async def _sweep(shop: Workshop, month: date) -> None:
    """Delete what attempts that were cut off have stored, and nobody was ever told of.

    A revision's files may hold other rows the next time that it is tried, and are named otherwise
    then; a workspace may have nothing else. No revision of this month comes any more, so that
    nothing can be on its way.
    """
    await shop.core.check_lease()
    for name in await shop.store.names("", holding=f"/month={format_month(month)}/"):
        if not name.startswith(DELETIONS):
            await shop.store.delete(name)


async def _files(core: CoreLink, month: date) -> Sequence[ArchiveFile]:
    return await core.files(month, newest_only=False)


async def _looked_at(shop: Workshop, file: ArchiveFile) -> ArchiveFile:
    stored = await shop.store.measure(file.name)
    if (stored.size_bytes, stored.sha256) != (file.size_bytes, file.sha256):
        raise ObjectDamaged(name=file.name)
    found = ArchiveFile()
    found.CopyFrom(file)
    found.size_bytes, found.sha256 = stored.size_bytes, stored.sha256
    return found


def _deletion_record(month: date, files: Sequence[ArchiveFile], at: datetime) -> bytes:
    named: list[Canonical] = [
        {"name": file.name, "sha256": file.sha256, "rows": file.rows} for file in files
    ]
    return encode(
        {
            "format": FORMAT,
            "month": format_month(month),
            "reason": "expired",
            "deleted_at": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "files": named,
        }
    )
