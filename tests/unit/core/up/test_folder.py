"""The data directory of a run."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from core.cli.up import write_line
from core.up.folder import CALLERS, LOG_MAX_BYTES, RunFolder
from kit.cli import CommandFailed, Exit


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    """Claim a data directory for the time of a test."""
    made = RunFolder(tmp_path / "var")
    descriptor = made.claim()
    yield made
    os.close(descriptor)


def test_one_run_at_a_time(folder: RunFolder) -> None:
    """A second run on the same data is refused with exit code 4."""
    with pytest.raises(CommandFailed) as refusal:
        RunFolder(folder.root).claim()
    assert refusal.value.exit_code == Exit.REFUSED
    assert refusal.value.reason == "ALREADY_UP"


def test_claiming_withdraws_what_a_killed_run_left(tmp_path: Path) -> None:
    """A stale ready.json would mislead whoever waits for it."""
    (tmp_path / "ready.json").write_text("{}")
    os.close(RunFolder(tmp_path).claim())
    assert not (tmp_path / "ready.json").exists()


def test_credentials_are_private_random_and_survive(folder: RunFolder) -> None:
    """A token of 32 random bytes per service, made once."""
    folder.make_credentials()
    first = json.loads(folder.credentials.read_text())
    folder.make_credentials()
    assert json.loads(folder.credentials.read_text()) == first
    assert set(first) == set(CALLERS)
    assert len(set(first.values())) == len(CALLERS)
    assert all(len(token) == 43 for token in first.values())
    assert folder.credentials.stat().st_mode & 0o777 == 0o600


def test_a_service_that_is_new_gets_a_token_and_the_others_keep_theirs(folder: RunFolder) -> None:
    """An upgrade must not lock running clients out."""
    folder.credentials.write_text(json.dumps({"edge": "old"}))
    folder.make_credentials()
    known = json.loads(folder.credentials.read_text())
    assert known["edge"] == "old"
    assert set(known) == set(CALLERS)


def test_a_full_log_is_put_aside(folder: RunFolder) -> None:
    """At start by renaming; one old log is kept."""
    path = folder.log("core")
    path.write_bytes(b"x" * (LOG_MAX_BYTES + 1))
    assert folder.log("core") == path
    assert not path.exists()
    assert path.with_suffix(".log.1").stat().st_size == LOG_MAX_BYTES + 1


def test_a_log_that_fills_up_is_emptied_under_its_writer(folder: RunFolder) -> None:
    """The writer appends, so its next line is the first one of the emptied file."""
    path = folder.log("core")
    with path.open("ab", buffering=0) as writer:
        writer.write(b"x" * (LOG_MAX_BYTES + 1))
        folder.bound_logs()
        writer.write(b"next\n")
    assert path.read_bytes() == b"next\n"


def test_a_log_that_cannot_be_put_aside_hinders_no_other(folder: RunFolder) -> None:
    """On a full disk, or where something is in the way; the run goes on."""
    hindered, other = folder.log("core"), folder.log("edge-0")
    for path in (hindered, other):
        path.write_bytes(b"x" * (LOG_MAX_BYTES + 1))
    hindered.with_suffix(".log.1").mkdir()
    folder.bound_logs()
    assert (hindered.stat().st_size, other.stat().st_size) == (LOG_MAX_BYTES + 1, 0)


def test_a_report_that_cannot_be_written_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output may be a file on the full disk."""
    with suppress(OSError), Path("/dev/full").open("w") as full:  # what is buffered stays unwritten
        monkeypatch.setattr(sys, "stdout", full)
        write_line("edge-0 died")
        write_line("edge-0 serving")
    assert full.closed


def test_ready_appears_whole_and_private(folder: RunFolder) -> None:
    """It holds an API key."""
    folder.announce_ready({"base_url": "http://127.0.0.1:8080/v1"})
    path = folder.root / "ready.json"
    assert json.loads(path.read_text()) == {"base_url": "http://127.0.0.1:8080/v1"}
    assert path.stat().st_mode & 0o777 == 0o600


def test_without_an_example_workspace_there_is_nothing_to_show(folder: RunFolder) -> None:
    """Core writes the file; until then it does not exist."""
    assert folder.example() == {}
