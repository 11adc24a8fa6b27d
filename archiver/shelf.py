"""What a workspace can download: its months as core has published them, files by public names."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import grpc

from kit.clock import Clock
from kit.reasons import NotFound
from kit.rpc.status import domain_error_of
from oneapi.archive.v1 import archive_service_pb2 as pb
from oneapi.partitions.v1 import partition_pb2, partition_service_pb2, partition_service_pb2_grpc

CALL_SECONDS: Final = 10.0
FILES_PAGE: Final = 10_000
KEPT_SECONDS: Final = 5.0
"""How long it is not asked again when months were published."""
MANIFEST: Final = "manifest.json"
CSV: Final = "usage.csv"
CSV_MEDIA_TYPE: Final = "text/csv; charset=utf-8"
_Kind = partition_pb2.ArchiveFile
_NAMES: Final[Mapping[int, str]] = {
    _Kind.KIND_USAGE_PARQUET: "usage.parquet",
    _Kind.KIND_FOCUS_PARQUET: "focus.parquet",
    _Kind.KIND_FOCUS_CSV: "focus.csv.gz",
    _Kind.KIND_MANIFEST: MANIFEST,
    _Kind.KIND_SETTLEMENTS_PARQUET: "settlements.parquet",
}
_MEDIA_TYPES: Final[Mapping[int, str]] = {
    _Kind.KIND_USAGE_PARQUET: "application/vnd.apache.parquet",
    _Kind.KIND_FOCUS_PARQUET: "application/vnd.apache.parquet",
    _Kind.KIND_FOCUS_CSV: "application/gzip",
    _Kind.KIND_MANIFEST: "application/json",
    _Kind.KIND_SETTLEMENTS_PARQUET: "application/vnd.apache.parquet",
}


@dataclass(frozen=True, slots=True)
class ShelvedMonth:
    """A workspace's month: its stored files by their public names, in the order of a listing."""

    workspace_id: str
    month: str
    published_at: datetime
    expires_at: datetime
    files: dict[str, partition_pb2.ArchiveFile]

    @property
    def usage(self) -> list[partition_pb2.ArchiveFile]:
        """Return the usage files, in the order of their parts."""
        return [file for file in self.files.values() if file.kind == _Kind.KIND_USAGE_PARQUET]

    def message(self) -> pb.Archive:
        """Return the month as callers see it."""
        usage = self.usage
        archive = pb.Archive(
            workspace_id=self.workspace_id,
            month=self.month,
            revision=max(file.revision for file in self.files.values()),
            records=sum(file.rows for file in usage),
            files=[*(self.described(name) for name in self.files), self.described(CSV)],
        )
        archive.charges.amount_nanos = sum(file.charges.amount_nanos for file in usage)
        archive.charges.currency_code = "USD"
        archive.published_at.FromDatetime(self.published_at)
        archive.expires_at.FromDatetime(self.expires_at)
        return archive

    def described(self, name: str) -> pb.DownloadableFile:
        """Return a file of this month as callers see it.

        Raises:
            NotFound: there is none of this name.
        """
        if name == CSV:
            rows = sum(file.rows for file in self.usage)
            return pb.DownloadableFile(name=CSV, media_type=CSV_MEDIA_TYPE, rows=rows)
        stored = self.stored(name)
        return pb.DownloadableFile(
            name=name,
            media_type=_MEDIA_TYPES[stored.kind],
            size_bytes=stored.size_bytes,
            rows=stored.rows,
            sha256=stored.sha256,
        )

    def stored(self, name: str) -> partition_pb2.ArchiveFile:
        """Return the stored file of a public name.

        Raises:
            NotFound: there is none of this name.
        """
        found = self.files.get(name)
        if found is None:
            raise NotFound(file=name)
        return found


class Shelf:
    """Reads from core what is published: never from the store, where there may be more.

    When a month was published never changes, so core is not asked for it with every file; which
    files there are is asked each time, since erasure and expiry take some away.
    """

    def __init__(self, channel: grpc.aio.Channel, clock: Clock) -> None:
        """Ask core over the channel."""
        self._partitions = partition_service_pb2_grpc.PartitionServiceStub(channel)
        self._clock = clock
        self._known: dict[str, tuple[datetime, datetime]] = {}
        self._known_at = float("-inf")

    async def months(self, workspace_id: str, month: str = "") -> list[ShelvedMonth]:
        """Return the published months of a workspace, newest first, or only one.

        Raises:
            Unavailable: core cannot be asked now.
        """
        by_month = await self._files(workspace_id, month)
        published = await self._published(by_month)
        return [
            ShelvedMonth(workspace_id, name, *published[name], _by_name(by_month[name]))
            for name in sorted(by_month, reverse=True)
            if name in published
        ]

    async def month(self, workspace_id: str, month: str) -> ShelvedMonth:
        """Return one month.

        Raises:
            NotFound: the workspace has none in the archive, or not any more.
            Unavailable: core cannot be asked now.
        """
        for found in await self.months(workspace_id, month):
            return found
        raise NotFound(month=month)

    async def _files(
        self, workspace_id: str, month: str
    ) -> dict[str, list[partition_pb2.ArchiveFile]]:
        by_month = defaultdict(list)
        request = partition_service_pb2.ListFilesRequest(
            workspace_id=workspace_id, month=month, newest_only=True, page_size=FILES_PAGE
        )
        while True:
            answer = await _called(self._partitions.ListFiles, request)
            for entry in answer.entries:
                if not entry.file.HasField("deleted_at") and entry.file.kind in _NAMES:
                    by_month[entry.month].append(entry.file)
            if not answer.next_page_token:
                return dict(by_month)
            request.page_token = answer.next_page_token

    async def _published(self, wanted: Collection[str]) -> dict[str, tuple[datetime, datetime]]:
        """Return when months were published and expire; core is asked at times."""
        moment = self._clock.monotonic()
        if moment - self._known_at < KEPT_SECONDS and self._known.keys() >= set(wanted):
            return self._known
        answer = await _called(
            self._partitions.ListMonths, partition_service_pb2.ListMonthsRequest()
        )
        self._known_at = moment
        self._known = {
            month.month: (
                month.published_at.ToDatetime(tzinfo=UTC),
                month.expires_at.ToDatetime(tzinfo=UTC),
            )
            for month in answer.months
            if month.HasField("published_at")
        }
        return self._known


def public_names(files: Iterable[tuple[int, str]]) -> Iterator[tuple[str, str]]:
    """Yield the public name and the stored name of files, given their kinds and stored names.

    Of usage there may be several parts: their stored names begin alike and then count.
    """
    seen: Counter[int] = Counter()
    for kind, stored in sorted(files):
        seen[kind] += 1
        stem, _, end = _NAMES[kind].partition(".")
        yield f"{stem}.{end}" if seen[kind] == 1 else f"{stem}-{seen[kind]}.{end}", stored


def _by_name(files: list[partition_pb2.ArchiveFile]) -> dict[str, partition_pb2.ArchiveFile]:
    by_stored = {file.name: file for file in files}
    named = public_names((file.kind, file.name) for file in files)
    return {public: by_stored[stored] for public, stored in named}


async def _called(method: Any, request: Any) -> Any:
    try:
        return await method(request, timeout=CALL_SECONDS)
    except grpc.RpcError as error:
        raise domain_error_of(error) from None
