"""Requests at three edges, all at once, on wallets that cannot pay for half of them."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.chaos.credits.world import MORE, TENTH, WHOLE, Purse, World, body_of, hold, tenth
from tests.chaos.overshoot.mixture import Use, drawn
from tests.support.raw_client import RawAnswer, RawClient

REQUESTS = 100
"""Trials of a round: on one wallet, at the same time, on all edges."""
HOLDS = 9
"""Whole holds that a round's wallet pays for; what its trials use on average is twice as much."""
AT_ONCE = 4
TRIES_MAX = 80
SAY_EVERY = 20
MODELS = {Use.TENTH: TENTH, Use.WHOLE: WHOLE, Use.MORE: MORE}


@dataclass
class Tally:
    """What became of all trials."""

    answers: Counter[str] = field(default_factory=Counter)
    served: Counter[Use] = field(default_factory=Counter)
    overshoot: int = 0
    exceeding: list[tuple[str, int, int]] = field(default_factory=list)
    """Request id, hold and charge of each answer that reported more than its hold."""
    wrong: list[str] = field(default_factory=list)


class Trials:
    """Runs rounds of trials on connections that are kept."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._chance = random.Random(seed)
        self.tally = Tally()

    async def run(self, rounds: int) -> None:
        """Run so many rounds, some at the same time, each on a wallet of its own."""
        left = iter(range(rounds))

        async def work() -> None:
            clients = [RawClient(self._world.ports[one % 3]) for one in range(REQUESTS)]
            for number in left:
                await self._round(clients)
                if (number + 1) % SAY_EVERY == 0:
                    sys.stderr.write(f"{number + 1} of {rounds} rounds\n")
            for client in clients:
                client.close()

        await asyncio.gather(*(work() for _ in range(min(AT_ONCE, rounds))))

    async def _round(self, clients: list[RawClient]) -> None:
        credit = HOLDS * hold(WHOLE) + self._chance.randrange(hold(WHOLE))
        purse = await asyncio.to_thread(self._world.purse, credit)
        uses = [drawn(self._chance) for _ in clients]
        barrier = asyncio.Barrier(len(clients))
        answers = await asyncio.gather(
            *(
                self._trial(purse, client, use, barrier)
                for client, use in zip(clients, uses, strict=True)
            )
        )
        await asyncio.to_thread(self._look_at, purse, list(zip(uses, answers, strict=True)))

    async def _trial(
        self, purse: Purse, client: RawClient, use: Use, barrier: asyncio.Barrier
    ) -> RawAnswer:
        await client.connect()
        await barrier.wait()
        tries = 1
        while True:
            answer = await client.chat(purse.key, body_of(MODELS[use]))
            if answer.status != 503 or tries == TRIES_MAX:
                return answer
            tries += 1
            await asyncio.sleep(int(answer.headers["retry-after-ms"]) / 1000)

    def _look_at(self, purse: Purse, trials: list[tuple[Use, RawAnswer]]) -> None:
        tally, charged = self.tally, 0
        for use, answer in trials:
            tally.answers[f"{answer.status} {answer.code}".strip()] += 1
            if answer.status == 200:
                tally.served[use] += 1
                charged += self._charge(use, answer.headers["x-request-id"])
        tally.overshoot += max(0, charged - purse.credit)
        balance = self._world.settled(purse, purse.credit - charged)
        if (balance.total, balance.debt) != (purse.credit - charged, 0):
            tally.wrong.append(f"{purse.workspace_id}: charged {charged}, {balance}")

    def _charge(self, use: Use, request_id: str) -> int:
        if use is not Use.MORE:
            return hold(WHOLE) if use is Use.WHOLE else tenth()
        charge = self._world.cluster.usage(request_id).charge.amount_nanos
        self.tally.exceeding.append((request_id, hold(MORE), charge))
        return int(charge)


def at_edges(world: World, trials: int, seed: int = 1) -> Iterator[str]:
    """Nothing is charged beyond credit; what reports more than its hold is listed, not believed."""
    began, runner = time.monotonic(), Trials(world, seed)
    before = world.cluster.trial_balance().get("rev.usage", 0)
    asyncio.run(runner.run(max(1, trials // REQUESTS)))
    tally = runner.tally
    assert not tally.wrong, "; ".join(tally.wrong[:5])
    assert tally.overshoot == 0, tally.overshoot
    assert set(tally.answers) <= {"200", "402 insufficient_credits"}, tally.answers
    assert tally.answers["402 insufficient_credits"] > 0, "credit was never short"
    assert all(charge <= held for _, held, charge in tally.exceeding), tally.exceeding
    logs = "".join(edge.log.read_text() for edge in world.cluster.edges)
    unlisted = [name for name, _, _ in tally.exceeding if name not in logs]
    assert not unlisted, f"not in the edges' logs: {unlisted[:5]}"
    sums = world.cluster.trial_balance()
    assert sums["total"] == 0, sums
    count = sum(tally.answers.values())
    earned, seconds = sums["rev.usage"] - before, time.monotonic() - began
    yield f"{count:,} trials at 3 edges in {seconds:.0f} s: {dict(tally.answers)}"
    yield f"served: {', '.join(f'{number:,} used {use}' for use, number in tally.served.items())}"
    yield f"overshoot 0 of {earned:,} nano-dollars; debt 0"
    for name, held, charge in tally.exceeding[:20]:
        yield f"reported more: {name} held {held:,}, charged {charge:,}"
