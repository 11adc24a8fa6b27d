"""A worker's server: uvicorn on uvloop, our protocol, and a drain that cuts nobody early."""

from __future__ import annotations

import asyncio
import functools
import socket as sockets
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, cast

import uvicorn
from uvicorn._types import ASGIApplication

from edge.server.front import Front, FrontLimits
from edge.server.protocol import FrontProtocol

if TYPE_CHECKING:
    from collections.abc import Sequence

# Cancelled requests write their outcome: that is one flush to disk.
_CANCEL_SECONDS: Final = 5.0
_ACCEPT_SECONDS: Final = 0.02
_BACKLOG: Final = 2048


def serve(
    app: ASGIApplication,
    *,
    socket: sockets.socket,
    front: Front | None = None,
    graceful_seconds: float = 900.0,
    trusted_proxies: Sequence[str] = (),
) -> None:
    """Serve the application on a listening socket until SIGTERM or SIGINT, then drain.

    Draining takes at most `graceful_seconds`; then what still runs is cancelled. Client addresses
    are taken from forwarded headers only if a connection comes from `trusted_proxies`.
    Returns when the application's lifespan has ended; a second SIGINT ends it without waiting.
    """
    front = front or Front()
    prepare_listener(socket, front.limits)
    server = FrontServer(front_config(app, front, trusted_proxies), front, graceful_seconds)
    server.may_accept.set()
    server.run(sockets=[socket])


def prepare_listener(listener: sockets.socket, limits: FrontLimits) -> None:
    """Set what every accepted connection inherits: bounded kernel memory, no delayed writes."""
    listener.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, limits.send_buffer_bytes)
    if listener.family in {sockets.AF_INET, sockets.AF_INET6}:
        listener.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
        listener.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NOTSENT_LOWAT, limits.unsent_bytes)


def front_config(
    app: ASGIApplication, front: Front, trusted_proxies: Sequence[str] = ()
) -> uvicorn.Config:
    """Return uvicorn's settings for our front; its own logs would hold URLs and exception texts."""
    protocol: Any = functools.partial(FrontProtocol, front=front)
    return uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", protocol),
        loop="uvloop",
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=list(trusted_proxies),
        backlog=_BACKLOG,
        workers=1,
    )


class FrontServer(uvicorn.Server):
    """Drains: no new connections, answers say `Connection: close`, cancelled work may end.

    In two ways. *Stopping* (SIGTERM, SIGINT) is for good and takes at most `stop_seconds`.
    *Retiring* (`retire`) leaves the listening socket to another worker and takes its time: at most
    `retire_seconds`, in which no stream is cut and no kept connection is closed early.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        front: Front,
        stop_seconds: float,
        retire_seconds: float | None = None,
    ) -> None:
        super().__init__(config)
        self._front = front
        self._stop_seconds = stop_seconds
        self._retire_seconds = stop_seconds if retire_seconds is None else retire_seconds
        self._deadline: asyncio.Timeout | None = None
        self.may_accept = asyncio.Event()
        self.accepting = asyncio.Event()

    async def startup(self, sockets: list[sockets.socket] | None = None) -> None:
        """Accept connections once we may, and say so; not at all if told to stop before."""
        while not (self.may_accept.is_set() or self.should_exit):  # noqa: ASYNC110 - two reasons
            await asyncio.sleep(_ACCEPT_SECONDS)
        if not self.should_exit:
            await super().startup(sockets)
            self.accepting.set()

    def retire(self) -> None:
        """Drain without hurry: another worker takes the new connections."""
        self._front.draining = True
        self.should_exit = True

    def stop(self) -> None:
        """Drain for good, also if this worker is retiring already."""
        self._front.draining = self._front.stopping = True
        self.should_exit = True
        if self._deadline is not None:
            self._deadline.reschedule(asyncio.get_running_loop().time() + self._stop_seconds)
            self._tell_connections()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Stop; unlike uvicorn's, do not die of the signal once drained."""
        if self._front.stopping:
            self.force_exit = True
        self.stop()

    async def shutdown(self, sockets: list[sockets.socket] | None = None) -> None:
        """Drain, cancel what is left, end the lifespan."""
        self._front.draining = True
        for server in self.servers:
            server.close()
        for each in sockets or []:
            each.close()
        self._tell_connections()
        seconds = self._stop_seconds if self._front.stopping else self._retire_seconds
        try:
            async with asyncio.timeout(seconds) as self._deadline:
                await self._wait_tasks_to_complete()
        except TimeoutError:
            await self._cancel_tasks()
        finally:
            self._deadline = None
        if not self.force_exit:
            await self.lifespan.shutdown()

    def _tell_connections(self) -> None:
        for connection in list(self.server_state.connections):
            connection.shutdown()

    async def _cancel_tasks(self) -> None:
        """Cancel the requests that still run and let them record how they ended."""
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CANCEL_SECONDS)
