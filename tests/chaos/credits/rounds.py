"""Two hundred requests on a barrier, credit for seven: exactly seven are served, in every round."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.chaos.credits.world import WHOLE, Purse, World, body_of, hold
from tests.support.checks import spread
from tests.support.raw_client import RawClient

REQUESTS = 200
HOLDS = 7
TRIES_MAX = 60
BAD_SHOWN = 10
SAY_EVERY = 50
AT_ONCE = 4
"""Rounds that run at the same time, each with a wallet of its own: most of a round is waiting."""


@dataclass
class Tally:
    """What became of all rounds."""

    rounds: int = 0
    good: int = 0
    served: int = 0
    refused: int = 0
    again: int = 0
    again_codes: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    to_served_ms: list[float] = field(default_factory=list)
    to_refused_ms: list[float] = field(default_factory=list)


class Rounds:
    """Runs rounds on connections that are kept."""

    def __init__(self, world: World, seed: int = 1) -> None:
        self._world = world
        self._chance = random.Random(seed)
        self.tally = Tally()
        # Streams, which hold until their last byte.
        self._body = body_of(WHOLE, stream=True)
        self.hold = hold(WHOLE, stream=True)

    def purse(self) -> Purse:
        """Make a wallet for exactly seven holds, or a little less than eight."""
        return self._world.purse(HOLDS * self.hold + self._chance.choice((0, 1, self.hold - 1)))

    async def run(self, purses: list[Purse]) -> None:
        """Run a round for each wallet, some at the same time."""
        waiting = iter(purses)

        async def work() -> None:
            clients = [RawClient(self._world.ports[one % 3]) for one in range(REQUESTS)]
            for purse in waiting:
                await self._round(purse, clients)
            for client in clients:
                client.close()

        await asyncio.gather(*(work() for _ in range(min(AT_ONCE, len(purses)))))

    async def _round(self, purse: Purse, clients: list[RawClient]) -> None:
        for client in clients:
            await client.connect()
        barrier = asyncio.Barrier(len(clients))
        began = time.monotonic()
        work = [self._request(purse, client, barrier) for client in clients]
        answers = Counter(await asyncio.gather(*work))
        balance = await asyncio.to_thread(
            self._world.settled, purse, purse.credit - HOLDS * self.hold
        )
        tally = self.tally
        tally.rounds += 1
        tally.served += answers["200"]
        tally.refused += answers["402 insufficient_credits"]
        wrong = []
        if answers != Counter({"200": HOLDS, "402 insufficient_credits": REQUESTS - HOLDS}):
            wrong.append(str(dict(answers)))
        if balance.total != purse.credit - HOLDS * self.hold or balance.debt:
            wrong.append(str(balance))
        tally.good += not wrong
        if tally.rounds % SAY_EVERY == 0:
            sys.stderr.write(f"{tally.good} of {tally.rounds} rounds\n")
        if wrong:
            seconds = time.monotonic() - began
            tally.bad.append(f"{purse.workspace_id} after {seconds:.1f} s: {'; '.join(wrong)}")

    async def _request(self, purse: Purse, client: RawClient, barrier: asyncio.Barrier) -> str:
        await barrier.wait()
        began = time.monotonic()
        tally = self.tally
        for _ in range(TRIES_MAX):
            answer = await client.chat(purse.key, self._body)
            if answer.status != 503:
                times = tally.to_served_ms if answer.status == 200 else tally.to_refused_ms
                times.append((time.monotonic() - began) * 1000)
                return f"{answer.status} {answer.code}".strip()
            tally.again += 1
            tally.again_codes[answer.code] += 1
            await asyncio.sleep(int(answer.headers["retry-after-ms"]) / 1000)
        return "gave up"


def seven(here: World, rounds: int) -> Iterator[str]:
    """Exactly seven of two hundred are served, in every round."""
    runner = Rounds(here)
    before = here.cluster.trial_balance().get("rev.usage", 0)
    purses = [runner.purse() for _ in range(rounds)]
    began = time.monotonic()
    asyncio.run(runner.run(purses))
    seconds, tally = time.monotonic() - began, runner.tally
    assert not tally.bad, "; ".join([f"{len(tally.bad)} rounds", *tally.bad[:BAD_SHOWN]])
    sums = here.cluster.trial_balance()
    assert sums["total"] == 0, sums
    earned = sums["rev.usage"] - before
    assert earned == rounds * HOLDS * runner.hold, earned
    yield f"{tally.good} of {rounds} rounds exact in {seconds:.0f} s: each {REQUESTS} requests"
    yield f"{tally.served:,} served, {tally.refused:,} times 402, {earned:,} nano-dollars earned"
    yield f"to 200: {spread(tally.to_served_ms, 'ms')}; to 402: {spread(tally.to_refused_ms, 'ms')}"
    yield f"{tally.again:,} answers 503 on the way: {dict(tally.again_codes)}"
