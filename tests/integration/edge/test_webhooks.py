"""The provider's webhook on the edge: to core as it came, and back what the provider must know."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette

from core.billing.payments.rpc import PaymentParts, payment_service
from core.db.database import Database
from edge.api.body_room import BodyRoom
from edge.webhooks.stripe import BODY_BYTES_MAX, HAND_OVERS_MAX, StripePaths
from kit.clock import SystemClock
from tests.support.core_server import calling, serving
from tests.support.payment_world import PaymentWorld
from tests.support.stripe import StripeSimulator

PATH = "/webhooks/stripe"


@pytest.fixture(scope="module")
def simulator() -> Iterator[StripeSimulator]:
    """Run one simulated account for the tests of this file."""
    with StripeSimulator() as simulator:
        yield simulator


@pytest.fixture
async def world(database_url: str, simulator: StripeSimulator) -> AsyncIterator[PaymentWorld]:
    """Give a test a world on a database and an account of its own."""
    simulator.order("reset")
    world = PaymentWorld(Database.connect(database_url), simulator)
    yield world
    await world.close()


def now_signature() -> str:
    """A signature of now that nobody made."""
    return f"t={int(time.time())},v1=00"


@asynccontextmanager
async def edge(port: int, room_bytes: int = 1 << 24) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the edge's paths before core at a port."""
    async with calling(port, "edge") as channel:
        paths = StripePaths(channel, BodyRoom(room_bytes), SystemClock())
        transport = httpx.ASGITransport(Starlette(routes=paths.routes()))
        async with httpx.AsyncClient(transport=transport, base_url="http://edge") as client:
            yield client


@asynccontextmanager
async def served(world: PaymentWorld) -> AsyncIterator[httpx.AsyncClient]:
    """Serve core's payments, and the edge before it."""
    parts = PaymentParts(
        world.database.rpc, world.clock, world.ids, world.desk, world.inbox, world.movements
    )
    async with serving([payment_service(parts)]) as port, edge(port) as client:
        yield client


async def test_an_event_is_written_down_before_it_is_acknowledged(world: PaymentWorld) -> None:
    """And then looked into."""
    workspace_id = await world.workspace()
    payment = await world.checkout(workspace_id)
    world.pay(payment)
    async with served(world) as client:
        for event in world.events():
            body = json.dumps(event).encode()
            headers = {"stripe-signature": world.signature(body)}
            answer = await client.post(PATH, content=body, headers=headers)
            assert answer.status_code == 200
    assert await world.rows("SELECT 1 FROM stripe_inbox WHERE handled_at IS NULL")
    await world.inbox.work()
    assert await world.credits(workspace_id) == [1_000]


async def test_case_31_an_event_of_the_other_mode_is_refused(world: PaymentWorld) -> None:
    """Live at a test endpoint, signed as it may be."""
    workspace_id = await world.workspace()
    world.pay(await world.checkout(workspace_id))
    (event,) = [one for one in world.events() if one["type"] == "payment_intent.succeeded"]
    body = json.dumps({**event, "livemode": True}).encode()
    async with served(world) as client:
        headers = {"stripe-signature": world.signature(body)}
        answer = await client.post(PATH, content=body, headers=headers)
    assert answer.status_code == 400
    assert await world.rows("SELECT 1 FROM stripe_inbox") == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"stripe-signature": ""},
        {"stripe-signature": "t=1,v1=00"},
        {"stripe-signature": "x" * 5_000},
        {"stripe-signature": b"\xff\xfe"},
    ],
)
async def test_case_32_what_is_not_signed_is_refused(
    world: PaymentWorld, headers: dict[str, str | bytes]
) -> None:
    """400: the provider stops, an attacker learns nothing."""
    async with served(world) as client:
        wanted = list(headers.items())
        request = client.build_request("POST", PATH, content=b"{}", headers=wanted)  # type: ignore[arg-type]  # bytes as well
        answer = await client.send(request)
    assert answer.status_code == 400


async def test_case_32_a_signed_body_that_is_no_event_is_refused(world: PaymentWorld) -> None:
    """Whatever JSON it is."""
    async with served(world) as client:
        for body in (b"", b"[]", b"{}", b'{"object":"event"}', b"\xff", b"1" * 5_000, b"[" * 9_999):
            try:
                headers = {"stripe-signature": world.signature(body)}
            except UnicodeDecodeError:
                headers = {"stripe-signature": world.signature(b"")}
            answer = await client.post(PATH, content=body, headers=headers)
            assert answer.status_code == 400, body[:10]


async def test_a_body_above_a_mebibyte_is_not_read(world: PaymentWorld) -> None:
    """Nor does core hear of it."""
    async with served(world) as client:
        body = b" " * (BODY_BYTES_MAX + 1)
        answer = await client.post(
            PATH, content=body, headers={"stripe-signature": now_signature()}
        )
    assert answer.status_code == 413


async def test_without_core_the_provider_is_asked_to_come_again() -> None:
    """503 with Retry-After, never 500."""
    async with edge(9) as client:
        answer = await client.post(
            PATH, content=b"{}", headers={"stripe-signature": now_signature()}
        )
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
        assert (await client.get("/billing/return?session_id=cs_1")).status_code == 200


async def test_bodies_take_room_of_the_worker() -> None:
    """As all others: the provider comes again when there is some."""
    async with edge(9, room_bytes=100_000) as client:
        headers = {"stripe-signature": now_signature()}
        answer = await client.post(PATH, content=b" " * 200_000, headers=headers)
        assert (answer.status_code, answer.text) == (503, "busy")


async def test_few_are_handed_over_at_a_time() -> None:
    """A crowd that sends nothing holds a few places, and those come free again."""
    ended = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await ended.wait()

    async with edge(9) as client:
        headers = {"stripe-signature": now_signature()}
        crowd = [
            asyncio.create_task(client.post(PATH, content=slow(), headers=headers))
            for _ in range(HAND_OVERS_MAX)
        ]
        await asyncio.sleep(0.2)
        answer = await client.post(PATH, content=b"{}", headers=headers)
        assert (answer.text, answer.headers["retry-after"]) == ("busy", "30")
        ended.set()
        assert {one.text for one in await asyncio.gather(*crowd)} == {"unavailable"}
        answer = await client.post(PATH, content=b"{}", headers=headers)
        assert answer.text == "unavailable"


@pytest.mark.parametrize("age", [-310, 310])
async def test_an_old_signature_is_refused_before_the_body_is_read(age: int) -> None:
    """Nothing of it is kept, nor is core asked, which is not there."""
    headers = {"stripe-signature": f"t={int(time.time()) - age},v1=00"}
    async with edge(9) as client:
        answer = await client.post(PATH, content=b"{}", headers=headers)
    assert answer.status_code == 400


async def test_whoever_comes_back_is_looked_at_at_once(world: PaymentWorld) -> None:
    """The page says thank you; what it is told is nobody's business but core's."""
    workspace_id = await world.workspace()
    payment = await world.checkout(workspace_id)
    world.pay(payment)
    async with served(world) as client:
        for wrong in (
            "",
            "?session_id=",
            "?session_id=%00",
            "?session_id=cs_unknown",
            "?session_id=" + "x" * 999,
        ):
            answer = await client.get(f"/billing/return{wrong}")
            assert (answer.status_code, "Thank you" in answer.text) == (200, True)
        await client.get(f"/billing/return?session_id={payment.session_id}")
        # The page is answered first; the note is on its way.
        while not await _noted(world):  # noqa: ASYNC110 - it is told by another process
            await asyncio.sleep(0.01)
        assert await world.desk.work() == 1
    assert await world.credits(workspace_id) == [1_000]


async def _noted(world: PaymentWorld) -> bool:
    return bool(await world.rows("SELECT 1 FROM payment WHERE checked_at = 'epoch'"))
