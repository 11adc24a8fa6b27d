"""Clients on plain sockets, some of which leave early."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

ANSWER_SECONDS_MAX = 20.0
AT_ONCE = 12
_KEY = re.compile(rb"(idempotency-key: [^\r]+)")


class Leave(Enum):
    """When a client leaves."""

    NEVER = "stays"
    IN_HEAD = "leaves in its head"
    IN_BODY = "leaves in its body"
    ONCE_SENT = "leaves once it has sent"
    WHILE_WAITING = "leaves while it waits"
    AT_FIRST_BYTE = "leaves at the first byte"
    MIDWAY = "leaves midway"


PAUSE_SECONDS = {
    Leave.IN_HEAD: 0.02,
    Leave.IN_BODY: 0.02,
    Leave.ONCE_SENT: 0.0,
    Leave.WHILE_WAITING: 0.05,
}
"""How long those wait who leave before a byte of the answer."""


@dataclass(frozen=True)
class Call:
    """One request on a connection of its own."""

    name: str
    raw: bytes
    leave: Leave = Leave.NEVER
    patience_seconds: float = ANSWER_SECONDS_MAX

    def again(self) -> Call:
        """Return the call with another idempotency key: the first may have been taken."""
        return replace(self, raw=_KEY.sub(rb"\1-again", self.raw, count=1))


async def call_all(port: int, calls: Iterable[Call]) -> dict[str, bytes]:
    """Make the calls, some at once; return the answers by name."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(call: Call) -> tuple[str, bytes]:
        async with gate:
            return call.name, await ask(port, call)

    return dict(await asyncio.gather(*(one(call) for call in calls)))


async def ask(port: int, call: Call) -> bytes:
    """Send a request and return what came back until the connection ended or we left."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return b""
    try:
        async with asyncio.timeout(call.patience_seconds):
            return await _talk(reader, writer, call)
    except TimeoutError:
        return b"no end"
    except OSError:
        return b""
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, call: Call) -> bytes:
    head, ending, body = call.raw.partition(b"\r\n\r\n")
    parts = {
        Leave.IN_HEAD: head[: len(head) // 2],
        Leave.IN_BODY: head + ending + body[: len(body) // 2],
    }
    writer.write(parts.get(call.leave, call.raw))
    await writer.drain()
    if call.leave in PAUSE_SECONDS:
        await asyncio.sleep(PAUSE_SECONDS[call.leave])
        return b""
    if call.leave is Leave.AT_FIRST_BYTE:
        return await reader.read(1)
    if call.leave is Leave.MIDWAY:
        return await reader.read(600) + await reader.read(600)
    return await reader.read(-1)
