"""Children that die are started again; all of them stop in order."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from core.up.reporter import Reporter
from core.up.services import ProcessService
from core.up.supervisor import Supervisor
from kit.cli import CommandFailed, Exit
from kit.process import RestartPolicy
from tests.support.processes import children_of, kill_hard, lives, python, until

_QUICK = RestartPolicy(first_seconds=0.01, max_seconds=0.02, attempts_before_serving=3)

# Notes its start and its end in a file that all children share.
_TOY = """
import os, pathlib, signal, sys, time
name, notes = sys.argv[1], pathlib.Path(sys.argv[2])
def note(what):
    with notes.open("a") as file:
        file.write(f"{what} {name} {os.getpid()}\\n")
def leave(*_):
    note("end")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
note("start")
time.sleep(600)
"""
_SUPERVISING = """
import asyncio, sys
from pathlib import Path
from tests.integration.up.test_supervisor import supervise_two
asyncio.run(supervise_two(Path(sys.argv[1])))
"""


async def supervise_two(notes: Path) -> None:
    """Keep two children for ever; run in a process of its own to be killed."""
    supervisor = Supervisor(Reporter(_ignore, as_json=False), _QUICK)
    services = [toy("first", notes), toy("second", notes)]
    for service in services:
        await supervisor.start(service)
    await supervisor.until_serving(services)
    await supervisor.watch()


def toy(name: str, notes: Path, log: Path | None = None) -> ProcessService:
    """Return a child that serves as soon as it has noted its start."""

    async def started() -> bool:
        return any(line.startswith(f"start {name} ") for line in lines_of(notes))

    command = replace(python(_TOY, name, str(notes)), output=log)
    return ProcessService(name, command, started, stop_seconds=10)


def failing(name: str, exit_code: int) -> ProcessService:
    """Return a child that ends at once."""

    async def never() -> bool:
        return False

    return ProcessService(name, python(f"raise SystemExit({exit_code})"), never, stop_seconds=1)


def lines_of(notes: Path) -> list[str]:
    """Return what the children have noted."""
    return notes.read_text().splitlines() if notes.exists() else []


def _ignore(_line: str) -> None:
    """Report to nobody."""


@pytest.fixture
def reports() -> list[str]:
    """Collect the lines that the supervisor writes to the terminal."""
    return []


@pytest.fixture
async def supervisor(reports: list[str]) -> AsyncIterator[Supervisor]:
    """Make a supervisor that stops its children after the test."""
    made = Supervisor(Reporter(reports.append, as_json=True), _QUICK)
    yield made
    await made.stop()


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Name the file in which children note what they do."""
    return tmp_path / "notes"


def events(reports: list[str], event: str) -> list[str]:
    """Return who reported an event."""
    told = [json.loads(line) for line in reports]
    return [line["who"] for line in told if line["event"] == event]


async def test_a_dead_child_is_started_again_and_reported(
    supervisor: Supervisor, reports: list[str], notes: Path
) -> None:
    """After kill -9 it serves again, and one line says that it died."""
    service = toy("only", notes)
    await supervisor.start(service)
    await supervisor.until_serving([service])
    os.kill(int(lines_of(notes)[0].split()[2]), signal.SIGKILL)
    await _until(lambda: len(lines_of(notes)) == 2)
    await _until(lambda: events(reports, "serving") == ["only", "only"])
    assert events(reports, "died") == ["only"]
    died = next(line for line in map(json.loads, reports) if line["event"] == "died")
    assert died["exit_code"] == -signal.SIGKILL


async def test_a_child_that_cannot_be_started_now_is_started_later(
    supervisor: Supervisor, reports: list[str], notes: Path, tmp_path: Path
) -> None:
    """Its log cannot be opened, as on a full disk: the run goes on, and so does the child after."""
    logs, away = tmp_path / "logs", tmp_path / "away"
    logs.mkdir()
    service = toy("only", notes, logs / "only.log")
    await supervisor.start(service)
    await supervisor.until_serving([service])
    logs.rename(away)
    os.kill(service.process_id, signal.SIGKILL)
    await _until(lambda: len(events(reports, "died")) >= 3)
    away.rename(logs)
    await _until(lambda: len(lines_of(notes)) == 2)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(supervisor.watch(), 0.1)


class _Clinging(ProcessService):
    """A child that the first attempt cannot end."""

    clings = True

    async def stop(self) -> None:
        """Fail once as `kit.process.end` does."""
        if self.clings:
            self.clings = False
            raise subprocess.TimeoutExpired("toy", 30)
        await super().stop()


async def test_a_child_that_does_not_end_is_watched_on(
    supervisor: Supervisor, reports: list[str], notes: Path
) -> None:
    """Its restart has failed and says so; after its death it is started again."""

    async def started() -> bool:
        return bool(lines_of(notes))

    service = _Clinging("only", python(_TOY, "only", str(notes)), started, stop_seconds=10)
    await supervisor.start(service)
    await supervisor.until_serving([service])
    with pytest.raises(CommandFailed) as failure:
        await supervisor.restart("only")
    assert failure.value.reason == "CHILD_DOES_NOT_END"
    os.kill(service.process_id, signal.SIGKILL)
    await _until(lambda: len(lines_of(notes)) == 2)
    assert events(reports, "died") == ["only"]
    await supervisor.restart("only")
    await _until(lambda: len(lines_of(notes)) == 4)
    assert [line.split()[0] for line in lines_of(notes)] == ["start", "start", "end", "start"]


async def test_children_stop_in_the_reverse_order_of_their_start(
    reports: list[str], notes: Path
) -> None:
    """Nobody loses what it depends on before it has ended itself."""
    supervisor = Supervisor(Reporter(reports.append, as_json=True), _QUICK)
    services = [toy(name, notes) for name in ("database", "core", "edge")]
    for service in services:
        await supervisor.start(service)
    await supervisor.until_serving(services)
    await supervisor.stop()
    ended = [line.split()[1] for line in lines_of(notes) if line.startswith("end")]
    assert ended == ["edge", "core", "database"]
    assert events(reports, "stopped") == ended


async def test_a_child_that_never_serves_is_given_up(
    supervisor: Supervisor, reports: list[str]
) -> None:
    """Three deaths in a row under this policy; the message names the child."""
    service = failing("core", exit_code=1)
    await supervisor.start(service)
    with pytest.raises(CommandFailed) as failure:
        await supervisor.until_serving([service])
    assert failure.value.details == {"child": "core"}
    assert failure.value.exit_code == Exit.FAILED
    assert len(events(reports, "died")) == 2


async def test_wrong_settings_of_a_child_end_the_run_at_once(
    supervisor: Supervisor, reports: list[str]
) -> None:
    """Exit code 78: starting again would not help."""
    service = failing("core", exit_code=Exit.SETTINGS)
    await supervisor.start(service)
    with pytest.raises(CommandFailed) as failure:
        await supervisor.until_serving([service])
    assert failure.value.exit_code == Exit.SETTINGS
    assert events(reports, "died") == []


def test_no_child_survives_a_killed_supervisor(notes: Path) -> None:
    """After kill -9 of the supervisor the kernel ends its children, each in its own way."""
    process = subprocess.Popen([sys.executable, "-c", _SUPERVISING, str(notes)])
    until(lambda: len(lines_of(notes)) == 2)
    children = children_of(process.pid)
    assert len(children) == 2
    kill_hard(process)
    until(lambda: not any(lives(child) for child in children))
    assert sorted(line.split()[:2] for line in lines_of(notes)[2:]) == [
        ["end", "first"],
        ["end", "second"],
    ]


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - watches a file
            await asyncio.sleep(0.01)
