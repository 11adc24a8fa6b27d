"""The inbox: what is told is written down, acknowledged, and then looked into.

An event says only that something happened to an object. What the object is now is fetched by the
converger of its kind; so an event may come twice, late or out of order.

A call to the provider may take half a minute and more. So several objects are looked into at once,
each in a lane of its own, the events of one object in their order; and while one is slow the other
lanes go on taking what comes.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Final

from core.audit import Act
from core.billing.alarms import raise_alarm
from core.billing.events import store
from core.billing.events.store import Waiting
from core.billing.faults import ALARM_AFTER
from core.billing.stripe.gateway import PaymentUnknown, StripeEvent, StripeGateway, StripeRefused
from core.db.database import Pool
from kit.clock import Clock, now
from kit.ids import IdSource
from kit.log import EventLog
from kit.reasons import DomainError, InvalidArgument, Unavailable

ACTOR: Final = "core.events"
LANES: Final = 8
"""So many objects are looked into at once; none keeps a connection while it waits for an answer."""
LOOK_SECONDS: Final = 1.0
"""While a lane is slow, the others look this often for what has come meanwhile."""
FIRST_PAUSE_SECONDS: Final = 1
LONGEST_PAUSE_SECONDS: Final = 3_600
FAULT: Final = "fault"
PATIENCE: Final = timedelta(days=3)
"""How long what an event is about may stay unknown: as long as the provider would try."""

Converge = Callable[[str], Awaitable[object]]


class Inbox:
    """Takes events and hands each to the converger of its type: the longest beginning wins."""

    def __init__(
        self,
        pool: Pool,
        gateway: StripeGateway,
        clock: Clock,
        ids: IdSource,
        log: EventLog,
        convergers: Mapping[str, Converge],
        *,
        lanes: int = LANES,
    ) -> None:
        """Work on the pool's database; `convergers` are by the beginnings of types of events."""
        self._lanes = lanes
        self._pool = pool
        self._gateway = gateway
        self._clock = clock
        self._ids = ids
        self._log = log
        self._convergers = convergers

    async def receive(self, body: bytes, signature: str) -> None:
        """Write an event of a webhook down; once this returns it cannot be lost any more.

        Raises:
            InvalidArgument: it is not from the provider, or not from the mode that we run in.
        """
        event = self._gateway.read_event(body, signature, now(self._clock))
        if event.livemode != self._gateway.livemode:
            raise InvalidArgument(fields="body.livemode")
        await self.keep([event])

    async def keep(self, events: list[StripeEvent]) -> int:
        """Write down those events that are about something of ours; return how many are new."""
        ours = [event for event in events if event.object_id and self._converger_of(event.type)]
        if not ours:
            return 0
        async with self._pool.transaction("system") as tx:
            count = await store.insert(tx, ours, now(self._clock))
            await tx.commit()
        return count

    async def work(self) -> int:
        """Look into what is due, until nothing is left; return how many events that were."""
        count = 0
        lanes: dict[asyncio.Task[None], str] = {}
        try:
            while True:
                found = await self._take(self._lanes - len(lanes), lanes.values())
                for object_id, events in found.items():
                    count += len(events)
                    lanes[asyncio.create_task(self._handle_in_order(events))] = object_id
                if found and len(lanes) < self._lanes:
                    continue
                if not lanes:
                    return count
                for lane in await self._finished(lanes):
                    del lanes[lane]
                    lane.result()
        except asyncio.CancelledError:
            for lane in lanes:
                lane.cancel()
            raise
        finally:
            # A fault of one lane ends the round, not what the others are in the middle of.
            await asyncio.gather(*lanes, return_exceptions=True)

    async def _finished(self, lanes: Collection[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
        """Wait for a lane to be free; only for a while if others are."""
        done, _ = await asyncio.wait(
            lanes,
            timeout=LOOK_SECONDS if len(lanes) < self._lanes else None,
            return_when=asyncio.FIRST_COMPLETED,
        )
        return done

    async def _take(self, limit: int, busy: Collection[str]) -> dict[str, list[Waiting]]:
        """Take events that are due, by their objects."""
        async with self._pool.transaction("system") as tx:
            due = await store.take(tx, now(self._clock), limit, busy=busy)
            await tx.commit()
        found: defaultdict[str, list[Waiting]] = defaultdict(list)
        for event in due:
            found[event.object_id].append(event)
        return found

    async def _handle_in_order(self, events: Sequence[Waiting]) -> None:
        for event in events:
            try:
                await self._handle(event)
            except Unavailable as error:
                # What became of it could not be written. It comes again, with what is behind it;
                # a database that is away for all ends the round at the next look.
                self._log.fault("event_not_written", error, kind=event.type)
                return

    async def _handle(self, event: Waiting) -> None:
        converge = self._converger_of(event.type)
        try:
            if converge is not None:
                await converge(event.object_id)
        except PaymentUnknown as error:
            await self._put_off(event, "provider_away", error)
        except Unavailable as error:
            self._log.fault("event_put_off", error, kind=event.type)
        except StripeRefused as error:
            await self._give_up(event, "refused", error)
        except DomainError as error:
            await self._put_off(event, "not_known_yet", error)
        except Exception as error:  # noqa: BLE001 - one that cannot be read hinders no other
            self._log.fault("event_failed", error, kind=event.type)
            await self._put_off(event, FAULT, error)
        else:
            async with self._pool.transaction("system") as tx:
                await store.handled(tx, event.event_id, now(self._clock))
                await tx.commit()

    async def _put_off(self, event: Waiting, why: str, error: Exception) -> None:
        moment = now(self._clock)
        if why == "not_known_yet" and moment - event.received_at > PATIENCE:
            await self._give_up(event, why, error)
            return
        pause = min(FIRST_PAUSE_SECONDS * 2 ** min(event.attempts, 20), LONGEST_PAUSE_SECONDS)
        async with self._pool.transaction("system") as tx:
            await store.again(tx, event.event_id, moment + timedelta(seconds=pause), why)
            if why == FAULT and event.attempts >= ALARM_AFTER:
                await raise_alarm(tx, self._act(), "billing_fault", event.object_id[:96])
            await tx.commit()

    async def _give_up(self, event: Waiting, why: str, error: Exception) -> None:
        """Leave an event to people: what it is about is not there, or cannot be applied."""
        self._log.fault("event_given_up", error, kind=event.type, code=why)
        act = self._act()
        async with self._pool.transaction("system") as tx:
            await store.handled(tx, event.event_id, act.now, why)
            await raise_alarm(tx, act, "stripe_event_unmatched", event.object_id[:96])
            await tx.commit()

    def _act(self) -> Act:
        return Act(ACTOR, now(self._clock), self._ids)

    def _converger_of(self, kind: str) -> Converge | None:
        parts = kind.split(".")
        beginnings = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
        return next(
            (self._convergers[name] for name in beginnings if name in self._convergers), None
        )
