"""An archiver for core's tests: drives PartitionService by hand and keeps its files in memory."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa

from core.metering.proofs import QUANTITY_COLUMNS
from core.partitions.rpc import partition_service
from core.platform_key import PlatformKey, load_or_make_platform_key
from kit.ids import IdSource, format_id
from kit.rpc.server import Service
from oneapi.common.v1.money_pb2 import Money
from oneapi.common.v1.quantities_pb2 import Quantities
from oneapi.partitions.v1 import partition_pb2 as months
from oneapi.partitions.v1 import partition_service_pb2 as pb
from oneapi.partitions.v1.partition_service_pb2_grpc import PartitionServiceStub
from tests.support.metering_world import MeteringWorld, WorldClock

HOLDER = "a" * 32
Row = dict[str, Any]
Kind = months.ArchiveFile


def service_of(world: MeteringWorld, dsn: str, folder: Path) -> tuple[Service, PlatformKey]:
    """Return the service on a world's database, and the key that it signs with."""
    key = load_or_make_platform_key(folder / "keys" / "platform.json")
    clock = WorldClock(world.money)
    return partition_service(world.money.database.jobs, dsn, key, clock, IdSource()), key


def rows_of(parts: Sequence[bytes]) -> list[Row]:
    """Return the rows of an export, ids as bytes."""
    assert all(len(part) <= 1024 * 1024 for part in parts)
    tables = [pa.ipc.open_stream(part).read_all() for part in parts]
    return [
        {name: getattr(value, "bytes", value) for name, value in row.items()}
        for table in tables
        for row in table.to_pylist()
    ]


def totals_of(workspace_id: bytes, rows: Sequence[Row]) -> months.WorkspaceTotals:
    """Return what rows add up to, as an archiver counts them in its files."""
    ids = sorted(row["id"] for row in rows)
    return months.WorkspaceTotals(
        workspace_id=format_id("ws", workspace_id),
        records=len(rows),
        first_id=ids[0] if ids else b"",
        last_id=ids[-1] if ids else b"",
        ids_hash=hashlib.sha256(b"".join(ids)).digest(),
        quantities=Quantities(**{name: sum(r[name] for r in rows) for name in QUANTITY_COLUMNS}),
        charges=dollars(sum(row["charge_nanos"] for row in rows)),
        waived=dollars(sum(row["waived_nanos"] for row in rows)),
    )


def dollars(nanos: int) -> Money:
    """Return an amount."""
    return Money(amount_nanos=nanos, currency_code="USD")


def by_workspace(rows: Sequence[Row]) -> dict[bytes, list[Row]]:
    """Return rows by their workspace."""
    found: dict[bytes, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["workspace_id"]].append(row)
    return found


@dataclass
class Archiver:
    """One archiver. Its files are names, hashes and sums: no test here needs their bytes."""

    channel: grpc.aio.Channel
    fence: int = 0
    published: dict[str, list[months.ArchiveFile]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Speak to core."""
        self.stub = PartitionServiceStub(self.channel)

    async def lead(self, holder: str = HOLDER) -> int:
        """Take the lease."""
        answer = await self.stub.AcquireArchiveLease(pb.AcquireArchiveLeaseRequest(holder=holder))
        self.fence = answer.fence or self.fence
        return int(answer.fence)

    async def month(self, name: str) -> months.Month:
        """Read a month."""
        listed = (await self.stub.ListMonths(pb.ListMonthsRequest())).months
        (found,) = [each for each in listed if each.month == name]
        return found

    async def freeze(self, name: str) -> months.Month:
        """Freeze a month."""
        request = pb.FreezeMonthRequest(fence=self.fence, month=name)
        return (await self.stub.FreezeMonth(request)).month

    async def export(self, name: str, after: str = "") -> list[Row]:
        """Read a month's records."""
        request = pb.ExportMonthRequest(fence=self.fence, month=name, after_workspace_id=after)
        return rows_of([part.arrow_ipc async for part in self.stub.ExportMonth(request)])

    async def export_late(self, name: str) -> list[Row]:
        """Read late records."""
        request = pb.ExportLateRequest(fence=self.fence, month=name)
        return rows_of([part.arrow_ipc async for part in self.stub.ExportLate(request)])

    async def totals(self, name: str, *, late: bool = False) -> list[months.WorkspaceTotals]:
        """Read what core counts."""
        request = pb.GetTotalsRequest(fence=self.fence, month=name, late=late)
        return [answer.totals async for answer in self.stub.GetTotals(request)]

    async def sign(
        self,
        name: str,
        totals: months.WorkspaceTotals,
        *,
        revision: int = 1,
        reason: months.RevisionReason.ValueType = months.REVISION_REASON_INITIAL,
        late_ids: Sequence[bytes] = (),
    ) -> pb.SignManifestResponse:
        """Have a manifest signed."""
        return await self.stub.SignManifest(
            pb.SignManifestRequest(
                fence=self.fence,
                month=name,
                totals=totals,
                manifest_sha256=manifest_hash(totals, revision),
                revision=revision,
                reason=reason,
                late_ids=late_ids,
            )
        )

    async def publish(
        self,
        name: str,
        files: Sequence[months.ArchiveFile],
        *,
        revision: int = 1,
        reason: months.RevisionReason.ValueType = months.REVISION_REASON_INITIAL,
        late_ids: Sequence[bytes] = (),
        duplicate_ids: Sequence[bytes] = (),
    ) -> months.Month:
        """Publish a revision."""
        answer = await self.stub.PublishMonth(
            pb.PublishMonthRequest(
                fence=self.fence,
                month=name,
                revision=revision,
                reason=reason,
                files=files,
                late_ids=late_ids,
                duplicate_ids=duplicate_ids,
            )
        )
        return answer.month

    async def archive(self, name: str) -> months.Month:
        """Do everything up to publication."""
        await self.lead()
        await self.freeze(name)
        files = []
        for workspace_id, rows in by_workspace(await self.export(name)).items():
            totals = totals_of(workspace_id, rows)
            await self.sign(name, totals)
            files += [usage_file(name, totals), manifest_file(name, totals)]
        self.published[name] = files
        return await self.publish(name, files)

    async def detach(self, name: str) -> months.Month:
        """Detach a month."""
        request = pb.DetachMonthRequest(fence=self.fence, month=name)
        return (await self.stub.DetachMonth(request)).month

    async def drop(self, name: str) -> months.Month:
        """Drop a month, having looked at all its files again."""
        files = self.published[name]
        request = pb.DropMonthRequest(fence=self.fence, month=name, files=files)
        return (await self.stub.DropMonth(request)).month

    async def files(self, **fields: Any) -> list[Any]:
        """List files, page by page."""
        found: list[Any] = []
        token = ""
        while True:
            request = pb.ListFilesRequest(**({"page_size": 2} | fields), page_token=token)
            page = await self.stub.ListFiles(request)
            found += page.entries
            token = page.next_page_token
            if not token:
                return found


def manifest_hash(totals: months.WorkspaceTotals, revision: int) -> bytes:
    """Return the hash of a manifest that says these totals."""
    return hashlib.sha256(totals.SerializeToString(deterministic=True) + bytes([revision])).digest()


def usage_file(
    name: str, totals: months.WorkspaceTotals, *, part: int = 1, revision: int = 1
) -> months.ArchiveFile:
    """Return the file of a workspace's records."""
    digest = hashlib.sha256(totals.ids_hash + bytes([part, revision])).digest()
    return months.ArchiveFile(
        name=f"usage/v1/workspace={totals.workspace_id[3:]}/month={name}/part-{part:04d}"
        f"-{digest.hex()[:16]}.parquet",
        kind=Kind.KIND_USAGE_PARQUET,
        workspace_id=totals.workspace_id,
        revision=revision,
        size_bytes=1_000,
        rows=totals.records,
        sha256=digest,
        charges=totals.charges,
    )


def manifest_file(
    name: str, totals: months.WorkspaceTotals, *, revision: int = 1
) -> months.ArchiveFile:
    """Return the file of a workspace's manifest."""
    return months.ArchiveFile(
        name=f"manifest/workspace={totals.workspace_id[3:]}/month={name}/r{revision:04d}.json",
        kind=Kind.KIND_MANIFEST,
        workspace_id=totals.workspace_id,
        revision=revision,
        size_bytes=500,
        sha256=manifest_hash(totals, revision),
    )
