"""The edge's composition root: settings in, a serving worker out."""

from __future__ import annotations

import asyncio
import gc
import hmac
import json
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from starlette.applications import Starlette
from starlette.routing import Route

from edge.admission.admit import Admission
from edge.api import google_models
from edge.api.account import Account
from edge.api.alarms import Alarms
from edge.api.archives import Archives
from edge.api.body_room import BodyRoom
from edge.api.endpoint import Endpoint
from edge.api.models import Models
from edge.api.receipts import KEYS_PATH, Receipts
from edge.api.recording import Parts
from edge.api.routes import PREFIXES, DataPlaneFirst
from edge.api.status import Status
from edge.api.surfaces import Doors
from edge.core_link import CoreCalls, CoreLink
from edge.metering.counters import SpoolState
from edge.metering.errors import SpoolFull
from edge.metering.metering import Metering
from edge.metering.slot import Slot
from edge.metering.spool import SpoolLimits
from edge.metrics import EdgeMetrics
from edge.pages.site import Site
from edge.server.descriptors import raise_limit, shares
from edge.server.front import Front, FrontLimits
from edge.server.run import FrontServer, front_config, prepare_listener
from edge.settings import EdgeSettings
from edge.translate.surface import Surface
from edge.upstream.attempts import Endpoints
from edge.upstream.client import UpstreamClient
from edge.upstream.message import Limits
from edge.upstream.routing import Router
from edge.webhooks.stripe import StripePaths
from kit.clock import Clock, clock_for
from kit.lockdown import loop_faults
from kit.log import EventLog
from kit.process import RETIRE_SIGNAL, announce_ready
from kit.rpc.client import open_channel
from kit.rpc.identity import Tokens
from oneapi.metering.v1 import metering_service_pb2_grpc

if TYPE_CHECKING:
    from uvicorn._types import ASGIApplication

GC_THRESHOLD: Final = 20_000
"""New container objects between two looks for cycles."""
QUEUE_SECONDS: Final = 45.0
"""How long clients may queue for a worker that is starting before it tells them to come again."""
DISK_RETRY_SECONDS: Final = 1.0
DISK_PATIENCE_SECONDS: Final = 60.0
"""A worker that has waited so long for a disk leaves: only another process sees a new mount."""
DRAIN_LOOK_SECONDS: Final = 0.1
_Made = TypeVar("_Made")


class Worker:
    """One edge process: its link to core, its spool and its HTTP front."""

    def __init__(
        self,
        settings: EdgeSettings,
        slot_number: int,
        log: EventLog,
        clock: Clock,
        *,
        landlock_version: int = 0,
    ) -> None:
        """Put the parts together; nothing runs yet. Needs a running loop."""
        self.landlock_version = landlock_version
        token = Tokens.read(settings.credentials_file).of("edge")
        self._settings = settings
        self._preferred_slot = slot_number + 1
        self._log = log
        self._clock = clock
        self._room = BodyRoom(settings.large_bodies_bytes)
        self._channel = open_channel(settings.core_target, token)
        self._archiver = open_channel(settings.archiver_target, token)
        self.link = CoreLink(
            CoreCalls(self._channel),
            clock,
            log,
            disconnected_seconds=settings.disconnected_seconds,
            on_fenced=self._on_fenced,
        )
        self._admission = Admission(
            self.link,
            _peppers(settings.peppers),
            clock,
            free_per_minute=settings.free_requests_per_minute,
        )
        share = shares(raise_limit(), settings.upstream_connections)
        self.router = Router(clock)
        self._client = UpstreamClient(limits=Limits(max_connections=share.upstreams))
        self._metering: Metering | None = None
        self.front = Front(
            FrontLimits(
                max_connections=share.clients,
                min_take_bytes_per_second=settings.min_take_bytes_per_second,
            ),
            on_fault=lambda error: log.fault("front_fault", error),
        )
        self._doors = Doors()
        self._status = Status(self._is_ready, EdgeMetrics(self))
        self._server: FrontServer | None = None
        self._starting_over: asyncio.Task[None] | None = None
        self.exit_code = 0

    @property
    def metering(self) -> Metering | None:
        """Return the spool's owner once the epoch is open."""
        return self._metering

    @property
    def upstream_client(self) -> UpstreamClient:
        """Return the client of the data plane."""
        return self._client

    async def run(self, listener: socket.socket) -> None:
        """Serve until told to stop; then drain, ship and close the epoch.

        `exit_code` then says whether another process should take over at once.
        """
        prepare_listener(listener, self.front.limits)
        origin = self._settings.public_origin or _origin_of(listener)
        app = cast("ASGIApplication", self._application(origin))
        self._server = FrontServer(
            front_config(app, self.front),
            self.front,
            self._settings.drain_seconds,
            self._settings.retire_seconds,
        )
        asyncio.get_running_loop().add_signal_handler(RETIRE_SIGNAL, self._server.retire)
        # On a socket that others hold too they serve, or clients queue: nobody has to come again.
        patience = 0.0 if self._settings.listen_fd is None else QUEUE_SECONDS
        asyncio.get_running_loop().call_later(patience, self._server.may_accept.set)
        opening = asyncio.create_task(self._open())
        opening.add_done_callback(self._on_opened)
        try:
            await self._server.serve(sockets=[listener])
        finally:
            opening.cancel()
            await self._close()

    async def _open(self) -> None:
        """Open the epoch and let requests in, however long the disk and core take to answer."""
        slot = await self._patiently(
            lambda: Slot.acquire(self._settings.data_dir, self._preferred_slot)
        )
        self.link.calls.edge_id = slot.edge_id
        epoch = await self.link.open()
        self._metering = await self._patiently(lambda: self._metering_of(slot, epoch))
        self.link.start()
        self._metering.start()
        await self.link.ready.wait()
        self._doors.open(self._endpoints(self._metering))
        _settle_memory()
        self._log.event("edge_serving", edge_id=slot.edge_id, epoch=epoch)
        if self._server is not None:
            self._server.may_accept.set()
            await self._server.accepting.wait()
            announce_ready(self._settings.ready_fd)

    async def _patiently(self, make: Callable[[], _Made]) -> _Made:
        """Make something on a disk that may be full or ill; requests get 503 meanwhile.

        Raises:
            OSError: it stayed so.
            SpoolFull: it stayed so.
        """
        give_up = self._clock.monotonic() + DISK_PATIENCE_SECONDS
        while True:
            try:
                return make()
            except (OSError, SpoolFull) as error:
                self._log.fault("disk_not_ready", error)
                if self._clock.monotonic() > give_up:
                    raise
                if self._server is not None:
                    self._server.may_accept.set()
            await asyncio.sleep(DISK_RETRY_SECONDS)

    def _metering_of(self, slot: Slot, epoch: int) -> Metering:
        return Metering(
            slot,
            epoch,
            data_dir=self._settings.data_dir,
            metering=metering_service_pb2_grpc.MeteringServiceStub(self._channel),
            admission=self.link.calls.stub,
            log=self._log,
            limits=SpoolLimits(max_bytes=self._settings.spool_max_bytes),
            on_failed=lambda: self._on_spool_failed(slot),
        )

    def _on_opened(self, opening: asyncio.Task[None]) -> None:
        if opening.cancelled():
            return
        error = opening.exception()
        if error is not None:
            # A worker without a spool is of no use: the supervisor starts another one.
            self._log.fault("edge_not_opened", error)
            self.exit_code = os.EX_TEMPFAIL
            self._stop_serving()

    def _on_fenced(self) -> None:
        self._log.event("edge_fenced", edge_id=self.link.calls.edge_id)
        self._stop_serving()

    def _on_spool_failed(self, slot: Slot) -> None:
        self._starting_over = asyncio.create_task(self._start_over(slot))
        self._log.event("spool_failed", edge_id=slot.edge_id)

    async def _start_over(self, slot: Slot) -> None:
        """Leave once the disk is well and nothing runs: the next process has a fresh spool.

        Until then this one refuses requests at once and reports what runs straight to core. Leaving
        earlier would only let clients wait at a door that nobody can open.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(DISK_PATIENCE_SECONDS):
                while not await asyncio.to_thread(slot.is_writable):  # noqa: ASYNC110  asks a disk
                    await asyncio.sleep(DISK_RETRY_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_seconds):
                while not self._is_idle():  # noqa: ASYNC110  it is told by many
                    await asyncio.sleep(DRAIN_LOOK_SECONDS)
        self.exit_code = os.EX_TEMPFAIL
        self._stop_serving()

    def _is_idle(self) -> bool:
        return self._metering is None or self._metering.spool.is_idle()

    def _stop_serving(self) -> None:
        if self._server is not None:
            self._server.stop()

    async def _close(self) -> None:
        if self._starting_over is not None:
            self._starting_over.cancel()
        if self._metering is not None:
            await self._metering.stop(in_touch=lambda: self.link.in_touch)
        await self.link.stop()
        await self._client.aclose()
        await self._archiver.close()
        await self._channel.close()

    def _is_ready(self) -> bool:
        # A retiring worker still is: whoever asks on a kept connection comes to the next one.
        return (
            self._doors.are_open
            and self.link.usable
            and not self.front.stopping
            and self._metering is not None
            and self._metering.stats().state is SpoolState.OPEN
        )

    def _endpoints(self, metering: Metering) -> Callable[[Surface], Endpoint]:
        """Return what makes the endpoint of a surface; all share the same parts."""
        settings = self._settings
        peppers = _peppers(settings.peppers)
        parts = Parts(
            admission=self._admission,
            spool=metering.spool,
            client=self._client,
            router=self.router,
            endpoints=Endpoints(),
            clock=self._clock,
            log=self._log,
            silences=Alarms(settings.keepalive_seconds),
            deadlines=Alarms(settings.request_max_seconds),
            max_answer_bytes=settings.max_answer_bytes,
        )
        return lambda surface: Endpoint(
            parts,
            self.link,
            self._room,
            surface,
            max_body_bytes=settings.max_body_bytes,
            idempotency_pepper=_idempotency_pepper(peppers),
        )

    def _application(self, origin: str) -> DataPlaneFirst:
        """Return what answers requests: the busy paths by one look-up, the others by the router."""
        return DataPlaneFirst(dict(self._doors.paths()), self._pages(origin))

    def _pages(self, origin: str) -> Starlette:
        models = Models(self.link, self._admission, self._clock)
        account = Account(self._channel, self._admission)
        receipts = Receipts(self._channel, self._admission, self._clock)
        archives = Archives(self._channel, self._archiver, self._admission, origin, self._clock)
        site = Site(lambda: self.link.catalog, self._clock, origin)
        routes = [
            Route("/healthz", self._status.health),
            Route("/readyz", self._status.ready),
            Route("/metrics", self._status.metrics),
        ]
        # For the answers to other methods.
        routes += [
            Route(path.replace("*:", "{model:path}:"), gate, methods=["POST"])
            for path, gate in self._doors.paths()
        ]
        for prefix in (*PREFIXES, google_models.PREFIX):
            routes += [
                Route(f"{prefix}/models", models.list),
                Route(f"{prefix}/models/{{model:path}}", models.get),
            ]
        # Below /api/v1 OpenRouter's clients expect another shape, with amounts that round.
        routes.append(Route("/v1/credits", account.credits))
        for prefix in PREFIXES:
            routes += [
                Route(f"{prefix}/receipts/{{request_id}}", receipts.receipt),
                Route(f"{prefix}/archives", archives.list),
                Route(f"{prefix}/archives/{{month}}", archives.month),
                Route(f"{prefix}/archives/{{month}}/{{name}}", archives.file),
            ]
        routes.append(Route(KEYS_PATH, receipts.keys))
        routes += site.routes()
        routes += StripePaths(self._channel, self._room, self._clock).routes()
        handlers: dict[Any, Any] = {
            404: self._status.not_found,
            405: self._status.wrong_method,
            Exception: self._status.fault,
        }
        application = Starlette(routes=routes, exception_handlers=handlers)
        # A redirect would be made of the client's Host header.
        application.router.redirect_slashes = False
        return application


def _settle_memory() -> None:
    """Keep the collector from looking at what lives as long as the process.

    A request leaves few cycles; looking for them after every 700 new objects, through the whole
    catalogue now and then, would cost more than serving it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 100)


def _peppers(path: Path) -> list[bytes]:
    """Return the peppers of key hashes, newest first."""
    by_version = {int(version): text for version, text in json.loads(path.read_text()).items()}
    return [bytes.fromhex(by_version[version]) for version in sorted(by_version, reverse=True)]


def _idempotency_pepper(peppers: list[bytes]) -> bytes:
    """Return what clients' idempotency keys are hashed under.

    Of the oldest pepper, which stays while new ones come: a key that was sent again after a new
    pepper, or to a worker that does not know it yet, must be the same key. Its own key, so that a
    hash of one kind never is one of the other.
    """
    return hmac.digest(peppers[-1], b"idempotency-key", "sha256")


async def serve(settings: EdgeSettings, slot_number: int, *, landlock_version: int = 0) -> int:
    """Serve as the worker of a slot, on the socket that the supervisor holds or on our own port.

    Returns the exit code.
    """
    clock = clock_for(settings.test_clock, settings.profile)
    log = EventLog("edge", clock=clock)
    asyncio.get_running_loop().set_exception_handler(loop_faults(log))
    worker = Worker(settings, slot_number, log, clock, landlock_version=landlock_version)
    await worker.run(_listener(settings))
    return worker.exit_code


def _origin_of(listener: socket.socket) -> str:
    """Return where a client on this machine finds the service."""
    address = listener.getsockname()
    host = "127.0.0.1" if address[0] == "0.0.0.0" else address[0]  # noqa: S104  it is read
    return f"http://[{host}]:{address[1]}" if ":" in host else f"http://{host}:{address[1]}"


def _listener(settings: EdgeSettings) -> socket.socket:
    if settings.listen_fd is not None:
        return socket.socket(fileno=settings.listen_fd)
    return socket.create_server(("127.0.0.1", settings.edge_port), backlog=2048)
