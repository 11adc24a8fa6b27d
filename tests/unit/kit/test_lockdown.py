"""A locked-down process writes no text that it did not choose, and cannot be dumped (P1)."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from kit.lockdown import loop_faults, refuses_to_start, telltales
from kit.log import EventLog
from kit.settings import PROJECT_ROOT

CANARY = "a prompt that nobody may read"
_BEGIN = f"""
import asyncio, gc, os, resource, sys, threading, warnings
from kit.lockdown import lock_down, loop_faults
from kit.log import EventLog
lock_down(EventLog("test"))
CANARY = {CANARY!r}
"""
_UNRAISABLE = """
class Leaky:
    def __del__(self):
        raise ValueError(CANARY)
Leaky()
"""
_THREAD = """
def work():
    raise ValueError(CANARY)
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
_LIBRARY = """
import logging
logging.getLogger("chatty").critical(CANARY)
logging.basicConfig(level=logging.DEBUG, force=True)
logging.getLogger("chatty").critical(CANARY)
"""
_TASK = """
async def work():
    raise ValueError(CANARY)
async def main():
    asyncio.get_running_loop().set_exception_handler(loop_faults(EventLog("test")))
    task = asyncio.create_task(work())
    await asyncio.sleep(0.01)
    del task
    gc.collect()
asyncio.run(main(), debug=True)
"""


def run(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run code in a locked-down process of its own."""
    return subprocess.run(
        [sys.executable, *options, "-c", _BEGIN + code],
        cwd=PROJECT_ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def events(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Return what it logged."""
    return [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.parametrize(
    ("code", "event", "kind"),
    [
        ("raise ValueError(CANARY)", "process_fault", "ValueError"),
        (_UNRAISABLE, "unraisable_fault", "ValueError"),
        (_THREAD, "thread_fault", "ValueError"),
        (_TASK, "loop_fault", "ValueError"),
    ],
)
def test_an_exception_that_nobody_catches_is_told_by_its_type(
    code: str, event: str, kind: str
) -> None:
    """Of the process, of a finaliser, of a thread, of a task that nobody awaits."""
    done = run(code)
    assert CANARY not in done.stderr + done.stdout
    assert {"event": event, "exception": kind}.items() <= events(done)[-1].items()


def test_a_warning_is_told_by_its_category_and_place() -> None:
    """A warning may show the value that it warns of."""
    done = run("warnings.warn(CANARY, UserWarning)", "-W", "always")
    assert CANARY not in done.stderr
    assert events(done)[0]["category"] == "UserWarning"


def test_a_library_cannot_log() -> None:
    """Not even one that sets logging up anew."""
    done = run(_LIBRARY)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.skipif(sys.platform != "linux", reason="core dumps are forbidden by prctl on Linux")
def test_memory_cannot_be_dumped() -> None:
    """No core file, and no other program of the same user may look in."""
    code = """
import ctypes
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""
    assert run(code).stdout == "(0, 0) 0\n"


@pytest.mark.parametrize(
    "variables",
    [
        {"GRPC_TRACE": "all"},
        {"GRPC_VERBOSITY": "debug"},
        {"PYTHONASYNCIODEBUG": "1"},
        {"PYTHONDEVMODE": "1"},
        {"PYTHONFAULTHANDLER": "1"},
        {"SSLKEYLOGFILE": "/tmp/keys"},
        {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true"},
    ],
)
def test_production_refuses_an_environment_that_tells_tales(variables: dict[str, str]) -> None:
    """The variable is named, its value is not."""
    stream = io.StringIO()
    log = EventLog("edge", stream=stream)
    assert refuses_to_start(log, variables, "production")
    assert json.loads(stream.getvalue())["variable"] == next(iter(variables))
    assert not refuses_to_start(log, variables, "dev")


def test_an_ordinary_environment_is_fine() -> None:
    """What every machine has, and what is switched off."""
    assert telltales({"PATH": "/bin", "GRPC_VERBOSITY": "error", "PYTHONDEVMODE": ""}) == []


def test_a_loop_fault_without_exception_is_told_as_such() -> None:
    """Its message may show what was awaited."""
    stream = io.StringIO()
    loop_faults(EventLog("test", stream=stream))(None, {"message": CANARY})  # type: ignore[arg-type]
    assert "loop_fault" in stream.getvalue()
    assert CANARY not in stream.getvalue()
