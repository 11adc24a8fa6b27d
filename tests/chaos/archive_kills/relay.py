"""Stands between archiver and core: every call passes here, so that a blow can fall at any of them.

Messages are bytes that nobody looks into. What core says, its errors too, is handed back as it is.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from archiver.calendar import format_month
from kit.rpc.client import MAX_MESSAGE_BYTES
from tests.chaos.archive_kills.points import MONTH, Moment, Trap

OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Core is away for a while, and found at once when it is back.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
)

_OURS = format_month(MONTH).encode()
_OTHER_MONTH = re.compile(rb"20[0-9]{2}-[01][0-9]")


@contextmanager
def relay(target: str, trap: Trap) -> Iterator[str]:
    """Serve in a thread of its own and yield where."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    started = asyncio.run_coroutine_threadsafe(_start(target, trap), loop).result(20)
    server, channel, port = started
    try:
        yield f"127.0.0.1:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(_stop(server, channel), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _again(request: bytes) -> AsyncIterator[bytes]:
    yield request


async def _start(target: str, trap: Trap) -> tuple[grpc.aio.Server, grpc.aio.Channel, int]:
    channel = grpc.aio.insecure_channel(target, options=OPTIONS)
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers([_Everything(channel, trap)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, channel, port


async def _stop(server: grpc.aio.Server, channel: grpc.aio.Channel) -> None:
    await server.stop(None)
    await channel.close()


class _Everything(grpc.GenericRpcHandler):
    """Hands every method on: on the wire, one message is a stream of one."""

    def __init__(self, channel: grpc.aio.Channel, trap: Trap) -> None:
        self._channel = channel
        self._trap = trap

    def service(self, details: Any) -> Any:
        """Return the handler of a method."""
        method = details.method

        async def hand_on(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            step = method.rpartition("/")[2]
            first = await anext(requests)
            if _OTHER_MONTH.search(first.replace(_OURS, b"")):
                # Months around ours have a partition and nothing in it.
                step = "other"
            await asyncio.to_thread(self._trap.reached, step, Moment.ASKED)
            self._trap.reached(step, Moment.UNDER_WAY)
            open_call: Any = self._channel.stream_stream(method)
            call = open_call(
                _again(first),
                metadata=context.invocation_metadata(),
                timeout=context.time_remaining(),
            )
            try:
                # The first answer of a stream is its middle; of a single one it is all.
                async for answer in call:
                    await asyncio.to_thread(self._trap.reached, step, Moment.ANSWERED)
                    yield answer
            except grpc.aio.AioRpcError as error:
                context.set_trailing_metadata(error.trailing_metadata() or ())
                await context.abort(error.code(), error.details() or "")

        return grpc.stream_stream_rpc_method_handler(hand_on)
