"""Webhooks: signed, at least once, in no promised order, tried again for three days."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

import httpx

from tools.stripe_sim import events, rendering
from tools.stripe_sim.clock import DAY_SECONDS
from tools.stripe_sim.errors import Json
from tools.stripe_sim.faults import Fault, Faults
from tools.stripe_sim.world import World

Style = Literal["snapshot", "thin"]
RETRY_SECONDS_FIRST: Final = 60
RETRY_SECONDS_MAX: Final = DAY_SECONDS // 2
TRIED_SECONDS: Final = 3 * DAY_SECONDS
ANSWER_SECONDS_MAX: Final = 20.0
AT_ONCE_MAX: Final = 8
_TICK_SECONDS: Final = 0.1


@dataclass
class Destination:
    """Where webhooks go, how they look, and the secrets that sign them (two while rotating)."""

    url: str | None
    secrets: list[str]
    styles: list[Style]


@dataclass
class Delivery:
    """One event on its way to the destination in one style."""

    id: str
    event: str
    type: str
    style: Style
    payload: str
    created: int
    due: int
    attempts: int = 0
    statuses: list[int] = field(default_factory=list)
    """What each attempt was answered with, 0 for no answer."""
    is_held: bool = False
    is_delivered: bool = False
    is_given_up: bool = False
    copies: int = 1

    @property
    def is_open(self) -> bool:
        """Whether another attempt is to come."""
        return not (self.is_delivered or self.is_given_up)


def signature(payload: str, secrets: Iterable[str], at: int) -> str:
    """Return the `Stripe-Signature` header: one `v1` for each secret."""
    text = f"{at}.{payload}".encode()
    macs = [hmac.new(one.encode(), text, hashlib.sha256).hexdigest() for one in secrets]
    return ",".join([f"t={at}", *(f"v1={mac}" for mac in macs)])


def retry_seconds(attempts: int) -> int:
    """Return how long to wait after so many attempts: doubling, at most half a day."""
    return int(min(RETRY_SECONDS_FIRST * 2 ** (attempts - 1), RETRY_SECONDS_MAX))


class Deliveries:
    """Every delivery, and the task that makes them."""

    def __init__(self, world: World, destination: Destination, faults: Faults) -> None:
        """Start with none; `run` delivers."""
        self._world = world
        self._faults = faults
        self._client = httpx.AsyncClient(timeout=ANSWER_SECONDS_MAX, trust_env=False)
        self._wake = asyncio.Event()
        self._under_way: dict[str, asyncio.Task[int]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE_MAX)
        self.destination = destination
        self.by_id: dict[str, Delivery] = {}
        self._open: dict[str, Delivery] = {}
        self.on_change: Callable[[], None] = lambda: None

    def tell(self, event: Json, thin: Json | None) -> None:
        """Put an event on its way."""
        if self.destination.url is None:
            return
        bodies: dict[Style, Json | None] = {"snapshot": event, "thin": thin}
        chosen = [(style, bodies[style]) for style in self.destination.styles]
        wanted = [(style, body) for style, body in chosen if body is not None]
        event["pending_webhooks"] = len(wanted)
        for style, body in wanted:
            shown = events.notification(body) if style == "thin" else rendering.public(body)
            self._add(event, style, json.dumps(shown))
        self._wake.set()

    def _add(self, event: Json, style: Style, payload: str) -> None:
        now = self._world.now()
        kind = event["type"]
        held = self._faults.on_event("hold_webhooks", kind) is not None
        doubled = self._faults.on_event("duplicate", kind) is not None
        delivery = Delivery(
            id=self._world.new_id("whd"),
            event=event["id"],
            type=kind,
            style=style,
            payload=payload,
            created=now,
            due=now,
            is_held=held,
            copies=2 if doubled else 1,
        )
        self.by_id[delivery.id] = self._open[delivery.id] = delivery

    async def run(self) -> None:
        """Deliver until cancelled; look at the clock often, because drills move it."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), _TICK_SECONDS)
            self._wake.clear()
            due = self._due()
            mixing = next((found for one in due if (found := self._mixing(one))), None)
            if mixing is None:
                for one in due:
                    self._start(one)
            else:
                await self._mix(mixing)

    def _due(self) -> list[Delivery]:
        now = self._world.now()
        return [
            one
            for one in self._open.values()
            if not one.is_held and one.due <= now and one.id not in self._under_way
        ]

    def _mixing(self, delivery: Delivery) -> Fault | None:
        return self._faults.on_event("reorder", delivery.type)

    async def _mix(self, fault: Fault) -> None:
        """Let events gather, then deliver them one after the other, shuffled."""
        await asyncio.sleep(fault.seconds)
        due = self._due()
        random.Random(fault.seed).shuffle(due)  # noqa: S311 - to be repeatable
        for one in due:
            await self._start(one)

    def _start(self, delivery: Delivery) -> asyncio.Task[int]:
        task = asyncio.create_task(self._attempt(delivery))
        self._under_way[delivery.id] = task
        task.add_done_callback(lambda _: self._under_way.pop(delivery.id, None))
        return task

    async def _attempt(self, delivery: Delivery) -> int:
        """Make one attempt and keep its outcome."""
        async with self._slots:
            copies = [self.post(delivery.payload) for _ in range(delivery.copies)]
            status = max(await asyncio.gather(*copies))
        delivery.copies = 1
        delivery.attempts += 1
        delivery.statuses.append(status)
        if 200 <= status < 300:
            self._close(delivery)
        else:
            delivery.due = self._world.now() + retry_seconds(delivery.attempts)
            delivery.is_given_up = delivery.due > delivery.created + TRIED_SECONDS
        if not delivery.is_open:
            self._open.pop(delivery.id, None)
        self.on_change()
        return status

    def _close(self, delivery: Delivery) -> None:
        if not delivery.is_delivered:
            delivery.is_delivered = True
            event = self._world.find(delivery.event)
            if event is not None:
                event["pending_webhooks"] -= 1

    async def post(self, payload: str) -> int:
        """Send a signed body; return the status, 0 for no answer."""
        if self.destination.url is None:
            return 0
        header = signature(payload, self.destination.secrets, self._world.now())
        try:
            answer = await self._client.post(
                self.destination.url,
                content=payload.encode(),
                headers={
                    "Content-Type": "application/json; charset=utf-8",
                    "Stripe-Signature": header,
                    "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
                },
            )
        except httpx.HTTPError:
            return 0
        return answer.status_code

    async def release(self, order: list[str] | None, seed: int | None) -> list[dict[str, Any]]:
        """Deliver what is held, one after the other: in an order of event ids, or shuffled."""
        held = [one for one in self._open.values() if one.is_held]
        if order is not None:
            place = {event: position for position, event in enumerate(order)}
            held = sorted(
                (one for one in held if one.event in place), key=lambda one: place[one.event]
            )
        elif seed is not None:
            random.Random(seed).shuffle(held)  # noqa: S311 - to be repeatable
        outcome = []
        for one in held:
            one.is_held = False
            status = await self._start(one)
            outcome.append({"event": one.event, "type": one.type, "status": status})
        return outcome

    async def replay(self, event_id: str) -> list[dict[str, Any]]:
        """Deliver an event once more, as it was."""
        found = [one for one in self.by_id.values() if one.event == event_id]
        return [
            {"event": one.event, "type": one.type, "status": await self.post(one.payload)}
            for one in found
        ]

    async def settle(self) -> None:
        """Wait until nothing is under way or due."""
        while True:
            now = self._world.now()
            is_due = any(not one.is_held and one.due <= now for one in self._open.values())
            if not is_due and not self._under_way:
                return
            self._wake.set()
            await asyncio.sleep(0.005)

    async def close(self) -> None:
        """End what is under way."""
        await self._end_tasks()
        await self._client.aclose()

    async def forget_all(self) -> None:
        """Forget every delivery, and end those under way."""
        self.by_id.clear()
        self._open.clear()
        await self._end_tasks()

    async def _end_tasks(self) -> None:
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def counts(self) -> dict[str, int]:
        """Return how many deliveries there are, and in which state."""
        everything = self.by_id.values()
        return {
            "delivered": sum(one.is_delivered for one in everything),
            "given_up": sum(one.is_given_up for one in everything),
            "held": sum(one.is_held for one in self._open.values()),
            "open": len(self._open),
        }

    def dump(self) -> list[Json]:
        """Return the deliveries as JSON."""
        return [asdict(one) for one in self.by_id.values()]

    def load(self, kept: list[Json]) -> None:
        """Read back what `dump` returned."""
        self.by_id = {one["id"]: Delivery(**one) for one in kept}
        self._open = {one.id: one for one in self.by_id.values() if one.is_open}
