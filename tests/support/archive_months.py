"""A core in memory, a store and an archiver between them: months from hot to gone."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
from prometheus_client import CollectorRegistry

from archiver.core_link import CoreLink
from archiver.metrics import ArchiverMetrics
from archiver.model import CostFiles, NoCostFiles, Step
from archiver.parts import Workshop
from archiver.runner import Runner
from archiver.settings import ArchiverSettings
from archiver.store.objects import ObjectStore
from archiver.store.opening import open_store
from archiver.totals import rows_of
from archiver.verify import verify_month
from kit.log import EventLog
from oneapi.partitions.v1 import partition_service_pb2_grpc as rpc
from oneapi.partitions.v1.partition_pb2 import ArchiveFile
from tests.support.archive_core import ELIGIBLE_AT, KEYS, CoreInMemory, CoreMonth, MovedClock
from tests.support.archive_rows import Row, rows, workspace

DAY = timedelta(days=1)
COUNTS = {1: 200, 2: 5, 3: 90}


def new_month() -> CoreMonth:
    """Three workspaces' records."""
    return CoreMonth({workspace(n): rows(workspace(n), count) for n, count in COUNTS.items()})


class World:
    """A core in memory, a store, and an archiver between them."""

    def __init__(self, core: CoreInMemory, channel: grpc.aio.Channel, folder: Path) -> None:
        self.core = core
        self.month = core.month
        self.channel = channel
        self.folder = folder
        self.store = open_store(ArchiverSettings(data_dir=folder))
        self.costs: CostFiles = NoCostFiles()
        self.registry = CollectorRegistry()

    def archiver(self, name: str = "work") -> Runner:
        """A process that has just started."""
        shop = Workshop(CoreLink(self.channel), self.store, self.costs, self.folder / name)
        self.registry = CollectorRegistry()
        clock: Any = MovedClock(self.month)
        return Runner(shop, clock, EventLog("archiver"), ArchiverMetrics(self.registry))

    def figure(self, name: str) -> float | None:
        """A metric of the newest process."""
        return self.registry.get_sample_value(f"oneapi_archive_{name}")

    async def run(self, archiver: Runner | None = None) -> list[Step]:
        """One round."""
        told: list[Step] = []
        await (archiver or self.archiver()).once("", told.append)
        return told

    async def archived(self, folder: Path) -> list[Row]:
        """All rows of the newest manifests, each month of a workspace proved from its files."""
        shutil.rmtree(folder, ignore_errors=True)
        found: list[Row] = []
        for name in sorted(self.month.current):
            if self.month.files[name].kind == ArchiveFile.KIND_MANIFEST:
                found += await self._proved(name, folder)
        return found

    async def _proved(self, name: str, folder: Path) -> list[Row]:
        manifest = await self.store.read(name)
        paths = {}
        for stored in await self.store.names(""):
            path = folder / stored
            path.parent.mkdir(parents=True, exist_ok=True)
            await self.store.fetch(stored, path)
            paths[stored] = path
        proved = verify_month(manifest, KEYS, paths.__getitem__)
        usage = [p for p in proved.parts if p.kind == ArchiveFile.KIND_USAGE_PARQUET]
        return [
            row
            for part in usage
            for batch in rows_of(paths[part.name])
            for row in batch.to_pylist()
        ]


@asynccontextmanager
async def world_of(month: CoreMonth, folder: Path) -> AsyncIterator[World]:
    """A running world."""
    core = CoreInMemory(month)
    server = grpc.aio.server()
    rpc.add_PartitionServiceServicer_to_server(core, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield World(core, channel, folder)
    await server.stop(0)


def ids(found: list[Row], name: str = "request_id") -> list[bytes]:
    """The ids of rows, sorted: a double is there twice."""
    return sorted(row[name] if isinstance(row[name], bytes) else row[name].bytes for row in found)


class FaultyStore(ObjectStore):
    """A store that stops at the given write, before or after it is done."""

    def __init__(
        self, store: ObjectStore, place: int, fault: BaseException, *, after: bool
    ) -> None:
        super().__init__(store._store, kind=store.kind, root=store._root)
        self._left = place
        self._fault = fault
        self._after = after

    async def put_file(self, name: str, path: Path) -> None:
        """Write, or stop."""
        await self._guarded(super().put_file(name, path))

    async def put_new(self, name: str, content: bytes) -> None:
        """Write, or stop."""
        await self._guarded(super().put_new(name, content))

    async def _guarded(self, write: Any) -> None:
        self._left -= 1
        stops = self._left == 0
        if stops and not self._after:
            write.close()
            raise self._fault
        await write
        if stops:
            raise self._fault


def bill(number: int, category: str = "purchase") -> Row:
    """One row of a workspace's billing."""
    return {
        "workspace_id": workspace(number),
        "transaction_id": bytes(16),
        "posted_at": ELIGIBLE_AT,
        "kind": "paid_grant",
        "category": category,
        "grant_id": None,
        "amount_nanos": 5,
        "document": None,
    }
