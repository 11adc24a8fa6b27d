"""How much of finished requests is still in a process's memory: a count, not a verdict.

Python and the C library keep freed memory as it was until it is used again. `ONEAPI_SCRUB=true`
makes the edge's allocator overwrite it at once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from tests.leaktest import demands
from tests.leaktest.clients import Call
from tests.leaktest.needles import Finder, as_it_is
from tests.leaktest.sinks import memory_of
from tests.leaktest.upstream import UNIQUE_FROM
from tests.leaktest.world import World
from tests.support.cluster import descendants_of

SMALLEST_PROCESS_BYTES = 10_000_000
SETTLE_SECONDS = 3.0
AT_A_TIME = 100
MEANINGFUL_REQUESTS = 500
"""After fewer, what is freed has not been used again: the share says nothing."""
RETAINED_SHARE_MAX = 0.4
"""More than this is no residue: somebody keeps requests."""
SCRUBBED_MAX = 4
"""What receive buffers may hold of the last requests."""


@dataclass(frozen=True, slots=True)
class Residue:
    """Of so many requests, how many prompts and answers can still be read."""

    requests: int
    prompts: int
    answers: int
    scrubbed: bool = False

    @property
    def is_a_leak(self) -> bool:
        """Say whether more is left than chance leaves."""
        most = self.requests * RETAINED_SHARE_MAX
        if self.scrubbed:
            most = SCRUBBED_MAX
        is_meaningful = self.scrubbed or self.requests >= MEANINGFUL_REQUESTS
        return is_meaningful and max(self.prompts, self.answers) > most


def residue(world: World, requests: int) -> Residue:
    """Serve requests with a prompt each, let them be over, and look for the prompts."""
    canary = world.case("memory")
    for first in range(0, requests, AT_A_TIME):
        calls = []
        for number in range(first, min(first + AT_A_TIME, requests)):
            prompt = world.marks.memory.canary(number)
            body = {
                "model": "mode-ok",
                "stream": True,
                "messages": [{"role": "user", "content": prompt}],
            }
            raw = demands.post(canary, body, world.key)
            # One claim for each, or the second would be refused.
            own = f"{canary('header.idempotency-key')}-{number}"
            call = raw.replace(canary("header.idempotency-key").encode(), own.encode())
            calls.append(Call(f"memory {number}", call))
        answers = world.insist(calls)
        assert all(b"[DONE]" in answer for answer in answers.values()), answers
    time.sleep(SETTLE_SECONDS)
    prompts: set[int] = set()
    answered: set[int] = set()
    looked_at = 0
    for piece in memory_of(world.edge.pid):
        looked_at += len(piece)
        prompts |= world.marks.memory.numbers_in(piece)
        contents = world.marks.answer.numbers_in(piece)
        answered |= {number for number in contents if number >= UNIQUE_FROM}
    assert looked_at > SMALLEST_PROCESS_BYTES, "the edge's memory could not be read"
    scrubbed = "PYTHONMALLOC" in world.edge_variables
    return Residue(requests, len(prompts), len(answered), scrubbed)


def look_at_others(world: World) -> None:
    """Core's and the database's memory: nothing of a request was ever there."""
    marks = world.marks
    finder = Finder((marks.request, marks.answer, marks.memory), spell=as_it_is, inflates=False)
    database = world.cluster.postgres.pid
    pids = {"core": world.core.pid, "postgres": database}
    pids |= {f"postgres {pid}": pid for pid in descendants_of(database)}
    for name, pid in pids.items():
        for piece in memory_of(pid, shared=pid == database):
            world.looked.through(finder, "memory of others", name, piece)
