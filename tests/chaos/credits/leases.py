"""What happens to credit in leases: recalled, idle, expired, left by a dead edge, spent to the end.

Each check returns what it measured; what it demands it asserts.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.chaos.credits.world import (
    MAX_TOKENS,
    MORE,
    SLOW_WHOLE,
    TENTH,
    WHOLE,
    Purse,
    World,
    body_of,
    hold,
    tenth,
)
from tests.support.checks import spread
from tests.support.cluster import EdgeNode
from tests.support.processes import until
from tests.support.raw_client import RawAnswer, RawClient

RECALL_SECONDS_MAX = 1.0
IDLE_SECONDS_MAX = 60.0
RESTART_SECONDS_MAX = 5.0
ENOUGH = 1_000_000_000


async def ask(edge: EdgeNode, purse: Purse, body: bytes) -> RawAnswer:
    """Send one request over a connection of its own, again while credit is in use."""
    client = RawClient(edge.port)
    try:
        while True:
            answer = await client.chat(purse.key, body)
            if answer.status != 503:
                return answer
            await asyncio.sleep(int(answer.headers["retry-after-ms"]) / 1000)
    finally:
        client.close()


def seconds_until(condition: Callable[[], bool], patience_seconds: float) -> float:
    """Return after how many seconds a condition held; more than the patience if it never did."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > patience_seconds:
            return patience_seconds + 1
        time.sleep(0.01)
    return time.monotonic() - began


def recalled(world: World, times: int) -> str:
    """What one edge has and does not use is at another within a second of being asked for."""
    small = body_of(TENTH, max_tokens=1)
    first, second = world.cluster.edges[:2]
    took = []
    for _ in range(times):
        purse = world.purse(hold(TENTH))
        assert asyncio.run(ask(first, purse, body_of(TENTH))).status == 200
        world.settled(purse, purse.credit - tenth())
        began = time.monotonic()
        answer = asyncio.run(ask(second, purse, small))
        took.append(time.monotonic() - began)
        assert answer.status == 200, answer.body
    assert sorted(took)[len(took) // 2] <= RECALL_SECONDS_MAX, spread(took, "s")
    return f"{times} times: {spread(took, 's')}, of which the answer takes 0.04 s"


def idle(world: World) -> str:
    """A live edge gives back what it does not use."""
    purse = world.purse(ENOUGH)
    assert asyncio.run(ask(world.cluster.edges[0], purse, body_of(TENTH))).status == 200
    held = world.settled(purse, ENOUGH - tenth()).held
    assert held > 0
    took = seconds_until(lambda: world.balance(purse).held == 0, IDLE_SECONDS_MAX)
    assert took <= IDLE_SECONDS_MAX, f"{world.balance(purse)}"
    return f"{held:,} nano-dollars held and idle: back after {took:.0f} s"


def last_cent(world: World, wallets: int) -> str:
    """A wallet is spent on any edge until not even the smallest request fits."""
    smallest = hold(WHOLE, max_tokens=1)
    left = []
    for number in range(wallets):
        credit = 3 * hold(WHOLE) + number * (smallest // 3)
        purse = world.purse(credit)
        spent = 0
        for tokens in (MAX_TOKENS, 1):
            body, cost = body_of(WHOLE, max_tokens=tokens), hold(WHOLE, max_tokens=tokens)
            refused = 0
            while refused < len(world.cluster.edges):
                edge = world.cluster.edges[(number + refused) % len(world.cluster.edges)]
                answer = asyncio.run(ask(edge, purse, body))
                assert answer.status in {200, 402}, answer.body
                refused += answer.status == 402
                spent += cost if answer.status == 200 else 0
        balance = world.settled(purse, credit - spent)
        assert (balance.total, balance.debt) == (credit - spent, 0), balance
        assert balance.total < smallest, balance
        left.append(balance.total)
    return f"{wallets} wallets; left {min(left):,} to {max(left):,} of a smallest hold {smallest:,}"


def above_the_hold(world: World) -> str:
    """An answer that reports more than its hold is charged no more than that."""
    purse = world.purse(2 * hold(MORE))
    answers = [asyncio.run(ask(world.cluster.edges[0], purse, body_of(MORE))) for _ in range(2)]
    assert [one.status for one in answers] == [200, 200]
    charges = [
        world.cluster.usage(one.headers["x-request-id"]).charge.amount_nanos for one in answers
    ]
    assert max(charges) <= hold(MORE), charges
    balance = world.settled(purse, purse.credit - sum(charges))
    assert (balance.total, balance.debt) == (purse.credit - sum(charges), 0)
    log = world.cluster.edges[0].log.read_text()
    listed = [one.headers["x-request-id"] in log for one in answers]
    assert all(listed), "an answer above its hold is in no log"
    return f"reported {hold(MORE) * 3 // 2:,}, held {hold(MORE):,}, charged {max(charges):,}"


def restarted(world: World, times: int) -> str:
    """A killed edge's credit is free once it is back, but for what its records cost."""
    took, from_kill = [], []
    edge = world.cluster.edges[-1]
    for _ in range(times):
        purse = world.purse(ENOUGH)
        done = asyncio.run(ask(edge, purse, body_of(WHOLE)))
        assert done.status == 200
        asyncio.run(_kill_while_running(world, edge, purse))
        killed = time.monotonic()
        assert world.balance(purse).held > 0
        edge.start()
        world.cluster.until_serving(edge)
        charged = hold(WHOLE)
        took.append(
            seconds_until(lambda: world.balance(purse).held == 0, RESTART_SECONDS_MAX)  # noqa: B023
        )
        from_kill.append(time.monotonic() - killed)
        balance = world.settled(purse, ENOUGH - charged)
        assert took[-1] <= RESTART_SECONDS_MAX, balance
        assert (balance.total, balance.held, balance.debt) == (ENOUGH - charged, 0, 0), balance
    since_kill = spread(from_kill, "s")
    return f"{times} kills: {spread(took, 's')} after it serves; since the kill {since_kill}"


async def _kill_while_running(world: World, edge: EdgeNode, purse: Purse) -> None:
    clients = [RawClient(edge.port) for _ in range(5)]
    body = body_of(SLOW_WHOLE)
    running = [asyncio.create_task(client.chat(purse.key, body)) for client in clients]
    await _until_running(world, purse)
    await asyncio.to_thread(edge.kill)
    for one in running:
        with contextlib.suppress(OSError, EOFError):
            await one
    for client in clients:
        client.close()


async def _until_running(world: World, purse: Purse) -> None:
    await asyncio.to_thread(until, lambda: world.balance(purse).held > 0)
    # From core's answer to the request on its way.
    await asyncio.sleep(0.5)


def expired(world: World, clock: Path, jump_seconds: int) -> str:
    """Credit of an edge that hangs is free after the lease's time; what it still ran is charged."""
    hanging, other = world.cluster.edges[:2]
    purse = world.purse(hold(SLOW_WHOLE) + hold(WHOLE) // 2)
    late = asyncio.run(_hang_and_spend(world, hanging, other, purse, clock, jump_seconds))
    assert late.status == 200, late.body
    world.cluster.until_serving(hanging)
    charges = hold(SLOW_WHOLE) + hold(WHOLE)
    took = seconds_until(lambda: world.balance(purse).debt > 0, 10)
    balance = world.balance(purse)
    assert balance.debt == charges - purse.credit, balance
    assert (balance.total, balance.held) == (0, 0), balance
    top_up = ENOUGH
    world.cluster.grant(top_up, purse.workspace_id)
    after = world.balance(purse)
    assert (after.total, after.debt) == (top_up - balance.debt, 0), after
    return f"both charged; owed {balance.debt:,} after {took:.1f} s, paid first by the next credit"


async def _hang_and_spend(
    world: World, hanging: EdgeNode, other: EdgeNode, purse: Purse, clock: Path, jump: int
) -> RawAnswer:
    running = asyncio.create_task(ask(hanging, purse, body_of(SLOW_WHOLE)))
    await _until_running(world, purse)
    hanging.freeze()
    # Half a hold is free: the rest is in the lease of the edge that hangs.
    client = RawClient(other.port)
    before = await client.chat(purse.key, body_of(WHOLE))
    client.close()
    assert (before.status, before.code) == (503, "credit_in_use"), before.body
    _move(clock, jump)
    answer = await ask(other, purse, body_of(WHOLE))
    assert answer.status == 200, answer.body
    await asyncio.to_thread(world.settled, purse, purse.credit - hold(WHOLE))
    hanging.thaw()
    return await running


def _move(clock: Path, seconds: int) -> None:
    before = float(clock.read_text())
    new = clock.with_suffix(".new")
    new.write_text(str(before + seconds))
    new.replace(clock)


def comes_back(world: World, requests: int) -> Iterator[str]:
    """Requests that use a tenth of their holds: every one is served, as holds end."""
    cost = tenth()
    purse = world.purse(requests * cost + 7 * hold(TENTH))
    began = time.monotonic()
    took, again = asyncio.run(_all_at_once(world, purse, requests))
    seconds = time.monotonic() - began
    balance = world.settled(purse, purse.credit - requests * cost)
    assert (balance.total, balance.debt) == (purse.credit - requests * cost, 0), balance
    yield f"{requests} at once, credit for 7 + a tenth each: all served in {seconds:.1f} s"
    yield f"{spread(took, 's')}; {sum(again.values())} answers 503 {dict(again)}"


async def _all_at_once(
    world: World, purse: Purse, requests: int
) -> tuple[list[float], Counter[str]]:
    clients = [RawClient(world.ports[number % 3]) for number in range(requests)]
    again: Counter[str] = Counter()
    took = []
    for client in clients:
        await client.connect()

    async def one(client: RawClient) -> None:
        began = time.monotonic()
        while (answer := await client.chat(purse.key, body_of(TENTH))).status == 503:
            again[answer.code] += 1
            await asyncio.sleep(int(answer.headers["retry-after-ms"]) / 1000)
        assert answer.status == 200, answer.body
        took.append(time.monotonic() - began)
        client.close()

    await asyncio.gather(*map(one, clients))
    return took, again
