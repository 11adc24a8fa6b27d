"""Storms of keys: garbled ones never reach core, unknown ones reach it at a bounded rate."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Iterator

from edge.admission.look_ups import MAX_AT_ONCE, MAX_WAITING, REST_SECONDS
from kit.secret import new_secret
from tests.chaos.badinput.world import Row, Served, World, serve_meanwhile
from tests.contract.bad_inputs import Target, request
from tests.support.wire import Line

GARBLED = 10_000
CONNECTIONS = 800
STORM_SECONDS = 8.0
SLOW_CORE_MS = 1_500
MISSES_PER_SECOND = MAX_AT_ONCE / REST_SECONDS
_POST = b"POST /v1/chat/completions HTTP/1.1"
_KEYS = 2_000


def garbled() -> str:
    """Return a secret with one wrong digit."""
    secret = new_secret()
    return f"{secret[:-1]}{'1' if secret[-1] == '0' else '0'}"


async def send(
    target: Target, keys: Iterator[str], goes_on: Callable[[], bool]
) -> Counter[tuple[int, str | None]]:
    """Send a request with each key, over many connections; return the answers."""
    answers: Counter[tuple[int, str | None]] = Counter()

    async def work() -> None:
        async with Line(target.host, target.port) as line:
            for key in keys:
                header = b"Authorization: Bearer " + key.encode()
                line.send(request(_POST, header, body=b"{}", key=False)(target))
                answer = await line.answer()
                answers[answer.status, answer.error()["code"]] += 1
                if not goes_on():
                    return

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return answers


def attack(world: World) -> Iterator[Row]:
    """Garbled keys, unknown keys, unknown keys while core is slow."""
    yield _garbled(world)
    yield _unknown(world, "well-formed unknown keys", 0)
    yield _unknown(world, "the same while core is slow", SLOW_CORE_MS)


def _garbled(world: World) -> Row:
    before = world.calls().get("GetGrant", 0)
    keys = iter([garbled() for _ in range(GARBLED)])
    answers = asyncio.run(send(world.target, keys, lambda: True))
    asked = world.calls().get("GetGrant", 0) - before
    wrong = asked + GARBLED - answers[401, "invalid_api_key"]
    return Row("storms", "garbled keys", GARBLED, wrong, f"calls to core: {asked}")


def _unknown(world: World, name: str, delay_ms: int) -> Row:
    world.serve_one()  # the key of the clients that behave is known before
    pool = itertools.cycle([new_secret() for _ in range(_KEYS)]) if delay_ms else _fresh()
    before = world.calls().get("GetGrant", 0)
    world.cluster.links[0].tell(slow_calls_ms=delay_ms)
    answers, served, waiting = asyncio.run(_storm(world, pool))
    world.cluster.links[0].tell(slow_calls_ms=0)
    asked = world.calls().get("GetGrant", 0) - before
    sent = answers.total()
    allowed = {(401, "invalid_api_key"), (503, "key_check_busy"), (503, "billing_unavailable")}
    others = {answer: count for answer, count in answers.items() if answer not in allowed}
    world.findings += [f"{name}: {answer}: {count}" for answer, count in others.items()]
    wrong = sum(others.values())
    wrong += asked > MISSES_PER_SECOND * (STORM_SECONDS + 2) + MAX_AT_ONCE
    wrong += waiting > MAX_WAITING
    wrong += served.refused
    rate = asked / STORM_SECONDS
    told = f"calls to core: {asked} ({rate:.0f}/s), waiting <= {waiting:.0f}; {served}"
    return Row("storms", name, sent, wrong, told)


def _fresh() -> Iterator[str]:
    while True:
        yield new_secret()


async def _storm(
    world: World, keys: Iterator[str]
) -> tuple[Counter[tuple[int, str | None]], Served, float]:
    loop = asyncio.get_running_loop()
    ends = loop.time() + STORM_SECONDS
    sending = asyncio.create_task(send(world.target, keys, lambda: loop.time() < ends))
    watching = asyncio.create_task(_most_waiting(world, ends))
    served = await serve_meanwhile(world, STORM_SECONDS)
    return await sending, served, await watching


async def _most_waiting(world: World, ends: float) -> float:
    loop, most = asyncio.get_running_loop(), 0.0
    while loop.time() < ends - 1:
        metrics = await asyncio.to_thread(world.cluster.edges[0].metrics)
        most = max(most, metrics["oneapi_edge_key_look_ups_waiting"])
        await asyncio.sleep(0.2)
    return most
