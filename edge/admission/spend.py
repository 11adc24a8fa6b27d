"""What this edge may spend of keys' spend limits: slices from core, by UTC day of the requests.

    free = granted - returned - taken

Core counts a slice's open part as spent before we may use it, so the charges of all edges together
stay below the limit. Totals only grow, so that every call may be repeated. What is not used goes
back: when a slice is idle, when core asks for it, when its day is over.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Protocol

from edge.admission.batches import batches
from kit.clock import Clock
from kit.ids import unix_ms_of
from oneapi.admission.v1 import spend_pb2

IDLE_SECONDS: Final = 30.0
"""A slice without requests for so long gives its free part back."""
STOP_BEFORE_SECONDS: Final = 5.0
"""No request is admitted on a slice in the last seconds of its lifetime."""
MAX_RENEWALS: Final = 10_000
"""Slices in one renewal call, the contract's limit."""
_DAY_MS: Final = 86_400_000


class SpendCalls(Protocol):
    """The call to core that slices of spend need."""

    async def renew_spend(self, slices: dict[bytes, int]) -> list[spend_pb2.SpendSlice]:
        """Keep slices alive, with what each has returned in all; Unavailable."""


def day_of(request_id: bytes) -> int:
    """Return the UTC day to which a request's charge counts, in days since 1970."""
    return unix_ms_of(request_id) // _DAY_MS


class SpendSlice:
    """One slice as this edge sees it, in nano-US-dollars."""

    __slots__ = ("day", "deadline", "granted", "returned", "slice_id", "taken", "used_at")

    def __init__(self, slice_id: bytes, day: int) -> None:
        """Start with nothing."""
        self.slice_id = slice_id
        self.day = day
        self.granted = 0
        self.returned = 0
        self.taken = 0
        """Charged by requests that ended, and held by those that run."""
        self.deadline = 0.0
        self.used_at = 0.0

    @property
    def free(self) -> int:
        """Return what new requests may take; below zero after a charge beyond its hold."""
        return self.granted - self.returned - self.taken

    def take(self, nanos: int) -> None:
        """Set the worst case of a request aside."""
        self.taken += nanos

    def settle(self, unspent_nanos: int) -> None:
        """End a request: what it did not spend is free again."""
        self.taken -= unspent_nanos

    def apply(self, message: spend_pb2.SpendSlice, sent_at: float) -> None:
        """Take over what core says of the slice; its lifetime counts from the sending."""
        self.granted = max(self.granted, message.granted_total_nanos)
        lifetime = message.lifetime_ms / 1000
        self.deadline = max(
            self.deadline, sent_at + lifetime - min(STOP_BEFORE_SECONDS, lifetime / 4)
        )

    def give_back(self) -> None:
        """Mark the free part as returned."""
        self.returned += max(0, self.free)


class KeySpend:
    """The slices of one key: that of the running day, and earlier ones still in use."""

    __slots__ = ("_slices",)

    def __init__(self) -> None:
        """Start without any."""
        self._slices: dict[int, SpendSlice] = {}

    def free(self, day: int, now: float) -> int:
        """Return what requests of a day may take."""
        found = self._slices.get(day)
        return 0 if found is None or now >= found.deadline else found.free

    def has_free_on_others_than(self, day: int) -> bool:
        """Say whether slices of other days have something that soon goes back."""
        return any(found.free > 0 for found in self._slices.values() if found.day != day)

    def take(self, day: int, nanos: int, now: float) -> SpendSlice:
        """Set a request's worst case aside in the slice of its day."""
        found = self._slices[day]
        found.take(nanos)
        found.used_at = now
        return found

    def apply(self, message: spend_pb2.SpendSlice, sent_at: float) -> None:
        """Take over a slice from core: a new one if core has closed the one before."""
        found = self._slices.get(message.day)
        if found is None or found.slice_id != message.slice_id:
            found = self._slices[message.day] = SpendSlice(message.slice_id, message.day)
            found.returned = message.returned_total_nanos
            found.used_at = sent_at
        found.apply(message, sent_at)

    def prepare(self, recalled: Collection[bytes] | None, now: float) -> list[SpendSlice]:
        """Return the slices to tell core of, with their free parts given back where it is time.

        Without `recalled`: all, and those are given back that are idle or whose day is over.
        """
        newest = max(self._slices, default=0)
        wanted = []
        for found in self._slices.values():
            if recalled is None:
                if found.day < newest or now - found.used_at >= IDLE_SECONDS:
                    found.give_back()
            elif found.slice_id in recalled:
                found.give_back()
            else:
                continue
            wanted.append(found)
        return wanted

    def ended(self, found: SpendSlice) -> None:
        """Forget a slice that core no longer has; running requests settle against it all the same.

        Nothing else may drop one: what it has spent would be taken for free with core's totals.
        """
        if self._slices.get(found.day) is found:
            del self._slices[found.day]


class Spend:
    """The slices of all keys on this edge."""

    def __init__(self, calls: SpendCalls, clock: Clock) -> None:
        """Ask core through the calls."""
        self._calls = calls
        self._clock = clock
        self._keys: dict[bytes, KeySpend] = {}

    def of(self, key_id: bytes) -> KeySpend:
        """Return the slices of a key."""
        found = self._keys.get(key_id)
        if found is None:
            found = self._keys[key_id] = KeySpend()
        return found

    async def renew(self, recalled: Collection[bytes] | None = None) -> None:
        """Keep slices alive and give free parts back: idle ones, or the recalled ones at once.

        Raises:
            Unavailable: core cannot be reached; the next renewal says it again.
        """
        now = self._clock.monotonic()
        slices = {
            found.slice_id: (key, found)
            for key in self._keys.values()
            for found in key.prepare(recalled, now)
        }
        for batch in batches(slices, MAX_RENEWALS):
            sent_at = self._clock.monotonic()
            totals = {slice_id: found.returned for slice_id, (_, found) in batch.items()}
            for message in await self._calls.renew_spend(totals):
                _, found = batch.pop(message.slice_id, (None, None))
                if found is not None:
                    found.apply(message, sent_at)
            for key, found in batch.values():
                key.ended(found)
