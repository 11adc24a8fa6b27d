"""ArchiveService over real gRPC: who gets what, and what core is told of it."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest

from archiver.columns import NAMES
from archiver.settings import ArchiverSettings
from archiver.shelf import KEPT_SECONDS, Shelf
from archiver.store.objects import ObjectStore
from archiver.store.opening import open_store
from kit.ids import format_id
from kit.rpc.identity import bearer
from kit.rpc.status import domain_error_of
from oneapi.archive.v1 import archive_service_pb2 as pb
from oneapi.archive.v1 import archive_service_pb2_grpc
from oneapi.common.v1.error_reason_pb2 import ErrorReason
from oneapi.security.v1.access_service_pb2 import RecordAccessRequest
from tests.support.archive_rows import rows, workspace
from tests.support.archive_shelf import (
    MONTH_NAME,
    OTHER_WORKSPACE,
    WORKSPACE,
    Core,
    archiver_serving,
    publish,
    user_context,
)
from tests.support.core_server import TOKENS, calling, serving
from tests.support.s3_server import s3_server
from tests.unit.edge.admission.doubles import ManualClock

if TYPE_CHECKING:
    from oneapi.archive.v1.archive_service_pb2_grpc import ArchiveServiceAsyncStub as Stub

COUNTS = (3_000, 40)
USAGE = "usage.parquet"
WITH_CONTEXT = "x-1api-user-context"


@pytest.fixture
def core() -> Core:
    """What the archiver needs of core."""
    return Core()


@pytest.fixture
async def store(core: Core, tmp_path: Path) -> ObjectStore:
    """A local store with a month of two parts."""
    store = open_store(ArchiverSettings(data_dir=tmp_path))
    await publish(core, store, tmp_path, COUNTS)
    return store


@pytest.fixture
async def port(core: Core, store: ObjectStore, tmp_path: Path) -> AsyncIterator[int]:
    """A server of the service."""
    async with archiver_serving(core, store, tmp_path) as served:
        yield served


@pytest.fixture
async def edge(port: int) -> AsyncIterator[Stub]:
    """The service as edges call it."""
    async with calling(port, "edge") as channel:
        yield archive_service_pb2_grpc.ArchiveServiceStub(channel)


@pytest.fixture
async def operator(port: int) -> AsyncIterator[Stub]:
    """The service as operators call it."""
    async with calling(port) as channel:
        yield archive_service_pb2_grpc.ArchiveServiceStub(channel)


def context(**words: Any) -> Any:
    """Metadata with a user context."""
    return ((WITH_CONTEXT, user_context(**words)),)


def wanted(name: str = USAGE, **places: int) -> pb.DownloadRequest:
    """Ask for a file."""
    return pb.DownloadRequest(workspace_id=WORKSPACE, month=MONTH_NAME, name=name, **places)


async def download(stub: Stub, request: pb.DownloadRequest) -> tuple[pb.DownloadableFile, bytes]:
    """Download; return what was said of the file, and its bytes."""
    parts = [part async for part in stub.Download(request, metadata=context())]
    assert all(len(part.data) <= 256 * 1024 for part in parts)
    return parts[0].file, b"".join(part.data for part in parts)


async def _all(call: Any) -> list[Any]:
    return [each async for each in call]


async def refusal(call: Any) -> int:
    """Wait for a call to be refused; return the reason."""
    with pytest.raises(grpc.RpcError) as refused:
        await (_all(call) if hasattr(call, "__aiter__") else call)
    return domain_error_of(refused.value).reason


async def test_a_month_is_listed_with_its_files_and_sums(edge: Stub) -> None:
    """Parts, manifest and text, counts and charges, publication and expiry, lines to paste."""
    request = pb.ListArchivesRequest(workspace_id=WORKSPACE)
    answer = await edge.ListArchives(request, metadata=context())
    (archive,) = answer.archives
    assert [file.name for file in archive.files] == [
        "usage.parquet",
        "usage-2.parquet",
        "manifest.json",
        "settlements.parquet",
        "usage.csv",
    ]
    every = rows(workspace(1), sum(COUNTS))
    assert archive.records == len(every)
    assert archive.charges.amount_nanos == sum(row["charge_nanos"] for row in every)
    assert archive.expires_at.ToJsonString() == "2028-07-01T03:00:00Z"
    got = await edge.GetArchive(
        pb.GetArchiveRequest(workspace_id=WORKSPACE, month=MONTH_NAME), metadata=context()
    )
    assert got.archive == archive
    assert {"curl", "duckdb", "pandas"} <= set(got.snippets)
    request.page_token = MONTH_NAME
    assert not (await edge.ListArchives(request, metadata=context())).archives


@pytest.mark.usefixtures("store")
async def test_core_is_not_asked_with_each_file_when_its_month_was_published(core: Core) -> None:
    """Which files there are it is asked each time; a month is there as soon as it is published."""
    clock = ManualClock()
    async with serving(core.services()) as port, calling(port, "archiver") as channel:
        shelf = Shelf(channel, clock)
        core.is_published = False
        assert await shelf.months(WORKSPACE) == []
        core.is_published = True
        for _ in range(5):
            assert (await shelf.month(WORKSPACE, MONTH_NAME)).files
        assert core.looks == 2
        clock.pass_time(KEPT_SECONDS)
        assert await shelf.months(WORKSPACE)
        assert core.looks == 3
        core.files.clear()
        assert await shelf.months(WORKSPACE) == []


async def test_support_sees_what_there_is_and_gets_none_of_it(port: int, core: Core) -> None:
    """Finance downloads in its own right; neither starts the archiver."""
    month = pb.GetArchiveRequest(workspace_id=WORKSPACE, month=MONTH_NAME)
    for caller, may_download in (("support", False), ("finance", True)):
        async with calling(port, caller) as channel:
            stub = archive_service_pb2_grpc.ArchiveServiceStub(channel)
            assert (await stub.GetArchive(month)).archive.files
            await stub.GetArchiveStatus(pb.GetArchiveStatusRequest())
            not_allowed = ErrorReason.ERROR_REASON_CALLER_NOT_ALLOWED
            assert await refusal(stub.RunArchive(pb.RunArchiveRequest())) == not_allowed
            if may_download:
                assert [part async for part in stub.Download(wanted())]
            else:
                assert await refusal(stub.Download(wanted())) == not_allowed
                name = pb.SignDownloadRequest(workspace_id=WORKSPACE, month=MONTH_NAME, name=USAGE)
                assert await refusal(stub.SignDownload(name)) == not_allowed


async def test_a_file_comes_whole_or_from_where_it_was_cut(edge: Stub) -> None:
    """Its hash is the one that was said; parts add up to the whole."""
    file, content = await download(edge, wanted())
    assert (file.size_bytes, file.sha256) == (len(content), hashlib.sha256(content).digest())
    for offset, length in ((0, 10), (1, 0), (len(content) - 7, 100), (len(content), 0)):
        _, part = await download(edge, wanted(offset=offset, length=length))
        assert part == content[offset:][: length or None]
    late = edge.Download(wanted(offset=len(content) + 1), metadata=context())
    assert await refusal(late) == ErrorReason.ERROR_REASON_INVALID_ARGUMENT


async def test_text_has_the_same_values(edge: Stub, tmp_path: Path) -> None:
    """A line for each request of all parts, exact money, ids as UUIDs; parts of it as of files."""
    file, content = await download(edge, wanted("usage.csv"))
    lines = list(csv.DictReader(io.StringIO(content.decode())))
    every = rows(workspace(1), sum(COUNTS))
    assert (file.size_bytes, tuple(lines[0])) == (0, NAMES)
    assert [line["request_id"].replace("-", "") for line in lines] == [
        row["id"].hex() for row in every
    ]
    for line, row in zip(lines, every, strict=True):
        assert line["charge"] == f"{row['charge_nanos'] // 10**9}.{row['charge_nanos'] % 10**9:09d}"
        assert line["started_at"] == f"{row['started_at']:%Y-%m-%d %H:%M:%S.%fZ}"
        assert line["model"] == row["model"]
    _, part = await download(edge, wanted("usage.csv", offset=5_000, length=300_000))
    assert part == content[5_000:305_000]
    assert list((tmp_path / "texts").iterdir()) == []


async def test_every_hand_out_is_on_record_before_it_is_made(core: Core, edge: Stub) -> None:
    """By whom, of what; while core is away nothing is handed out."""
    await download(edge, wanted(offset=3))
    (told,) = core.told
    assert (told.action, told.object_id) == ("archive.Download", f"{MONTH_NAME}/{USAGE}")
    assert told.outcome == RecordAccessRequest.OUTCOME_HANDED_OUT
    assert (told.caller, told.workspace_id) == ("edge", WORKSPACE)
    assert told.user_context
    core.is_away = True
    away = edge.Download(wanted(), metadata=context())
    assert await refusal(away) == ErrorReason.ERROR_REASON_UNAVAILABLE


@asynccontextmanager
async def reading_slowly(port: int) -> AsyncIterator[AsyncIterator[Any]]:
    """Download the text with a small window, and read no more than its description."""
    options = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65_535)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        stub: Stub = archive_service_pb2_grpc.ArchiveServiceStub(channel)
        parts = aiter(
            stub.Download(wanted("usage.csv"), metadata=(*context(), *bearer(TOKENS["edge"])))
        )
        await anext(parts)
        yield parts


async def test_a_workspace_has_one_text_made_at_a_time(port: int, core: Core, edge: Stub) -> None:
    """Another one is refused before anything is on record as handed out."""
    async with reading_slowly(port) as parts:
        other = edge.Download(wanted("usage.csv"), metadata=context())
        assert await refusal(other) == ErrorReason.ERROR_REASON_UNAVAILABLE
        assert len(core.told) == 1
        assert [part async for part in parts]
    assert (await download(edge, wanted("usage.csv")))[1]


async def test_whoever_does_not_read_a_text_keeps_no_place(
    port: int, edge: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut after a while; the same workspace gets another one then."""
    monkeypatch.setattr("archiver.rpc.TABLE_SECONDS", 1.0)
    async with reading_slowly(port) as parts:
        await asyncio.sleep(2)
        monkeypatch.setattr("archiver.rpc.TABLE_SECONDS", 60.0)
        assert (await download(edge, wanted("usage.csv")))[1]
        with pytest.raises(grpc.RpcError):
            assert [part async for part in parts]
    assert list((tmp_path / "texts").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"permissions": ()}, ErrorReason.ERROR_REASON_PERMISSION_MISSING),
        ({"permissions": ("keys.write",)}, ErrorReason.ERROR_REASON_PERMISSION_MISSING),
        ({"workspace_id": OTHER_WORKSPACE}, ErrorReason.ERROR_REASON_PERMISSION_MISSING),
        ({"audience": "core"}, ErrorReason.ERROR_REASON_UNAUTHENTICATED),
        ({"age_seconds": 3_600}, ErrorReason.ERROR_REASON_UNAUTHENTICATED),
        (None, ErrorReason.ERROR_REASON_UNAUTHENTICATED),
    ],
)
async def test_whoever_may_not_is_denied_and_the_denial_is_on_record(
    core: Core, edge: Stub, words: dict[str, Any] | None, reason: int
) -> None:
    """By every method; another workspace's month is denied, whether there is one or not."""
    metadata = () if words is None else context(**words)
    month = {"workspace_id": WORKSPACE, "month": MONTH_NAME}
    asked: list[tuple[Any, Any]] = [
        (edge.ListArchives, pb.ListArchivesRequest(workspace_id=WORKSPACE)),
        (edge.GetArchive, pb.GetArchiveRequest(**month)),
        (edge.SignDownload, pb.SignDownloadRequest(**month, name=USAGE)),
        (edge.Download, wanted()),
    ]
    for number, (method, request) in enumerate(asked, 1):
        assert await refusal(method(request, metadata=metadata)) == reason
        assert len(core.told) == number
        assert core.told[-1].outcome == RecordAccessRequest.OUTCOME_DENIED


async def test_two_user_contexts_are_none(edge: Stub) -> None:
    """Nobody guesses which one counts."""
    both = (*context(), *context(workspace_id=OTHER_WORKSPACE))
    request = pb.ListArchivesRequest(workspace_id=WORKSPACE)
    call = edge.ListArchives(request, metadata=both)
    assert await refusal(call) == ErrorReason.ERROR_REASON_UNAUTHENTICATED


async def test_operators_ask_in_their_own_right(core: Core, operator: Stub) -> None:
    """And are on record by their own name."""
    parts = [part async for part in operator.Download(wanted("manifest.json"))]
    assert parts[0].file.sha256 == hashlib.sha256(parts[1].data).digest()
    assert [(told.caller, told.user_context) for told in core.told] == [("operator", "")]
    steps = [step async for step in operator.RunArchive(pb.RunArchiveRequest(month=MONTH_NAME))]
    assert [step.month for step in steps] == [MONTH_NAME]
    assert (await operator.GetArchiveStatus(pb.GetArchiveStatusRequest())).store == "local"


async def test_only_operators_erase_and_it_is_on_record_first(
    port: int, core: Core, operator: Stub
) -> None:
    """Whose and which key; while core is away nothing is erased."""
    key_id = format_id("key", bytes(15) + b"\x01")
    request = pb.EraseKeysRequest(workspace_id=WORKSPACE, key_id=key_id)
    answer = await operator.EraseKeys(request)
    assert [(each.month, each.records) for each in answer.months] == [(MONTH_NAME, 1)]
    (told,) = core.told
    assert (told.action, told.object_id) == ("archive.EraseKeys", key_id)
    assert (told.caller, told.workspace_id) == ("operator", WORKSPACE)
    for caller in ("edge", "finance", "support"):
        async with calling(port, caller) as channel:
            stub = archive_service_pb2_grpc.ArchiveServiceStub(channel)
            refused = await refusal(stub.EraseKeys(request, metadata=context()))
            assert refused == ErrorReason.ERROR_REASON_CALLER_NOT_ALLOWED
    core.is_away = True
    assert await refusal(operator.EraseKeys(request)) == ErrorReason.ERROR_REASON_UNAVAILABLE


async def test_what_is_not_there_is_not_found(edge: Stub) -> None:
    """No such month, no such file, and a local folder signs nothing."""
    other = pb.GetArchiveRequest(workspace_id=WORKSPACE, month="2026-04")
    missing = edge.GetArchive(other, metadata=context())
    assert await refusal(missing) == ErrorReason.ERROR_REASON_NOT_FOUND
    for name in ("usage-3.parquet", "ids", "focus.parquet"):
        call = edge.Download(wanted(name), metadata=context())
        assert await refusal(call) == ErrorReason.ERROR_REASON_NOT_FOUND
    signing = pb.SignDownloadRequest(workspace_id=WORKSPACE, month=MONTH_NAME, name=USAGE)
    assert (await edge.SignDownload(signing, metadata=context())).url == ""


async def test_a_file_that_changed_never_comes_whole(
    core: Core, edge: Stub, store: ObjectStore, tmp_path: Path
) -> None:
    """Its last piece is held until all of it is what was published; no text is made of it."""
    path = tmp_path / "archive" / core.files[0].name
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    assert await refusal(edge.Download(wanted(), metadata=context())) != 0
    assert await refusal(edge.Download(wanted("usage.csv"), metadata=context())) != 0


async def test_s3_signs_a_url_that_resumes(core: Core, tmp_path: Path) -> None:
    """Whoever has it reads exactly this file for a while, from any byte on."""
    with s3_server() as settings:
        store = open_store(ArchiverSettings(data_dir=tmp_path, **dict(settings)))  # type: ignore[arg-type]
        await publish(core, store, tmp_path, (50,))
        async with (
            archiver_serving(core, store, tmp_path) as port,
            calling(port, "edge") as channel,
        ):
            stub: Stub = archive_service_pb2_grpc.ArchiveServiceStub(channel)
            request = pb.SignDownloadRequest(workspace_id=WORKSPACE, month=MONTH_NAME, name=USAGE)
            answer = await stub.SignDownload(request, metadata=context())
        async with httpx.AsyncClient(trust_env=False) as client:
            whole = await client.get(answer.url)
            rest = await client.get(answer.url, headers={"range": "bytes=100-"})
            other = await client.get(answer.url.replace("part-0001", "part-0002"))
    assert hashlib.sha256(whole.content).digest() == core.files[0].sha256
    assert (rest.status_code, rest.content) == (206, whole.content[100:])
    assert other.is_error
    assert [told.action for told in core.told] == ["archive.SignDownload"]
