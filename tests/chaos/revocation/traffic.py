"""Requests that never stop, on every edge, and what each answer says of the state it saw."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from tests.support.raw_client import RawAnswer, RawClient

PAUSE_SECONDS = 0.005
CALM_SECONDS = 0.15
"""How long every edge must have shown the new state until nothing old is expected any more."""
PATIENCE_SECONDS = 60.0

Saw = Callable[[RawAnswer], str]


def by_status(answer: RawAnswer) -> str:
    """Return the status and the error's code."""
    return f"{answer.status} {answer.code}".strip()


def by_model(answer: RawAnswer) -> str:
    """Return the public model that served, or what `by_status` says."""
    return str(answer.json["model"]) if answer.status == 200 else by_status(answer)


def by_cost(answer: RawAnswer) -> str:
    """Return what the answer cost, or what `by_status` says."""
    if answer.status == 200:
        return str(answer.json["usage"]["cost"])
    return by_status(answer)


@dataclass
class Seen:
    """The last answer of each kind on one edge: when it came."""

    at: dict[str, float] = field(default_factory=dict)
    sent_at: dict[str, float] = field(default_factory=dict)
    latest: str = ""
    since: float = 0.0
    """When the latest kind came for the first time without another in between."""


class Traffic:
    """`async with Traffic(ports, key, body) as traffic:` — one client for each edge, all the while.

    A transport error counts as an answer of its own kind.
    """

    def __init__(self, ports: list[int], key: str, body: bytes, saw: Saw = by_status) -> None:
        self.key = key
        self._body = body
        self._saw = saw
        self._clients = [RawClient(port) for port in ports]
        self.seen = [Seen() for _ in ports]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._run(client, seen))
            for client, seen in zip(self._clients, self.seen, strict=True)
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in self._clients:
            client.close()

    async def _run(self, client: RawClient, seen: Seen) -> None:
        while True:
            sent = time.monotonic()
            kind = "broken"
            with contextlib.suppress(OSError, EOFError):
                kind = self._saw(await client.chat(self.key, self._body))
            if kind != seen.latest:
                seen.latest, seen.since = kind, time.monotonic()
            seen.at[kind] = time.monotonic()
            seen.sent_at[kind] = sent
            await asyncio.sleep(PAUSE_SECONDS)

    async def until(self, kind: str) -> None:
        """Wait until every edge answers so and nothing else for a moment."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._calm(kind):
            assert time.monotonic() < deadline, [seen.latest for seen in self.seen]
            await asyncio.sleep(PAUSE_SECONDS)

    async def until_not(self, kind: str) -> None:
        """Wait until every edge has answered, and the last time not so."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not all(seen.latest not in {kind, ""} for seen in self.seen):
            assert time.monotonic() < deadline, [seen.latest for seen in self.seen]
            await asyncio.sleep(PAUSE_SECONDS)

    def _calm(self, kind: str) -> bool:
        now = time.monotonic()
        others = [at for seen in self.seen for other, at in seen.at.items() if other != kind]
        calm = not others or now - max(others) > CALM_SECONDS
        return calm and all(seen.latest == kind for seen in self.seen)

    def last(self, kind: str) -> float:
        """Return when the last request with this answer was sent, on any edge."""
        return max(seen.sent_at.get(kind, 0.0) for seen in self.seen)
