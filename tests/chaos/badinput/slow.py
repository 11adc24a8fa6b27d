"""Slow clients by the thousands: silent, dripping, or asking for much and reading nothing."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from edge.server.front import FrontLimits
from tests.chaos.badinput.world import Row, Served, World, serve_meanwhile
from tests.contract.bad_inputs import Target, request

LIMITS = FrontLimits()
USER_KIB_MAX = 32.0
KERNEL_KIB_MAX = 128.0
SLACK_SECONDS = 20.0
DRIP_SECONDS = 2.0
METRICS_TRIES = 6
SMALL_RECEIVE_BUFFER = 4_096
_QUEUED = re.compile(r"skmem:\(r(\d+),rb\d+,t\d+,tb\d+,f(\d+),w(\d+),")
_ASK_FOR_MUCH = b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n" * 2


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to be slow: what is sent first, what drips, how long it is borne, what it is told."""

    name: str
    first: bytes
    drip: bytes
    borne_seconds: float
    answers: frozenset[bytes]
    reads: bool = True


def kinds(target: Target) -> list[Kind]:
    """Return the ways to be slow."""
    line = b"POST /v1/chat/completions HTTP/1.1"
    body = request(line, b"Content-Length: 100000", length=False)(target)
    timed_out = frozenset({b"HTTP/1.1 408 "})
    return [
        Kind("silent", b"", b"", LIMITS.header_seconds, frozenset({b""})),
        Kind("head drips", b"GET / HTTP/1.1\r\nX: ", b"y", LIMITS.header_seconds, timed_out),
        Kind("body stops", body + b"{", b"", LIMITS.body_idle_seconds, timed_out),
        Kind(
            "reads nothing",
            _ASK_FOR_MUCH,
            b"",
            LIMITS.write_stall_seconds,
            frozenset({b"HTTP/1.1 200 ", b""}),
            reads=False,
        ),
    ]


@dataclass(frozen=True, slots=True)
class Seen:
    """What one kind of slow clients cost, and how they ended."""

    opened: int
    user_kib: float
    kernel_kib: float
    ended_after: float
    endings: Counter[bytes]
    served: Served


def attack(world: World, clients: int) -> Iterator[Row]:
    """Let each kind of slow clients come at once, while others behave."""
    world.serve_one()
    base_kib = world.memory_kib()
    for kind in kinds(world.target):
        seen = asyncio.run(_one(world, kind, clients, base_kib))
        wrong = sum(count for ending, count in seen.endings.items() if ending not in kind.answers)
        wrong += seen.user_kib > USER_KIB_MAX
        wrong += seen.kernel_kib > KERNEL_KIB_MAX
        wrong += seen.ended_after > kind.borne_seconds + SLACK_SECONDS
        wrong += seen.served.refused
        memory = f"{seen.user_kib:.1f} KiB user and {seen.kernel_kib:.1f} KiB kernel memory each"
        ended = f"gone after {seen.ended_after:.0f} s"
        told = f"{seen.opened:,} at once, {memory}, {ended}; {seen.served}"
        yield Row("slow", f"{clients:,} clients: {kind.name}", clients, wrong, told)


async def _one(world: World, kind: Kind, clients: int, base_kib: int) -> Seen:
    behaving = asyncio.create_task(serve_meanwhile(world, kind.borne_seconds))
    sockets = await asyncio.to_thread(_open, world.target, kind, clients)
    began = time.monotonic()
    await asyncio.sleep(1.0)
    opened = most = await _open_now(world)
    kernel_kib = user_kib = 0.0
    while opened > clients // 100:
        user_kib = max(user_kib, (world.memory_kib() - base_kib) / most)
        found = await asyncio.to_thread(_kernel_kib, world.target.port, most)
        kernel_kib = max(kernel_kib, found)
        await asyncio.to_thread(_drip, sockets, kind.drip)
        await asyncio.sleep(DRIP_SECONDS)
        opened = await _open_now(world)
        if time.monotonic() - began > kind.borne_seconds + 3 * SLACK_SECONDS:
            break
    ended_after = time.monotonic() - began
    endings = await asyncio.to_thread(_endings, sockets)
    return Seen(most, user_kib, kernel_kib, ended_after, endings, await behaving)


async def _open_now(world: World) -> int:
    """Return how many connections the edge has; a machine that is busy may need a moment."""
    for _ in range(METRICS_TRIES):
        with contextlib.suppress(httpx.HTTPError):
            metrics = await asyncio.to_thread(world.cluster.edges[0].metrics)
            return int(metrics["oneapi_edge_connections"])
    raise AssertionError("the edge does not answer")


def _open(target: Target, kind: Kind, clients: int) -> list[socket.socket]:
    sockets = []
    for _ in range(clients):
        one = socket.socket()
        if not kind.reads:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_RECEIVE_BUFFER)
        one.connect((target.host, target.port))
        one.setblocking(False)  # noqa: FBT003  the socket's signature
        if kind.first:
            one.send(kind.first)
        sockets.append(one)
    return sockets


def _drip(sockets: list[socket.socket], drip: bytes) -> None:
    if drip:
        for one in sockets:
            with contextlib.suppress(OSError):
                one.send(drip)


def _endings(sockets: list[socket.socket]) -> Counter[bytes]:
    """Return the beginnings of what each was told; b"" for nothing, b"open" if it still hangs."""
    endings: Counter[bytes] = Counter()
    for one in sockets:
        one.settimeout(SLACK_SECONDS)
        try:
            endings[one.recv(65_536)[:13]] += 1
        except TimeoutError:
            endings[b"open"] += 1
        except OSError:
            endings[b""] += 1
        one.close()
    return endings


def _kernel_kib(port: int, clients: int) -> float:
    """Return the kernel's memory for the edge's sockets, per client: received, ahead, queued."""
    command = ["ss", "--tcp", "--memory", "--numeric", "--no-header", f"sport = :{port}"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return sum(sum(map(int, found)) for found in _QUEUED.findall(listed)) / 1024 / clients
