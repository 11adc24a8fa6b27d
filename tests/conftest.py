"""What every test gets: no way out, no clock that decides a verdict, nothing left open before."""

from __future__ import annotations

import gc
import ipaddress
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any

import certifi
import pytest
from hypothesis import settings

from tests.support.surroundings import left_out

# One PostgreSQL server for the whole session, started by the first test that asks for it.
pytest_plugins = ("tests.support.postgres",)

# A busy machine is no fault of the code: a test fails on its answer, never on its time.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def one_certificate() -> str:
    """Return the path of a file with one of the web's certificates, for as long as we live.

    No test speaks to the web, so no client needs all of them: reading those takes 50 ms each time.
    """
    end = "-----END CERTIFICATE-----\n"
    first = Path(certifi.where()).read_text().partition(end)[0]
    file = NamedTemporaryFile("w", suffix=".pem")  # noqa: SIM115 it lives as long as we
    file.write(first + end)
    file.flush()
    _kept.append(file)
    return file.name


_kept: list[IO[str]] = []
_one_certificate = one_certificate()
certifi.where = lambda: _one_certificate


def leaves_this_machine(address: Any) -> bool:
    """Whether connecting to this socket address would reach beyond loopback."""
    if not isinstance(address, tuple):
        return False  # a Unix socket
    host = address[0].decode() if isinstance(address[0], bytes) else str(address[0])
    try:
        return not ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host != "localhost"


def refuse_the_network(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: it sees every look-up and connect of the interpreter, whoever makes it."""
    if (event == "socket.connect" and leaves_this_machine(arguments[1])) or (
        event == "socket.getaddrinfo" and arguments[0] and leaves_this_machine(arguments[:2])
    ):
        raise AssertionError("a test may only connect to this machine")


sys.addaudithook(refuse_the_network)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Spare the collector what lives to the end anyway: thousands of tests and all modules."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def nothing_left_open() -> Iterator[None]:
    """Fail the module that leaves a socket, file or process open, not one that runs later.

    The warning comes when the collector finds it, and as an error in whatever runs then.
    """
    yield
    # Until the next test, pytest keeps the frames of the last failure, and what they had open.
    for name in ("last_type", "last_value", "last_traceback"):
        vars(sys).pop(name, None)
    gc.collect()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in a line each what the tests left out on this machine, and how to get it."""
    for line in left_out():
        terminalreporter.write_line(f"left out: {line}")
