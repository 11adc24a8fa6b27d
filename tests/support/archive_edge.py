"""An edge that serves a published month of the archive to one key."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

from starlette.applications import Starlette
from starlette.routing import Route

from archiver.settings import ArchiverSettings
from archiver.store.objects import ObjectStore
from archiver.store.opening import open_store
from edge import errors
from edge.admission.admit import Admission
from edge.admission.grants import Grant
from edge.api.archives import Archives
from edge.api.routes import DataPlaneFirst
from kit.clock import SystemClock
from tests.support.archive_rows import workspace
from tests.support.archive_shelf import MONTH_NAME, Core, both_serving, publish
from tests.support.core_server import calling
from tests.unit.edge.admission.doubles import grant
from tests.unit.edge.server.conftest import Running, running

KEY = "the-key"
USAGE = f"/v1/archives/{MONTH_NAME}/usage.parquet"
ORIGIN = "https://api.example.com"
PAGE = "https://app.example.com"
START_SECONDS = 60.0


class OneKey:
    """An admission that knows one key, of a workspace that names origins."""

    def __init__(self, origins: Iterable[str] = (PAGE,)) -> None:
        """Let these origins' pages use it."""
        self._origins = frozenset(origins)

    async def authenticate(self, secret: str, peer: str | None) -> Grant:
        """Return the key's grant."""
        if secret != KEY:
            raise errors.unknown_key()
        return replace(
            grant(),
            workspace_id=workspace(1),
            secrets={b"h" * 32: 0},
            cors_origins=self._origins,
        )


@asynccontextmanager
async def edge_serving(
    core: Core, store: ObjectStore, folder: Path, origins: Iterable[str] = (PAGE,)
) -> AsyncIterator[Running]:
    """Serve the paths of the archive, and answer browsers that ask first."""
    async with (
        both_serving(core, store, folder) as (core_port, port),
        calling(core_port, "edge") as to_core,
        calling(port, "edge") as to_archiver,
    ):
        admission = cast("Admission", OneKey(origins))
        archives = Archives(to_core, to_archiver, admission, ORIGIN, SystemClock())
        pages = Starlette(
            routes=[
                Route("/v1/archives", archives.list),
                Route("/v1/archives/{month}", archives.month),
                Route("/v1/archives/{month}/{name}", archives.file),
            ]
        )
        async with running(DataPlaneFirst({}, pages)) as front:
            yield front
            assert front.faults == []


@contextmanager
def edge_in_thread(
    folder: Path, settings: ArchiverSettings, rows: int, origins: Iterable[str]
) -> Iterator[int]:
    """Serve a month of so many rows from a thread, for whom a browser waits; yields the port."""
    ports: list[int] = []
    ready, done = threading.Event(), threading.Event()

    async def serve() -> None:
        core, store = Core(), open_store(settings)
        await publish(core, store, folder, (rows,))
        async with edge_serving(core, store, folder, origins) as front:
            ports.append(front.port)
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(START_SECONDS)
        yield ports[0]
    finally:
        done.set()
        thread.join(START_SECONDS)
