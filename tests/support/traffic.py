"""Many requests at once over plain sockets, some of which the client cuts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from dataclasses import dataclass, field
from urllib.parse import urlsplit

ANSWER_SECONDS_MAX = 60.0


@dataclass(slots=True)
class Traffic:
    """What became of the requests: ids of all that were answered, in part or whole."""

    request_ids: list[str] = field(default_factory=list)
    whole: int = 0
    cut: int = 0
    refused: int = 0


@dataclass(slots=True)
class Load:
    """Requests to one service, as a key."""

    base_url: str
    api_key: str
    models: tuple[str, str]
    """Of whole answers, and of streams."""
    cut_every: int = 10
    connections: int = 32
    seed: int = 1

    async def run(self, count: int) -> Traffic:
        """Send so many requests and return what became of them."""
        traffic, numbers = Traffic(), iter(range(count))
        await asyncio.gather(*(self._work(numbers, traffic) for _ in range(self.connections)))
        return traffic

    async def _work(self, numbers: object, traffic: Traffic) -> None:
        place = urlsplit(self.base_url)
        link: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        for number in numbers:  # type: ignore[attr-defined]
            if link is None:
                link = await asyncio.open_connection(place.hostname, place.port)
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                keeps = await self._one(number, *link, traffic)
            if not keeps:
                link[1].close()
                link = None
        if link is not None:
            link[1].close()

    async def _one(
        self,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        traffic: Traffic,
    ) -> bool:
        """Send one request; return whether its connection can be used again."""
        stream = number % 2 == 1
        writer.write(self._request(stream=stream))
        patience = random.Random(f"{self.seed}-{number}").random()
        if number % self.cut_every == self.cut_every - 1:
            traffic.cut += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience * 0.03):
                    await _answer(reader, traffic)
            return False
        if await _answer(reader, traffic):
            traffic.whole += 1
        else:
            traffic.refused += 1
        return True

    def _request(self, *, stream: bool) -> bytes:
        body = json.dumps(
            {
                "model": self.models[stream],
                "stream": stream,
                "max_tokens": 64,
                "messages": [{"role": "user", "content": "Name a thing that is blue."}],
            }
        ).encode()
        head = (
            f"POST {urlsplit(self.base_url).path}/chat/completions HTTP/1.1\r\nhost: test\r\n"
            f"authorization: Bearer {self.api_key}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


async def _answer(reader: asyncio.StreamReader, traffic: Traffic) -> bool:
    """Read an answer to its end; return whether it was a success."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    traffic.request_ids.append(fields["x-request-id"])
    if "content-length" in fields:
        await reader.readexactly(int(fields["content-length"]))
    else:
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    return head.startswith("http/1.1 200")
