"""Stands between archiver and the S3 server: refuses, loses answers, is slow, flips bits."""

from __future__ import annotations

import http.client
import random
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from tests.chaos.archive_kills.points import Blow, Moment, Trap

SLOW_PIECES = 20
SLOW_SECONDS = 1.5
# S3 deletes objects by a list of their names.
_DELETED = re.compile(rb"<Key>[^/<]+/([a-z]+)/")
_HOPS = {"connection", "transfer-encoding", "content-length"}


@contextmanager
def bucket_proxy(port: int, trap: Trap) -> Iterator[str]:
    """Serve in front of a server's port and yield the origin."""

    class Handler(_Handler):
        pass

    Handler.upstream, Handler.trap = port, trap
    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    """Says nothing of archivers that died while they spoke."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Let faults of ours be seen."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    """Hands requests on and answers back."""

    protocol_version = "HTTP/1.1"
    upstream: int
    trap: Trap

    def _hand_on(self) -> None:
        size = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(size)
        step = self._step(body)
        if self.trap.reached(step, Moment.ASKED) is Blow.REFUSED:
            self._answer(503, {}, b"")
            return
        status, headers, answer = self._ask(body)
        blow = self.trap.reached(step, Moment.ANSWERED)
        if blow is Blow.LOST:
            self.close_connection = True
            return
        if blow is Blow.FLIPPED and body:
            self._flip(body)
        with suppress(ConnectionError):  # the archiver may be dead by now
            self._answer(status, headers, answer, slow=blow is Blow.SLOW)

    def _step(self, body: bytes) -> str:
        """Return such as `PUT usage`: the method and which kind of object it is about."""
        deleted = _DELETED.search(body) if self.command == "POST" else None
        if deleted is not None:
            return f"DELETE {deleted[1].decode()}"
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        return f"{self.command} {parts[2] if len(parts) > 2 else ''}"

    def _ask(self, body: bytes, method: str = "") -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=60)
        try:
            kept = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
            connection.request(method or self.command, self.path, body or None, kept)
            found = connection.getresponse()
            return found.status, dict(found.getheaders()), found.read()
        finally:
            connection.close()

    def _flip(self, body: bytes) -> None:
        """Let one bit of what was just stored be another one."""
        damaged = bytearray(body)
        damaged[random.randrange(len(damaged))] ^= 1 << random.randrange(8)
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=60)
        try:
            path = urlsplit(self.path).path
            names = ("content-type", "content-disposition", "authorization", "host", "x-amz-date")
            kept = {name: self.headers[name] for name in names if name in self.headers}
            connection.request("PUT", path, bytes(damaged), kept)
            assert connection.getresponse().status == 200
        finally:
            connection.close()

    def _answer(
        self, status: int, headers: dict[str, str], body: bytes, *, slow: bool = False
    ) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in _HOPS:
                self.send_header(name, value)
        told = len(body)
        if self.command == "HEAD":
            told = int(headers.get("Content-Length") or headers.get("content-length") or 0)
        self.send_header("content-length", str(told))
        self.end_headers()
        if self.command == "HEAD":
            return
        if not slow:
            self.wfile.write(body)
            return
        step = max(1, len(body) // SLOW_PIECES)
        time.sleep(SLOW_SECONDS / SLOW_PIECES)
        for at in range(0, len(body), step):
            self.wfile.write(body[at : at + step])
            self.wfile.flush()
            time.sleep(SLOW_SECONDS / SLOW_PIECES)

    def do_GET(self) -> None:
        """Hand on."""
        self._hand_on()

    def do_PUT(self) -> None:
        """Hand on."""
        self._hand_on()

    def do_HEAD(self) -> None:
        """Hand on."""
        self._hand_on()

    def do_DELETE(self) -> None:
        """Hand on."""
        self._hand_on()

    def do_POST(self) -> None:
        """Hand on."""
        self._hand_on()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
