"""`1api archive list|download|verify`: files come whole, and prove themselves, or do not."""

from __future__ import annotations

import asyncio
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from archiver.cli import commands
from archiver.fetching import Fetcher
from archiver.settings import ArchiverSettings
from archiver.store.opening import open_store
from kit.cli import CommandFailed, Commands, Exit, run
from kit.files import write_private
from kit.ids import format_id
from tests.support.archive_shelf import KEYS, MONTH_NAME, WORKSPACE, Core, both_serving, publish
from tests.support.core_server import TOKENS

COUNTS = (300, 40)
NAMES = ["usage.parquet", "usage-2.parquet", "manifest.json"]


class Source:
    """The archiver's commands, without an installed entry point."""

    name = "archiver"

    def load(self) -> Any:
        """Return the commands."""
        return commands


def archive(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    """Run a command; return its exit code and what it said."""
    code = run(Commands([Source()]), ["archive", *words, "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out or said.err)


@contextmanager
def serving_month(folder: Path) -> Iterator[tuple[int, int]]:
    """Serve a published month from a thread; yields the ports of core and archiver."""
    ports: list[tuple[int, int]] = []
    ready, done = threading.Event(), threading.Event()

    async def serve() -> None:
        core = Core()
        store = open_store(ArchiverSettings(data_dir=folder))
        await publish(core, store, folder, COUNTS)
        async with both_serving(core, store, folder) as found:
            ports.append(found)
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(30)
        yield ports[0]
    finally:
        done.set()
        thread.join(20)


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the settings to reach a published month, as its environment."""
    folder = tmp_path_factory.mktemp("month")
    write_private(folder / "credentials.json", json.dumps(TOKENS).encode())
    with serving_month(folder) as (core_port, port):
        (folder / "targets.json").write_text(json.dumps([core_port, port]))
        yield folder


@pytest.fixture
def reachable(month: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands reach it."""
    core_port, port = json.loads((month / "targets.json").read_text())
    monkeypatch.setenv("ONEAPI_CORE_TARGET", f"127.0.0.1:{core_port}")
    monkeypatch.setenv("ONEAPI_ARCHIVER_TARGET", f"127.0.0.1:{port}")
    monkeypatch.setenv("ONEAPI_CREDENTIALS", str(month / "credentials.json"))


@pytest.fixture
def folder(reachable: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A folder with a downloaded month."""
    target = tmp_path / "got"
    words = ("download", MONTH_NAME, "--workspace", WORKSPACE, "--output", str(target))
    code, said = archive(capsys, *words)
    assert (code, said["files"]) == (0, NAMES)
    return target


@pytest.mark.usefixtures("reachable")
def test_months_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """With counts and sums."""
    code, (row,) = archive(capsys, "list", "--workspace", WORKSPACE)
    assert (code, row["month"], row["records"]) == (0, MONTH_NAME, sum(COUNTS))


@pytest.mark.usefixtures("reachable")
def test_keys_are_erased_by_name_or_all(capsys: pytest.CaptureFixture[str]) -> None:
    """One of the two is asked for, so that nobody erases all by leaving a word out."""
    key = format_id("key", bytes(15) + b"\x01")
    for words in (("--key", key), ("--all-keys",)):
        code, said = archive(capsys, "erase", *words, "--workspace", WORKSPACE)
        assert (code, said) == (0, [{"month": MONTH_NAME, "records": 1}])
    assert archive(capsys, "erase", "--workspace", WORKSPACE)[0] == Exit.USAGE
    assert archive(capsys, "erase", "--key", key, "--all-keys")[0] == Exit.USAGE
    assert archive(capsys, "erase", "--key", "key_1", "--workspace", WORKSPACE)[0] != 0


def test_a_downloaded_month_proves_itself(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Offline, by folder or by manifest, whatever its files are called."""
    for target in (folder, folder / "manifest.json"):
        code, said = archive(capsys, "verify", str(target))
        assert (code, said["valid"], said["records"]) == (0, True, sum(COUNTS))
    (folder / "usage-2.parquet").rename(folder / "the rest of march.parquet")
    assert archive(capsys, "verify", str(folder))[0] == 0


def test_one_file_is_proved_by_the_manifest_beside_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Among others' manifests too; it is said that it is not the whole month."""
    (folder / "another.json").write_text("{}")
    (folder / "usage-2.parquet").rename(folder / "late.parquet")
    code, said = archive(capsys, "verify", str(folder / "late.parquet"))
    assert (code, said["valid"], said["rows"]) == (0, True, COUNTS[1])
    assert said["proves"].startswith("one of the month's 2 files")
    (folder / "1api-keys.json").unlink()
    code, said = archive(capsys, "verify", str(folder / "late.parquet"))
    assert said["error"]["reason"] == "KEYS_MISSING"


def test_one_file_alone_says_what_it_does_not_prove(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its pages are whole or not; whether it is ours only a manifest says, and not just any."""
    file = str(folder / "usage.parquet")
    (folder / "manifest.json").rename(folder / "manifest")
    code, said = archive(capsys, "verify", file)
    assert (code, said["error"]["reason"]) == (1, "NEEDS_MANIFEST")
    assert said["error"]["metadata"]["records"] == str(COUNTS[0])
    assert "does not prove" in said["error"]["message"]
    content = bytearray((folder / "usage.parquet").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "usage.parquet").write_bytes(content)
    assert archive(capsys, "verify", file)[1]["error"]["metadata"]["check"] == "file_readable"
    (folder / "manifest").rename(folder / "manifest.json")
    assert archive(capsys, "verify", file)[1]["error"]["metadata"]["check"] == "file_named"
    text = (folder / "manifest.json").read_text()
    (folder / "costs.csv.gz").write_bytes(b"no table of ours")
    (folder / "manifest.json").unlink()
    code, said = archive(capsys, "verify", str(folder / "costs.csv.gz"))
    assert (code, said["error"]["reason"]) == (1, "NEEDS_MANIFEST")
    assert "records" not in said["error"]["metadata"]
    other = text.replace('"revision":"1"', '"revision":"2"').replace('"revision":1', '"revision":2')
    assert other != text
    (folder / "manifest.json").write_text(other)
    code, said = archive(capsys, "verify", str(folder / "usage-2.parquet"))
    assert (code, said["error"]["metadata"]["check"]) == (1, "signature")


def test_a_download_that_was_cut_goes_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is there already is not fetched again, and what was damaged is found."""
    content = (folder / "usage.parquet").read_bytes()
    (folder / "usage.parquet").unlink()
    (folder / "usage.parquet.part").write_bytes(content[:1_000])
    again = ("download", MONTH_NAME, "--workspace", WORKSPACE, "--output", str(folder))
    assert archive(capsys, *again)[0] == 0
    assert (folder / "usage.parquet").read_bytes() == content
    (folder / "usage.parquet").unlink()
    (folder / "usage.parquet.part").write_bytes(b"x" + content[1:1_000])
    code, said = archive(capsys, *again)
    assert (code, said["error"]["reason"]) == (1, "FILE_DAMAGED")
    assert archive(capsys, *again)[0] == 0


@pytest.mark.parametrize("name", NAMES)
def test_one_changed_byte_is_found(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """In any file."""
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    code, said = archive(capsys, "verify", str(folder))
    assert code == 1
    assert said["error"]["reason"] in {"NOT_PROVED", "MANIFEST_NOT_VALID"}


def test_what_is_missing_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file, the keys, the manifest, the folder."""
    (folder / "usage-2.parquet").unlink()
    code, said = archive(capsys, "verify", str(folder))
    assert (code, said["error"]["metadata"]["check"]) == (1, "file_missing")
    (folder / "1api-keys.json").rename(folder / "keys")
    assert archive(capsys, "verify", str(folder))[1]["error"]["reason"] == "KEYS_MISSING"
    (folder / "manifest.json").unlink()
    keys = ("--keys", str(folder / "keys"))
    assert archive(capsys, "verify", str(folder), *keys)[1]["error"]["reason"] == "NO_MANIFEST"
    assert archive(capsys, "verify", str(folder / "none"))[0] == 3


class Site(http.server.BaseHTTPRequestHandler):
    """An edge that redirects to a store on another port, and cuts the first answer there."""

    root: Path
    store_port = 0
    cuts = 1
    keys_at_store: list[str]

    def do_GET(self) -> None:
        """Answer a month, its files, or the keys."""
        if self.path.startswith("/v1/archives/") and self.path.endswith((".parquet", ".json")):
            where = f"http://127.0.0.1:{self.store_port}/{self.path.rsplit('/', 1)[-1]}"
            self.send_response(302)
            self.send_header("location", where)
            self.end_headers()
            return
        if self.path.startswith("/v1/archives/"):
            files = [
                {"name": name, "size_bytes": (self.root / name).stat().st_size, "sha256": "aa"}
                for name in NAMES
            ]
            self._send(json.dumps({"files": files}).encode())
        elif self.path.startswith("/.well-known/"):
            self._send(KEYS.to_json())
        else:
            self._from_store()

    def _from_store(self) -> None:
        type(self).keys_at_store.append(self.headers.get("authorization", ""))
        content = (self.root / self.path.strip("/")).read_bytes()
        start = int(self.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        cut = type(self).cuts > 0
        type(self).cuts -= 1
        self.send_response(206 if start else 200)
        self.send_header("content-length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : start + 500] if cut else content[start:])
        self.close_connection = True

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def site(handler: type[Site]) -> Iterator[int]:
    """Serve; yields the port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def test_a_month_is_proved_by_its_url(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the store's own URL, which is not told the API key, and after a cut."""
    handler: Any = type("OurSite", (Site,), {"root": folder, "keys_at_store": []})
    monkeypatch.delenv("ONEAPI_API_KEY", raising=False)
    with site(handler) as store_port, site(handler) as port:
        handler.store_port = store_port
        url = f"http://127.0.0.1:{port}/v1/archives/{MONTH_NAME}"
        assert archive(capsys, "verify", url)[1]["error"]["reason"] == "API_KEY_MISSING"
        monkeypatch.setenv("ONEAPI_API_KEY", "a-secret")
        code, said = archive(capsys, "verify", url)
    assert (code, said["valid"], said["records"]) == (0, True, sum(COUNTS))
    assert len(handler.keys_at_store) == len(NAMES) + 1
    assert set(handler.keys_at_store) == {""}


def test_a_key_never_goes_in_the_clear() -> None:
    """Over the net only by TLS."""
    for url in ("http://api.example.com/v1/archives/2026-03", "ftp://x/", "http://"):
        with pytest.raises(CommandFailed):
            Fetcher(url, "a-secret")
