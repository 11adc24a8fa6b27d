"""Puts the simulator together: the account, the API, the script, the pages, the webhooks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kit.clock import Clock
from tools.stripe_sim.api import Api, check_drift
from tools.stripe_sim.clock import SimulatedClock
from tools.stripe_sim.delivery import Deliveries, Destination
from tools.stripe_sim.events import Journal
from tools.stripe_sim.faults import Faults
from tools.stripe_sim.hosted import Pages
from tools.stripe_sim.idempotency import Keys
from tools.stripe_sim.script import Script, pass_time
from tools.stripe_sim.storage import Storage
from tools.stripe_sim.world import World

_METHODS: Final = ["GET", "POST", "DELETE", "PUT", "PATCH"]


@dataclass(frozen=True)
class Settings:
    """What the simulator is started with."""

    api_key: str
    destination: Destination
    base_url: str
    state: Path | None = None
    seed: int | None = None


class Ticking:
    """Before a request happens what time has brought; before its answer the account is kept."""

    def __init__(self, app: ASGIApp, world: World, storage: Storage) -> None:
        """Wrap the application."""
        self._app = app
        self._world = world
        self._storage = storage
        self._second = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._second != self._world.now():
            self._second = self._world.now()
            pass_time(self._world)

        async def kept_first(message: Message) -> None:
            """Tell nobody of a change that a restart would not know of."""
            if message["type"] == "http.response.start" and scope["method"] != "GET":
                self._storage.save()
            await send(message)

        await self._app(scope, receive, kept_first)


def build(settings: Settings, clock: Clock) -> Starlette:
    """Return the application.

    Raises:
        SdkHasDriftedError: the installed SDK is another one than the simulator follows.
    """
    check_drift()
    source = random.Random(settings.seed)  # noqa: S311 - ids of a simulation
    world = World(SimulatedClock(clock), source)
    world.base_url = settings.base_url
    keys, faults = Keys(world.clock), Faults()
    deliveries = Deliveries(world, settings.destination, faults)
    Journal(world, deliveries.tell)
    storage = Storage(settings.state, world, keys, deliveries)
    storage.load()
    deliveries.on_change = storage.save
    api = Api(world, settings.api_key, keys, faults)
    script = Script(world, keys, faults, deliveries)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        running = asyncio.create_task(deliveries.run())
        try:
            yield
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await deliveries.close()

    return Starlette(
        routes=[
            Route("/", _alive, methods=["GET"]),
            *script.routes(),
            *Pages(world).routes(),
            Route("/{path:path}", api.handle, methods=_METHODS),
        ],
        middleware=[Middleware(Ticking, world=world, storage=storage)],
        lifespan=lifespan,
    )


async def _alive(_: object) -> Response:
    return JSONResponse({"simulator": "stripe"})
