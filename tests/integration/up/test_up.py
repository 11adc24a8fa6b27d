"""Everything on one machine, as a newcomer starts it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import kill_hard, lives, until
from tests.support.up import Up

PARTS = {"postgres", "core", "edge.demo", "archiver", "edge"}


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    """Start everything and stop it after the test."""
    started = Up(tmp_path / "var", "--json")
    yield started
    started.stop()


def curl(up: Up) -> str:
    """Run the line that the terminal showed and return what it printed."""
    line = next(event["line"] for event in up.events() if event["event"] == "curl")
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.slow
def test_a_newcomer_gets_an_answer_and_everything_stops_in_order(up: Up, tmp_path: Path) -> None:
    """ready.json, a curl line that streams, Ctrl-C that leaves nothing; data survive."""
    ready = up.ready()
    assert set(ready) == {
        *("base_url", "api_key", "demo_model", "core_target", "archiver_target"),
        *("database_url", "credentials"),
    }
    assert ready["base_url"].endswith("/v1")
    until(lambda: any(event["event"] == "curl" for event in up.events()))
    assert curl(up).rstrip().endswith("data: [DONE]")
    children = up.children()
    assert set(children) == PARTS
    assert up.stop() == 0
    assert not any(lives(child) for child in children.values())
    assert not (up.data_dir / "ready.json").exists()
    stopped = [event["who"] for event in up.events() if event["event"] == "stopped"]
    assert stopped == ["edge-0", "archiver", "demo", "core", "postgres"]
    again = Up(up.data_dir, "--json")
    try:
        assert again.ready()["api_key"] == ready["api_key"]
        until(lambda: any(event["event"] == "curl" for event in again.events()))
        assert "[DONE]" in curl(again)
    finally:
        again.stop(signal.SIGTERM)


@pytest.mark.slow
def test_a_killed_supervisor_leaves_no_orphan_and_the_next_run_works(up: Up) -> None:
    """The kernel ends the children; the next run waits until the last of them is gone."""
    up.ready()
    children = up.children().values()
    assert len(children) == len(PARTS)
    kill_hard(up.process)
    (up.data_dir / "ready.json").unlink()
    again = Up(up.data_dir, "--json")
    try:
        again.ready()
        assert not any(lives(child) for child in children)
    finally:
        again.stop()


@pytest.mark.slow
def test_every_part_that_is_killed_comes_back(up: Up) -> None:
    """One after the other, and the answer comes through again."""
    up.ready()
    for part in sorted(PARTS):
        os.kill(up.children()[part], signal.SIGKILL)
        until(lambda: set(up.children()) == PARTS)
    until(lambda: _serving_again(up) == len(PARTS))
    assert "[DONE]" in curl(up)


def _serving_again(up: Up) -> int:
    return len([1 for event in up.events() if event["event"] == "serving"]) - len(PARTS)


@pytest.mark.slow
def test_no_log_holds_what_was_said(up: Up) -> None:
    """Prompts and answers pass through memory only."""
    ready = up.ready()
    until(lambda: any(event["event"] == "curl" for event in up.events()))
    frames = [line[6:] for line in curl(up).splitlines() if line.startswith("data: {")]
    choices = [choice for frame in frames for choice in json.loads(frame)["choices"]]
    answer = "".join(choice["delta"].get("content") or "" for choice in choices)
    assert answer
    up.stop()
    logs = b"".join(path.read_bytes() for path in (up.data_dir / "logs").iterdir())
    assert b"Say hello in five languages" not in logs
    assert ready["api_key"].encode() not in logs
    assert answer.encode() not in logs
