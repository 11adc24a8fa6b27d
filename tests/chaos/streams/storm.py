"""Thousands of clients that leave at any moment: nothing stays, and the next ones are served.

Left are: while connecting, before the head, in the middle. Afterwards the edge has no active
upstream connection, no held credit, no more open files and no more memory than after the first
thousand; an HTTP pool that loses a slot to each of some cancellations fails this.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.support.processes import until
from tests.support.stack import STREAM, TEXT, Stack, public_ids

AT_ONCE = 60
SETTLED_SECONDS_MAX = 20.0
HEALTHY_AFTERWARDS = 20


@dataclass(slots=True)
class Left:
    """What the edge still has after the storm."""

    cancels: int
    active_upstream: int
    held_nanos: int
    files_before: int
    files_after: int
    memory_before_kb: int
    memory_after_kb: int
    running_upstream: int
    healthy: int

    @property
    def held(self) -> bool:
        """Say whether nothing stayed."""
        return (
            self.active_upstream == self.held_nanos == self.running_upstream == 0
            and self.files_after <= self.files_before + AT_ONCE
            and self.healthy == HEALTHY_AFTERWARDS
        )


def run(stack: Stack, edge_pid: int, *, cancels: int, seed: int = 1) -> Left:
    """Let so many clients leave; measure against what there was after the first tenth of them."""
    stack.replay.reset()
    stack.replay.set_faults(STREAM, pace_ms=5)
    stack.replay.set_faults(TEXT, slow_headers_ms=20)
    first = max(AT_ONCE, cancels // 10)
    asyncio.run(_storm(stack, first, seed))
    _settle(stack)
    files, memory = _files(edge_pid), _memory_kb(edge_pid)
    asyncio.run(_storm(stack, cancels - first, seed + 1))
    _settle(stack)
    metrics = _metrics(stack)
    stack.replay.reset()
    with stack.client() as client:
        body = _body(stream=False)
        answers = [
            client.post("/chat/completions", content=body).status_code
            for _ in range(HEALTHY_AFTERWARDS)
        ]
    return Left(
        cancels=cancels,
        active_upstream=int(metrics['oneapi_edge_upstream_connections{state="active"}']),
        held_nanos=int(metrics["oneapi_edge_held_nanos"]),
        files_before=files,
        files_after=_files(edge_pid),
        memory_before_kb=memory,
        memory_after_kb=_memory_kb(edge_pid),
        running_upstream=stack.replay.calls().running,
        healthy=answers.count(200),
    )


async def _storm(stack: Stack, count: int, seed: int) -> None:
    numbers = iter(range(count))
    await asyncio.gather(*(_leaver(stack, numbers, seed) for _ in range(AT_ONCE)))


async def _leaver(stack: Stack, numbers: object, seed: int) -> None:
    for number in numbers:  # type: ignore[attr-defined]
        chance = random.Random(f"{seed}-{number}")
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(chance.random() ** 2 * 0.12):
                await _ask(stack, stream=chance.random() < 0.5)


async def _ask(stack: Stack, *, stream: bool) -> None:
    place = urlsplit(stack.base_url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        body = _body(stream=stream)
        head = (
            f"POST {place.path}/chat/completions HTTP/1.1\r\nhost: test\r\n"
            f"authorization: Bearer {stack.api_key}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        while await reader.read(4_096):
            pass
    finally:
        writer.transport.abort()


def _body(*, stream: bool) -> bytes:
    messages = [{"role": "user", "content": "Name a thing that is blue."}]
    model = public_ids()[STREAM if stream else TEXT]
    return json.dumps({"model": model, "stream": stream, "messages": messages}).encode()


def _settle(stack: Stack) -> None:
    until(lambda: stack.replay.calls().running == 0, SETTLED_SECONDS_MAX)
    name = 'oneapi_edge_upstream_connections{state="active"}'
    with contextlib.suppress(AssertionError):
        until(lambda: _metrics(stack)[name] == 0, SETTLED_SECONDS_MAX)


def _metrics(stack: Stack) -> dict[str, float]:
    url = stack.base_url.removesuffix("/v1") + "/metrics"
    lines = httpx.get(url, trust_env=False, timeout=10).text.splitlines()
    pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def _files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _memory_kb(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0])
