"""Reads what the provider has, in case it never reached us: hourly, and after a start.

Lists come newest first. A round goes from now back to where the last one began, less an overlap;
its place is written after each page, so that a provider that is busy is left alone and asked again
there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Generic, Protocol, TypeVar

from core.billing.events import store
from core.billing.stripe.gateway import Page, PaymentUnknown, StripeRefused
from core.db.database import Pool
from kit.clock import Clock, from_micros, now, to_micros

HOUR: Final = timedelta(hours=1)
FIRST_REACH: Final = timedelta(days=29)
"""How far the first round goes back: the provider lists 30 days."""
OVERLAP: Final = timedelta(hours=1)
PAGES_PER_ROUND_MAX: Final = 200
BUSY_FIRST: Final = timedelta(seconds=30)
_SEPARATOR: Final = ":"


class Item(Protocol):
    """What lists are made of."""

    @property
    def id(self) -> str:
        """Return its id."""

    @property
    def created_at(self) -> datetime:
        """Return when it was made."""


Listed = TypeVar("Listed", bound=Item)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a round is: from `began` back to `since`, and after which item it goes on."""

    since: datetime
    began: datetime | None = None
    after: str = ""

    @classmethod
    def parse(cls, text: str, moment: datetime) -> Place:
        """Read a place; of a sweep that never ran, as far back as the provider lists."""
        if not text:
            return cls(moment - FIRST_REACH)
        since, began, after = text.split(_SEPARATOR)
        return cls(from_micros(int(since)), from_micros(int(began)) if began else None, after)

    def __str__(self) -> str:
        """Return what `parse` reads."""
        began = "" if self.began is None else str(to_micros(self.began))
        return _SEPARATOR.join((str(to_micros(self.since)), began, self.after))


class Sweep(Generic[Listed]):
    """One list, read round by round; `take` gets each page, and may get an item again."""

    def __init__(
        self,
        name: str,
        pool: Pool,
        clock: Clock,
        fetch: Callable[[datetime, str], Awaitable[Page[Listed]]],
        take: Callable[[tuple[Listed, ...]], Awaitable[object]],
    ) -> None:
        """Name the cursor, and say where pages come from and go to."""
        self._name = name
        self._pool = pool
        self._clock = clock
        self._fetch = fetch
        self._take = take
        self._busy = 0
        self._not_before: datetime | None = None

    async def work(self, rest: timedelta = HOUR) -> bool:
        """Read on, if the last round is long enough ago; say whether a round was finished.

        Raises:
            PaymentUnknown: the provider is busy or away; the place is kept, for later.
        """
        moment = now(self._clock)
        if self._not_before is not None and moment < self._not_before:
            return False
        wait = rest if self._not_before is None else timedelta(0)
        async with self._pool.transaction("system") as tx:
            position = await store.claim_cursor(tx, self._name, now=moment, rest=wait)
            await tx.commit()
        if position is None:
            return False
        place = Place.parse(position, moment)
        try:
            done = await self._read_on(place)
        except StripeRefused:
            # The item that we would go on after is gone: this round begins anew, once.
            if not place.after:
                raise
            await self._keep(Place(place.since))
            return False
        except PaymentUnknown:
            self._busy += 1
            pause = min(BUSY_FIRST * 2 ** min(self._busy - 1, 10), HOUR)
            self._not_before = moment + pause
            raise
        self._busy, self._not_before = 0, None
        return done

    async def _read_on(self, place: Place) -> bool:
        place = replace(place, began=place.began or now(self._clock))
        for _ in range(PAGES_PER_ROUND_MAX):
            page = await self._fetch(place.since, place.after)
            await self._take(page.items)
            if not page.has_more or not page.items:
                began = place.began or place.since
                await self._keep(Place(began - OVERLAP))
                return True
            place = replace(place, after=page.items[-1].id)
            await self._keep(place)
        return False

    async def _keep(self, place: Place) -> None:
        async with self._pool.transaction("system") as tx:
            await store.move_cursor(tx, self._name, str(place), now(self._clock))
            await tx.commit()
