"""A month is fetched by its URL: bounded, patient, and by the keys of its own host."""

from __future__ import annotations

import asyncio
import hashlib
import http.server
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from archiver import fetching
from archiver.cli import commands
from archiver.fetching import ATTEMPTS, FILES_MAX, Fetcher, fetch_keys
from archiver.settings import ArchiverSettings
from archiver.store.opening import open_store
from kit.cli import CommandFailed, Commands, Exit, run
from oneapi.partitions.v1.partition_pb2 import ArchiveFile
from tests.support.archive_shelf import KEYS, MONTH_NAME, Core, publish

COUNT = 300
PLACE = f"/v1/archives/{MONTH_NAME}"
SECRET = "a-secret"


class Source:
    """The archiver's commands, without an installed entry point."""

    name = "archiver"

    def load(self) -> Any:
        """Return the commands."""
        return commands


class Site:
    """What an API and its store have, what befalls those who ask, and who asked."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.description: Any = {"files": [*map(described, files.items()), CSV]}
        self.faults: list[Callable[[Any, bytes], None]] = []
        """Each befalls one who asks for a file, in their order."""
        self.store_port = 0
        self.keys_elsewhere = ""
        self.seen: list[tuple[str, str, str]] = []
        """Path, authorization and range."""

    def answer(self, asked: Any) -> None:
        """Answer a GET."""
        sent = asked.headers
        self.seen.append((asked.path, sent.get("authorization", ""), sent.get("range", "")))
        folder, _, name = asked.path.rpartition("/")
        if asked.path == PLACE:
            reply(asked, json.dumps(self.description).encode())
        elif folder == PLACE and self.store_port:
            redirect(asked, f"http://127.0.0.1:{self.store_port}/{name}")
        elif folder == "/.well-known" and self.keys_elsewhere:
            redirect(asked, self.keys_elsewhere)
        elif folder == "/.well-known":
            reply(asked, KEYS.to_json())
        elif self.faults:
            self.faults.pop(0)(asked, self.files[name])
        else:
            rest(asked, self.files[name])


def described(file: tuple[str, bytes]) -> dict[str, Any]:
    """A file as the API describes it."""
    name, content = file
    digest = hashlib.sha256(content).hexdigest()
    return {"name": name, "size_bytes": len(content), "sha256": digest}


CSV = {"name": "usage.csv", "size_bytes": None, "sha256": None}


def reply(asked: Any, body: bytes, status: int = 200, **headers: str) -> None:
    """Answer with a body."""
    asked.send_response(status)
    asked.send_header("content-length", str(len(body)))
    for name, value in headers.items():
        asked.send_header(name.replace("_", "-"), value)
    asked.end_headers()
    asked.wfile.write(body)


def redirect(asked: Any, where: str) -> None:
    """Send them elsewhere."""
    reply(asked, b"", 302, location=where)


def rest(asked: Any, content: bytes, limit: int | None = None) -> None:
    """Answer what was asked for of a file; with a limit, cut after so many bytes."""
    start = int(asked.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
    asked.send_response(206 if start else 200)
    asked.send_header("content-length", str(len(content) - start))
    if start:
        asked.send_header("content-range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    asked.end_headers()
    asked.wfile.write(content[start:][:limit])
    asked.close_connection = True


def cut(limit: int) -> Callable[[Any, bytes], None]:
    """An answer that ends early."""
    return lambda asked, content: rest(asked, content, limit)


def moved(where: str) -> Callable[[Any, bytes], None]:
    """A redirect."""
    return lambda asked, _: redirect(asked, where)


def busy(asked: Any, content: bytes) -> None:
    """Come again in seven seconds."""
    reply(asked, b"", 429, retry_after="7")


@contextmanager
def serving(site: Site) -> Iterator[int]:
    """Serve from a thread; yields the port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.answer(self)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A published month's files by their public names."""
    folder, core = tmp_path_factory.mktemp("month"), Core()
    store = open_store(ArchiverSettings(data_dir=folder))
    asyncio.run(publish(core, store, folder, (COUNT,)))
    names = {
        ArchiveFile.KIND_MANIFEST: "manifest.json",
        ArchiveFile.KIND_USAGE_PARQUET: "usage.parquet",
        ArchiveFile.KIND_SETTLEMENTS_PARQUET: "settlements.parquet",
    }
    return {
        names[file.kind]: (folder / "archive" / file.name).read_bytes()
        for file in core.files
        if file.kind in names
    }


@pytest.fixture
def site(files: dict[str, bytes]) -> Site:
    """An API that has the month."""
    return Site(files)


@pytest.fixture
def port(site: Site) -> Iterator[int]:
    """Where it is."""
    with serving(site) as port:
        yield port


@pytest.fixture
def pauses() -> list[float]:
    """How long was waited, in seconds."""
    return []


def fetcher(port: int, pauses: list[float]) -> Fetcher:
    """A fetcher that does not really wait."""
    return Fetcher(f"http://127.0.0.1:{port}{PLACE}", SECRET, pauses.append)


def verify(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    """Run the command; return its exit code and what it said."""
    code = run(Commands([Source()]), ["archive", "verify", *words, "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out or said.err)


def failure(call: Callable[[], Any]) -> tuple[int, str]:
    """Call in vain; return exit code and reason."""
    with pytest.raises(CommandFailed) as failed:
        call()
    return failed.value.exit_code, failed.value.reason


def test_a_month_is_proved_by_its_url(
    site: Site,
    port: int,
    files: dict[str, bytes],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Through the store's own URL, which is not told the API key, and after a cut."""
    url = f"http://127.0.0.1:{port}{PLACE}"
    monkeypatch.delenv("ONEAPI_API_KEY", raising=False)
    assert verify(capsys, url)[1]["error"]["reason"] == "API_KEY_MISSING"
    monkeypatch.setenv("ONEAPI_API_KEY", SECRET)
    store = Site(files)
    store.faults = [cut(500)]
    with serving(store) as site.store_port:
        code, said = verify(capsys, url)
    assert (code, said["valid"], said["records"]) == (0, True, COUNT)
    assert [key for _, key, _ in store.seen] == [""] * (len(files) + 1)
    assert [place for _, _, place in store.seen if place] == ["bytes=500-"]
    assert {key for path, key, _ in site.seen if path.startswith(PLACE)} == {f"Bearer {SECRET}"}
    assert [key for path, key, _ in site.seen if path.startswith("/.well-known")] == [""]


def test_keys_come_from_the_host_that_the_user_names_and_no_other(
    site: Site,
    port: int,
    files: dict[str, bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For files on disk by `--keys`; nowhere they are taken from where the host redirects to."""
    monkeypatch.setenv("ONEAPI_API_KEY", SECRET)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    origin = f"http://127.0.0.1:{port}"
    for named in (origin, f"{origin}/", f"{origin}{fetching.KEYS_PATH}"):
        code, said = verify(capsys, str(tmp_path), "--keys", named)
        assert (code, said["valid"]) == (0, True)
    with serving(Site(files)) as other:
        site.keys_elsewhere = f"http://127.0.0.1:{other}{fetching.KEYS_PATH}"
        for words in ((f"{origin}{PLACE}",), (str(tmp_path), "--keys", origin)):
            code, said = verify(capsys, *words)
            assert (code, said["error"]["reason"]) == (Exit.REFUSED, "REDIRECT_NOT_SAFE")


def test_a_key_never_goes_in_the_clear() -> None:
    """Over the net only by TLS."""
    for url in ("http://api.example.com/v1/archives/2026-03", "ftp://x/", "http://", "https://"):
        assert failure(partial(Fetcher, url, SECRET)) == (Exit.USAGE, "URL_NOT_SAFE")
        assert failure(partial(fetch_keys, url)) == (Exit.USAGE, "URL_NOT_SAFE")


def test_files_are_not_fetched_from_where_anybody_could_answer(
    site: Site, port: int, pauses: list[float], tmp_path: Path, files: dict[str, bytes]
) -> None:
    """A redirect into the clear, or to another kind of place, is not followed."""
    for where in ("http://store.example.com/x", "ftp://127.0.0.1/x", "file:///etc/hostname"):
        site.faults = [moved(where)]
        code, _ = failure(lambda: fetcher(port, pauses).fetch_month(tmp_path))
        assert (code, list(tmp_path.iterdir()), pauses) == (Exit.REFUSED, [], [])


def test_it_comes_again_after_growing_pauses(
    site: Site, port: int, pauses: list[float], tmp_path: Path, files: dict[str, bytes]
) -> None:
    """After cuts and where there is too much to do, as long as is asked for."""
    site.faults = [cut(100), cut(0), busy, cut(50)]
    fetcher(port, pauses).fetch_month(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
    assert pauses == [0.5, 1.0, 7.0, 4.0]


def test_what_does_not_come_is_no_word_about_the_files(
    site: Site, port: int, pauses: list[float], tmp_path: Path
) -> None:
    """Cut each time, sent to no address, told to come again, nobody there, the keys too."""
    site.faults = [cut(100)] * ATTEMPTS
    unreachable = (Exit.UNREACHABLE, "UNREACHABLE")
    assert failure(lambda: fetcher(port, pauses).fetch_month(tmp_path)) == unreachable
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0]
    site.faults = [moved("http://[")] * ATTEMPTS
    assert failure(lambda: fetcher(port, pauses).fetch_month(tmp_path)) == unreachable
    site.faults = [busy] * ATTEMPTS
    assert failure(lambda: fetcher(port, pauses).fetch_month(tmp_path)) == unreachable
    with serving(site) as closed:
        pass
    pauses.clear()
    assert failure(lambda: fetcher(closed, pauses).fetch_month(tmp_path)) == unreachable
    assert len(pauses) == ATTEMPTS - 1
    keys = f"http://127.0.0.1:{closed}"
    assert failure(lambda: fetch_keys(keys, pauses.append)) == unreachable


def test_a_file_that_comes_piece_by_piece_has_more_attempts(
    pauses: list[float], tmp_path: Path
) -> None:
    """As long as each brings something worth while."""
    content = bytes(range(256)) * 4_096 * 9
    site = Site({"usage.parquet": content})
    site.faults = [cut(fetching.READ_BYTES)] * 8
    with serving(site) as port:
        fetcher(port, pauses).fetch_month(tmp_path)
    assert (tmp_path / "usage.parquet").read_bytes() == content
    assert pauses == [0.5] * 8


def test_no_more_is_taken_than_was_described(
    site: Site, port: int, pauses: list[float], tmp_path: Path, files: dict[str, bytes]
) -> None:
    """Whatever follows; from another byte than was asked for, nothing."""
    site.faults = [
        lambda asked, content: reply(asked, content + b"x" * 100_000),
        cut(10),
        lambda asked, content: reply(asked, content[5:], 206, content_range="bytes 5-9/10"),
    ]
    fetcher(port, pauses).fetch_month(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
    assert pauses == [0.5, 1.0]


@pytest.mark.parametrize(
    "description",
    [
        [],
        {"files": 3},
        {"files": [3]},
        {"files": [{}]},
        {"files": [described(("../usage.parquet", b"x"))]},
        {"files": [described(("1api-keys.json", b"x"))]},
        {"files": [described(("usage.parquet", b"x")) | {"size_bytes": "9"}]},
        {"files": [described(("usage.parquet", b"x")) | {"size_bytes": -1}]},
        {"files": [described(("usage.parquet", b"x")) | {"size_bytes": 10**18}]},
        {"files": [described(("usage.parquet", b"x")) | {"sha256": "aa"}]},
        {"files": [described(("usage.parquet", b"x"))] * 2},
        {"files": [described((f"usage-{n}.parquet", b"x")) for n in range(FILES_MAX + 1)]},
        {"files": [], "more": "x" * fetching.SMALL_BYTES_MAX},
    ],
)
def test_what_describes_no_month_is_not_followed(
    site: Site, port: int, pauses: list[float], tmp_path: Path, description: Any
) -> None:
    """And is told as such: nothing is fetched."""
    site.description = description
    found = failure(lambda: fetcher(port, pauses).fetch_month(tmp_path))
    assert found == (Exit.FAILED, "ANSWER_NOT_UNDERSTOOD")
    assert (list(tmp_path.iterdir()), len(site.seen)) == ([], 1)


def test_a_full_disk_is_its_own_failure(
    site: Site,
    port: int,
    pauses: list[float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Known before if there is not enough room, else when it is full, or nothing can be written."""
    (tmp_path / "usage.parquet").symlink_to("/dev/full")
    disk_full = (Exit.FAILED, "DISK_FULL")
    assert failure(lambda: fetcher(port, pauses).fetch_month(tmp_path)) == disk_full
    (tmp_path / "usage.parquet").unlink()
    (tmp_path / "usage.parquet").symlink_to(tmp_path / "none" / "x")
    not_written = (Exit.FAILED, "NOT_WRITTEN")
    assert failure(lambda: fetcher(port, pauses).fetch_month(tmp_path)) == not_written
    site.seen.clear()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000))
    assert failure(lambda: fetcher(port, pauses).fetch_month(tmp_path)) == disk_full
    assert (len(site.seen), pauses) == (1, [])
