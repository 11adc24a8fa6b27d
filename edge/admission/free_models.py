"""How often a workspace may ask for what costs nothing: no credit bounds that.

That is models without a price, and counting tokens.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Final

from kit.clock import Clock

PER_MINUTE: Final = 60
"""Of each workspace, on each worker; a setting. Providers of free models allow 10 to 30."""
WINDOW_SECONDS: Final = 60.0


class FreeModels:
    """Counts the requests of workspaces to free models, in one window for all of them.

    Core is not asked: nothing is lost if a workspace on several workers gets several shares.
    """

    def __init__(self, clock: Clock, per_minute: int) -> None:
        """Allow so many a minute; 0 means any number."""
        self._clock = clock
        self._per_minute = per_minute
        self._ends = 0.0
        self._counts: Counter[bytes] = Counter()

    def count(self, workspace_id: bytes) -> int:
        """Count a request; return 0, or in how many milliseconds another one may come."""
        if not self._per_minute:
            return 0
        now = self._clock.monotonic()
        if now >= self._ends:
            self._ends = now + WINDOW_SECONDS
            self._counts.clear()
        if self._counts[workspace_id] >= self._per_minute:
            return math.ceil((self._ends - now) * 1_000)
        self._counts[workspace_id] += 1
        return 0

    def give_back(self, workspace_id: bytes) -> None:
        """Take back one that was counted and not served; of an earlier window it is forgotten."""
        if self._counts[workspace_id] > 0:
            self._counts[workspace_id] -= 1
