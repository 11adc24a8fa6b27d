"""The demo provider with a memory: what was asked of it, and which answers were left half-way."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from edge.demo.app import handle
from edge.demo.delivery import Work
from edge.demo.server import Reply, Request, Server

START_SECONDS_MAX: Final = 30.0
ANSWERED: Final = "answered"
LEFT: Final = "left"
_MODEL_IN_PATH: Final = re.compile(r"/models/([^/:]+):")


@dataclass(slots=True)
class Call:
    """One request as it reached the provider; `outcome` is empty while it runs."""

    model: str
    path: str
    header_names: frozenset[str]
    body: Any = field(repr=False)
    outcome: str = ""


class DemoUpstream:
    """`with DemoUpstream() as demo:` — the demo provider on a thread of this process."""

    def __init__(self) -> None:
        """Prepare; `with` starts and ends it."""
        self._calls: list[Call] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._serving = threading.Event()
        self._stop: Callable[[], object] = lambda: None
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._serving.wait(START_SECONDS_MAX)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()
        self._thread.join(START_SECONDS_MAX)

    async def _serve(self) -> None:
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()
        self._stop = lambda: loop.call_soon_threadsafe(stopped.set)
        server = Server(self._handle)
        listening = await server.listen()
        self.port = listening.sockets[0].getsockname()[1]
        self._serving.set()
        await stopped.wait()
        listening.close()
        server.close_connections()
        # One turn of the loop, in which the connections are told.
        await asyncio.sleep(0)

    @property
    def origin(self) -> str:
        """Return `http://127.0.0.1:<port>`."""
        return f"http://127.0.0.1:{self.port}"

    def calls(self, model: str | None = None) -> list[Call]:
        """Return what was asked since it last forgot, of one model or of all."""
        return [one for one in list(self._calls) if model in {None, one.model}]

    def forget(self) -> None:
        """Forget all calls."""
        self._calls = []

    def _handle(self, request: Request, reply: Reply) -> Work:
        call = _call_of(request)
        if call is None:
            return handle(request, reply)
        self._calls.append(call)
        work = handle(request, reply)
        if work is not None:
            return _watched(call, work)
        call.outcome = ANSWERED
        return None


async def _watched(call: Call, work: Any) -> None:
    try:
        await work
        call.outcome = ANSWERED
    except asyncio.CancelledError:
        call.outcome = LEFT
        raise


def _call_of(request: Request) -> Call | None:
    if request.method != "POST":
        return None
    try:
        body = json.loads(request.body)
    except ValueError:
        body = None
    in_path = _MODEL_IN_PATH.search(request.path)
    named = in_path.group(1) if in_path else body.get("model") if isinstance(body, dict) else None
    headers = frozenset(name.decode("latin-1") for name in request.headers)
    return Call(str(named), request.path, headers, body)
