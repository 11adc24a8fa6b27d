"""Every recorded chat cut at events and at random bytes: the SDK raises, the record says so."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from oneapi.metering.v1 import usage_record_pb2 as record
from oneapi.metering.v1.usage_service_pb2 import Usage
from tests.chaos.streams.asking import Told, ask, sdk
from tests.chaos.streams.books import records
from tests.chaos.streams.oracle import Expected, after_bytes, after_events
from tests.support.recordings import Recording
from tests.support.replay.frames import split_frames
from tests.support.stack import Stack, recorded_chats

CALLERS = 8


@dataclass(frozen=True, slots=True)
class Case:
    """One chat, broken in one way, and what must come of it."""

    stem: str
    fault: dict[str, Any]
    expected: Expected


@dataclass(slots=True)
class Tally:
    """What was tried and what went wrong; `wrong` names the first cases."""

    cases: int = 0
    raised: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    proper: int = 0
    charged: int = 0
    wrong: list[str] = field(default_factory=list)


def cases_of(chat: Recording, byte_cuts: int, event_cuts: int | None) -> Iterator[Case]:
    """Cut a chat at its events (all, or so many of them) and at random bytes of its body."""
    chance = random.Random(chat.stem)
    if chat.is_stream:
        points = list(range(len(split_frames(chat.body())) + 1))
        if event_cuts is not None:
            points = sorted(chance.sample(points, min(event_cuts, len(points))))
        for point in points:
            yield Case(chat.stem, {"cut_at_event": point}, after_events(chat, point))
    for number in range(byte_cuts):
        point = chance.randrange(len(chat.body()))
        fault = {"cut_at_byte": point, "cut_reset": number % 2 == 1}
        yield Case(chat.stem, fault, after_bytes(chat, point))


def run(
    stack: Stack, *, byte_cuts: int, event_cuts: int | None = None, chats: int | None = None
) -> Tally:
    """Try all cases of all chats (or of so many), several chats at a time."""
    every = [chat for chat in recorded_chats().values() if chat.status == 200]
    if chats is not None:
        every = random.Random(chats).sample(every, min(chats, len(every)))
    with ThreadPoolExecutor(CALLERS) as callers:
        told = list(callers.map(lambda chat: _try(stack, chat, byte_cuts, event_cuts), every))
    pairs = [pair for part in told for pair in part]
    tally = Tally(cases=len(pairs))
    found = records(stack, {one.request_id for _, one in pairs})
    for case, one in pairs:
        _judge(case, one, found.get(one.request_id), tally)
    return tally


def _try(
    stack: Stack, chat: Recording, byte_cuts: int, event_cuts: int | None
) -> list[tuple[Case, Told]]:
    cases = list(cases_of(chat, byte_cuts, event_cuts))
    stack.replay.set_fault_sequence(chat.stem, [case.fault for case in cases])
    with sdk(stack.base_url, stack.api_key) as client:
        told = [(case, ask(client, chat)) for case in cases]
    stack.replay.clear_faults(chat.stem)
    return told


def _judge(case: Case, told: Told, usage: Usage | None, tally: Tally) -> None:
    tally.raised[told.raised or "nothing"] += 1
    expected = case.expected
    wrong = []
    if usage is None:
        wrong.append("no record")
    else:
        failed = usage.outcome == record.OUTCOME_FAILED
        tally.failed += failed
        tally.charged += usage.charge.amount_nanos > 0
        if failed is expected.proper:
            wrong.append(f"outcome {usage.outcome}")
        # A reset may overtake what was sent just before it: the usage in there never arrived.
        right = (
            {expected.charge_nanos, 0} if case.fault.get("cut_reset") else {expected.charge_nanos}
        )
        if not expected.proper and usage.charge.amount_nanos not in right:
            wrong.append(f"charge {usage.charge.amount_nanos}, not {expected.charge_nanos}")
    tally.proper += expected.proper
    if bool(told.raised) is expected.proper:
        wrong.append(f"raised {told.raised or 'nothing'}")
    if wrong:
        tally.wrong.append(f"{case.stem} {case.fault}: {', '.join(wrong)}")
