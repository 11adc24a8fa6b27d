"""A front on a real socket, in the test's own loop (both kinds), with a small application."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop
from uvicorn.server import ServerState

from edge.server.front import Front, FrontLimits
from edge.server.run import front_config, prepare_listener

App = Callable[..., Any]
PATIENCE_SECONDS = 10.0


def pytest_asyncio_loop_factories(
    config: pytest.Config,
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run each test on asyncio's own loop and on uvloop."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@dataclass
class Running:
    """A front that listens; `faults` is what the application raised."""

    port: int
    front: Front
    state: ServerState
    faults: list[BaseException] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(
        self, limit: int = 2**16
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a client connection; it is closed with the front, also if the test fails."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=limit)
        self.writers.append(writer)
        return reader, writer

    @contextlib.contextmanager
    def slow_client(self, buffer_bytes: int) -> Iterator[socket.socket]:
        """Open a client connection that takes little which nobody asks it for."""
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            client.connect(("127.0.0.1", self.port))
            client.setblocking(False)  # noqa: FBT003 - the socket's signature
            yield client

    async def exchange(self, *parts: bytes) -> bytes:
        """Send these bytes and return all that comes back until the front hangs up."""
        reader, writer = await self.connect()
        with contextlib.suppress(ConnectionError):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.005 if len(parts) > 1 else 0)
        try:
            return await asyncio.wait_for(reader.read(), 10)
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def running(app: App, **limits: float) -> AsyncIterator[Running]:
    """Listen with this application and these limits."""
    faults: list[BaseException] = []
    options: Any = limits
    front = Front(limits=FrontLimits(**options), on_fault=faults.append)
    config = front_config(app, front)
    config.load()
    protocol: Any = config.http_protocol_class
    state = ServerState()
    listener = socket.create_server(("127.0.0.1", 0))
    prepare_listener(listener, front.limits)
    server = await asyncio.get_running_loop().create_server(
        functools.partial(protocol, config, state, {}), sock=listener
    )
    made = Running(listener.getsockname()[1], front, state, faults)
    try:
        yield made
    finally:
        server.close()
        for writer in made.writers:
            writer.transport.abort()
        for connection in list(state.connections):
            connection.transport.abort()
        for task in list(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)
        for _ in range(5):
            await asyncio.sleep(0)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with what the application was told, and the body it read."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        if not message["more_body"]:
            break
    told = {
        "method": scope["method"],
        "path": scope["path"],
        "raw_path": scope["raw_path"].decode(),
        "query": scope["query_string"].decode(),
        "headers": [[name.decode(), value.decode()] for name, value in scope["headers"]],
        "body": body.decode(),
    }
    answer = json.dumps(told).encode()
    length = (b"content-length", b"%d" % len(answer))
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": answer})


def bodies(wire: bytes) -> list[dict[str, Any]]:
    """Return the JSON bodies of the answers in a byte stream."""
    found = []
    while wire:
        head, _, rest = wire.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name == b"content-length":
                length = int(value)
        found.append(json.loads(rest[:length]))
        wire = rest[length:]
    return found


async def until_disconnect(receive: Any) -> None:
    """Return when the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds; a test that waits in vain fails."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110 - counted by the front
            await asyncio.sleep(0.002)
