"""Which upstream next: the candidates of a route in the order in which to try them.

A candidate that failed several times in a row goes last until its pause is over. What a route asks
for beyond that is data in the catalogue (its policy). Nothing here sends.
"""

from __future__ import annotations

import hashlib
import math
import random
from dataclasses import dataclass
from typing import Final

from edge.admission.catalog import Candidate, Route
from edge.upstream.capacity import Capacity
from kit.clock import Clock
from oneapi.catalog.v1.catalog_pb2 import RoutePolicy

FAILURES_TO_OPEN: Final = 3
PAUSE_SECONDS: Final = 10.0
LATENCY_SECONDS: Final = 30.0
"""The time constant of the latency average: a peak counts at once and fades (peak-EWMA)."""


@dataclass(slots=True)
class UpstreamHealth:
    """What was seen of one upstream lately."""

    failures: int = 0
    open_until: float = 0.0
    latency_seconds: float = 0.0
    measured_at: float = 0.0


class Router:
    """Orders candidates by health, priority, room, and as their route's policy says."""

    def __init__(self, clock: Clock) -> None:
        """Start without knowledge of any upstream."""
        self._clock = clock
        self._health: dict[int, UpstreamHealth] = {}
        self.capacity = Capacity()

    def order(self, route: Route, sticky_to: bytes) -> list[Candidate]:
        """Return the candidates in the order in which to try them."""
        if len(route.candidates) == 1:
            return list(route.candidates)
        balance, is_full = route.policy.balance, self.capacity.is_full
        keyed = [
            (
                self._paused(item),
                item.priority,
                is_full(item),
                self._rank(item, balance, sticky_to),
                index,
            )
            for index, item in enumerate(route.candidates)
        ]
        return [route.candidates[index] for *_, index in sorted(keyed)]

    def has_spare(self, route: Route) -> bool:
        """Say whether some candidate is healthy and has room that nobody waits for."""
        return any(
            not self._paused(item) and self.capacity.has_spare(item) for item in route.candidates
        )

    def succeeded(self, number: int, first_byte_seconds: float) -> None:
        """Note an answer and how long its first byte took."""
        health = self._of(number)
        health.failures = 0
        health.open_until = 0.0
        now = self._clock.monotonic()
        faded = health.latency_seconds * math.exp((health.measured_at - now) / LATENCY_SECONDS)
        health.latency_seconds = max(first_byte_seconds, faded)
        health.measured_at = now

    def failed(self, number: int) -> None:
        """Note a failure; after three in a row the upstream pauses."""
        health = self._of(number)
        health.failures += 1
        if health.failures >= FAILURES_TO_OPEN:
            health.open_until = self._clock.monotonic() + PAUSE_SECONDS

    def _of(self, number: int) -> UpstreamHealth:
        return self._health.setdefault(number, UpstreamHealth())

    def _paused(self, candidate: Candidate) -> bool:
        health = self._health.get(candidate.upstream.number)
        return health is not None and self._clock.monotonic() < health.open_until

    def _rank(self, candidate: Candidate, balance: int, sticky_to: bytes) -> float:
        if balance == RoutePolicy.BALANCE_LOWEST_LATENCY:
            health = self._health.get(candidate.upstream.number)
            return health.latency_seconds if health else 0.0
        if balance == RoutePolicy.BALANCE_STICKY:
            uniform = _uniform(sticky_to, candidate.upstream.number)
        else:
            uniform = random.random()  # noqa: S311  a share of load, not a secret
        # The smallest of -ln(u)/weight falls on each candidate in proportion to its weight.
        return -math.log(max(uniform, 1e-12)) / candidate.weight


def _uniform(sticky_to: bytes, number: int) -> float:
    digest = hashlib.blake2b(sticky_to + number.to_bytes(4, "big"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
