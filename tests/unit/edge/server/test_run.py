"""A worker process on an inherited socket: it serves, drains at SIGTERM and ends well."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).parents[4]
_WORKER = Path(__file__).with_name("worker.py")


@contextmanager
def worker(graceful_seconds: float, *trusted: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start a worker on a listening socket that this process made."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.Popen(
            [sys.executable, str(_WORKER), str(listener.fileno()), str(graceful_seconds), *trusted],
            pass_fds=[listener.fileno()],
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
            env={"PYTHONPATH": f"{_ROOT}:{_ROOT}/generated/python/src"},
        )
        try:
            assert said(process) == "started"
            yield process, listener.getsockname()[1]
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def said(process: subprocess.Popen[str]) -> str:
    """Return the next line that the worker tells."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def ask(port: int, path: str, *headers: str) -> socket.socket:
    """Send a request and return its connection."""
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    lines = [f"GET {path} HTTP/1.1", "Host: a", *headers, "", ""]
    client.sendall("\r\n".join(lines).encode())
    return client


def answer(client: socket.socket) -> bytes:
    """Return all that comes until the worker hangs up."""
    with client:
        got = b""
        while part := client.recv(65_536):
            got += part
        return got


def test_a_worker_drains_at_sigterm_and_ends_with_0() -> None:
    """The answer under way ends, the lifespan ends, then the process."""
    with worker(10) as (process, port):
        client = ask(port, "/slow/0.4")
        assert said(process) == "entered"
        process.send_signal(signal.SIGTERM)
        wire = answer(client)
        assert wire.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close\r\n" in wire
        assert said(process) == "ended"
        assert said(process) == "done"
        assert process.wait(10) == 0


def test_what_outlasts_the_drain_is_cancelled_and_may_record_its_end() -> None:
    """Every accepted request has an outcome before the lifespan, and the spool, ends."""
    with worker(0.2) as (process, port):
        client = ask(port, "/slow/60")
        assert said(process) == "entered"
        process.send_signal(signal.SIGTERM)
        assert [said(process) for _ in range(3)] == ["recorded", "ended", "done"]
        assert process.wait(10) == 0
        client.close()


def test_forwarded_addresses_count_from_trusted_proxies_only() -> None:
    """A client must not choose the address that its key's allow-list sees."""
    forged = ("X-Forwarded-For: 8.8.8.8", "Connection: close")
    with worker(1) as (_, port):
        assert answer(ask(port, "/", *forged)).endswith(b"\r\n\r\n127.0.0.1")
    with worker(1, "127.0.0.1") as (_, port):
        assert answer(ask(port, "/", *forged)).endswith(b"\r\n\r\n8.8.8.8")


def test_answers_name_no_server() -> None:
    """What we run is nobody's business."""
    with worker(1) as (_, port):
        wire = answer(ask(port, "/", "Connection: close"))
        assert b"server:" not in wire.lower()
        assert b"uvicorn" not in wire.lower()
