"""A client that sends bytes as they are, and reads strictly what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import struct
from dataclasses import dataclass
from typing import Any, Final, Self

ANSWER_SECONDS_MAX: Final = 30.0
HEAD_BYTES_MAX: Final = 64 * 1024
_REQUEST_ID: Final = re.compile(rb"req_[0-9a-f]{12}7[0-9a-f]{19}")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) [ -~]+")
_ENVELOPE: Final = {"message", "type", "param", "code"}


class WrongAnswer(Exception):
    """What came back is not one whole answer of ours."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: its status, its headers by lower-case name, its body."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    def error(self) -> dict[str, Any]:
        """Return the error in OpenAI's envelope.

        Raises:
            WrongAnswer: it is no such envelope, or has no request id.
        """
        if _REQUEST_ID.fullmatch(self.headers.get(b"x-request-id", b"")) is None:
            raise WrongAnswer("no request id")
        try:
            error: dict[str, Any] = json.loads(self.body)["error"]
        except (ValueError, KeyError, TypeError):
            raise WrongAnswer("no error envelope") from None
        if not error.keys() >= _ENVELOPE or not error["message"]:
            raise WrongAnswer("an envelope without its four keys")
        return error


class Line:
    """One connection. `async with`; what is sent and what comes back are independent."""

    def __init__(self, host: str, port: int) -> None:
        """Connect to this address."""
        self._place = (host, port)
        self._sending: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection(*self._place, limit=HEAD_BYTES_MAX)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._sending is not None:
            self._sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await self._sending
        self.writer.transport.abort()

    def send(self, data: bytes) -> None:
        """Send bytes while the answer may already come; a connection that is cut ends it."""
        self._sending = asyncio.create_task(self._send(data, self._sending))

    async def _send(self, data: bytes, before: asyncio.Task[None] | None) -> None:
        with contextlib.suppress(ConnectionError):
            if before is not None:
                await before
            for start in range(0, len(data), 262_144):
                self.writer.write(data[start : start + 262_144])
                await self.writer.drain()

    async def answer(self) -> Answer:
        """Return the next answer, without interim ones.

        Raises:
            WrongAnswer: the connection ended before it, or it is not HTTP/1.1.
        """
        while True:
            status, headers = await self._head()
            if status >= 200:
                return Answer(status, headers, await self._body(headers))

    async def _head(self) -> tuple[int, dict[bytes, bytes]]:
        try:
            raw = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            raise WrongAnswer("no whole head") from None
        first, *lines = raw[:-4].split(b"\r\n")
        found = _STATUS_LINE.fullmatch(first)
        if found is None:
            raise WrongAnswer("no status line")
        pairs = [line.partition(b": ") for line in lines]
        headers = {name.lower(): value for name, _, value in pairs}
        if len(headers) != len(lines):
            raise WrongAnswer("a header twice")
        return int(found.group(1)), headers

    async def _body(self, headers: dict[bytes, bytes]) -> bytes:
        try:
            if headers.get(b"transfer-encoding") == b"chunked":
                return await self._chunks()
            return await self.reader.readexactly(int(headers[b"content-length"]))
        except (asyncio.IncompleteReadError, ConnectionError, ValueError, KeyError):
            raise WrongAnswer("no whole body") from None

    async def _chunks(self) -> bytes:
        parts: list[bytes] = []
        while True:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            data = await self.reader.readexactly(size + 2)
            if size == 0:
                return b"".join(parts)
            parts.append(data[:-2])

    async def rest(self) -> bytes:
        """Return all that still comes until the service hangs up; a reset counts as that."""
        parts = []
        with contextlib.suppress(ConnectionError):
            while part := await self.reader.read(65_536):
                parts.append(part)
        return b"".join(parts)

    def reset(self) -> None:
        """Leave with an RST."""
        raw: socket.socket = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
