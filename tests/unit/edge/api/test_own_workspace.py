"""What anyone may ask often costs core no more than a few calls."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from starlette.requests import Request
from starlette.responses import Response

from edge.api.account import CALLS_MAX, Account
from edge.api.receipts import KEYS_AGAIN_SECONDS, KEYS_KEPT_SECONDS, Receipts
from oneapi.billing.v1 import credit_service_pb2, receipt_service_pb2
from tests.unit.edge.admission.world import AdmissionWorld

WORDS = b"keys"


class Channel:
    """Core behind a channel: calls wait for a gate, and fail where it is told so."""

    def __init__(self, answer: Any) -> None:
        """Answer this."""
        self.answer = answer
        self.calls = 0
        self.fails = False
        self.gate = asyncio.Event()

    def unary_unary(self, *_path: Any, **_more: Any) -> Any:
        """Return what the stub calls."""

        async def call(_wanted: Any, timeout: float) -> Any:  # noqa: ASYNC109 - grpc's own name
            self.calls += 1
            async with asyncio.timeout(timeout):
                await self.gate.wait()
            if self.fails:
                none = grpc.aio.Metadata()
                raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, none, none)
            return self.answer

        return call


def request(secret: str = "") -> Request:
    """Return a request with a key."""
    headers = [(b"authorization", f"Bearer {secret}".encode())]
    return Request({"type": "http", "headers": headers, "query_string": b"", "client": None})


async def gathered(*asked: Any, channel: Channel) -> list[Response]:
    """Let all of them ask before core answers."""
    tasks: list[asyncio.Task[Response]] = [asyncio.create_task(one) for one in asked]
    for _ in range(20):
        await asyncio.sleep(0)
    channel.gate.set()
    return list(await asyncio.gather(*tasks))


async def test_all_who_ask_for_the_keys_share_one_call() -> None:
    """Then they are kept; when they are old, they are answered while core is asked."""
    world = AdmissionWorld()
    channel = Channel(receipt_service_pb2.GetPlatformKeysResponse(content=WORDS))
    receipts = Receipts(channel, world.admission, world.clock)  # type: ignore[arg-type]
    answers = await gathered(*[receipts.keys(request()) for _ in range(50)], channel=channel)
    assert {(one.status_code, one.body) for one in answers} == {(200, WORDS)}
    assert channel.calls == 1
    world.clock.pass_time(KEYS_KEPT_SECONDS)
    channel.gate.clear()
    old = await asyncio.wait_for(receipts.keys(request()), 1)
    assert old.body == WORDS
    await gathered(*[receipts.keys(request()) for _ in range(50)], channel=channel)
    assert channel.calls == 2


async def test_a_core_that_fails_is_left_alone_for_a_while() -> None:
    """Whoever asks meanwhile gets 503, or the keys that are known."""
    world = AdmissionWorld()
    channel = Channel(receipt_service_pb2.GetPlatformKeysResponse(content=WORDS))
    channel.fails = True
    channel.gate.set()
    receipts = Receipts(channel, world.admission, world.clock)  # type: ignore[arg-type]
    for _ in range(5):
        answer = await receipts.keys(request())
        assert answer.status_code == 503
        assert answer.headers["access-control-allow-origin"] == "*"
    assert channel.calls == 1
    channel.fails = False
    world.clock.pass_time(KEYS_AGAIN_SECONDS)
    assert (await receipts.keys(request())).body == WORDS


async def test_few_balances_are_asked_for_at_the_same_time() -> None:
    """The others are told when to come again; afterwards there is room."""
    world = AdmissionWorld()
    channel = Channel(credit_service_pb2.GetBalanceResponse())
    account = Account(channel, world.admission)  # type: ignore[arg-type]
    asked = [account.credits(request(world.secret)) for _ in range(CALLS_MAX + 3)]
    answers = await gathered(*asked, channel=channel)
    assert sorted(one.status_code for one in answers) == [200] * CALLS_MAX + [503] * 3
    busy = next(one for one in answers if one.status_code == 503)
    assert busy.headers["retry-after"] == "1"
    assert (await account.credits(request(world.secret))).status_code == 200
