"""The client's side of an exchange: when its status goes out, and keep-alives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from edge.api.alarms import Alarms
from edge.api.http import Headers, Send

KEEP_ALIVE: Final = b": keep-alive\n\n"
"""A comment of server-sent events (WHATWG HTML 9.2): every client ignores it, but Google's."""
BLANK_LINE: Final = b"\n"
"""Nothing, to readers of events and of JSON alike: Google's SDK for Python takes a comment for an
answer that is broken."""


SendWhole = Callable[[int, Headers, bytes], Awaitable[None]]
"""Sends status, headers and body of an answer in one step: an extension of our front."""


class ClientSide:
    """Writes one answer. The status goes out with the first byte or the first keep-alive."""

    __slots__ = (
        "_comment",
        "_keep_alive",
        "_last",
        "_loop",
        "_send",
        "_send_whole",
        "_silences",
        "_timer",
        "headers",
        "started",
    )

    def __init__(
        self,
        send: Send,
        headers: Headers,
        silences: Alarms | None,
        send_whole: SendWhole | None = None,
        keep_alive: bytes = KEEP_ALIVE,
    ) -> None:
        """Send through `send`; keep-alives only where silences are watched (streams)."""
        self._keep_alive = keep_alive
        self._send = send
        self._send_whole = send_whole
        self.headers = headers
        self.started = False
        self._comment: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._silences = silences
        if silences is not None:
            self._loop = asyncio.get_running_loop()
            self._last = self._loop.time()
            silences.set(self._tick)

    async def start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Send the status and headers, once."""
        self.started = True
        every = [*self.headers, *headers]
        await self._send({"type": "http.response.start", "status": status, "headers": every})

    async def write(self, data: bytes) -> None:
        """Send some of the body."""
        if self._silences is not None:
            self._last = self._loop.time()
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self, data: bytes) -> None:
        """Send the last of the body and end the answer cleanly."""
        self.stop()
        await self._send({"type": "http.response.body", "body": data})

    async def whole(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """Send a whole answer, at once if the front can."""
        length = (b"content-length", b"%d" % len(body))
        if self._send_whole is None:
            await self.start(status, (*headers, length))
            await self.finish(body)
            return
        self.stop()
        self.started = True
        await self._send_whole(status, [*self.headers, *headers, length], body)

    def stop(self) -> None:
        """Send no more keep-alives, not even one that is about to go out."""
        if self._silences is None:
            return
        self._silences.call_off(self._tick)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._comment is not None:
            self._comment.cancel()

    def _tick(self) -> None:
        seconds = self._silences.seconds if self._silences else 0.0
        quiet = self._loop.time() - self._last
        due = quiet >= seconds * 0.9
        # A comment that still waits says that the client takes nothing: one is enough.
        if due and (self._comment is None or self._comment.done()):
            self._comment = self._loop.create_task(self._live_on())
        self._timer = self._loop.call_later(seconds if due else seconds - quiet, self._tick)

    async def _live_on(self) -> None:
        if not self.started:
            await self.start(200, ())
        await self.write(self._keep_alive)
