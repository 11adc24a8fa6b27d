"""How many requests run at each upstream's model, and who waits for one of them to end.

A candidate says up to how many it may be used. Beyond it requests wait, in the order of their
routes' ranks, for as long as their route allows. Counts are this edge's own.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from typing import Final

from edge.admission.catalog import Candidate, Policy

MAX_WAITING: Final = 1_000
"""Requests that wait for one upstream's model; one more turns to the next candidate."""


class Waiter:
    """One request in the queue; by rank, then in the order of arrival."""

    __slots__ = ("entered", "max_running", "number", "rank")

    def __init__(self, rank: int, number: int, max_running: int) -> None:
        """Wait for fewer than `max_running` requests to run."""
        self.rank = rank
        self.number = number
        self.max_running = max_running
        self.entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __lt__(self, other: Waiter) -> bool:
        """Say whose turn comes first."""
        return (self.rank, self.number) < (other.rank, other.number)


class Place:
    """What runs at one upstream's model, and who waits for it."""

    __slots__ = ("_arrivals", "running", "waiting")

    def __init__(self) -> None:
        """Start empty."""
        self.running = 0
        self.waiting: list[Waiter] = []
        self._arrivals = 0

    def enter(self) -> Place:
        """Count one request that runs from now on; `leave` ends it."""
        self.running += 1
        return self

    def leave(self) -> None:
        """Count it out; the first in the queue whose limit allows it goes in."""
        self.running -= 1
        for waiter in self.waiting:
            if self.running < waiter.max_running and not waiter.entered.done():
                self.waiting.remove(waiter)
                self.running += 1
                waiter.entered.set_result(None)
                return

    async def wait(self, candidate: Candidate, policy: Policy) -> bool:
        """Wait for room as long as the policy allows; True if the request is counted in."""
        if not policy.queue_wait_seconds or len(self.waiting) >= MAX_WAITING:
            return False
        self._arrivals += 1
        waiter = Waiter(policy.queue_rank, self._arrivals, candidate.max_running)
        insort(self.waiting, waiter)
        try:
            async with asyncio.timeout(policy.queue_wait_seconds):
                await waiter.entered
        except TimeoutError:
            # It may have gone in at the very last moment.
            return self._has_entered(waiter)
        except BaseException:
            if self._has_entered(waiter):
                self.leave()
            raise
        return True

    def _has_entered(self, waiter: Waiter) -> bool:
        if waiter in self.waiting:
            self.waiting.remove(waiter)
            return False
        return True


class Capacity:
    """The places of all upstreams' models on this edge."""

    def __init__(self) -> None:
        """Start with nothing running."""
        self._places: dict[tuple[int, str], Place] = {}

    def at(self, candidate: Candidate) -> Place:
        """Return the place of a candidate: the same for every lane."""
        key = (candidate.upstream.number, candidate.upstream_model)
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = Place()
        return place

    def is_full(self, candidate: Candidate) -> bool:
        """Say whether a request of the candidate's route would have to wait."""
        limit = candidate.max_running
        return bool(limit) and self.at(candidate).running >= limit

    def has_spare(self, candidate: Candidate) -> bool:
        """Say whether there is room that nobody waits for."""
        return not self.is_full(candidate) and not self.at(candidate).waiting

    def enter_now(self, candidate: Candidate, policy: Policy) -> Place | None:
        """Return the place with the request counted in; None where there is no room now."""
        place, limit = self.at(candidate), candidate.max_running
        if (limit and place.running >= limit) or (policy.spare_only and place.waiting):
            return None
        return place.enter()

    async def enter(self, candidate: Candidate, policy: Policy) -> Place | None:
        """Return the place once the request is counted in; None where it found no room in time."""
        place = self.enter_now(candidate, policy)
        if place is None and not policy.spare_only:
            place = self.at(candidate)
            return place if await place.wait(candidate, policy) else None
        return place

    def running(self) -> int:
        """Return how many requests run in all."""
        return sum(place.running for place in self._places.values())

    def waiting(self) -> int:
        """Return how many requests wait in all."""
        return sum(len(place.waiting) for place in self._places.values())
