"""Children in groups of their own that end with us."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kit.process import (
    LockHeld,
    NotOnMainThread,
    RestartPolicy,
    end,
    hold_lock,
    launch,
    run_to_end,
)
from tests.support.processes import IGNORE_TERM, SLEEP, kill_hard, lives, python, until

_PARENT = """
import sys, time
from tests.support.processes import SLEEP, python
from kit.process import launch
print(launch(python(SLEEP)).pid, flush=True)
time.sleep(600)
"""
_WITH_GRANDCHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"])
with open(sys.argv[1] + ".part", "w") as file:
    file.write(str(child.pid))
import os
os.rename(sys.argv[1] + ".part", sys.argv[1])
time.sleep(600)
"""
_TELL = """
import json, os, sys
print(json.dumps({"group": os.getpgrp() == os.getpid(), "names": sorted(os.environ)}))
"""


def test_a_child_is_gone_after_its_parent_was_killed() -> None:
    """The death signal reaches the child although the parent had no time to send anything."""
    parent = subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    # Once it runs the command, only the kernel's signal can end it.
    until(lambda: b"process_entry" not in Path(f"/proc/{child}/cmdline").read_bytes())
    assert lives(child)
    kill_hard(parent)
    parent.stdout.close()
    until(lambda: not lives(child))


def test_a_child_whose_parent_died_before_the_death_signal_was_set_does_not_run() -> None:
    """The kernel sends nothing for a death in the past, so the child looks at its parent."""
    entry = Path(sys.modules["kit.process"].__file__ or "").with_name("process_entry.py")
    nobody = subprocess.run(
        [sys.executable, "-I", "-S", entry, "1073741824", "15", "caller", sys.executable, "-V"],
        check=False,
        capture_output=True,
    )
    assert (nobody.returncode, nobody.stdout) == (126, b"")


def test_a_child_leads_its_own_group_and_knows_only_the_given_environment(tmp_path: Path) -> None:
    """Ctrl-C stays with the parent, and no variable leaks."""
    log = tmp_path / "child.log"
    assert run_to_end(python(_TELL, environment={"A": "1"}, output=log), timeout_seconds=30) == 0
    told = json.loads(log.read_text())
    assert told["group"] is True
    assert set(told["names"]) - {"LC_CTYPE"} == {"A"}


def test_output_is_appended_to_a_file_of_mode_0600(tmp_path: Path) -> None:
    """A restart keeps what the first life wrote."""
    log = tmp_path / "child.log"
    for _ in range(2):
        run_to_end(python("print('line')", output=log), timeout_seconds=30)
    assert log.read_text() == "line\nline\n"
    assert log.stat().st_mode & 0o777 == 0o600


def test_launching_from_another_thread_is_refused() -> None:
    """The death signal would fire at the end of that thread."""
    refused: list[BaseException] = []

    def attempt() -> None:
        try:
            launch(python(SLEEP))
        except NotOnMainThread as refusal:
            refused.append(refusal)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    assert len(refused) == 1


def test_a_child_that_ignores_the_stop_signal_is_killed(tmp_path: Path) -> None:
    """A bounded wait, then SIGKILL."""
    flag = tmp_path / "ready"
    process = launch(python(IGNORE_TERM, str(flag)))
    until(flag.exists)
    assert end(process, stop_signal=signal.SIGTERM, grace_seconds=0.1) == -signal.SIGKILL


def test_what_a_child_started_ends_with_it(tmp_path: Path) -> None:
    """The rest of the process group is killed when its leader has ended."""
    note = tmp_path / "grandchild"
    process = launch(python(_WITH_GRANDCHILD, str(note)))
    until(note.exists)
    grandchild = int(note.read_text())
    end(process, stop_signal=signal.SIGTERM, grace_seconds=10)
    until(lambda: not lives(grandchild))


def test_a_program_that_cannot_be_executed_ends_with_127(tmp_path: Path) -> None:
    """The exit code tells a wrong path from a failing program."""
    command = python(SLEEP)
    missing = type(command)(arguments=("/nonexistent/program",), environment={}, folder=Path("/"))
    assert run_to_end(missing, timeout_seconds=30) == 127


def test_a_command_that_takes_too_long_is_killed() -> None:
    """A probe cannot hang its caller."""
    assert run_to_end(python(SLEEP), timeout_seconds=0.2) == -signal.SIGKILL


def test_ending_a_dead_child_returns_its_exit_code() -> None:
    """Stopping twice is harmless."""
    process = launch(python("raise SystemExit(3)"))
    process.wait(30)
    assert end(process, stop_signal=signal.SIGTERM, grace_seconds=1) == 3


def test_a_lock_is_held_until_the_last_holder_is_gone(tmp_path: Path) -> None:
    """A child that keeps the descriptor holds the lock after its parent let go."""
    path = tmp_path / "lock"
    descriptor = hold_lock(path, wait_seconds=0)
    child = launch(python(SLEEP, kept_descriptors=(descriptor,)))
    os.close(descriptor)
    with pytest.raises(LockHeld):
        hold_lock(path, wait_seconds=0)
    end(child, stop_signal=signal.SIGTERM, grace_seconds=10)
    os.close(hold_lock(path, wait_seconds=10))


def test_pauses_double_up_to_a_maximum() -> None:
    """A child that keeps dying is started ever more seldom, but for ever."""
    policy = RestartPolicy(first_seconds=0.5, factor=2, max_seconds=3)
    assert [policy.delay_seconds(deaths) for deaths in (1, 2, 3, 4, 1000)] == [0.5, 1, 2, 3, 3]


def test_a_long_life_forgives_earlier_deaths() -> None:
    """Only deaths in a row count."""
    policy = RestartPolicy(stable_seconds=30)
    assert policy.deaths_in_a_row(4, lived_seconds=29.9) == 5
    assert policy.deaths_in_a_row(4, lived_seconds=30.0) == 1
