"""How often, and how many times at once, a key may ask for the archive.

Each visit costs core a signature and often a line in its audit log, each download a stream of the
archiver's. Counted on each worker alone: nothing is lost if a key on several gets several shares.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final

from edge import errors
from kit.clock import Clock

PER_MINUTE: Final = 120
"""Visits of one key: a month's files, resumed some times, with room to spare."""
DOWNLOADS_MAX: Final = 4
"""Files of one key that are streamed at the same time."""
WINDOW_SECONDS: Final = 60.0
RETRY_MS: Final = 5_000
"""When to come again while other downloads run: nobody knows when they end."""


class ArchiveVisits:
    """Counts the visits of all keys, in one window for all of them."""

    def __init__(self, clock: Clock) -> None:
        """Count from now on."""
        self._clock = clock
        self._ends = 0.0
        self._visits: Counter[bytes] = Counter()
        self._downloads: Counter[bytes] = Counter()

    def count(self, key_id: bytes) -> None:
        """Count a visit, whatever becomes of it.

        Raises:
            ApiError: 429, the key came too often this minute.
        """
        now = self._clock.monotonic()
        if now >= self._ends:
            self._ends = now + WINDOW_SECONDS
            self._visits.clear()
        if self._visits[key_id] >= PER_MINUTE:
            raise errors.archive_limited(math.ceil((self._ends - now) * 1_000))
        self._visits[key_id] += 1

    def download(self, key_id: bytes) -> Callable[[], None]:
        """Begin a download; return what ends it, to be called once.

        Raises:
            ApiError: 429, too many of the key's downloads run.
        """
        if self._downloads[key_id] >= DOWNLOADS_MAX:
            raise errors.archive_limited(RETRY_MS)
        self._downloads[key_id] += 1
        return partial(self._ended, key_id)

    def _ended(self, key_id: bytes) -> None:
        self._downloads[key_id] -= 1
        if not self._downloads[key_id]:
            del self._downloads[key_id]
