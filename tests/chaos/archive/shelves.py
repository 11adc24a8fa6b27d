"""What can be read of a month: hot as customers read it, and in files by their proof."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
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
from archiver.manifest import parse_manifest
from archiver.store.objects import ObjectStore
from archiver.totals import rows_of
from archiver.verify import verify_month
from core.platform_key import PlatformKey
from kit.ids import format_id, parse_id
from oneapi.metering.v1 import usage_service_pb2 as usage_pb
from oneapi.metering.v1.usage_service_pb2_grpc import UsageServiceStub
from oneapi.partitions.v1.partition_pb2 import ArchiveFile
from tests.chaos.archive.fingerprint import Fingerprint, cut

PAGE = 1_000


class HotShelf:
    """The hot store through UsageService."""

    def __init__(self, channel: grpc.aio.Channel, *, exact: bool) -> None:
        """Ask over the channel; keep ids if all is small."""
        self._usage: Any = UsageServiceStub(channel)
        self._exact = exact

    async def month(self, month: date, workspaces: Sequence[bytes]) -> Fingerprint:
        """Return what these workspaces can list of a month."""
        found = Fingerprint(self._exact)
        for workspace_id in workspaces:
            request = _listing(month, format_id("ws", workspace_id))
            async for page in self._pages(request):
                ids = [parse_id("req", each.request_id) for each in page.usages]
                found.add(ids, sum(each.charge.amount_nanos for each in page.usages))
        return found

    async def has_any(self, month: date) -> bool:
        """Say whether anything of a month can be listed."""
        return bool((await self._usage.ListUsage(_listing(month))).usages)

    async def sums(self, begin: datetime | None = None) -> tuple[int, int]:
        """Return how many records there are and their charges: from the hours, or from a moment
        that is no full hour on, which counts the records themselves.
        """
        request = usage_pb.SumUsageRequest()
        if begin is not None:
            request.started_from.FromDatetime(begin)
        total = (await self._usage.SumUsage(request)).total
        return total.requests, total.charge.amount_nanos

    async def _pages(self, request: Any) -> AsyncIterator[Any]:
        while True:
            page = await self._usage.ListUsage(request)
            yield page
            request.page_token = page.next_page_token
            if not request.page_token:
                return


class FileShelf:
    """The files that manifests name, each month of a workspace proved from them alone."""

    def __init__(
        self, link: CoreLink, store: ObjectStore, key: PlatformKey, folder: Path, *, exact: bool
    ) -> None:
        """Read a store's files in a folder; keep ids if all is small."""
        self._link = link
        self._store = store
        self._key = key
        self._folder = folder
        self._exact = exact
        self._proved: dict[str, Fingerprint] = {}
        self.files = 0

    async def month(self, month: date) -> Fingerprint:
        """Return what the files of a month hold, all of them in the store, each proved once."""
        found = Fingerprint(self._exact)
        for stored in await self._link.files(month, newest_only=True):
            assert await self._store.size(stored.name) == stored.size_bytes, "a file is gone"
            self.files += 1
            if stored.kind == ArchiveFile.KIND_MANIFEST:
                # A name says the revision, and a revision never changes.
                if stored.name not in self._proved:
                    self._proved[stored.name] = await self._prove(stored.name)
                found.join(self._proved[stored.name])
        return found

    async def _prove(self, name: str) -> Fingerprint:
        folder = self._folder / "proved"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        content = await self._store.read(name)
        paths = {}
        for number, part in enumerate(parse_manifest(content).parts):
            paths[part.name] = folder / str(number)
            await self._store.fetch(part.name, paths[part.name])
        manifest = verify_month(content, self._key.public_keys, paths.__getitem__)
        found = Fingerprint(self._exact)
        used = 0
        for part in manifest.parts:
            if part.kind == ArchiveFile.KIND_USAGE_PARQUET:
                for rows in rows_of(paths[part.name]):
                    charged = to_nanos(pc.sum(rows.column("charge")).as_py())
                    found.add(cut(id_bytes(rows.column("request_id"))), charged)
            elif part.kind == ArchiveFile.KIND_FOCUS_PARQUET:
                used += _used(paths[part.name])
        assert used == found.nanos, "costs are not what usage files say"
        return found


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
