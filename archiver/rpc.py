"""ArchiveService: parse, call, render."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Protocol

from archiver.access import Access, Ask
from archiver.shelf import CSV, Shelf, ShelvedMonth
from archiver.snippets import snippets
from archiver.store.errors import ObjectDamaged
from archiver.store.objects import ObjectStore
from archiver.table_text import csv_of
from kit.clock import Clock, now
from kit.files import private_folder
from kit.ids import parse_id
from kit.reasons import InvalidArgument, Unavailable
from kit.rpc.server import Service
from oneapi.archive.v1 import archive_service_pb2 as pb
from oneapi.archive.v1 import archive_service_pb2_grpc

NAME: Final = "oneapi.archive.v1.ArchiveService"
_OPERATOR: Final = frozenset({"operator"})
_STAFF: Final = frozenset({"operator", "finance", "support"})
_FILES: Final = frozenset({"operator", "finance", "edge"})
"""Usage of others is not for support: it sees which months there are, not what is in them."""
ALLOWED: Final = {
    "ListArchives": _STAFF | {"edge"},
    "GetArchive": _STAFF | {"edge"},
    "SignDownload": _FILES,
    "Download": _FILES,
    "RunArchive": _OPERATOR,
    "EraseKeys": _OPERATOR,
    "GetArchiveStatus": _STAFF,
}
PIECE_BYTES: Final = 256 * 1024
PAGE: Final = 24
PAGE_MAX: Final = 100
SIGNED_FOR: Final = timedelta(minutes=5)
"""A signed URL cannot be taken back: long enough to begin, and to go on once after a cut."""
TABLES_AT_ONCE: Final = 4
"""Texts that are made at once, of a workspace never more than one."""
TABLE_PATIENCE_SECONDS: Final = 5.0
TABLE_SECONDS: Final = 900.0
"""How long a text may take: whoever reads more slowly gets it cut, for others wait."""
_Pieces = AsyncGenerator[bytes, None]
"""Closed by whoever reads it: what it holds is given back at once, not when memory is tidied."""


class Work(Protocol):
    """What the archiver does by itself, for operators to start and to watch."""

    def run(self, month: str) -> AsyncIterator[pb.RunArchiveResponse]:
        """Do what is due, for one month or, if empty, for all; yields progress."""

    async def erase(self, workspace_id: bytes, key_id: bytes | None) -> dict[str, int]:
        """Take a key's id, or those of all, out of a workspace's months; return what had it."""

    async def status(self) -> pb.GetArchiveStatusResponse:
        """Say how far everything is."""


class ArchiveServicer(archive_service_pb2_grpc.ArchiveServiceServicer):
    """Hands out the archive, and lets operators run it."""

    def __init__(
        self,
        shelf: Shelf,
        access: Access,
        store: ObjectStore,
        work: Work,
        *,
        clock: Clock,
        folder: Path,
    ) -> None:
        """Hand out of the store what is on the shelf; text is made in the folder."""
        self._shelf = shelf
        self._access = access
        self._store = store
        self._work = work
        self._clock = clock
        self._folder = folder
        self._tables = _Tables()

    async def ListArchives(
        self, request: pb.ListArchivesRequest, context: Any
    ) -> pb.ListArchivesResponse:
        """List the months of a workspace, newest first."""
        await self._access.admit(Ask("archive.ListArchives", request.workspace_id), context)
        months = await self._shelf.months(request.workspace_id)
        size = min(request.page_size or PAGE, PAGE_MAX)
        before = request.page_token
        left = [month for month in months if not before or month.month < before]
        page = left[:size]
        return pb.ListArchivesResponse(
            archives=[month.message() for month in page],
            next_page_token=page[-1].month if len(left) > size else "",
        )

    async def GetArchive(
        self, request: pb.GetArchiveRequest, context: Any
    ) -> pb.GetArchiveResponse:
        """Read one month, with lines to paste."""
        ask = Ask("archive.GetArchive", request.workspace_id, request.month)
        await self._access.admit(ask, context)
        month = await self._shelf.month(request.workspace_id, request.month)
        return pb.GetArchiveResponse(archive=month.message(), snippets=snippets(month.month))

    async def SignDownload(
        self, request: pb.SignDownloadRequest, context: Any
    ) -> pb.SignDownloadResponse:
        """Hand out a URL where the store signs one."""
        ask = _ask_for("archive.SignDownload", request)
        await self._access.admit(ask, context)
        month = await self._shelf.month(request.workspace_id, request.month)
        if month.described(request.name).name == CSV:
            return pb.SignDownloadResponse()
        url = await self._store.sign(month.stored(request.name).name, SIGNED_FOR)
        if url is None:
            return pb.SignDownloadResponse()
        await self._access.handing_out(ask, context)
        answer = pb.SignDownloadResponse(url=url)
        answer.expires_at.FromDatetime(now(self._clock) + SIGNED_FOR)
        return answer

    async def Download(
        self, request: pb.DownloadRequest, context: Any
    ) -> AsyncIterator[pb.DownloadResponse]:
        """Stream a file, or a part of it."""
        ask = _ask_for("archive.Download", request)
        await self._access.admit(ask, context)
        month = await self._shelf.month(request.workspace_id, request.month)
        file = month.described(request.name)
        if file.name == CSV:
            async with self._tables.place(request.workspace_id) as place:
                await self._access.handing_out(ask, context)
                yield pb.DownloadResponse(file=file)
                text = _part(self._csv(month), request.offset, request.length)
                async with aclosing(_cut(text)) as parts:
                    async for part in parts:
                        yield part
                        place.check()
            return
        if request.offset > file.size_bytes:
            raise InvalidArgument(fields="offset")
        await self._access.handing_out(ask, context)
        yield pb.DownloadResponse(file=file)
        if request.offset == file.size_bytes:
            # An empty range is not one that stores know.
            return
        pieces = self._pieces(month, file, request.offset, request.length)
        async with aclosing(_cut(pieces)) as parts:
            async for part in parts:
                yield part

    async def RunArchive(
        self, request: pb.RunArchiveRequest, context: Any
    ) -> AsyncIterator[pb.RunArchiveResponse]:
        """Do what is due, and tell of it."""
        async for progress in self._work.run(request.month):
            yield progress

    async def EraseKeys(self, request: pb.EraseKeysRequest, context: Any) -> pb.EraseKeysResponse:
        """Erase keys' ids; on record before it begins."""
        ask = Ask("archive.EraseKeys", request.workspace_id, request.key_id)
        await self._access.admit(ask, context)
        await self._access.handing_out(ask, context)
        key_id = parse_id("key", request.key_id) if request.key_id else None
        erased = await self._work.erase(parse_id("ws", request.workspace_id), key_id)
        return pb.EraseKeysResponse(
            months=[
                pb.EraseKeysResponse.ErasedMonth(month=month, records=records)
                for month, records in erased.items()
            ]
        )

    async def GetArchiveStatus(
        self, request: pb.GetArchiveStatusRequest, context: Any
    ) -> pb.GetArchiveStatusResponse:
        """Say how far everything is."""
        return await self._work.status()

    def _pieces(
        self, month: ShelvedMonth, file: pb.DownloadableFile, offset: int, length: int
    ) -> _Pieces:
        name = month.stored(file.name).name
        if offset or 0 < length < file.size_bytes:
            left = file.size_bytes - offset
            return self._store.stream(name, offset, min(length or left, left))
        return _checked(self._store.stream(name), file.sha256)

    async def _csv(self, month: ShelvedMonth) -> _Pieces:
        """Make the text: the files are fetched and checked first, then read a group at a time."""
        private_folder(self._folder)
        with TemporaryDirectory(dir=self._folder) as folder:
            paths = await self._fetched(month, Path(folder))
            texts = csv_of(paths)
            while (text := await asyncio.to_thread(next, texts, None)) is not None:
                yield text

    async def _fetched(self, month: ShelvedMonth, folder: Path) -> list[Path]:
        paths = []
        for number, file in enumerate(month.usage):
            path = folder / f"{number}.parquet"
            stored = await self._store.fetch(file.name, path)
            if stored.sha256 != file.sha256:
                raise ObjectDamaged(name=file.name)
            paths.append(path)
        return paths


class _Place:
    """A place where a text is made, for a while."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back = give_back
        self._is_over = False
        self._timer = asyncio.get_running_loop().call_later(TABLE_SECONDS, self.end)

    def check(self) -> None:
        """Go on, if it may.

        Raises:
            Unavailable: the time is over, and the place is another's.
        """
        if self._is_over:
            raise Unavailable

    def end(self) -> None:
        """Give it back, whether its text was read or not: a reader who stands still stays so."""
        self._timer.cancel()
        if not self._is_over:
            self._is_over = True
            self._give_back()


class _Tables:
    """Places for texts that are being made; a workspace has one at most."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(TABLES_AT_ONCE)
        self._owners: set[str] = set()

    @asynccontextmanager
    async def place(self, workspace_id: str) -> AsyncIterator[_Place]:
        """Have a place.

        Raises:
            Unavailable: the workspace has one, or there is none.
        """
        if workspace_id in self._owners:
            raise Unavailable
        self._owners.add(workspace_id)
        try:
            async with asyncio.timeout(TABLE_PATIENCE_SECONDS):
                await self._free.acquire()
        except BaseException as fault:
            self._owners.discard(workspace_id)
            if isinstance(fault, TimeoutError):
                raise Unavailable from None
            raise

        def give_back() -> None:
            self._owners.discard(workspace_id)
            self._free.release()

        place = _Place(give_back)
        try:
            yield place
        finally:
            place.end()


def archive_service(servicer: ArchiveServicer) -> Service:
    """Return the service for the server."""
    add = archive_service_pb2_grpc.add_ArchiveServiceServicer_to_server
    return Service(NAME, add, servicer, ALLOWED)


def _ask_for(action: str, request: Any) -> Ask:
    return Ask(action, request.workspace_id, f"{request.month}/{request.name}")


async def _checked(pieces: AsyncIterator[bytes], sha256: bytes) -> _Pieces:
    """Pass a whole file on; its last piece only once all of it is what was published.

    Raises:
        ObjectDamaged: it is not: the reader gets a file that is cut, never one that is wrong.
    """
    digest, held = hashlib.sha256(), b""
    async for piece in pieces:
        if held:
            yield held
        digest.update(piece)
        held = piece
    if digest.digest() != sha256:
        raise ObjectDamaged
    yield held


async def _cut(pieces: _Pieces) -> AsyncGenerator[pb.DownloadResponse, None]:
    """Pass on pieces that fit into messages."""
    async with aclosing(pieces):
        async for piece in pieces:
            for start in range(0, len(piece), PIECE_BYTES):
                yield pb.DownloadResponse(data=piece[start : start + PIECE_BYTES])


async def _part(pieces: _Pieces, offset: int, length: int) -> _Pieces:
    """Pass on what lies behind the offset, at most so many bytes; 0 means all."""
    end = offset + length if length else None
    place = 0
    async with aclosing(pieces):
        async for piece in pieces:
            kept = piece[max(0, offset - place) : None if end is None else max(0, end - place)]
            place += len(piece)
            if kept:
                yield kept
            if end is not None and place >= end:
                return
