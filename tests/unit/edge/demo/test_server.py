"""The demo's HTTP server, byte by byte, and its life as a process."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from edge.demo.server import (
    HEADER_BYTES_MAX,
    PIPELINED_REQUESTS_MAX,
    Handler,
    Reply,
    Request,
    Server,
)
from tests.support.demo import DemoProcess
from tests.support.recordings import PROJECT

HEALTH = b"GET /healthz HTTP/1.1\r\nhost: demo\r\n\r\n"


def connect(demo: DemoProcess) -> socket.socket:
    """Open a raw connection."""
    return socket.create_connection(("127.0.0.1", demo.port), timeout=10)


def read_until_closed(opened: socket.socket) -> bytes:
    """Read until the server closes; a reset counts as closed."""
    received = b""
    try:
        while part := opened.recv(65536):
            received += part
    except ConnectionResetError:
        pass
    return received


def test_pipelined_requests_are_answered_in_order(demo: DemoProcess) -> None:
    """A slow answer is not overtaken by the one behind it."""
    slow = b'{"model":"demo-slow-50+error-503","messages":[]}'
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
    last = HEALTH.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    with connect(demo) as opened:
        opened.sendall(head % len(slow) + slow + HEALTH + last)
        received = read_until_closed(opened)
    assert received.count(b"HTTP/1.1 ") == 3
    assert received.startswith(b"HTTP/1.1 503 ")
    assert received.endswith(b'{"status":"ok"}')


def test_a_request_may_come_in_single_bytes(demo: DemoProcess) -> None:
    """Nothing depends on how the network cuts the bytes."""
    with connect(demo) as opened:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in HEALTH.replace(b"host", b"connection: close\r\nhost"):
            opened.sendall(bytes([byte]))
        assert b"200 OK" in read_until_closed(opened)


def test_a_client_may_ask_before_a_large_body(demo: DemoProcess) -> None:
    """The tool curl waits for 100 Continue when a body is large."""
    head = b"POST /v1/x HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n"
    with connect(demo) as opened:
        opened.sendall(head)
        assert opened.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        opened.sendall(b"{}")
        assert opened.recv(1024).startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(
    "raw",
    [
        b"not http at all\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"a" * (HEADER_BYTES_MAX + 1) + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
    ],
)
def test_what_is_not_understood_ends_the_connection(demo: DemoProcess, raw: bytes) -> None:
    """A broken or oversized request is not answered as if it were good."""
    with connect(demo) as opened:
        opened.sendall(raw)
        assert b"200 OK" not in read_until_closed(opened)


def test_too_many_pipelined_requests_end_the_connection(demo: DemoProcess) -> None:
    """A client cannot pile up work behind a stalled answer."""
    stall = b'{"model":"demo-stall","messages":[{"role":"user","content":"x"}]}'
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
    with connect(demo) as opened:
        opened.sendall(head % len(stall) + stall + HEALTH * (PIPELINED_REQUESTS_MAX + 1))
        assert read_until_closed(opened) == b""


@pytest.mark.parametrize("field", ["response_format", "tools"])
def test_nesting_beyond_the_encoder_is_refused(demo: DemoProcess, field: str) -> None:
    """What can be read but not be written again is the client's mistake, not ours."""
    nested = '{"type":"text","x":' * 500 + "1" + "}" * 500
    value = (
        nested if field == "response_format" else f'[{{"function":{{"name":"f","x":{nested}}}}}]'
    )
    raw = f'{{"model":"demo","messages":[{{"role":"user"}}],"{field}":{value}}}'
    answered = httpx.post(f"{demo.base_url}/chat/completions", content=raw, trust_env=False)
    assert answered.status_code == 400
    assert answered.json()["error"]["code"] == "invalid_json"


class Broken(Exception):
    """What a faulty handler raises; its text stands for content."""


async def exchange(handler: Handler, *, leave: bool = False) -> bytes:
    """Serve one request in this process by `handler` and read to the end, or leave early."""
    listening = await Server(handler).listen()
    port = listening.sockets[0].getsockname()[1]
    async with listening:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEALTH)
        received = await reader.read(1 if leave else -1)
        writer.close()
        await writer.wait_closed()
    return received


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_failing_handler_costs_its_connection_only(
    caplog: pytest.LogCaptureFixture, *, at_once: bool
) -> None:
    """The log names the type of the error and nothing that the request said."""

    def fail(_request: Request, _reply: Reply) -> None:
        raise Broken("zanzibar")

    async def fail_later(_request: Request, _reply: Reply) -> None:
        raise Broken("zanzibar")

    assert await exchange(fail if at_once else fail_later) == b""
    assert "Broken" in caplog.text
    assert "zanzibar" not in caplog.text


async def test_work_stops_when_the_client_leaves() -> None:
    """Nothing runs on for a connection that is gone."""
    cancelled = asyncio.Event()

    async def wait(_request: Request, reply: Reply) -> None:
        reply.start(200)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    await exchange(wait, leave=True)
    await asyncio.wait_for(cancelled.wait(), 10)


def test_a_signal_ends_the_process_properly() -> None:
    """The supervisor stops it with SIGTERM and gets exit code 0, open connections or not."""
    with DemoProcess() as process, connect(process) as opened:
        opened.sendall(HEALTH)
        opened.recv(1024)
        assert process.stop(signal.SIGTERM) == 0


def test_an_inherited_socket_is_served() -> None:
    """The supervisor may own the listening socket and hand it on."""
    listener = socket.create_server(("127.0.0.1", 0))
    command = [sys.executable, "-m", "edge.demo", "--fd", str(listener.fileno())]
    with (
        listener,
        subprocess.Popen(
            command, pass_fds=(listener.fileno(),), cwd=PROJECT, stdout=subprocess.PIPE
        ) as process,
    ):
        try:
            assert process.stdout is not None
            port = json.loads(process.stdout.readline())["port"]
            assert port == listener.getsockname()[1]
            answered = httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False)
            assert answered.status_code == 200
        finally:
            process.terminate()
        assert process.wait(10) == 0
