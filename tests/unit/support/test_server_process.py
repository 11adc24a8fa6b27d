"""Server processes of tests start, stop and never stay behind."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.support.demo import DemoProcess
from tests.support.processes import lives, until
from tests.support.recordings import PROJECT
from tests.support.server_process import ServerDidNotStartError, ServerProcess

STARTER = """
import sys, time
from tests.support.demo import DemoProcess
with DemoProcess() as demo:
    sys.stdout.write(f"{demo.pid}\\n")
    sys.stdout.flush()
    time.sleep(600)
"""


def test_addresses_are_those_of_the_process() -> None:
    """The base URL is what an OpenAI client wants."""
    with DemoProcess() as demo:
        assert demo.port > 0
        assert demo.base_url == f"{demo.origin}/v1"


def test_a_process_that_cannot_start_is_an_error() -> None:
    """Not a hanging test."""
    with pytest.raises(ServerDidNotStartError), ServerProcess("edge.demo", "--port", "none"):
        pass


def test_the_child_dies_with_a_killed_test_run() -> None:
    """The kernel ends it, because nobody else could."""
    command = [sys.executable, "-c", STARTER]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        child = int(starter.stdout.readline())
        starter.send_signal(signal.SIGKILL)
        starter.wait(10)
    until(lambda: not lives(child))
