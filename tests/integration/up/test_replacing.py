"""A child's replacement serves before the child is told to finish; a bad one changes nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from core import doctor
from core.up.control import SOCKET_NAME, ask, is_up, serve_control
from core.up.reporter import Reporter
from core.up.rolling import GENERATIONS_MAX, Rolling
from core.up.services import ProcessService, Retirement
from core.up.supervisor import ReplacementFailed, Supervisor
from kit.cli import CommandFailed, Exit
from kit.doctor import Surroundings, Verdict
from kit.process import RETIRE_SIGNAL, RestartPolicy
from kit.settings import ProcessSettings
from tests.support.processes import lives, python

_QUICK = RestartPolicy(first_seconds=0.01, max_seconds=0.02, attempts_before_serving=3)

# Says that it serves after a moment, unless the file `bad` is there; notes what happens to it.
_TOY = """
import os, pathlib, signal, sys, time
notes = pathlib.Path(sys.argv[1])
def note(what):
    with notes.open("a") as file:
        file.write(f"{what} {os.getpid()}\\n")
def finish(*_):
    note("retired")
    if not notes.with_name("stubborn").exists():
        sys.exit(0)
signal.signal(signal.SIGUSR1, finish)
note("start")
time.sleep(0.2)
if notes.with_name("bad").exists():
    sys.exit(3)
note("serve")
os.write(int(os.environ["ONEAPI_READY_FD"]), b"1")
time.sleep(600)
"""


def toy(notes: Path, seconds: float = 10.0) -> ProcessService:
    """Return a child that says itself when it serves."""
    retirement = Retirement(RETIRE_SIGNAL, seconds)
    command = python(_TOY, str(notes))
    return ProcessService("edge-0", command, stop_seconds=5, retirement=retirement)


def told(notes: Path) -> list[tuple[str, int]]:
    """Return what the children have noted, and who."""
    return [(line.split()[0], int(line.split()[1])) for line in notes.read_text().splitlines()]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Name the file in which children note what they do."""
    return tmp_path / "notes"


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    """Make a supervisor that stops its children after the test."""
    made = Supervisor(Reporter(lambda _line: None, as_json=True), _QUICK)
    yield made
    await made.stop()


async def running(supervisor: Supervisor, service: ProcessService) -> int:
    """Start a child and return its process id once it serves."""
    await supervisor.start(service)
    await supervisor.until_serving([service])
    return service.process_id


async def test_the_old_one_is_told_only_when_the_new_one_serves(
    supervisor: Supervisor, notes: Path
) -> None:
    """At no instant does nobody serve."""
    old = await running(supervisor, toy(notes))
    done = await supervisor.replace("edge-0")
    await done.leaving
    assert done.old_process_id == old
    assert [(what, who == old) for what, who in told(notes)] == [
        ("start", True),
        ("serve", True),
        ("start", False),
        ("serve", False),
        ("retired", True),
    ]
    assert not lives(old)


async def test_a_replacement_is_kept_alive_like_any_child(
    supervisor: Supervisor, notes: Path
) -> None:
    """After kill -9 another one starts."""
    await running(supervisor, toy(notes))
    done = await supervisor.replace("edge-0")
    os.kill(done.new_process_id, signal.SIGKILL)
    await _until(lambda: len([what for what, _ in told(notes) if what == "serve"]) == 3)


async def test_a_replacement_that_does_not_serve_changes_nothing(
    supervisor: Supervisor, notes: Path
) -> None:
    """The old one is not told to finish, and is started again if it dies."""
    old = await running(supervisor, toy(notes))
    notes.with_name("bad").touch()
    with pytest.raises(ReplacementFailed):
        await supervisor.replace("edge-0")
    assert lives(old)
    assert "retired" not in [what for what, _ in told(notes)]
    notes.with_name("bad").unlink()
    os.kill(old, signal.SIGKILL)
    await _until(lambda: told(notes)[-1][0] == "serve" and told(notes)[-1][1] != old)


async def test_an_old_one_that_takes_too_long_is_killed(
    supervisor: Supervisor, notes: Path
) -> None:
    """The window is bounded."""
    old = await running(supervisor, toy(notes, seconds=0.3))
    notes.with_name("stubborn").touch()
    done = await supervisor.replace("edge-0")
    await done.leaving
    assert not lives(old)


async def test_generations_that_finish_are_bounded(supervisor: Supervisor, notes: Path) -> None:
    """One more is refused until the first has ended: memory and credit are not without bounds."""
    notes.with_name("stubborn").touch()
    await running(supervisor, toy(notes, seconds=600))
    rolling = Rolling(supervisor)
    for _ in range(GENERATIONS_MAX):
        rows = [row["state"] async for row in rolling.restart("edge", wait=False)]
        assert rows == ["replaced"]
    with pytest.raises(CommandFailed) as refusal:
        _ = [row async for row in rolling.restart("edge", wait=False)]
    assert refusal.value.reason == "STILL_FINISHING"


async def test_who_waits_for_old_streams_hinders_no_other_restart(
    supervisor: Supervisor, notes: Path
) -> None:
    """Only the exchange is alone; the wait may take as long as a stream, or be forgotten."""
    notes.with_name("stubborn").touch()
    old = await running(supervisor, toy(notes, seconds=600))
    rolling = Rolling(supervisor)
    waiting = rolling.restart("edge", wait=True)
    assert (await anext(waiting))["state"] == "replaced"
    ended = asyncio.ensure_future(anext(waiting))
    await asyncio.sleep(0.1)
    assert [row["state"] async for row in rolling.restart("edge", wait=False)] == ["replaced"]
    assert not ended.done()
    os.kill(old, signal.SIGKILL)
    assert (await ended)["state"] == "ended"


async def _rows(request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
    if request.get("command") != "restart":
        raise CommandFailed("Unknown command.", code=Exit.USAGE, reason="UNKNOWN_COMMAND")
    yield {"process": "core"}
    yield {"process": "edge-0"}


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    """Serve commands in a folder whose path is too long for a socket's."""
    deep = tmp_path / ("a" * 90) / ("b" * 90)
    deep.mkdir(parents=True)
    serving = asyncio.create_task(serve_control(deep, _rows))
    await _until((deep / SOCKET_NAME).exists)
    yield deep
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    assert not (deep / SOCKET_NAME).exists()


async def asked(folder: Path, **request: object) -> list[Mapping[str, Any]]:
    """Ask as the command line does."""
    return await asyncio.to_thread(lambda: list(ask(folder, request)))


async def test_a_command_gets_its_rows(folder: Path) -> None:
    """One after the other, to the end."""
    rows = await asked(folder, command="restart")
    assert [row["process"] for row in rows] == ["core", "edge-0"]


async def test_only_the_owner_may_ask(folder: Path) -> None:
    """The socket's mode is the access rule."""
    assert stat.S_IMODE((folder / SOCKET_NAME).stat().st_mode) == 0o600


async def test_a_refusal_is_told_with_its_exit_code(folder: Path) -> None:
    """Programs see why."""
    with pytest.raises(CommandFailed) as refusal:
        await asked(folder, command="dance")
    assert (refusal.value.exit_code, refusal.value.reason) == (Exit.USAGE, "UNKNOWN_COMMAND")


async def test_what_is_no_request_ends_its_conversation_only(folder: Path) -> None:
    """The next one is answered."""
    descriptor = os.open(folder, os.O_PATH)
    try:
        reader, writer = await asyncio.open_unix_connection(
            f"/proc/self/fd/{descriptor}/{SOCKET_NAME}"
        )
    finally:
        os.close(descriptor)
    writer.write(b"x" * 10_000 + b"\n")
    assert await reader.read() == b""
    writer.close()
    assert len(await asked(folder, command="restart")) == 2


async def test_a_socket_that_a_killed_run_left_is_not_taken_for_it(
    folder: Path, tmp_path: Path
) -> None:
    """The doctor looks whether somebody listens, not whether the file is there."""
    assert await asyncio.to_thread(is_up, folder)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / SOCKET_NAME))
    (tmp_path / "ready.json").write_text("{}")
    looked = Surroundings(ProcessSettings(data_dir=tmp_path), {}, {"base_url": "http://x"})
    (found,) = doctor.supervisor(looked)
    assert (found.verdict, "does not run" in found.found) == (Verdict.WARNING, True)


async def test_where_nobody_runs_the_command_says_so(tmp_path: Path) -> None:
    """With the exit code for what cannot be reached."""
    with pytest.raises(CommandFailed) as refusal:
        await asked(tmp_path, command="restart")
    assert (refusal.value.exit_code, refusal.value.reason) == (Exit.UNREACHABLE, "NOT_UP")
    assert json.dumps(refusal.value.details) == "{}"


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - watches files
            await asyncio.sleep(0.01)
