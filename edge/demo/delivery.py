"""How an answer goes over the wire: at once, late, paced, cut, or never, as the knobs ask."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from edge.demo.knobs import Knobs
from edge.demo.server import Header, Reply

STALL_SECONDS_MAX = 3600
EVENTS_AT_ONCE_MAX = 512
JSON_HEADERS: tuple[Header, ...] = ((b"content-type", b"application/json"),)
STREAM_HEADERS: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
)

Work = Coroutine[Any, Any, None] | None


def deliver_body(
    reply: Reply, knobs: Knobs, status: int, body: bytes, headers: tuple[Header, ...] = JSON_HEADERS
) -> Work:
    """Send a whole answer; None where it went out at once."""
    if knobs.delivers_at_once:
        reply.send(status, body, headers)
        return None
    return _deliver_body_later(reply, knobs, status, body, headers)


def deliver_stream(
    reply: Reply,
    knobs: Knobs,
    events: Sequence[bytes],
    headers: tuple[Header, ...] = STREAM_HEADERS,
) -> Work:
    """Send a stream of ready events; None where it went out at once, in one write."""
    at_once = knobs.delivers_at_once and not knobs.pace_ms and len(events) <= EVENTS_AT_ONCE_MAX
    if not at_once:
        return _deliver_events(reply, knobs, events, headers)
    reply.start(200, headers)
    reply.write_raw(b"".join([b"%x\r\n%b\r\n" % (len(event), event) for event in events]))
    reply.end()
    return None


async def _wait_before_first_byte(knobs: Knobs) -> None:
    await asyncio.sleep(knobs.slow_ms / 1000)
    if knobs.stall:
        await asyncio.sleep(STALL_SECONDS_MAX)


async def _deliver_body_later(
    reply: Reply, knobs: Knobs, status: int, body: bytes, headers: tuple[Header, ...]
) -> None:
    await _wait_before_first_byte(knobs)
    if knobs.stall:
        reply.cut()
    elif knobs.cut_after_events is None:
        reply.send(status, body, headers)
    else:
        reply.start(status, headers, length=len(body))
        reply.write_raw(body[: len(body) // 2])
        reply.cut()


async def _deliver_events(
    reply: Reply, knobs: Knobs, events: Sequence[bytes], headers: tuple[Header, ...]
) -> None:
    await _wait_before_first_byte(knobs)
    if knobs.stall:
        reply.cut()
        return
    reply.start(200, headers)
    for index, event in enumerate(events[: knobs.cut_after_events]):
        if index and knobs.pace_ms:
            await asyncio.sleep(knobs.pace_ms / 1000)
        reply.write_chunk(event)
        await reply.drain()
    if knobs.cut_after_events is None:
        reply.end()
    else:
        reply.cut()
