"""`python -m tests.support.links.messenger --target PORT`: carries gRPC messages, badly if told so.

It knows no message: bytes in, bytes out, with the caller's metadata and deadline. Orders are the
shares (0 to 1) of what goes wrong, decided by a seeded chance:

| order | what happens |
| --- | --- |
| `lose_requests` | the call never reaches core; the caller is told UNAVAILABLE |
| `lose_answers` | core has done it; the caller is told UNAVAILABLE |
| `repeat` | core gets the call, or the message of a stream, twice |
| `swap` | a message of a stream waits for the next one and goes after it |
| `break_streams` | at a message, the stream ends with UNAVAILABLE |
| `delay_ms` | every message waits for up to so many milliseconds |
| `slow_calls_ms` | every call that is no stream waits for so many milliseconds |

The answer to an order is how often each has happened, and how often each method was called.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

import grpc

from tests.support.links.orders import announce, follow

STREAMS = frozenset({"RecordUsage", "WatchChanges"})
"""Every other method takes one message and gives one."""
SHARES = ("lose_requests", "lose_answers", "repeat", "swap", "break_streams")
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.initial_reconnect_backoff_ms", 50),
)


class Messenger(grpc.GenericRpcHandler):
    """Hands every call on, with the faults in force."""

    def __init__(self, channel: grpc.aio.Channel, seed: int) -> None:
        """Hand on over the channel."""
        self._channel = channel
        self._chance = random.Random(seed)
        self._shares = dict.fromkeys(SHARES, 0.0)
        self._delay_ms = 0
        self._slow_calls_ms = 0
        self.done: Counter[str] = Counter()

    def obey(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        """Take an order; unknown words are an error of the test."""
        for name, value in order.items():
            if name == "delay_ms":
                self._delay_ms = int(value)
            elif name == "slow_calls_ms":
                self._slow_calls_ms = int(value)
            elif name in self._shares:
                self._shares[name] = float(value)
            else:
                raise ValueError(name)
        return dict(self.done)

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler of any method."""
        method = handler_call_details.method
        self.done[method.rpartition("/")[2]] += 1
        if method.rpartition("/")[2] in STREAMS:
            return grpc.stream_stream_rpc_method_handler(partial(self._stream, method))
        return grpc.unary_unary_rpc_method_handler(partial(self._call, method))

    async def _call(self, method: str, request: bytes, context: Any) -> bytes:
        await self._wait()
        await asyncio.sleep(self._slow_calls_ms / 1000)
        call: Any = self._channel.unary_unary(method)
        given: dict[str, Any] = {
            "metadata": context.invocation_metadata(),
            "timeout": context.time_remaining(),
        }
        if self._happens("lose_requests"):
            await context.abort(grpc.StatusCode.UNAVAILABLE)
        try:
            if self._happens("repeat"):
                await call(request, **given)
            answer: bytes = await call(request, **given)
        except grpc.aio.AioRpcError as error:
            await _pass_on(context, error)
            raise
        if self._happens("lose_answers"):
            await context.abort(grpc.StatusCode.UNAVAILABLE)
        await self._wait()
        return answer

    async def _stream(
        self, method: str, requests: AsyncIterator[bytes], context: Any
    ) -> AsyncIterator[bytes]:
        broken = asyncio.Event()
        method_of_core: Any = self._channel.stream_stream(method)
        call = method_of_core(self._sent(requests, broken), metadata=context.invocation_metadata())
        try:
            async for answer in call:
                await self._wait()
                if broken.is_set() or self._happens("break_streams"):
                    break
                yield answer
            else:
                if not broken.is_set():
                    return
        except grpc.aio.AioRpcError as error:
            await _pass_on(context, error)
        finally:
            call.cancel()
        await context.abort(grpc.StatusCode.UNAVAILABLE)

    async def _sent(
        self, requests: AsyncIterator[bytes], broken: asyncio.Event
    ) -> AsyncIterator[bytes]:
        waiting: bytes | None = None
        async for request in requests:
            await self._wait()
            if self._happens("lose_requests"):
                broken.set()
                return
            if waiting is None and self._happens("swap"):
                waiting = request
                continue
            yield request
            if self._happens("repeat"):
                yield request
            if waiting is not None:
                yield waiting
                waiting = None
        if waiting is not None:
            yield waiting

    def _happens(self, name: str) -> bool:
        happens = self._chance.random() < self._shares[name]
        self.done[name] += happens
        return happens

    async def _wait(self) -> None:
        if self._delay_ms:
            await asyncio.sleep(self._chance.uniform(0, self._delay_ms) / 1000)


async def _pass_on(context: Any, error: grpc.aio.AioRpcError) -> None:
    context.set_trailing_metadata(tuple(error.trailing_metadata() or ()))
    await context.abort(error.code(), error.details() or "")


async def main() -> None:
    """Serve until the starter is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=int, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{options.target}", options=_OPTIONS)
    messenger = Messenger(channel, options.seed)
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers((messenger,))
    port = server.add_insecure_port(f"127.0.0.1:{options.port}")
    await server.start()
    announce(port)
    await follow(messenger.obey)
    await server.stop(0)
    await channel.close()


if __name__ == "__main__":
    asyncio.run(main())
