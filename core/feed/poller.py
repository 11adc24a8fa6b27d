"""One poller per core: reads the change log ten times a second and feeds every edge's stream."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from core.db.database import Pool
from core.feed.change_log import (
    Change,
    ChangeKind,
    Recall,
    changes_after,
    last_catalog_sequence,
    newest_changes,
)
from kit.clock import Clock, now_micros
from kit.log import EventLog
from kit.reasons import Unavailable

POLL_SECONDS: Final = 0.1
STALE_SECONDS: Final = 2.0
CHANGES_KEPT: Final = 10_000
CHANGES_PER_POLL: Final = 1_000
RECALLS_PER_POLL: Final = 10_000


@dataclass(frozen=True, slots=True)
class FeedUpdate:
    """What one poll found for one subscriber.

    `reset`: the feed does not reach back to where the subscriber was, so it must forget all.
    """

    sequence: int
    polled_at_micros: int
    changes: tuple[Change, ...]
    reset: bool = False


class ChangeFeed:
    """The recent changes, and when they were last known to be complete."""

    def __init__(self, pool: Pool, clock: Clock, log: EventLog) -> None:
        """Read through the pool; nothing happens before `start`."""
        self._pool = pool
        self._clock = clock
        self._log = log
        self._changes: deque[Change] = deque(maxlen=CHANGES_KEPT)
        self._floor = 0
        self._polled = asyncio.Event()
        self._polled_at = float("-inf")
        self._stopped = False
        self.sequence = 0
        self.catalog_sequence = 0
        self.polled_at_micros = 0
        self.recalls: Sequence[Recall] = ()

    async def start(self) -> None:
        """Load the recent changes.

        Raises:
            Unavailable: PostgreSQL cannot be reached.
        """
        async with self._pool.transaction("system") as tx:
            self._changes.extend(await newest_changes(tx, CHANGES_KEPT))
            self.catalog_sequence = await last_catalog_sequence(tx)
        if self._changes:
            self._floor = self._changes[0].sequence - 1
            self.sequence = self._changes[-1].sequence
        await self.poll()

    async def run(self) -> None:
        """Poll until cancelled; a failed poll is tried again, and its age tells on the streams."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.poll()
            except Unavailable as error:
                self._log.event("feed_poll_failed", sqlstate=error.metadata.get("sqlstate"))

    async def poll(self) -> None:
        """Read what is new and wake the subscribers."""
        while True:
            begun_micros, begun = now_micros(self._clock), self._clock.monotonic()
            async with self._pool.transaction("system") as tx:
                changes, recalls = await changes_after(
                    tx, self.sequence, limit=CHANGES_PER_POLL, recall_limit=RECALLS_PER_POLL
                )
            self._keep(changes)
            self.recalls = recalls
            if len(changes) < CHANGES_PER_POLL:
                break
        self.polled_at_micros, self._polled_at = begun_micros, begun
        polled, self._polled = self._polled, asyncio.Event()
        polled.set()

    def stop(self) -> None:
        """End all subscriptions, so that edges turn to another core at once."""
        self._stopped = True
        self._polled.set()

    def is_fresh(self) -> bool:
        """Say whether the last successful poll is at most two seconds old."""
        return self._clock.monotonic() - self._polled_at <= STALE_SECONDS

    async def subscribe(self, since: int) -> AsyncIterator[FeedUpdate]:
        """Yield an update after each poll, beginning with what changed after `since` (0: nothing).

        Raises:
            Unavailable: the last successful poll is more than two seconds old.
        """
        if since > self.sequence:
            # Another core may have polled later than this one.
            await self._next_poll()
        reset = since > self.sequence or 0 < since < self._floor
        seen = since if since and not reset else self.sequence
        while True:
            self._check_fresh()
            update = FeedUpdate(self.sequence, self.polled_at_micros, self._after(seen), reset)
            yield update
            seen, reset = update.sequence, False
            await self._next_poll()
            if seen < self._floor:
                # A subscriber that slept through ten thousand changes starts anew.
                seen, reset = self.sequence, True

    async def _next_poll(self) -> None:
        try:
            async with asyncio.timeout(STALE_SECONDS):
                await self._polled.wait()
        except TimeoutError:
            raise Unavailable(cause="feed") from None
        if self._stopped:
            raise Unavailable(cause="stopping")

    def _check_fresh(self) -> None:
        if not self.is_fresh():
            raise Unavailable(cause="feed")

    def _after(self, seen: int) -> tuple[Change, ...]:
        newer = takewhile(lambda change: change.sequence > seen, reversed(self._changes))
        return tuple(reversed(list(newer)))

    def _keep(self, changes: list[Change]) -> None:
        for change in changes:
            if len(self._changes) == CHANGES_KEPT:
                self._floor = self._changes[0].sequence
            self._changes.append(change)
            self.sequence = change.sequence
            if change.kind is ChangeKind.CATALOG:
                self.catalog_sequence = change.sequence
