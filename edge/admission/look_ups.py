"""Look-ups of secrets at core: few at once, few that find nothing, and none that waits for ever.

A well-formed secret that is nobody's costs its sender a checksum and us a call. So a look-up that
found nothing keeps its place for a moment: guesses reach core at a bounded rate however many come,
while keys that exist pass as quickly as core answers. When core is slow the edge turns away instead
of piling up, and no one address can take all the places.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from kit.reasons import NotFound

MAX_AT_ONCE: Final = 32
MAX_WAITING: Final = 1_024
MAX_WAITING_OF_PEER: Final = MAX_WAITING // 2
WAIT_SECONDS: Final = 2.0
REST_SECONDS: Final = 0.1
"""At most `MAX_AT_ONCE / REST_SECONDS` look-ups a second find nothing: 320 a worker."""


class TooManyLookUps(Exception):
    """No place for another look-up, or none became free in time."""


class LookUps:
    """The places for look-ups of one worker, and what became of them."""

    def __init__(self) -> None:
        """Start with all places free."""
        self._places = asyncio.Semaphore(MAX_AT_ONCE)
        self._waiting: Counter[str] = Counter()
        self.waiting = 0
        self.made = 0
        self.missed = 0
        self.turned_away = 0

    def reserve(self, peer: str) -> None:
        """Join the queue; `place` must follow.

        Raises:
            TooManyLookUps: it is full, or this address has its share of it.
        """
        if self.waiting >= MAX_WAITING or self._waiting[peer] >= MAX_WAITING_OF_PEER:
            self.turned_away += 1
            raise TooManyLookUps
        self._waiting[peer] += 1
        self.waiting += 1

    @asynccontextmanager
    async def place(self, peer: str) -> AsyncIterator[None]:
        """Hold a place for one look-up.

        Raises:
            TooManyLookUps: none became free in time.
        """
        await self._enter(peer)
        self.made += 1
        rest_seconds = 0.0
        try:
            yield
        except NotFound:
            self.missed += 1
            rest_seconds = REST_SECONDS
            raise
        finally:
            self._leave(rest_seconds)

    async def _enter(self, peer: str) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            self.turned_away += 1
            raise TooManyLookUps from None
        finally:
            self.waiting -= 1
            self._waiting[peer] -= 1
            if not self._waiting[peer]:
                del self._waiting[peer]

    def _leave(self, rest_seconds: float) -> None:
        if rest_seconds:
            asyncio.get_running_loop().call_later(rest_seconds, self._places.release)
        else:
            self._places.release()
