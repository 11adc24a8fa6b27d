"""The inbox: a slow object holds up itself only, and its own events stay in order."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from core.billing.events.inbox import LANES, Inbox
from core.billing.stripe.gateway import StripeEvent
from tests.support.payment_world import PaymentWorld
from tests.support.postgres import PostgresServer

BEGINNING = datetime(2026, 11, 20, tzinfo=UTC)


def inbox_of(world: PaymentWorld, converge: Callable[[str], Awaitable[object]]) -> Inbox:
    """An inbox whose events are all looked into by one function."""
    parts = (world.database.jobs, world.gateway, world.clock, world.ids, world.log)
    return Inbox(*parts, {"refund": converge})


def event(number: int, about: str) -> StripeEvent:
    """An event; a higher number happened later."""
    return StripeEvent(
        id=f"evt_{number}",
        type="refund.updated",
        object_id=about,
        livemode=False,
        created_at=BEGINNING + timedelta(seconds=number),
    )


async def test_a_slow_call_holds_up_nothing_else(world: PaymentWorld) -> None:
    """Neither what came with it nor what comes while it lasts."""
    slow, done = asyncio.Event(), []
    happened: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def converge(object_id: str) -> None:
        if object_id == "re_slow":
            await slow.wait()
        done.append(object_id)
        happened[object_id].set()

    inbox = inbox_of(world, converge)
    await inbox.keep([event(1, "re_slow"), event(2, "re_a")])
    working = asyncio.create_task(inbox.work())
    try:
        async with asyncio.timeout(10):
            await happened["re_a"].wait()
            await inbox.keep([event(3, "re_b"), event(4, "re_slow")])
            await happened["re_b"].wait()
    finally:
        slow.set()
    assert await working == 4
    assert done == ["re_a", "re_b", "re_slow", "re_slow"]


async def test_an_object_is_looked_into_by_one_at_a_time_and_few_at_once(
    world: PaymentWorld,
) -> None:
    """However many wait."""
    running: dict[str, int] = {}
    most, most_of_one = 0, 0
    full = asyncio.Event()

    async def converge(object_id: str) -> None:
        nonlocal most, most_of_one
        running[object_id] = running.get(object_id, 0) + 1
        most, most_of_one = max(most, sum(running.values())), max(most_of_one, running[object_id])
        if most >= LANES:
            full.set()
        # Nobody is done before all lanes are in use, however busy the machine is.
        await asyncio.wait_for(full.wait(), 10)
        running[object_id] -= 1

    inbox = inbox_of(world, converge)
    await inbox.keep([event(number, f"re_{number // 3}") for number in range(60)])
    assert await inbox.work() == 60
    assert (most, most_of_one) == (LANES, 1)


async def test_events_of_one_object_are_handled_in_their_order(world: PaymentWorld) -> None:
    """Of the moments at which they happened, however they arrived."""
    parts = (world.database.jobs, world.gateway, world.clock, world.ids, world.log)
    seen: list[str] = []

    class Telling(Inbox):
        async def _handle(self, event: object) -> None:
            seen.append(getattr(event, "event_id", ""))
            await super()._handle(event)  # type: ignore[arg-type]

    async def converge(_: str) -> None:
        await asyncio.sleep(0.001)

    inbox = Telling(*parts, {"refund": converge})
    await inbox.keep([event(number, "re_1") for number in (3, 1, 4, 2, 6, 5)])
    await inbox.work()
    assert seen == [f"evt_{number}" for number in range(1, 7)]


async def test_a_round_that_is_ended_ends_its_lanes(world: PaymentWorld) -> None:
    """A process that stops leaves no call behind; what it had taken comes again."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def converge(_: str) -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    inbox = inbox_of(world, converge)
    await inbox.keep([event(1, "re_1")])
    working = asyncio.create_task(inbox.work())
    await asyncio.wait_for(begun.wait(), 10)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert ended.is_set()
    (row,) = await world.rows("SELECT handled_at FROM stripe_inbox")
    assert row.handled_at is None


_FAILS = """
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full';
END $$;
CREATE TRIGGER no_room BEFORE UPDATE ON stripe_inbox FOR EACH ROW
    WHEN (NEW.object_id = 're_bad' AND NEW.handled_at IS NOT NULL) EXECUTE FUNCTION no_room();
"""


async def test_what_cannot_be_written_of_one_holds_up_no_other(
    world: PaymentWorld, postgres_server: PostgresServer, database_url: str
) -> None:
    """The round goes on with what comes meanwhile; the one comes again."""
    done: list[str] = []

    async def converge(object_id: str) -> None:
        done.append(object_id)
        if object_id == "re_slow":
            await asyncio.sleep(0.3)
            await inbox.keep([event(4, "re_late")])

    inbox = inbox_of(world, converge)
    owner = postgres_server.superuser_url_of(database_url)
    async with await psycopg.AsyncConnection.connect(owner) as connection:
        await connection.execute(_FAILS)
    await inbox.keep([event(1, "re_slow"), event(2, "re_bad"), event(3, "re_bad")])
    assert await inbox.work() == 4
    assert sorted(done) == ["re_bad", "re_late", "re_slow"]
    rows = await world.rows("SELECT DISTINCT object_id FROM stripe_inbox WHERE handled_at IS NULL")
    assert [row.object_id for row in rows] == ["re_bad"]
