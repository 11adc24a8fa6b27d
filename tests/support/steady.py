"""Requests at a steady rate, whatever becomes of them: what arrives does not wait for answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

ANSWER_SECONDS_MAX = 30.0
NO_ANSWER = 0
"""The status of a request whose connection broke."""

Link = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as its client saw it; seconds are the event loop's."""

    sent_at: float
    seconds: float
    status: int
    code: str
    has_retry_after: bool
    request_id: str


@dataclass(slots=True)
class Steady:
    """Sends requests to one service at a rate, over connections that it keeps."""

    base_url: str
    api_key: str
    model: str
    per_second: float
    max_tokens: int = 16
    stream_every: int = 4
    """Every fourth request is a stream; 0: none."""
    seen: list[Seen] = field(default_factory=list)
    _idle: list[Link] = field(default_factory=list)
    _stop: bool = False

    async def run(self) -> None:
        """Send until told to stop; return when everything was answered."""
        loop = asyncio.get_running_loop()
        began, number = loop.time(), 0
        running: set[asyncio.Task[None]] = set()
        while not self._stop:
            await asyncio.sleep(max(0.0, began + number / self.per_second - loop.time()))
            stream = self.stream_every > 0 and number % self.stream_every == 0
            task = asyncio.create_task(self._one(stream=stream))
            running.add(task)
            task.add_done_callback(running.discard)
            number += 1
        if running:
            await asyncio.wait(running)
        for _, writer in self._idle:
            writer.close()

    def stop(self) -> None:
        """Send no more."""
        self._stop = True

    def between(self, start: float, end: float) -> list[Seen]:
        """Return the requests that were sent in a span of time."""
        return [one for one in self.seen if start <= one.sent_at < end]

    async def _one(self, *, stream: bool) -> None:
        loop = asyncio.get_running_loop()
        sent_at = loop.time()
        status, code = NO_ANSWER, ""
        head: dict[str, str] = {}
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                status, head, code = await self._ask(stream=stream)
        self.seen.append(
            Seen(
                sent_at=sent_at,
                seconds=loop.time() - sent_at,
                status=status,
                code=code,
                has_retry_after="retry-after" in head,
                request_id=head.get("x-request-id", ""),
            )
        )

    async def _ask(self, *, stream: bool) -> tuple[int, dict[str, str], str]:
        link = self._kept() or await self._connect()
        reader, writer = link
        try:
            writer.write(self._request(stream=stream))
            status, head = await _head(reader)
            body = await _body(reader, head)
        except BaseException:
            writer.close()
            raise
        if head.get("connection") == "close":
            writer.close()
        else:
            self._idle.append(link)
        return status, head, "" if status < 400 else _code(body)

    def _kept(self) -> Link | None:
        """Return a connection that the server has not closed meanwhile, as every HTTP pool does."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return None

    async def _connect(self) -> Link:
        place = urlsplit(self.base_url)
        return await asyncio.open_connection(place.hostname, place.port)

    def _request(self, *, stream: bool) -> bytes:
        message = {"role": "user", "content": "Name a thing that is blue."}
        fields = {"model": self.model, "stream": stream, "max_tokens": self.max_tokens}
        body = json.dumps({**fields, "messages": [message]}).encode()
        head = (
            f"POST {urlsplit(self.base_url).path}/chat/completions HTTP/1.1\r\nhost: test\r\n"
            f"authorization: Bearer {self.api_key}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    pairs = (line.split(": ", 1) for line in lines if line)
    return int(first.split()[1]), {name.lower(): value for name, value in pairs}


async def _body(reader: asyncio.StreamReader, head: dict[str, str]) -> bytes:
    if "content-length" in head:
        return await reader.readexactly(int(head["content-length"]))
    pieces = []
    while size := int(await reader.readline(), 16):
        pieces.append((await reader.readexactly(size + 2))[:-2])
    await reader.readline()
    return b"".join(pieces)


def _code(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return ""


def counted(seen: list[Seen], key: Callable[[Seen], object]) -> dict[object, int]:
    """Count requests by something, the most frequent first."""
    return dict(Counter(map(key, seen)).most_common())
