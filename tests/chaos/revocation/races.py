"""A key that is revoked while requests of it are on their way: none brings it back."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter

from tests.chaos.revocation.traffic import by_status
from tests.chaos.revocation.world import QUICK, SLOW_STREAM, World, body_of
from tests.support.links.client import Messenger
from tests.support.raw_client import RawClient

DELAY_MS = 400
"""Every message between edge and core is late by up to so much, look-ups and changes alike."""
IN_FLIGHT = 200
TRIES_MAX = 40
WARM_SECONDS_MAX = 60.0
AFTER_SECONDS = 1.0
GONE = {"401 api_key_revoked", "401 invalid_api_key"}


def stale_look_ups(world: World, times: int) -> str:
    """Edges look a key up at the moment in which it is revoked, and their answers are late."""
    messengers = [link for link in world.cluster.links if isinstance(link, Messenger)]
    for link in messengers:
        link.tell(delay_ms=DELAY_MS)
    workspace = world.workspace()
    before, after = Counter[str](), Counter[str]()
    for number in range(times):
        key_id, secret = world.key(workspace)
        early, late = asyncio.run(_race(world, key_id, secret, number))
        before.update(early)
        after.update(late)
    for link in messengers:
        link.tell(delay_ms=0)
    assert before["200"], "no look-up was early enough to be stale"
    assert set(after) <= GONE, after
    served = before["200"]
    return (
        f"{times} keys, {before.total()} requests around the revocation ({served} served), "
        f"{after.total()} a second later: all 401"
    )


async def _race(
    world: World, key_id: str, secret: str, number: int
) -> tuple[Counter[str], Counter[str]]:
    edges = world.cluster.edges
    clients = [RawClient(edges[one % len(edges)].port) for one in range(4 * len(edges))]

    async def one(client: RawClient, wait: float) -> str:
        await asyncio.sleep(wait)
        return by_status(await client.chat(secret, body_of(QUICK)))

    spread = [0.1 * place / len(clients) for place in range(len(clients))]
    running = [asyncio.create_task(one(*each)) for each in zip(clients, spread, strict=True)]
    await asyncio.sleep(0.02 * (number % 5))
    await asyncio.to_thread(world.revoke, number % len(world.channels), key_id)
    revoked = time.monotonic()
    early = Counter(await asyncio.gather(*running))
    late = revoked + AFTER_SECONDS + DELAY_MS / 1000
    await asyncio.sleep(max(0.0, late - time.monotonic()))
    after = Counter(await asyncio.gather(*[one(client, 0) for client in clients]))
    for client in clients:
        client.close()
    return early, after


def in_flight(world: World) -> str:
    """Two hundred requests run, on all edges, while their key is revoked: they end, none follows.

    A running stream goes on to its end: it was admitted, its credit is set aside.
    """
    workspace = world.workspace()
    key_id, secret = world.key(workspace)
    ended, after = asyncio.run(_in_flight(world, key_id, secret))
    assert ended == Counter({"200": IN_FLIGHT}), ended
    assert set(after) <= GONE, after
    return f"{IN_FLIGHT} streams ran on and ended; {after.total()} requests after them: all 401"


async def _in_flight(world: World, key_id: str, secret: str) -> tuple[Counter[str], Counter[str]]:
    edges = world.cluster.edges
    clients = [RawClient(edges[one % len(edges)].port) for one in range(IN_FLIGHT)]
    body = body_of(SLOW_STREAM, stream=True, max_tokens=30)
    running = [asyncio.create_task(client.chat(secret, body)) for client in clients]
    for _ in range(TRIES_MAX):
        await asyncio.sleep(0.5)
        for place, task in enumerate(running):
            # A machine that is too busy for all of them at once says 503: once more.
            if task.done():
                assert (await task).status == 503
                running[place] = asyncio.create_task(clients[place].chat(secret, body))
        if all(client.status == 200 for client in clients):
            break
    await asyncio.to_thread(world.revoke, 0, key_id)
    await asyncio.sleep(AFTER_SECONDS)
    early = [(await task).body[:200] for task in running if task.done()]
    assert not early, early[:3]
    for task in running:
        answer = await task
        assert b"[DONE]" in answer.body, answer.body[-200:]
    after = Counter(
        map(by_status, await asyncio.gather(*(one.chat(secret, body) for one in clients)))
    )
    for client in clients:
        client.close()
    return Counter(str(task.result().status) for task in running), after


def slow_body(world: World) -> str:
    """A request whose body is still coming when its key is revoked is refused."""
    workspace = world.workspace()
    found: Counter[str] = Counter()
    for edge in world.cluster.edges:
        key_id, secret = world.key(workspace)
        found[asyncio.run(_slow(world, edge.port, key_id, secret))] += 1
    assert found == Counter({"401": len(world.cluster.edges)}), found
    return f"{found.total()} requests, head before and body after the revocation: all 401"


async def _slow(world: World, port: int, key_id: str, secret: str) -> str:
    warm = RawClient(port)
    async with asyncio.timeout(WARM_SECONDS_MAX):
        while (await warm.chat(secret, body_of(QUICK))).status != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    warm.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = body_of(QUICK)
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\n"
        f"authorization: Bearer {secret}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body[:10])
    await asyncio.sleep(0.5)
    await asyncio.to_thread(world.revoke, 1 % len(world.channels), key_id)
    await asyncio.sleep(AFTER_SECONDS)
    writer.write(body[10:])
    answer = await reader.readline()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return answer.decode().split()[1]
