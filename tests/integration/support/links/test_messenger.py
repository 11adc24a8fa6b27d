"""A messenger does to calls and messages what its orders say, and nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from tests.support.links.client import Messenger

CALL = "/test.Service/Call"
STREAM = "/test.Service/RecordUsage"
SOON_SECONDS = 10.0


@dataclass
class Service(grpc.GenericRpcHandler):
    """Remembers every message and echoes it."""

    received: list[bytes] = field(default_factory=list)

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler of a method."""
        if handler_call_details.method == CALL:
            return grpc.unary_unary_rpc_method_handler(self._call)
        return grpc.stream_stream_rpc_method_handler(self._stream)

    async def _call(self, request: bytes, context: Any) -> bytes:
        self.received.append(request)
        if request == b"refused":
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "")
        return request

    async def _stream(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            self.received.append(request)
            yield request


@dataclass
class World:
    """A service, a messenger and a channel through it."""

    service: Service
    messenger: Messenger
    channel: grpc.aio.Channel

    async def call(self, request: bytes) -> bytes:
        """Call the method of one message."""
        method: Any = self.channel.unary_unary(CALL)
        answer: bytes = await method(request, timeout=SOON_SECONDS)
        return answer

    async def stream(self, *requests: bytes) -> list[bytes]:
        """Send messages in one stream and return the answers."""

        async def every() -> AsyncIterator[bytes]:
            for request in requests:
                yield request

        method: Any = self.channel.stream_stream(STREAM)
        return [answer async for answer in method(every(), timeout=SOON_SECONDS)]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Give a messenger that carries everything well."""
    service = Service()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    with Messenger(port, seed=3) as messenger:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{messenger.port}") as channel:
            yield World(service, messenger, channel)
    await server.stop(None)


async def test_it_carries_calls_streams_and_errors(world: World) -> None:
    """Without orders nothing is changed."""
    assert await world.call(b"one") == b"one"
    assert await world.stream(b"two", b"three") == [b"two", b"three"]
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await world.call(b"refused")
    assert error.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_lost_request_never_arrives(world: World) -> None:
    """The caller is told that nobody was there."""
    world.messenger.tell(lose_requests=1.0)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await world.call(b"one")
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    with pytest.raises(grpc.aio.AioRpcError):
        await world.stream(b"two")
    assert world.service.received == []


async def test_a_lost_answer_is_of_a_call_that_was_done(world: World) -> None:
    """The caller is told the same as if it had not."""
    world.messenger.tell(lose_answers=1.0)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await world.call(b"one")
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    assert world.service.received == [b"one"]


async def test_a_repeated_message_arrives_twice(world: World) -> None:
    """Calls and messages of streams alike."""
    world.messenger.tell(repeat=1.0)
    assert await world.call(b"one") == b"one"
    await world.stream(b"two", b"three")
    assert world.service.received == [b"one"] * 2 + [b"two"] * 2 + [b"three"] * 2
    assert world.messenger.tell(repeat=0.0)["repeat"] == 3


async def test_a_swapped_message_goes_after_the_next(world: World) -> None:
    """And the last one, which has none behind it, goes all the same."""
    world.messenger.tell(swap=1.0)
    await world.stream(b"one", b"two", b"three")
    assert world.service.received == [b"two", b"one", b"three"]


async def test_a_broken_stream_ends_with_unavailable(world: World) -> None:
    """The message had arrived; its answer has not."""
    world.messenger.tell(break_streams=1.0)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await world.stream(b"one")
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    assert world.service.received == [b"one"]


async def test_a_delay_is_at_most_what_was_ordered(world: World) -> None:
    """Twenty calls one after the other: some of each delay, on average half of it, twice."""
    world.messenger.tell(delay_ms=20)
    began = time.monotonic()
    await asyncio.gather(*(world.call(b"%d" % number) for number in range(20)))
    for number in range(10):
        await world.call(b"%d" % number)
    assert time.monotonic() - began >= 0.1


async def test_shares_are_shares(world: World) -> None:
    """A third of the answers is lost, give or take."""
    world.messenger.tell(lose_answers=0.33)
    calls = (world.call(b"one") for _ in range(200))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert 30 <= sum(isinstance(answer, grpc.aio.AioRpcError) for answer in answers) <= 110
    assert len(world.service.received) == 200
