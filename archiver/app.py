"""The archiver's composition root: health and reflection; its service comes with the archive."""

from __future__ import annotations

import asyncio
import signal

from archiver.settings import ArchiverSettings
from kit.clock import clock_for
from kit.lockdown import loop_faults
from kit.log import EventLog
from kit.process import announce_ready
from kit.rpc.identity import Tokens
from kit.rpc.server import start_server

GRACE_SECONDS = 5.0


async def serve(settings: ArchiverSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    clock = clock_for(settings.test_clock, settings.profile)
    log = EventLog("archiver", clock=clock)
    tokens = Tokens.read(settings.credentials_file)
    target = f"127.0.0.1:{settings.archiver_port}"
    server = await start_server(
        [], target=target, tokens=tokens, log=log, shares_port=settings.shares_port
    )
    await server.set_serving(serving=True)
    log.event("archiver_serving", port=server.port)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(loop_faults(log))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    announce_ready(settings.ready_fd)
    await stopping.wait()
    await server.stop(GRACE_SECONDS)
