"""Clients that go on for as long as they are let, on kept connections, and never repeat a request.

What a client library hides by trying again shows here: a refusal, a cut, a connection that was
closed under a request. A connection that the server closes while nothing is on its way, or after an
answer that said so, is no failure: the next request opens another one.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

ANSWER_SECONDS_MAX = 60.0
_END = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Habit:
    """How some of the clients behave."""

    name: str
    clients: int
    model: str = "demo"
    stream: bool = False
    pause_seconds: float = 0.0
    """The longest pause between two requests; each is drawn anew."""
    keeps: bool = True
    """Whether connections are used again."""
    claims: bool = False
    """Whether each request brings an idempotency key: core is asked on the path."""


@dataclass(slots=True)
class Story:
    """What became of the requests."""

    asked: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)
    connections: int = 0
    announced: int = 0
    """Answers that said `Connection: close`."""
    closed_idle: int = 0
    """Kept connections that the server closed without having said so."""
    longest_seconds: float = 0.0


class _Failed(Exception):
    """A request got no whole, good answer; the word says how."""


@dataclass(slots=True)
class _Link:
    """One client's connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@dataclass
class SteadyLoad:
    """The clients of one service; `halt` lets each finish its last request."""

    base_url: str
    api_keys: Sequence[str]
    """Drawn from at random; the first one is everybody's."""
    habits: Sequence[Habit]
    seed: int = 1
    answer_seconds_max: float = ANSWER_SECONDS_MAX
    story: Story = field(default_factory=Story)
    halted: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> Story:
        """Send until halted."""
        clients = [
            self._client(habit, random.Random(f"{self.seed}-{habit.name}-{number}"))
            for habit in self.habits
            for number in range(habit.clients)
        ]
        await asyncio.gather(*clients)
        return self.story

    def halt(self) -> None:
        """Begin no request any more."""
        self.halted.set()

    async def _client(self, habit: Habit, chance: random.Random) -> None:
        link: _Link | None = None
        for number in itertools.count():
            if self.halted.is_set():
                break
            link = await self._one(habit, link, chance, number)
            await asyncio.sleep(chance.uniform(0, habit.pause_seconds))
        _close(link)

    async def _one(
        self, habit: Habit, link: _Link | None, chance: random.Random, number: int
    ) -> _Link | None:
        story, began = self.story, time.monotonic()
        story.asked[habit.name] += 1
        try:
            async with asyncio.timeout(self.answer_seconds_max):
                link = await self._usable(link)
                link.writer.write(self._request(habit, chance, number))
                last = await self._answer(habit, link.reader)
        except (_Failed, OSError, TimeoutError, asyncio.IncompleteReadError) as failure:
            words = failure.args[0] if isinstance(failure, _Failed) else type(failure).__name__
            story.failures.append(f"{habit.name}: {words}")
            _close(link)
            return None
        story.answered[habit.name] += 1
        story.longest_seconds = max(story.longest_seconds, time.monotonic() - began)
        story.announced += last and habit.keeps
        if last or not habit.keeps:
            _close(link)
            return None
        return link

    async def _usable(self, link: _Link | None) -> _Link:
        """Return a connection that is open as far as the client can know, as its pool would."""
        if link is not None:
            if not link.reader.at_eof():
                return link
            self.story.closed_idle += 1
            _close(link)
        self.story.connections += 1
        place = urlsplit(self.base_url)
        return _Link(*await asyncio.open_connection(place.hostname, place.port))

    def _request(self, habit: Habit, chance: random.Random, number: int) -> bytes:
        body = json.dumps(
            {
                "model": habit.model,
                "stream": habit.stream,
                "max_tokens": 64,
                "messages": [{"role": "user", "content": "Name a thing that is blue."}],
            }
        ).encode()
        lines = [
            f"POST {urlsplit(self.base_url).path}/chat/completions HTTP/1.1",
            "host: test",
            f"authorization: Bearer {chance.choice(self.api_keys)}",
            f"content-length: {len(body)}",
        ]
        if habit.claims:
            lines.append(f"idempotency-key: {self.seed}-{chance.getrandbits(64):x}-{number}")
        if not habit.keeps:
            lines.append("connection: close")
        return "\r\n".join([*lines, "", ""]).encode() + body

    async def _answer(self, habit: Habit, reader: asyncio.StreamReader) -> bool:
        """Read an answer to its end; return whether it was the connection's last."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        except (OSError, asyncio.IncompleteReadError):
            raise _Failed("no answer") from None
        status, *rest = head.split("\r\n")
        fields = dict(line.split(": ", 1) for line in rest if line)
        self.story.request_ids.append(fields.get("x-request-id", ""))
        try:
            body = await _body(reader, fields)
        except (OSError, asyncio.IncompleteReadError, ValueError):
            raise _Failed("cut") from None
        if status.split()[1] != "200":
            raise _Failed(f"status {status.split()[1]} {_code(body)}")
        if habit.stream and not body.endswith(_END):
            raise _Failed("stream without its end")
        return fields.get("connection") == "close"


async def _body(reader: asyncio.StreamReader, fields: dict[str, str]) -> bytes:
    if "content-length" in fields:
        return await reader.readexactly(int(fields["content-length"]))
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return body


def _code(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return ""


def _close(link: _Link | None) -> None:
    if link is not None:
        link.writer.close()
