"""GET /v1/archives… on a real socket, before the archiver's service: what a client sees."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from archiver.settings import ArchiverSettings
from archiver.store.objects import ObjectStore
from archiver.store.opening import open_store
from edge.api.archive_visits import DOWNLOADS_MAX, PER_MINUTE
from oneapi.security.v1.access_service_pb2 import RecordAccessRequest
from tests.support.archive_edge import KEY, ORIGIN, PAGE, USAGE, edge_serving
from tests.support.archive_shelf import MONTH_NAME, OTHER_WORKSPACE, WORKSPACE, Core, publish
from tests.support.s3_server import s3_server
from tests.unit.edge.server.conftest import Running

OF_PAGE = {"sec_fetch_mode": "cors", "sec_fetch_site": "cross-site"}
"""What a browser says of a request that a page's script makes."""


@pytest.fixture
def core() -> Core:
    """What edge and archiver need of core."""
    return Core()


@pytest.fixture
async def store(core: Core, tmp_path: Path) -> ObjectStore:
    """A local store with a month."""
    store = open_store(ArchiverSettings(data_dir=tmp_path))
    await publish(core, store, tmp_path, (2_000,))
    return store


@pytest.fixture
async def served(core: Core, store: ObjectStore, tmp_path: Path) -> AsyncIterator[Running]:
    """An edge with a month in a local folder."""
    async with edge_serving(core, store, tmp_path) as front:
        yield front


async def ask(
    front: Running, path: str, method: str = "GET", key: str = KEY, **headers: str
) -> httpx.Response:
    """Ask as a client does."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"http://127.0.0.1:{front.port}{path}"
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        return await client.request(
            method, url, headers={"authorization": f"Bearer {key}", **named}
        )


async def test_months_are_listed_and_described(served: Running) -> None:
    """With sums as decimal texts, checksums, addresses and lines to paste."""
    answer = (await ask(served, "/v1/archives?limit=5")).json()
    (archive,) = answer["data"]
    assert (answer["object"], answer["has_more"], answer["after"]) == ("list", False, None)
    assert (archive["month"], archive["records"]) == (MONTH_NAME, 2_000)
    assert archive["charges"].count(".") == 1
    files = {file["name"]: file for file in archive["files"]}
    assert files["usage.parquet"]["url"] == f"{ORIGIN}{USAGE}"
    assert files["usage.csv"]["sha256"] is None
    one = (await ask(served, f"/v1/archives/{MONTH_NAME}")).json()
    assert {name: one[name] for name in archive} == archive
    assert f"{ORIGIN}/v1/archives/{MONTH_NAME}/usage.parquet" in one["snippets"]["curl"]
    assert (await ask(served, f"/v1/archives?after={MONTH_NAME}")).json()["data"] == []


async def test_a_file_comes_whole_with_its_checksum(core: Core, served: Running) -> None:
    """Its ETag is its hash; its name says the month; the hand-out is on record."""
    answer = await ask(served, USAGE)
    digest = hashlib.sha256(answer.content).hexdigest()
    assert (answer.status_code, answer.headers["etag"]) == (200, f'"{digest}"')
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert f"usage-{MONTH_NAME}.parquet" in answer.headers["content-disposition"]
    assert [told.action for told in core.told] == ["archive.Download"]
    head = await ask(served, USAGE, "HEAD")
    for name in ("etag", "content-length", "accept-ranges", "repr-digest", "content-type"):
        assert head.headers[name] == answer.headers[name]
    same = await ask(served, USAGE, if_none_match=answer.headers["etag"])
    assert (same.status_code, same.content) == (304, b"")
    # Neither handed anything out.
    assert len(core.told) == 1


async def test_a_download_that_was_cut_goes_on(served: Running) -> None:
    """From the byte where it was, as long as it is the same file; behind its end is nothing."""
    whole = await ask(served, USAGE)
    content, etag = whole.content, whole.headers["etag"]
    size = len(content)
    for sent, expected in (
        ("bytes=1000-", content[1_000:]),
        ("bytes=-10", content[-10:]),
        ("bytes=5-9", content[5:10]),
    ):
        part = await ask(served, USAGE, range=sent, if_range=etag)
        assert (part.status_code, part.content) == (206, expected)
        assert part.headers["content-range"].endswith(f"/{size}")
    other = await ask(served, USAGE, range="bytes=1000-", if_range='"another"')
    assert (other.status_code, other.content) == (200, content)
    behind = await ask(served, USAGE, range=f"bytes={size}-")
    assert (behind.status_code, behind.headers["content-range"]) == (416, f"bytes */{size}")
    assert behind.json()["error"]["code"] == "range_not_satisfiable"


async def test_text_is_made_on_demand(served: Running) -> None:
    """A line for each request and one for the names."""
    answer = await ask(served, f"/v1/archives/{MONTH_NAME}/usage.csv")
    assert answer.status_code == 200
    assert "content-length" not in answer.headers
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.text.count("\n") == 2_001
    head = await ask(served, f"/v1/archives/{MONTH_NAME}/usage.csv", "HEAD")
    assert (head.status_code, head.headers["content-type"]) == (200, answer.headers["content-type"])
    assert "content-length" not in head.headers


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/archives?limit=0", 400, "invalid_limit"),
        ("/v1/archives?limit=9999999999999999999999", 400, "invalid_limit"),
        ("/v1/archives?limit=00019999999999999", 400, "invalid_limit"),
        ("/v1/archives?after=x", 400, "invalid_month"),
        ("/v1/archives?after=0000-01", 400, "invalid_month"),
        ("/v1/archives?workspace_id=ws_1", 400, "invalid_workspace_id"),
        ("/v1/archives/2026-04", 404, "archive_not_found"),
        ("/v1/archives/2026-13", 404, "archive_not_found"),
        ("/v1/archives/0000-01", 404, "archive_not_found"),
        ("/v1/archives/%c3%a4", 404, "archive_not_found"),
        (f"/v1/archives/{MONTH_NAME}/%20x", 404, "archive_not_found"),
        (f"/v1/archives/{MONTH_NAME}/manifest", 404, "archive_not_found"),
        (f"/v1/archives/{MONTH_NAME}?workspace_id={OTHER_WORKSPACE}", 403, "permission_missing"),
        (f"{USAGE}?workspace_id={OTHER_WORKSPACE}", 403, "permission_missing"),
    ],
)
async def test_what_cannot_be_had_is_told(
    served: Running, path: str, status: int, code: str
) -> None:
    """In our own words, in the shape of all errors."""
    answer = await ask(served, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert (await ask(served, path, key="another")).status_code == 401


async def test_a_key_without_the_permission_is_denied_on_record(
    core: Core, served: Running
) -> None:
    """Whatever it asks for."""
    core.permissions = ()
    for path in ("/v1/archives", f"/v1/archives/{MONTH_NAME}", USAGE):
        answer = await ask(served, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "permission_missing")
    assert [told.outcome for told in core.told] == [RecordAccessRequest.OUTCOME_DENIED] * 3
    assert {told.workspace_id for told in core.told} == {WORKSPACE}


async def test_a_file_that_changed_is_cut(core: Core, served: Running, tmp_path: Path) -> None:
    """Nobody takes it for the whole one."""
    path = tmp_path / "archive" / core.files[0].name
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    for _ in range(DOWNLOADS_MAX + 1):
        with pytest.raises(httpx.RemoteProtocolError):
            await ask(served, USAGE)


async def test_a_key_that_asks_too_often_is_told_when_to_come_again(
    core: Core, served: Running
) -> None:
    """Denied visits count as well, so that nobody fills the audit log; then core is left alone."""
    core.permissions = ()
    for _ in range(PER_MINUTE):
        assert (await ask(served, "/v1/archives")).status_code == 403
    for path in ("/v1/archives", f"/v1/archives/{MONTH_NAME}", USAGE):
        answer = await ask(served, path)
        code = answer.json()["error"]["code"]
        assert (answer.status_code, code) == (429, "rate_limit_exceeded")
        assert 0 < int(answer.headers["retry-after"]) <= 60
    assert len(core.told) == PER_MINUTE


@pytest.mark.parametrize("path", ["/v1/archives", f"/v1/archives/{MONTH_NAME}", USAGE])
async def test_pages_read_it_if_the_workspace_names_their_origin(
    served: Running, path: str
) -> None:
    """With what goes on after a cut; a page of another origin may read only why it may not."""
    named = await ask(served, path, origin=PAGE, **OF_PAGE)
    assert named.status_code == 200
    assert named.headers["access-control-allow-origin"] == PAGE
    exposed = named.headers["access-control-expose-headers"].split(", ")
    assert {"etag", "content-range", "accept-ranges"} <= set(exposed)
    other = await ask(served, path, origin="https://other.example.com", **OF_PAGE)
    assert (other.status_code, other.json()["error"]["code"]) == (403, "origin_not_allowed")
    assert other.headers["access-control-allow-origin"] == "https://other.example.com"
    missing = await ask(served, "/v1/archives/2026-04", origin=PAGE, **OF_PAGE)
    assert (missing.status_code, missing.headers["access-control-allow-origin"]) == (404, PAGE)
    assert "access-control-allow-origin" not in (await ask(served, path)).headers


async def test_a_store_that_signs_hands_out_by_itself(core: Core, tmp_path: Path) -> None:
    """302 to a URL that works without the key, and from any byte on."""
    with s3_server() as settings:
        named: Mapping[str, Any] = dict(settings)
        store = open_store(ArchiverSettings(data_dir=tmp_path, **named))
        await publish(core, store, tmp_path, (50,))
        async with edge_serving(core, store, tmp_path) as front:
            answer = await ask(front, USAGE, range="bytes=7-", origin=PAGE, **OF_PAGE)
            head = await ask(front, USAGE, "HEAD")
        assert (answer.status_code, answer.headers["cache-control"]) == (302, "no-store")
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert not {"etag", "content-range", "content-disposition"} & set(answer.headers)
        async with httpx.AsyncClient(trust_env=False) as client:
            part = await client.get(answer.headers["location"], headers={"range": "bytes=7-"})
    assert (part.status_code, len(part.content)) == (206, core.files[0].size_bytes - 7)
    assert (head.status_code, head.headers["content-length"]) == (
        200,
        str(core.files[0].size_bytes),
    )
    assert [told.action for told in core.told] == ["archive.SignDownload"]
