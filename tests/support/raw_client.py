"""A client that is cheap enough to be two hundred: one connection, one request at a time."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

ANSWER_SECONDS_MAX = 60.0


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """Return the error's code, empty where there is none."""
        if self.status == 200:
            return ""
        return str(json.loads(self.body)["error"]["code"])

    @property
    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


class RawClient:
    """One keep-alive connection to one port of this machine."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._link: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.status = 0
        """Of the answer that comes, or came last; 0 while none has begun."""

    async def connect(self) -> None:
        """Connect, if we are not."""
        if self._link is None:
            self._link = await asyncio.open_connection("127.0.0.1", self._port)

    def close(self) -> None:
        """Let the connection go."""
        if self._link is not None:
            self._link[1].close()
            self._link = None

    async def chat(self, key: str, body: bytes, **headers: str) -> RawAnswer:
        """Send a chat request and read its answer to the end.

        Raises:
            OSError, EOFError: the connection broke.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                return await self._exchange(_request(key, body, headers))
        except BaseException:
            self.close()
            raise

    async def _exchange(self, request: bytes) -> RawAnswer:
        if self._link is not None and self._link[0].at_eof():
            self.close()
        kept = self._link is not None
        await self.connect()
        assert self._link is not None
        reader, writer = self._link
        self.status = 0
        writer.write(request)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except (asyncio.IncompleteReadError, ConnectionResetError) as error:
            if not kept or (isinstance(error, asyncio.IncompleteReadError) and error.partial):
                raise
            # Closed for its idleness while the request was on its way.
            self.close()
            return await self._exchange(request)
        status, *lines = head.split("\r\n")
        self.status = int(status.split()[1])
        fields = {}
        for line in lines:
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        body = await _body(reader, fields)
        if fields.get("connection", "").lower() == "close":
            self.close()
        return RawAnswer(self.status, fields, body)


async def _body(reader: asyncio.StreamReader, fields: dict[str, str]) -> bytes:
    if "content-length" in fields:
        return await reader.readexactly(int(fields["content-length"]))
    pieces = []
    while size := int(await reader.readline(), 16):
        pieces.append((await reader.readexactly(size + 2))[:-2])
    await reader.readline()
    return b"".join(pieces)


def _request(key: str, body: bytes, headers: dict[str, str]) -> bytes:
    extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {key}\r\n{extra}content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
