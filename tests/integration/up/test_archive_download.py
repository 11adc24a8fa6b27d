"""A request's whole life: answered, charged, archived months later, downloaded and proved."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.support.processes import until
from tests.support.up import Up

pytestmark = pytest.mark.slow

DAYS = 130
_COMMAND = (sys.executable, "-c", "from kit.cli import main; main()")


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that moves all processes' clocks."""
    path = tmp_path_factory.mktemp("clock") / "offset"
    path.write_text("0")
    return path


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, clock: Path) -> Iterator[Up]:
    """One run for the tests of this file."""
    up = Up(tmp_path_factory.mktemp("up") / "var", TEST_CLOCK=str(clock))
    up.ready()
    yield up
    assert up.stop() == 0


def command(up: Up, *words: str, **more: str) -> tuple[int, Any]:
    """Run a command; return its exit code and what it said."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    ours = {"ONEAPI_DATA_DIR": str(up.data_dir), **more}
    done = subprocess.run(
        [*_COMMAND, *words, "--json"],
        env={**inherited, **ours},
        capture_output=True,
        timeout=120,
        check=False,
    )
    return done.returncode, json.loads(done.stdout or done.stderr)


def get(up: Up, path: str, key: str) -> httpx.Response:
    """Ask the edge."""
    url = f"{up.ready()['base_url']}{path}"
    headers = {"authorization": f"Bearer {key}"}
    return httpx.get(url, headers=headers, timeout=60, trust_env=False)


def ask_a_model(up: Up) -> str:
    """Make a request; return its id."""
    ready = up.ready()
    answer = httpx.post(
        f"{ready['base_url']}/chat/completions",
        json={
            "model": ready["demo_model"],
            "messages": [{"role": "user", "content": "Blue?"}],
        },
        headers={"authorization": f"Bearer {ready['api_key']}"},
        timeout=60,
        trust_env=False,
    )
    assert answer.status_code == 200
    return str(answer.headers["x-request-id"])


def is_archived(up: Up, key: str) -> bool:
    """Do what is due; say whether a month is there: the archiver also works by itself."""
    environment = {"PATH": os.environ["PATH"], "ONEAPI_DATA_DIR": str(up.data_dir)}
    words = [*_COMMAND, "archive", "run"]
    subprocess.run(words, env=environment, capture_output=True, timeout=60, check=True)
    return bool(get(up, "/archives", key).json()["data"])


def test_a_request_is_downloaded_and_proved_when_its_month_is_archived(up: Up, clock: Path) -> None:
    """By a key with the permission and by no other; who was denied is in the audit log."""
    request_id = ask_a_model(up)
    until(lambda: command(up, "usage", "show", request_id)[0] == 0)
    _, made = command(up, "key", "create", "finance", "--permission", "archives.download")
    plain = up.ready()["api_key"]
    assert get(up, "/archives", plain).json()["error"]["code"] == "permission_missing"
    assert get(up, "/archives", made["secret"]).json()["data"] == []

    clock.write_text(str(DAYS * 24 * 3_600))
    until(lambda: is_archived(up, made["secret"]), 60)
    (archive,) = get(up, "/archives", made["secret"]).json()["data"]
    place = f"/archives/{archive['month']}"
    text = get(up, f"{place}/usage.csv", made["secret"]).text
    assert archive["records"] == 1
    assert request_id.removeprefix("req_") in text.replace("-", "")
    assert get(up, f"{place}/usage.parquet", plain).status_code == 403

    url = f"{up.ready()['base_url']}{place}"
    code, proof = command(up, "archive", "verify", url, ONEAPI_API_KEY=made["secret"])
    assert (code, proof["valid"], proof["records"]) == (0, True, 1)
    with psycopg.connect(up.ready()["database_url"]) as connection:
        connection.execute("SET ROLE oneapi_system")
        rows = connection.execute(
            "SELECT actor, action FROM audit_log WHERE action LIKE 'archive.%' ORDER BY id"
        ).fetchall()
    assert (made["key_id"], "archive.Download") in rows
    denied = [action for actor, action in rows if actor not in {made["key_id"], "archiver"}]
    assert denied == ["archive.ListArchivesDenied", "archive.GetArchiveDenied"]
