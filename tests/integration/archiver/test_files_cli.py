"""`1api archive list|download|verify`: files come whole, and are proved by our keys, or not."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archiver.cli import commands
from archiver.manifest import parse_manifest
from archiver.proof_folder import FILES_MAX
from archiver.settings import ArchiverSettings
from archiver.store.opening import open_store
from kit.archive_manifest import manifest_message
from kit.cli import Commands, Exit, run
from kit.files import write_private
from kit.ids import format_id
from kit.platform_keys import PublicKeys, key_id_of
from tests.support.archive_shelf import KEYS, MONTH_NAME, WORKSPACE, Core, both_serving, publish
from tests.support.core_server import TOKENS

COUNTS = (300, 40)
TRUSTED = "trusted.json"
NAMES = ["usage.parquet", "usage-2.parquet", "manifest.json", "settlements.parquet"]


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
    (tmp_path / TRUSTED).write_bytes(KEYS.to_json())
    return target


def verify(capsys: pytest.CaptureFixture[str], target: Path) -> tuple[int, Any]:
    """Verify by the keys that we trust."""
    trusted = next(path / TRUSTED for path in target.parents if (path / TRUSTED).exists())
    return archive(capsys, "verify", str(target), "--keys", str(trusted))


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


def test_a_downloaded_month_is_proved(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Offline, by folder or by manifest, whatever its files are called."""
    for target in (folder, folder / "manifest.json"):
        code, said = verify(capsys, target)
        assert (code, said["valid"], said["records"]) == (0, True, sum(COUNTS))
    (folder / "usage-2.parquet").rename(folder / "the rest of march.parquet")
    assert verify(capsys, folder)[0] == 0


def test_one_file_is_proved_by_the_manifest_beside_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Among others' manifests too; it is said that it is not the whole month."""
    (folder / "another.json").write_text("{}")
    (folder / "usage-2.parquet").rename(folder / "late.parquet")
    code, said = verify(capsys, folder / "late.parquet")
    assert (code, said["valid"], said["rows"]) == (0, True, COUNTS[1])
    assert said["proves"].startswith("one of the month's 3 files")


def test_one_file_alone_says_what_it_does_not_prove(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its pages are whole or not; whether it is ours only a manifest says, and not just any."""
    file = folder / "usage.parquet"
    (folder / "manifest.json").rename(folder / "manifest")
    code, said = verify(capsys, file)
    assert (code, said["error"]["reason"]) == (1, "NEEDS_MANIFEST")
    assert said["error"]["metadata"]["records"] == str(COUNTS[0])
    assert "does not prove" in said["error"]["message"]
    content = bytearray((folder / "usage.parquet").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "usage.parquet").write_bytes(content)
    assert verify(capsys, file)[1]["error"]["metadata"]["check"] == "file_readable"
    (folder / "manifest").rename(folder / "manifest.json")
    assert verify(capsys, file)[1]["error"]["metadata"]["check"] == "file_named"
    text = (folder / "manifest.json").read_text()
    (folder / "costs.csv.gz").write_bytes(b"no table of ours")
    (folder / "manifest.json").unlink()
    code, said = verify(capsys, folder / "costs.csv.gz")
    assert (code, said["error"]["reason"]) == (1, "NEEDS_MANIFEST")
    assert "records" not in said["error"]["metadata"]
    other = text.replace('"revision":"1"', '"revision":"2"').replace('"revision":1', '"revision":2')
    assert other != text
    (folder / "manifest.json").write_text(other)
    code, said = verify(capsys, folder / "usage-2.parquet")
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
    code, said = verify(capsys, folder)
    assert code == 1
    assert said["error"]["reason"] in {"NOT_PROVED", "MANIFEST_NOT_VALID"}


def test_what_is_missing_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file, the manifest, the folder."""
    (folder / "usage-2.parquet").unlink()
    code, said = verify(capsys, folder)
    assert (code, said["error"]["metadata"]["check"]) == (1, "file_missing")
    (folder / "manifest.json").unlink()
    assert verify(capsys, folder)[1]["error"]["reason"] == "NO_MANIFEST"
    assert verify(capsys, folder / "none")[0] == 3


def test_what_is_to_be_proved_does_not_say_by_which_keys(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stranger's month has a stranger's keys beside it: without ours there is no answer."""
    text = (folder / "manifest.json").read_bytes()
    for target in (folder, folder / "manifest.json", folder / "usage.parquet"):
        code, said = archive(capsys, "verify", str(target))
        assert (code, said["error"]["reason"]) == (Exit.USAGE, "KEYS_MISSING")
        assert "valid" not in said
    stranger = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
    public = stranger.public_key().public_bytes_raw()
    manifest = parse_manifest(text)
    message = manifest_message(WORKSPACE, MONTH_NAME, manifest.revision, manifest.sha256())
    forged = manifest.signed(key_id_of(public), stranger.sign(message))
    (folder / "manifest.json").write_bytes(forged.to_bytes())
    (folder / "1api-keys.json").write_bytes(PublicKeys({key_id_of(public): public}).to_json())
    for target in (folder, folder / "manifest.json", folder / "usage.parquet"):
        assert archive(capsys, "verify", str(target))[0] == Exit.USAGE
        code, said = verify(capsys, target)
        assert (code, said["error"]["metadata"]["check"]) == (1, "signature")


def test_keys_that_are_none_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No file, another file, an address in the clear."""
    for named, reason in (
        (folder / "none", "KEYS_NOT_READ"),
        (folder / "usage.parquet", "KEYS_NOT_VALID"),
        ("http://api.example.com", "URL_NOT_SAFE"),
        ("https://user:word@api.example.com", "URL_NOT_SAFE"),
    ):
        code, said = archive(capsys, "verify", str(folder), "--keys", str(named))
        assert (code, said["error"]["reason"]) == (Exit.USAGE, reason)


def test_files_that_a_browser_fetched_are_found(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the names that our answers give them, among the keys and others' files."""
    for name in NAMES:
        stem, _, end = name.partition(".")
        (folder / name).rename(folder / f"{stem}-{MONTH_NAME}.{end}")
    (folder / "notes.json").write_text("{}")
    with (folder / "film").open("wb") as large:
        # To read it would take a minute.
        large.truncate(1 << 36)
    assert verify(capsys, folder)[0] == 0
    (folder / "notes.json").unlink()
    assert verify(capsys, folder)[0] == 0


def test_files_are_not_looked_for_among_too_many(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is under its own name is found all the same."""
    for number in range(FILES_MAX):
        (folder / f"{number}.txt").touch()
    assert verify(capsys, folder / "manifest.json")[0] == 0
    (folder / "usage.parquet").rename(folder / "march.parquet")
    code, said = verify(capsys, folder / "manifest.json")
    assert (code, said["error"]["reason"]) == (Exit.USAGE, "FOLDER_TOO_LARGE")
