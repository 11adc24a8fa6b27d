"""Stored objects: the same behaviour in a local folder and over the S3 protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from archiver.settings import ArchiverSettings
from archiver.store.errors import (
    ObjectExists,
    ObjectMissing,
    ObjectTooLarge,
    StoreUnavailable,
)
from archiver.store.objects import SINGLE_PUT_BYTES_MAX, ObjectStore, Stored
from archiver.store.opening import StoreNotConfigured, open_store
from tests.support.s3_server import s3_server

NAME = "usage/v1/workspace=1/month=2026-08/part-0001-aa.parquet"
PARTS = b"0123456789abcdef" * (SINGLE_PUT_BYTES_MAX // 16) + b"the rest"


@pytest.fixture(scope="module")
def s3_settings() -> Iterator[dict[str, Any]]:
    """One server for all tests of this file."""
    with s3_server() as settings:
        yield dict(settings)


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """Each kind of store that can be had here; the others differ in obstore only."""
    named = {} if request.param == "local" else request.getfixturevalue("s3_settings")
    return open_store(ArchiverSettings(data_dir=tmp_path, **named))


async def stored(store: ObjectStore, tmp_path: Path, content: bytes, name: str = NAME) -> None:
    """Put a file."""
    path = tmp_path / "draft"
    path.write_bytes(content)
    await store.put_file(name, path)


@pytest.mark.parametrize("content", [b"", b"a few bytes", PARTS], ids=["empty", "small", "parts"])
async def test_what_was_put_is_read_back(
    store: ObjectStore, tmp_path: Path, content: bytes
) -> None:
    """At once and in parts, whole and measured."""
    name = f"usage/v1/{hashlib.sha256(content).hexdigest()}.parquet"
    await stored(store, tmp_path, content, name)
    expected = Stored(len(content), hashlib.sha256(content).digest())
    assert await store.size(name) == len(content)
    assert await store.measure(name) == expected
    assert await store.fetch(name, tmp_path / "copy") == expected
    assert (tmp_path / "copy").read_bytes() == content


async def test_a_part_of_an_object_can_be_streamed(store: ObjectStore, tmp_path: Path) -> None:
    """From an offset to the end, and a length."""
    await stored(store, tmp_path, b"0123456789", "usage/v1/part.parquet")
    for offset, length in ((0, None), (4, None), (4, 3), (0, 10)):
        pieces = [part async for part in store.stream("usage/v1/part.parquet", offset, length)]
        end = None if length is None else offset + length
        assert b"".join(pieces) == b"0123456789"[offset:end]


async def test_nothing_is_written_that_could_not_be_read(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manifest that is too large would keep its month, and all younger ones, hot for ever."""
    monkeypatch.setattr("archiver.store.objects.SMALL_OBJECT_BYTES_MAX", 10)
    name = "manifest/workspace=1/month=2026-08/r0009.json"
    with pytest.raises(ObjectTooLarge):
        await store.put_new(name, b"x" * 11)
    assert await store.size(name) is None
    await store.put_new(name, b"x" * 10)
    with pytest.raises(ObjectTooLarge):
        await store.replace(name, b"x" * 11, await store.look_at(name))
    assert await store.read(name) == b"x" * 10


async def test_names_are_listed_by_what_they_hold(store: ObjectStore) -> None:
    """Below a prefix or anywhere."""
    names = [f"{root}/workspace=7/month=2026-0{n}/x" for root in ("aa", "bb") for n in (4, 5)]
    for name in names:
        await store.put_new(name, b"x")
    assert await store.names("", holding="/workspace=7/month=2026-05/") == names[1::2]
    assert await store.names("aa", holding="2026-04") == names[:1]


async def test_a_new_object_is_never_replaced(store: ObjectStore) -> None:
    """The same bytes may come again, other bytes not; unless nobody refers to it yet."""
    name = "manifest/workspace=1/month=2026-08/r0001.json"
    await store.put_new(name, b"{}")
    await store.put_new(name, b"{}")
    with pytest.raises(ObjectExists):
        await store.put_new(name, b'{"other": "one"}')
    assert await store.read(name) == b"{}"
    seen = await store.look_at(name)
    await store.replace(name, b'{"other": "one"}', seen)
    assert await store.read(name) == b'{"other": "one"}'
    if store.kind != "local":
        with pytest.raises(ObjectExists):
            await store.replace(name, b"{}", seen)
        assert await store.read(name) == b'{"other": "one"}'


async def test_what_is_deleted_is_gone(store: ObjectStore, tmp_path: Path) -> None:
    """Once or twice; reading it says so."""
    await stored(store, tmp_path, b"short-lived", "usage/v1/gone.parquet")
    await store.delete("usage/v1/gone.parquet")
    await store.delete("usage/v1/gone.parquet")
    assert await store.size("usage/v1/gone.parquet") is None
    with pytest.raises(ObjectMissing):
        await store.read("usage/v1/gone.parquet")
    with pytest.raises(ObjectMissing):
        await store.measure("usage/v1/gone.parquet")
    assert "usage/v1/gone.parquet" not in await store.names("usage")


async def test_a_signed_url_reads_a_range_and_carries_the_files_name(
    s3_settings: dict[str, Any], tmp_path: Path
) -> None:
    """What a browser gets: the bytes from where it was cut, to be saved under a name."""
    store = open_store(ArchiverSettings(data_dir=tmp_path, **s3_settings))
    await stored(store, tmp_path, b"0123456789", "usage/v1/signed.parquet")
    url = await store.sign("usage/v1/signed.parquet", timedelta(minutes=5))
    assert url is not None
    async with httpx.AsyncClient() as client:
        answer = await client.get(url, headers={"Range": "bytes=4-"})
    assert (answer.status_code, answer.content) == (206, b"456789")
    assert answer.headers["content-disposition"] == 'attachment; filename="signed.parquet"'


async def test_a_local_store_signs_nothing(tmp_path: Path) -> None:
    """The edge streams instead."""
    store = open_store(ArchiverSettings(data_dir=tmp_path))
    assert await store.sign(NAME, timedelta(minutes=5)) is None


async def test_a_store_that_cannot_be_reached_is_unavailable(
    s3_settings: dict[str, Any], tmp_path: Path
) -> None:
    """Wrong credentials for a bucket that is not there: our error, without a URL in it."""
    settings = {**s3_settings, "archive_store": "s3://nowhere/kept"}
    store = open_store(ArchiverSettings(data_dir=tmp_path, **settings))
    with pytest.raises((StoreUnavailable, ObjectMissing)) as raised:
        await store.put_new("manifest/x.json", b"{}")
    assert "127.0.0.1" not in repr(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    "settings",
    [
        {"archive_store": "ftp://somewhere/kept"},
        {"profile": "production"},
        {"profile": "production", "archive_store": "file:///kept"},
    ],
)
def test_a_store_that_must_not_be_used_is_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    """An unknown kind; a local folder in production that nobody asked for."""
    with pytest.raises(StoreNotConfigured):
        open_store(ArchiverSettings(data_dir=tmp_path, **settings))


def test_production_may_be_told_to_use_a_folder(tmp_path: Path) -> None:
    """Such as one on a storage array."""
    settings = ArchiverSettings(
        data_dir=tmp_path, profile="production", archive_store_local_allowed=True
    )
    assert open_store(settings).kind == "local"
