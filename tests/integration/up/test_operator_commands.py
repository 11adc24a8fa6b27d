"""`1api doctor` and `1api incident` on a running service, and on one that is down."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.processes import PATIENCE_SECONDS, until
from tests.support.recordings import PROJECT
from tests.support.up import Up

_COMMAND = (sys.executable, "-c", "from kit.cli import main; main()")
_UNKNOWN = f"req_{0x0199_0000_0000_7000_8000_0000_0000_0001:032x}"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Run everything on this machine."""
    # Keep-alives early, so that a stream without any output has its head, and its request's id.
    folder = tmp_path_factory.mktemp("operator") / "var"
    started = Up(folder, "--json", KEEPALIVE_SECONDS="0.2")
    started.ready()
    yield started
    started.stop()


def run(up: Up, *words: str) -> tuple[int, dict[str, Any], str]:
    """Run a command; return its exit code, what it answered, and all that it wrote."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [*_COMMAND, *words, "--json"],
        cwd=PROJECT,
        env={**inherited, "ONEAPI_DATA_DIR": str(up.data_dir)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return done.returncode, json.loads(done.stdout or "{}"), done.stdout + done.stderr


@contextmanager
def silent_stream(up: Up) -> Iterator[str]:
    """Hold a stream whose upstream says nothing; gives the request's id."""
    ready = up.ready()
    place = urlsplit(ready["base_url"])
    assert place.hostname is not None
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=30)
    body = {"model": "demo-stall", "stream": True, "messages": [{"role": "user", "content": "?"}]}
    headers = {"authorization": f"Bearer {ready['api_key']}", "idempotency-key": "once"}
    with closing(connection):
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        with connection.getresponse() as answer:
            assert answer.status == http.client.OK
            yield str(answer.headers["x-request-id"])


def standing(up: Up, request_id: str) -> str:
    """Return where a request stands."""
    return str(run(up, "incident", request_id)[1]["standing"])


@pytest.mark.slow
def test_the_doctor_finds_a_fresh_installation_well_and_tells_no_secret(up: Up) -> None:
    """Every part answers; passwords, tokens and keys are nowhere."""
    code, found, words = run(up, "doctor")
    assert (code, found["ok"]) == (0, True), found
    checks = {one["check"] for one in found["findings"]}
    assert checks >= {"core", "edge", "archiver", "1api up", "schema", "books", "spools", "clocks"}
    ready = up.ready()
    tokens = json.loads(Path(ready["credentials"]).read_bytes()).values()
    password = urlsplit(ready["database_url"]).password
    assert not [secret for secret in (ready["api_key"], password, *tokens) if secret in words]


@pytest.mark.slow
def test_a_request_is_told_while_it_runs_and_after_its_edge_was_killed(up: Up) -> None:
    """First its intent in the spool here, in the end its record as a crash and its money."""
    with silent_stream(up) as request_id:
        code, found, _ = run(up, "incident", request_id)
        assert (code, found["standing"]) == (0, "claimed")
        assert [frame["kind"] for frame in found["spool"]] == ["intent"]
        assert any(line.startswith("It is running") for line in found["meaning"])
        os.kill(up.children()["edge"], signal.SIGKILL)
    until(lambda: standing(up, request_id) == "recorded")
    code, found, words = run(up, "incident", request_id)
    assert (code, found["usage"]["outcome"]) == (0, "edge_crash")
    assert found["settlement"]["step"]["after"]["total"]
    assert any("edge died" in line for line in found["meaning"])
    assert up.ready()["api_key"] not in words


@pytest.mark.slow
def test_a_request_of_nobody_is_not_found(up: Up) -> None:
    """With an exit code that programs see."""
    code, found, _ = run(up, "incident", _UNKNOWN)
    assert (code, found["standing"]) == (3, "unheard")


@pytest.mark.slow
def test_a_service_that_is_down_is_told_to_be(up: Up) -> None:
    """The doctor works all the same; of a request only the folders here are known."""
    assert up.stop() == 0
    code, found, _ = run(up, "doctor")
    bad = {one["check"]: one for one in found["findings"] if one["verdict"] == "problem"}
    assert (code, set(bad)) == (1, {"core", "edge", "archiver"})
    assert all(one["mend"] for one in bad.values())
    code, found, _ = run(up, "incident", _UNKNOWN)
    assert (code, found["standing"]) == (5, None)
    assert "cannot be reached" in found["meaning"][0]
