"""What can be read of a month: hot as customers read it, and in files by their proof."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
import pyarrow.compute as pc
import pyarrow.parquet as pq

from archiver.calendar import end_of, start_of
from archiver.columns import to_nanos
from archiver.core_link import CoreLink
from archiver.export import id_bytes
from archiver.manifest import Manifest, parse_manifest
from archiver.store.objects import ObjectStore, Stored
from archiver.totals import rows_of
from archiver.verify import verify_month
from core.platform_key import PlatformKey
from kit.clock import from_micros
from kit.ids import ID_BYTES, format_id, parse_id
from oneapi.metering.v1 import usage_service_pb2 as usage_pb
from oneapi.metering.v1.usage_service_pb2_grpc import UsageServiceStub
from oneapi.partitions.v1.partition_pb2 import ArchiveFile
from tests.chaos.archive.fingerprint import Fingerprint, fingerprint_of

PAGE = 1_000
MILLISECOND = timedelta(milliseconds=1)
Proves = Callable[[Sequence[str]], Awaitable[dict[str, "Proved"]]]
"""Proves what manifests of these names say."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What a customer is told of a time: records, nano-dollars, and since when they are hot."""

    rows: int
    nanos: int
    archived_before: datetime | None


class HotShelf:
    """The hot store through UsageService."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Ask over the channel."""
        self._usage: Any = UsageServiceStub(channel)

    async def month(self, month: date, workspaces: Sequence[bytes]) -> Fingerprint:
        """Return what these workspaces can list of a month."""
        found = Fingerprint()
        for workspace_id in workspaces:
            request = _listing(month, format_id("ws", workspace_id))
            async for page in self._pages(request):
                found += fingerprint_of(
                    (parse_id("req", each.request_id), each.charge.amount_nanos)
                    for each in page.usages
                )
        return found

    async def has_any(self, month: date) -> bool:
        """Say whether anything of a month can be listed."""
        return bool((await self._usage.ListUsage(_listing(month))).usages)

    async def hours(self, first: date, last: date) -> Sums:
        """Return the hourly sums of months, the last one too."""
        return await self._sums(start_of(first), end_of(last))

    async def records(self, first: date, last: date) -> Sums:
        """Return what the records of months add up to, the last one's too.

        A range that is no full hours is counted by the records themselves. It begins a millisecond
        early, so what is before the first month must not be hot.
        """
        return await self._sums(start_of(first) - MILLISECOND, end_of(last))

    async def _sums(self, begin: datetime, end: datetime) -> Sums:
        request = usage_pb.SumUsageRequest()
        request.started_from.FromDatetime(begin)
        request.started_before.FromDatetime(end)
        answer = await self._usage.SumUsage(request)
        archived = None
        if answer.HasField("archived_before"):
            archived = from_micros(answer.archived_before.ToMicroseconds())
        return Sums(answer.total.requests, answer.total.charge.amount_nanos, archived)

    async def _pages(self, request: Any) -> AsyncIterator[Any]:
        while True:
            page = await self._usage.ListUsage(request)
            yield page
            request.page_token = page.next_page_token
            if not request.page_token:
                return


@dataclass(frozen=True, slots=True)
class Proved:
    """What a manifest's files were found to hold, and the files that they were, it among them."""

    records: Fingerprint
    files: Mapping[str, Stored]


class Prover:
    """Proves months of workspaces from their files alone."""

    def __init__(self, store: ObjectStore, key: PlatformKey, folder: Path) -> None:
        """Read a store's files in a folder of its own."""
        self._store = store
        self._key = key
        self._folder = folder

    async def prove(self, name: str) -> Proved:
        """Return what a manifest's files hold.

        Raises:
            NotProved: not what it says.
        """
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        content = await self._store.read(name)
        paths, files = {}, {name: await self._store.measure(name)}
        for number, part in enumerate(parse_manifest(content).parts):
            paths[part.name] = self._folder / str(number)
            files[part.name] = await self._store.fetch(part.name, paths[part.name])
        manifest = verify_month(content, self._key.public_keys, paths.__getitem__)
        return Proved(_records_of(manifest, paths), files)


class FileShelf:
    """The files that core names, each month of a workspace proved by what `prove` finds."""

    def __init__(self, link: CoreLink, store: ObjectStore, prove: Proves) -> None:
        """Read a store's files; what manifests hold is asked for once."""
        self._link = link
        self._store = store
        self._prove = prove
        self._proved: dict[str, Proved] = {}
        self.files = 0

    async def month(self, month: date) -> Fingerprint:
        """Return what the files of a month hold, all of them read to their ends.

        A month of a workspace is proved when it is read first. Later its files must be the same,
        byte for byte, as their hashes say; then they still hold what they did.
        """
        stored = await self._link.files(month, newest_only=True)
        self.files += len(stored)
        # A name says the revision, and a revision never changes.
        manifests = _manifests(stored)
        known = [self._proved[name] for name in manifests if name in self._proved]
        for each in known:
            await self._read_again(each.files)
        proved = await self._prove([name for name in manifests if name not in self._proved])
        self._proved |= proved
        named, found = set[str](), Fingerprint()
        for each in (*known, *proved.values()):
            named |= each.files.keys()
            found += each.records
        await self._check_rest([file for file in stored if file.name not in named])
        return found

    async def names(self) -> set[str]:
        """Return the names of everything in the store."""
        return set(await self._store.names(""))

    async def _read_again(self, files: Mapping[str, Stored]) -> None:
        found = await asyncio.gather(*map(self._store.measure, files))
        assert found == list(files.values()), "a file is not what it was"

    async def _check_rest(self, files: Sequence[ArchiveFile]) -> None:
        """Files that no manifest names: those over all workspaces, which core has on record."""
        for file in files:
            assert not file.workspace_id, "a file is named by no manifest"
            found = await self._store.measure(file.name)
            assert found == Stored(file.size_bytes, file.sha256), "a file is not what it was"


def _manifests(stored: Sequence[ArchiveFile]) -> list[str]:
    """Return the names of manifests, that of the workspace with the most rows first."""
    rows = Counter[str]()
    for file in stored:
        rows[file.workspace_id] += file.rows if file.kind == ArchiveFile.KIND_USAGE_PARQUET else 0
    named = [file for file in stored if file.kind == ArchiveFile.KIND_MANIFEST]
    return [file.name for file in sorted(named, key=lambda file: -rows[file.workspace_id])]


def _records_of(manifest: Manifest, paths: Mapping[str, Path]) -> Fingerprint:
    found, used = Fingerprint(), 0
    for part in manifest.parts:
        if part.kind == ArchiveFile.KIND_USAGE_PARQUET:
            found += fingerprint_of(_ids_and_charges(paths[part.name]))
        elif part.kind == ArchiveFile.KIND_FOCUS_PARQUET:
            used += _used(paths[part.name])
    assert used == found.nanos, "costs are not what usage files say"
    return found


def _ids_and_charges(path: Path) -> Iterator[tuple[bytes, int]]:
    for rows in rows_of(path, ["request_id", "charge"]):
        ids = bytes(id_bytes(rows.column("request_id")))
        for place, charge in enumerate(rows.column("charge").to_pylist()):
            yield ids[place * ID_BYTES : (place + 1) * ID_BYTES], to_nanos(charge)


def _listing(month: date, workspace_id: str = "") -> usage_pb.ListUsageRequest:
    request = usage_pb.ListUsageRequest(workspace_id=workspace_id, page_size=PAGE)
    request.started_from.FromDatetime(start_of(month))
    request.started_before.FromDatetime(end_of(month))
    return request


def _used(path: Path) -> int:
    """Return what a cost file says that usage took from credit, nano-dollars."""
    costs = pq.read_table(path, columns=["ChargeCategory", "EffectiveCost"])
    usage = costs.filter(pc.equal(costs.column("ChargeCategory"), "Usage"))
    return to_nanos(pc.sum(usage.column("EffectiveCost")).as_py() or Decimal(0))
