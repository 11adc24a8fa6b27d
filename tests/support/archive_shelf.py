"""A published month in a store, a core that knows it, and the archiver's service before both."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archiver.access import Access
from archiver.export import Regrouper, UsageFile, read_ipc
from archiver.manifest import Manifest
from archiver.model import Draft, Part, manifest_name, settlements_name, usage_name
from archiver.rpc import ArchiveServicer, archive_service
from archiver.settlements import SettlementFile
from archiver.shelf import Shelf
from archiver.store.objects import ObjectStore
from archiver.totals import combined
from archiver.verify import read_totals
from kit.archive_manifest import manifest_message
from kit.clock import SystemClock
from kit.ids import format_id
from kit.platform_keys import PublicKeys, key_id_of, signed_bytes
from kit.rpc.server import Service
from kit.user_context import LABEL, UserContext, to_text
from oneapi.archive.v1 import archive_service_pb2 as archive_pb
from oneapi.billing.v1 import receipt_service_pb2, receipt_service_pb2_grpc
from oneapi.partitions.v1 import (
    partition_pb2,
    partition_service_pb2,
    partition_service_pb2_grpc,
)
from oneapi.partitions.v1.partition_pb2 import ArchiveFile, RevisionReason
from oneapi.security.v1 import access_service_pb2, access_service_pb2_grpc
from tests.support.archive_rows import MONTH, Row, messages, rows, settlements, workspace
from tests.support.core_server import calling, serving

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
KEYS = PublicKeys({key_id_of(PUBLIC): PUBLIC})
MONTH_NAME = "2026-03"
WORKSPACE = format_id("ws", workspace(1))
OTHER_WORKSPACE = format_id("ws", workspace(2))
SUBJECT = f"key_{'7' * 32}"
PUBLISHED_AT = datetime(2026, 7, 1, 3, tzinfo=UTC)
EXPIRES_AT = datetime(2028, 7, 1, 3, tzinfo=UTC)


def write(path: Path, found: list[Row]) -> Draft:
    """Write rows as a usage file."""
    file, regrouper = UsageFile(path), Regrouper()
    for message in messages(found, 1_000):
        for part in read_ipc(message):
            for group in regrouper.add(part):
                file.add(group.rows)
    for group in regrouper.end():
        file.add(group.rows)
    return file.finish()


@dataclass
class Core:
    """What the archiver needs of core: published files, keys, and a record of what it was told."""

    files: list[partition_pb2.ArchiveFile] = field(default_factory=list)
    told: list[access_service_pb2.RecordAccessRequest] = field(default_factory=list)
    is_away: bool = False
    is_published: bool = True
    looks: int = 0
    """How often it was asked for all months."""
    permissions: tuple[str, ...] = ("archives.download",)
    """Of the one key that it knows."""

    def services(self) -> list[Service]:
        """Return the services for a server."""
        archiver = frozenset({"archiver"})
        add_access = access_service_pb2_grpc.add_AccessServiceServicer_to_server
        add_partitions = partition_service_pb2_grpc.add_PartitionServiceServicer_to_server
        add_receipts = receipt_service_pb2_grpc.add_ReceiptServiceServicer_to_server
        return [
            Service(
                "oneapi.security.v1.AccessService",
                add_access,
                _Audit(self),
                {"RecordAccess": archiver, "IssueUserContext": frozenset({"edge"})},
            ),
            Service(
                "oneapi.partitions.v1.PartitionService",
                add_partitions,
                _Partitions(self),  # type: ignore[abstract]  # what is asked of it
                {"ListFiles": archiver, "ListMonths": archiver},
            ),
            Service(
                "oneapi.billing.v1.ReceiptService",
                add_receipts,
                _Keys(),  # type: ignore[abstract]  # what is asked of it
                {"GetPlatformKeys": archiver | {"operator"}},
            ),
        ]


class _Audit(access_service_pb2_grpc.AccessServiceServicer):
    def __init__(self, core: Core) -> None:
        self._core = core

    async def IssueUserContext(self, request: Any, context: Any) -> Any:
        text = user_context(permissions=self._core.permissions)
        return access_service_pb2.IssueUserContextResponse(user_context=text)

    async def RecordAccess(self, request: Any, context: Any) -> Any:
        if self._core.is_away:
            await context.abort(grpc.StatusCode.UNAVAILABLE)
        self._core.told.append(request)
        return access_service_pb2.RecordAccessResponse()


class _Partitions(partition_service_pb2_grpc.PartitionServiceServicer):
    def __init__(self, core: Core) -> None:
        self._core = core

    async def ListFiles(self, request: Any, context: Any) -> Any:
        answer = partition_service_pb2.ListFilesResponse()
        for file in self._core.files:
            if file.workspace_id == request.workspace_id and request.month in {"", MONTH_NAME}:
                answer.entries.add(month=MONTH_NAME, file=file)
        return answer

    async def ListMonths(self, request: Any, context: Any) -> Any:
        self._core.looks += 1
        if not self._core.is_published:
            return partition_service_pb2.ListMonthsResponse()
        month = partition_pb2.Month(month=MONTH_NAME)
        month.published_at.FromDatetime(PUBLISHED_AT)
        month.expires_at.FromDatetime(EXPIRES_AT)
        return partition_service_pb2.ListMonthsResponse(months=[month])


class _Keys(receipt_service_pb2_grpc.ReceiptServiceServicer):
    async def GetPlatformKeys(self, request: Any, context: Any) -> Any:
        return receipt_service_pb2.GetPlatformKeysResponse(content=KEYS.to_json())


class NoWork:
    """An archiver that has nothing to do."""

    async def run(self, month: str) -> AsyncIterator[archive_pb.RunArchiveResponse]:
        """Say that a step is done."""
        yield archive_pb.RunArchiveResponse(month=month, step="freeze", done=True)

    async def erase(self, workspace_id: bytes, key_id: bytes | None) -> dict[str, int]:
        """Say that a record had it."""
        return {MONTH_NAME: 1}

    async def status(self) -> archive_pb.GetArchiveStatusResponse:
        """Say where files are."""
        return archive_pb.GetArchiveStatusResponse(store="local")


def user_context(
    workspace_id: str = WORKSPACE,
    permissions: tuple[str, ...] = ("archives.download",),
    audience: str = "archiver",
    age_seconds: int = 0,
) -> str:
    """Return a user context as core signs it."""
    context = UserContext(
        subject=SUBJECT,
        workspace_id=workspace_id,
        permissions=frozenset(permissions),
        audience=audience,
        issued_at_micros=time.time_ns() // 1_000 - age_seconds * 1_000_000,
    )
    content = context.content(key_id_of(PUBLIC))
    return to_text(content, KEY.sign(signed_bytes(LABEL, content)))


async def publish(core: Core, store: ObjectStore, folder: Path, counts: tuple[int, ...]) -> None:
    """Write a month of usage in so many parts, with its manifest, and let core know it."""
    every, parts = rows(workspace(1), sum(counts)), []
    start = 0
    for number, count in enumerate(counts, 1):
        draft = write(folder / f"{number}.parquet", every[start : start + count])
        start += count
        name = usage_name(workspace(1), MONTH, number, draft.sha256)
        totals = read_totals(draft.path)
        parts.append(Part(draft.kind, name, draft.size_bytes, draft.rows, draft.sha256, totals))
        await store.put_file(name, draft.path)
    totals = combined([part.totals for part in parts if part.totals is not None])
    settled = SettlementFile(folder / "settlements.parquet")
    settled.add(settlements(every))
    draft = settled.finish()
    name = settlements_name(workspace(1), MONTH, 1, draft.sha256)
    await store.put_file(name, draft.path)
    parts.append(
        Part(draft.kind, name, draft.size_bytes, draft.rows, draft.sha256, None, draft.root)
    )
    manifest = Manifest(
        workspace_id=workspace(1),
        month=MONTH,
        revision=1,
        reason=RevisionReason.REVISION_REASON_INITIAL,
        supersedes=None,
        parts=tuple(parts),
        totals=totals,
        ledger_charge_nanos=totals.charge_nanos,
    )
    message = manifest_message(WORKSPACE, MONTH_NAME, 1, manifest.sha256())
    text = manifest.signed(key_id_of(PUBLIC), KEY.sign(message)).to_bytes()
    name = manifest_name(workspace(1), MONTH, 1)
    await store.put_new(name, text)
    for part in parts:
        core.files.append(_file(part.name, part.kind, part.size_bytes, part.sha256, part))
    sha256 = hashlib.sha256(text).digest()
    core.files.append(_file(name, ArchiveFile.KIND_MANIFEST, len(text), sha256))


def _file(
    name: str, kind: Any, size_bytes: int, sha256: bytes, part: Part | None = None
) -> partition_pb2.ArchiveFile:
    file = partition_pb2.ArchiveFile(
        name=name,
        kind=kind,
        workspace_id=WORKSPACE,
        revision=1,
        size_bytes=size_bytes,
        rows=0 if part is None else part.rows,
        sha256=sha256,
    )
    if part is not None and part.totals is not None:
        file.charges.amount_nanos = part.totals.charge_nanos
    return file


@asynccontextmanager
async def archiver_serving(core: Core, store: ObjectStore, folder: Path) -> AsyncIterator[int]:
    """Serve the archive of a store; yields the port."""
    async with both_serving(core, store, folder) as (_, port):
        yield port


@asynccontextmanager
async def both_serving(
    core: Core, store: ObjectStore, folder: Path
) -> AsyncIterator[tuple[int, int]]:
    """Serve core and the archive of a store; yields their ports."""
    async with serving(core.services()) as core_port, calling(core_port, "archiver") as channel:
        clock = SystemClock()
        servicer = ArchiveServicer(
            Shelf(channel, clock),
            Access(channel, clock),
            store,
            NoWork(),
            clock=clock,
            folder=folder / "texts",
        )
        async with serving([archive_service(servicer)]) as port:
            yield core_port, port
