"""Stored objects: written once, read back, streamed, signed and deleted.

Data files carry their hash in their names, so that writing one again changes nothing; manifests are
create-only, and one of a revision that nobody published can be replaced. A local folder's files and
names are synced before a write counts.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import obstore
from obstore import exceptions

from archiver.store.errors import (
    ObjectDamaged,
    ObjectExists,
    ObjectMissing,
    ObjectTooLarge,
    StoreUnavailable,
)
from kit.files import sync_file, sync_folder

SINGLE_PUT_BYTES_MAX: Final = 5 * 1024 * 1024
"""Larger files are uploaded in parts of this size, the least that S3 takes; few are in memory."""
PARTS_AT_ONCE: Final = 2
READ_BYTES: Final = 1024 * 1024
SMALL_OBJECT_BYTES_MAX: Final = 64 * 1024 * 1024
"""What is read whole; nothing larger is written whole."""
MEDIA_TYPES: Final = {
    ".parquet": "application/vnd.apache.parquet",
    ".csv.gz": "application/gzip",
    ".json": "application/json",
    ".ids": "application/octet-stream",
}


Seen = dict[str, Any]
"""Which version of an object somebody saw."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as it was read: its size in bytes and the SHA-256 of what came."""

    size_bytes: int
    sha256: bytes


class ObjectStore:
    """One bucket or folder."""

    def __init__(self, store: Any, *, kind: str, root: Path | None = None) -> None:
        """Take obstore's store; `root` is the folder of a local one."""
        self._store = store
        self._root = root
        self._synced: set[tuple[Path, int]] = set()
        self.kind = kind

    async def put_file(self, name: str, path: Path) -> None:
        """Write a file under a name that holds its hash; one that is there already stays.

        Raises:
            StoreUnavailable: it may or may not be written; to be repeated.
        """
        size = await asyncio.to_thread(_size_of, path)
        if await self.size(name) == size:
            await self._sync(name)
            return
        with _told(name):
            await obstore.put_async(
                self._store,
                name,
                path,
                attributes=self._attributes(name),
                use_multipart=size > SINGLE_PUT_BYTES_MAX,
                chunk_size=SINGLE_PUT_BYTES_MAX,
                max_concurrency=PARTS_AT_ONCE,
            )
        await self._sync(name)

    async def put_new(self, name: str, content: bytes) -> None:
        """Write an object that is not there yet; the same bytes may be there already.

        Raises:
            ObjectExists: there is another one of that name.
            ObjectTooLarge: it could not be read back.
            StoreUnavailable: it may or may not be written; to be repeated.
        """
        try:
            with _told(name):
                await self._put(name, content, "create")
        except ObjectExists:
            # Ours, if an answer was lost; then nothing is wrong.
            if await self.read(name) != content:
                raise
        await self._sync(name)

    async def replace(self, name: str, content: bytes, seen: Seen) -> None:
        """Write an object in place of one that was looked at, which nobody refers to.

        A local folder has one machine, and no such condition.

        Raises:
            ObjectExists: it is another one by now.
            ObjectTooLarge: it could not be read back.
            StoreUnavailable: it may or may not be written; to be repeated.
        """
        with _told(name):
            await self._put(name, content, seen if self._root is None else "overwrite")
        await self._sync(name)

    async def look_at(self, name: str) -> Seen:
        """Return what tells an object from any that replaces it.

        Raises:
            ObjectMissing: there is none.
            StoreUnavailable: the store does not say.
        """
        with _told(name):
            found = await obstore.head_async(self._store, name)
        return {key: found[key] for key in ("e_tag", "version") if found.get(key)}

    async def size(self, name: str) -> int | None:
        """Return an object's size in bytes, None if there is none.

        Raises:
            StoreUnavailable: the store does not say.
        """
        try:
            with _told(name):
                found = await obstore.head_async(self._store, name)
        except ObjectMissing:
            return None
        return int(found["size"])

    async def read(self, name: str) -> bytes:
        """Return a small object whole.

        Raises:
            ObjectMissing: there is none.
            ObjectDamaged: it is far larger than a small object can be.
            StoreUnavailable: it cannot be read now.
        """
        with _told(name):
            found = await obstore.get_async(self._store, name)
            if found.meta["size"] > SMALL_OBJECT_BYTES_MAX:
                raise ObjectDamaged(name=name)
            return bytes(await found.bytes_async())

    async def fetch(self, name: str, path: Path) -> Stored:
        """Copy an object to a local file and say what it was.

        Raises:
            ObjectMissing: there is none.
            StoreUnavailable: it cannot be read now, or there is no room for it here.
        """
        digest, size = hashlib.sha256(), 0
        try:
            with path.open("wb") as file:
                async for piece in self.stream(name):
                    digest.update(piece)
                    size += file.write(piece)
        except OSError:
            raise StoreUnavailable(name=name) from None
        return Stored(size, digest.digest())

    async def measure(self, name: str) -> Stored:
        """Read an object to its end and say what it was.

        Raises:
            ObjectMissing: there is none.
            StoreUnavailable: it cannot be read now.
        """
        digest, size = hashlib.sha256(), 0
        async for piece in self.stream(name):
            digest.update(piece)
            size += len(piece)
        return Stored(size, digest.digest())

    async def stream(
        self, name: str, offset: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield an object's bytes from an offset on, about 1 MiB at a time.

        Raises:
            ObjectMissing: there is none.
            StoreUnavailable: it cannot be read now, or was cut; what came before is right.
        """
        options: Any = None
        if length is not None:
            options = {"range": (offset, offset + length)}
        elif offset:
            options = {"range": {"offset": offset}}
        with _told(name):
            found = await obstore.get_async(self._store, name, options=options)
            async for piece in found.stream(min_chunk_size=READ_BYTES):
                yield bytes(piece)

    async def delete(self, name: str) -> None:
        """Delete an object; one that is not there is deleted already.

        Raises:
            StoreUnavailable: it may or may not be deleted; to be repeated.
        """
        try:
            with _told(name):
                await obstore.delete_async(self._store, name)
        except ObjectMissing:
            return
        if self._root is not None:
            folder = (self._root / name).parent
            if folder.exists():
                await asyncio.to_thread(sync_folder, folder)

    async def names(self, prefix: str, holding: str = "") -> list[str]:
        """Return the names of all objects below a prefix that hold a text, sorted.

        Raises:
            StoreUnavailable: the store does not say.
        """
        found: list[str] = []
        with _told(prefix):
            async for page in obstore.list(self._store, prefix):
                names = (str(entry["path"]) for entry in page)
                found += [name for name in names if holding in name]
        return sorted(found)

    async def sign(self, name: str, lifetime: timedelta) -> str | None:
        """Return a URL that reads an object for a while, None where the store signs none.

        Raises:
            StoreUnavailable: the credentials for signing cannot be had now.
        """
        if self._root is not None:
            return None
        with _told(name):
            return str(await obstore.sign_async(self._store, "GET", name, lifetime))

    async def _put(self, name: str, content: bytes, mode: Any) -> None:
        if len(content) > SMALL_OBJECT_BYTES_MAX:
            raise ObjectTooLarge(name=name)
        attributes = self._attributes(name)
        await obstore.put_async(self._store, name, content, attributes=attributes, mode=mode)

    def _attributes(self, name: str) -> Any:
        if self._root is not None:
            return None
        file = name.rsplit("/", 1)[-1]
        kind = next((kind for end, kind in MEDIA_TYPES.items() if name.endswith(end)), None)
        return {
            "Content-Type": kind or "application/octet-stream",
            "Content-Disposition": f'attachment; filename="{file}"',
        }

    async def _sync(self, name: str) -> None:
        """Make a local file and the names on the way to it durable: obstore does not."""
        if self._root is None:
            return
        try:
            await asyncio.to_thread(_sync_below, self._root, self._root / name, self._synced)
        except OSError:
            raise StoreUnavailable(name=name) from None


def _size_of(path: Path) -> int:
    return path.stat().st_size


def _sync_below(root: Path, path: Path, known: set[tuple[Path, int]]) -> None:
    """Sync a file and the names on the way to it, but those that this process has synced before.

    A folder is known by its number on the disk too, for somebody may have made it anew.
    """
    sync_file(path)
    passed = []
    for folder in path.parents:
        sync_folder(folder)
        passed.append((folder, folder.stat().st_ino))
        if folder == root or passed[-1] in known:
            break
    known.update(passed)


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Turn the library's errors, whose texts hold URLs and answers, into ours."""
    try:
        yield
    except (exceptions.NotFoundError, FileNotFoundError):
        raise ObjectMissing(name=name) from None
    except (exceptions.AlreadyExistsError, exceptions.PreconditionError, FileExistsError):
        raise ObjectExists(name=name) from None
    except (exceptions.BaseError, OSError):
        raise StoreUnavailable(name=name) from None
