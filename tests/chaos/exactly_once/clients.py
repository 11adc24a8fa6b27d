"""Many clients at once over plain sockets, each with one request after the other, some of them cut.

They run on a thread of their own, so that the main thread may kill and start processes meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from kit.money import format_dollars
from tests.chaos.exactly_once.provider import INPUT_BASE

MODEL: Final = "counted"
HOLD_BASE_NANOS: Final = 500_000_000
"""The hold of request n is this and n nano-dollars more."""
ANSWER_SECONDS_MAX: Final = 60.0
REFUSED_PAUSE_SECONDS: Final = 2.0
"""About so long a client waits that was refused, as `Retry-After` asks it to."""
_OK: Final = 200


@dataclass(slots=True)
class Attempt:
    """One request as its client saw it."""

    number: int
    edge: int
    stream: bool
    events: int
    began: float
    status: int = 0
    """0: no head came."""
    request_id: str = ""
    code: str = ""
    whole: bool = False
    """A success whose last byte came."""
    left: bool = False
    """The client left on purpose."""
    cost: str = ""
    usage: tuple[int, int] | None = None
    ended: float = 0.0

    @property
    def broke(self) -> bool:
        """Say whether it failed without the client's doing."""
        return not self.whole and not self.left


@dataclass
class Clients:
    """`with Clients(ports, key) as clients:` sends until it ends; `attempts` is what happened."""

    ports: Sequence[int]
    api_key: str
    count: int
    seed: int
    cut_share: float = 0.1
    pace_ms: tuple[int, int] = (20, 250)
    attempts: list[Attempt] = field(default_factory=list)
    on_whole: Callable[[int], None] = lambda _edge: None
    """Called with the edge's number at the very moment when the last byte of an answer came."""
    fault: BaseException | None = None
    first_number: int = 0

    def __enter__(self) -> Self:
        self._stopping = threading.Event()
        self._chance = random.Random(f"clients-{self.seed}")
        self._next = self.first_number
        self._thread = threading.Thread(target=self._run, name="clients", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Begin no more requests and wait for the running ones."""
        self._stopping.set()
        self._thread.join(2 * ANSWER_SECONDS_MAX)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        try:
            asyncio.run(self._work())
        except BaseException as fault:  # noqa: BLE001  told to the main thread
            self.fault = fault

    async def _work(self) -> None:
        await asyncio.gather(*(self._client() for _ in range(self.count)))

    async def _client(self) -> None:
        while not self._stopping.is_set():
            edge = self._chance.randrange(len(self.ports))
            # Before it connects: an edge that died may have answered that in the kernel only.
            began = time.monotonic()
            try:
                link = await asyncio.open_connection("127.0.0.1", self.ports[edge])
            except OSError:
                await self._pause()
                continue
            attempt = await self._one(edge, began, *link)
            if attempt.status not in {0, _OK}:
                await self._pause()

    async def _pause(self) -> None:
        await asyncio.sleep(REFUSED_PAUSE_SECONDS * self._chance.uniform(0.2, 1.8))

    async def _one(
        self,
        edge: int,
        began: float,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> Attempt:
        chance = self._chance
        attempt = Attempt(self._next, edge, chance.random() < 0.6, chance.randint(1, 12), began)
        self._next += 1
        self.attempts.append(attempt)
        pace_ms = chance.randint(*self.pace_ms)
        patience = ANSWER_SECONDS_MAX
        leaves = chance.random() < self.cut_share
        if leaves:
            patience = chance.random() * attempt.events * pace_ms / 1000
        try:
            writer.write(self._request(attempt, pace_ms))
            async with asyncio.timeout(patience):
                await self._answer(attempt, reader)
        except TimeoutError:
            attempt.left = leaves
        except (OSError, EOFError, ValueError):
            pass
        finally:
            attempt.ended = time.monotonic()
            writer.transport.abort()
        return attempt

    def _request(self, attempt: Attempt, pace_ms: int) -> bytes:
        text = f"number={attempt.number} events={attempt.events} pace_ms={pace_ms}"
        body: dict[str, Any] = {
            "model": MODEL,
            "stream": attempt.stream,
            "max_tokens": 64,
            "messages": [{"role": "user", "content": text}],
        }
        if attempt.stream:
            body["stream_options"] = {"include_usage": True}
        content = json.dumps(body).encode()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\n"
            f"authorization: Bearer {self.api_key}\r\n"
            f"x-max-cost: {format_dollars(HOLD_BASE_NANOS + attempt.number)}\r\n"
            f"content-length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content

    async def _answer(self, attempt: Attempt, reader: asyncio.StreamReader) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        attempt.request_id = fields.get("x-request-id", "")
        attempt.status = int(head.split(" ", 2)[1])
        if "content-length" in fields:
            body = await reader.readexactly(int(fields["content-length"]))
            documents = [json.loads(body)]
            is_whole = True
        else:
            body = await _chunked(reader)
            documents, is_whole = _documents(body)
        if attempt.status == _OK and is_whole:
            self.on_whole(attempt.edge)
            attempt.whole = True
        for document in documents:
            _note(attempt, document)


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body


def _documents(body: bytes) -> tuple[list[Any], bool]:
    """Return the events of a stream and whether it ended as it should."""
    data = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: ")]
    ends = bool(data) and data[-1] == b"[DONE]"
    return [json.loads(one) for one in data if one != b"[DONE]"], ends


def _note(attempt: Attempt, document: Any) -> None:
    if document.get("error"):
        attempt.code = str(document["error"].get("code"))
    usage = document.get("usage")
    if usage:
        attempt.usage = (usage["prompt_tokens"], usage["completion_tokens"])
        attempt.cost = str(usage.get("cost", ""))


def counted(attempt: Attempt) -> tuple[int, int]:
    """Return the input and output tokens that the provider counts for a whole answer."""
    return INPUT_BASE + attempt.number, attempt.events


def number_of(hold_nanos: int) -> int:
    """Return whose hold that is."""
    return hold_nanos - HOLD_BASE_NANOS
