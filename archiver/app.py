"""The archiver's composition root: settings in, a serving process out."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress

import pyarrow as pa

from archiver.access import Access
from archiver.core_link import CoreLink
from archiver.focus import FocusFiles
from archiver.metrics import ArchiverMetrics, serve_metrics
from archiver.parts import Workshop
from archiver.rpc import ArchiveServicer, archive_service
from archiver.runner import Runner
from archiver.settings import ArchiverSettings
from archiver.shelf import Shelf
from archiver.store.opening import open_store
from archiver.work_folder import WorkFolder
from kit.clock import clock_for
from kit.lockdown import loop_faults
from kit.log import EventLog
from kit.process import announce_ready
from kit.rpc.client import open_channel
from kit.rpc.identity import Tokens
from kit.rpc.server import start_server
from kit.telemetry import new_registry

GRACE_SECONDS = 4.0
DECAY_MS = 100
"""How long freed memory is kept for who needs some next."""


async def serve(settings: ArchiverSettings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        StoreNotConfigured: the settings name no store that can be used.
    """
    _give_memory_back()
    store = open_store(settings)
    work = WorkFolder(settings.data_dir)
    try:
        tokens = Tokens.read(settings.credentials_file)
        async with open_channel(settings.core_target, tokens.of("archiver")) as channel:
            clock = clock_for(settings.test_clock, settings.profile)
            log = EventLog("archiver", clock=clock)
            registry = new_registry()
            shop = Workshop(CoreLink(channel), store, FocusFiles(), work.path / "drafts")
            runner = Runner(shop, clock, log, ArchiverMetrics(registry))
            servicer = ArchiveServicer(
                Shelf(channel, clock),
                Access(channel, clock),
                store,
                runner,
                clock=clock,
                folder=work.path / "tables",
            )
            if settings.archiver_metrics_port:
                serve_metrics(registry, settings)
            await _serve(settings, servicer, runner, tokens, log)
    finally:
        work.close()


async def _serve(
    settings: ArchiverSettings,
    servicer: ArchiveServicer,
    runner: Runner,
    tokens: Tokens,
    log: EventLog,
) -> None:
    server = await start_server(
        [archive_service(servicer)],
        target=f"127.0.0.1:{settings.archiver_port}",
        tokens=tokens,
        log=log,
        shares_port=settings.shares_port,
    )
    await server.set_serving(serving=True)
    log.event("archiver_serving", port=server.port)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(loop_faults(log))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    working = asyncio.create_task(runner.keep_going())
    announce_ready(settings.ready_fd)
    await stopping.wait()
    # What was begun may be left where it is: every step can be repeated.
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working
    await server.stop(GRACE_SECONDS)


def _give_memory_back() -> None:
    """Let freed row groups leave the process soon; at once costs a page fault for each page."""
    with suppress(NotImplementedError):  # Arrow was built without this allocator
        pa.jemalloc_set_decay_ms(DECAY_MS)
