"""Some of core's services behind a real gRPC server on loopback, inside the test's process."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import grpc

from kit.log import EventLog
from kit.rpc.client import open_channel
from kit.rpc.identity import Tokens
from kit.rpc.server import Service, start_server

CALLERS = ("edge", "archiver", "operator", "core", "finance", "support")
TOKENS = {name: f"token-of-{name}" for name in CALLERS}


@asynccontextmanager
async def serving(services: Sequence[Service]) -> AsyncIterator[int]:
    """Serve on a free port; yields the port."""
    log = EventLog("core", stream=io.StringIO())
    server = await start_server(
        list(services), target="127.0.0.1:0", tokens=Tokens(TOKENS), log=log
    )
    try:
        yield server.port
    finally:
        await server.stop(0)


@asynccontextmanager
async def calling(port: int, caller: str = "operator") -> AsyncIterator[grpc.aio.Channel]:
    """Open a channel as one of the callers."""
    async with open_channel(f"127.0.0.1:{port}", TOKENS[caller]) as channel:
        yield channel
