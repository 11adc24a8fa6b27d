"""The replay upstream's answers to the gateway and to the test that controls it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from edge.demo.server import Handler, Reply, Request, Server
from tests.support.replay.calls import CANCELLED, COMPLETE, CUT, CallLog
from tests.support.replay.delivery import deliver
from tests.support.replay.faults import FaultBook, Faults, UnknownFaultError
from tests.support.replay.frames import compact
from tests.support.replay.library import Library, endpoint_of

CONTROL = "/_replay/"
_JSON = ((b"content-type", b"application/json"),)


class ReplayUpstream:
    """Recordings, the faults in force and the memory of what was asked."""

    def __init__(self, library: Library) -> None:
        """Serve `library` without faults."""
        self._library = library
        self._faults = FaultBook()
        self._calls = CallLog()
        self.server = Server(self._handler())

    def _handler(self) -> Handler:
        async def handle(request: Request, reply: Reply) -> None:
            if request.path.startswith(CONTROL):
                self._control(request, reply)
            else:
                await self._answer(request, reply)

        return handle

    async def _answer(self, request: Request, reply: Reply) -> None:
        body = _json(request.body)
        named = request.headers.get(b"x-replay-id", b"").decode("latin-1") or None
        fields = body if isinstance(body, dict) else {}
        recording = self._library.find(request.method, request.path, fields, named)
        stem = recording.stem if recording else None
        self._calls.request(stem, request.path, request.headers, body)
        if recording is None:
            reply.send(404, _error(request.path, "no_recording"), _JSON)
            return
        faults = self._faults.take(recording.stem)
        status = faults.status or recording.status
        call = self._calls.begin(recording.stem, status, len(request.body))
        outcome = CANCELLED
        try:
            outcome = await self._before_answer(request, reply, faults)
            outcome = outcome or await deliver(reply, recording, faults, call)
        except asyncio.CancelledError:
            outcome = CANCELLED
            raise
        finally:
            self._calls.end(call, outcome)

    async def _before_answer(self, request: Request, reply: Reply, faults: Faults) -> str:
        """Apply what happens before the recorded answer; an outcome where it takes its place."""
        if faults.reset:
            reply.cut(reset=True)
            return CUT
        await asyncio.sleep(faults.slow_headers_ms / 1000)
        if faults.status is None:
            return ""
        headers = list(_JSON)
        if faults.retry_after_seconds is not None:
            headers.append((b"retry-after", b"%d" % faults.retry_after_seconds))
        reply.send(faults.status, _error(request.path, f"replayed_{faults.status}"), headers)
        return COMPLETE

    def _control(self, request: Request, reply: Reply) -> None:
        asked = (request.method, request.path.removeprefix(CONTROL))
        if asked == ("GET", "calls"):
            reply.send(200, compact(self._seen()), _JSON)
        elif asked == ("GET", "recordings"):
            reply.send(200, compact(sorted(self._library.by_stem)), _JSON)
        elif asked == ("POST", "faults"):
            self._set_faults(request, reply)
        elif asked == ("POST", "reset"):
            self._faults.clear()
            self._calls.reset()
            reply.send(200, b"{}", _JSON)
        else:
            reply.send(404, _error(request.path, "no_such_control"), _JSON)

    def _seen(self) -> dict[str, Any]:
        connections = {
            "open": len(self.server.connections),
            "opened": self.server.connections_opened,
        }
        return {**self._calls.as_json(), "connections": connections}

    def _set_faults(self, request: Request, reply: Reply) -> None:
        try:
            self._faults.set(_json(request.body))
        except UnknownFaultError:
            reply.send(400, _error(request.path, "unknown_fault"), _JSON)
            return
        reply.send(200, b"{}", _JSON)


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw or b"null")
    except ValueError:
        return None


def _error(path: str, code: str) -> bytes:
    """Give an error in the shape of the protocol that the path belongs to."""
    if endpoint_of(path).startswith("/messages"):
        return compact({"type": "error", "error": {"type": code, "message": code}})
    error = {"message": code, "type": "server_error", "param": None, "code": code}
    return compact({"error": error})
