"""Streams of every API cut at events and at random bytes, asked for by clients of every API.

The SDK raises, the record says failed, the charge is what the provider had counted by then.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from edge.translate.generate.usage import from_google
from edge.translate.messages.usage import UsageCounts
from kit.charge import Quantities, charge_nanos
from oneapi.metering.v1 import usage_record_pb2 as record
from oneapi.metering.v1.usage_service_pb2 import Usage
from tests.chaos.streams import oracle
from tests.chaos.streams.asking import Told
from tests.chaos.streams.books import records
from tests.chaos.streams.callers import ASK, Callers
from tests.contract.test_recordings_chat import events
from tests.support.recordings import Recording
from tests.support.replay.frames import split_frames
from tests.support.stack import Stack, price_of, public_ids, recorded

CALLERS: Final = 8
CLIENTS: Final = ("chat_completions", "responses", "messages", "generate_content")


@dataclass(frozen=True, slots=True)
class Expected:
    """What an answer that arrived in part must lead to."""

    proper: bool
    charge_nanos: int


@dataclass(frozen=True, slots=True)
class Case:
    """One stream, broken in one way, for a client of one API."""

    client: str
    upstream: str
    stream: Recording
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


def streams_of(upstream: str) -> list[Recording]:
    """Return the recorded streams of an API that came to their proper end."""
    found = [one for _, one in sorted(recorded(upstream).items()) if one.is_stream]
    return [one for one in found if one.status == 200 and _came_to_its_end(upstream, one)]


def _came_to_its_end(upstream: str, one: Recording) -> bool:
    return judged(upstream, one, one.body(), is_complete=True).proper


# --- what must come of it: read from the recording


def judged(upstream: str, one: Recording, seen: bytes, *, is_complete: bool) -> Expected:
    """Say what follows when so much of a stream arrived."""
    if upstream == "chat_completions":
        kept = oracle.after_frames(one, seen)
        return Expected(kept.proper, kept.charge_nanos)
    documents = [json.loads(text) for text in events(seen.decode()) if text != "[DONE]"]
    judge = {"messages": _messages, "responses": _responses, "generate_content": _generate}
    proper, has_output, used = judge[upstream](documents)
    if upstream == "generate_content":
        proper = proper and is_complete
    charge = charge_nanos(used, price_of(one.stem)) if used is not None and has_output else 0
    return Expected(proper, charge)


_Judged = tuple[bool, bool, Quantities | None]


def _messages(documents: list[dict[str, Any]]) -> _Judged:
    counts, used, has_output = UsageCounts(), None, False
    for event in documents:
        kind = event["type"]
        if kind == "error":
            return False, has_output, used
        usage = event.get("usage") or (event.get("message") or {}).get("usage")
        if usage:
            used = counts.take(usage)
        delta = event.get("delta") or {}
        if kind == "content_block_delta":
            has_output = has_output or any(v for k, v in delta.items() if k != "type")
        elif kind == "content_block_start":
            block = event["content_block"]
            has_output = has_output or block["type"] not in {"text", "thinking"}
        elif kind == "message_stop":
            return True, has_output, used
    return False, has_output, used


def _responses(documents: list[dict[str, Any]]) -> _Judged:
    # Its usage comes with the terminal event only: after a cut nothing is known, nothing charged.
    kinds = {event["type"] for event in documents}
    return bool(kinds & {"response.completed", "response.incomplete"}), False, None


def _generate(documents: list[dict[str, Any]]) -> _Judged:
    used, has_output, finished = None, False, False
    for chunk in documents:
        if chunk.get("error"):
            return False, has_output, used
        if counts := chunk.get("usageMetadata"):
            used = from_google(counts)
        for candidate in chunk.get("candidates") or ():
            parts = (candidate.get("content") or {}).get("parts") or ()
            has_output = has_output or any(value for part in parts for value in part.values())
            finished = finished or bool(candidate.get("finishReason"))
    return finished, has_output, used


# --- the suite


def cases_of(
    client: str, upstream: str, one: Recording, byte_cuts: int, event_cuts: int | None
) -> Iterator[Case]:
    """Cut a stream at its events (all, or so many of them) and at random bytes of its body."""
    chance = random.Random(f"{client} {one.stem}")
    body, frames = one.body(), split_frames(one.body())
    points = list(range(len(frames) + 1))
    if event_cuts is not None:
        points = sorted(chance.sample(points, min(event_cuts, len(points))))
    for point in points:
        seen = b"".join(frames[:point])
        yield Case(client, upstream, one, {"cut_at_event": point}, _after(upstream, one, seen))
    for number in range(byte_cuts):
        point = chance.randrange(len(body))
        whole = kept = 0
        for frame in frames:
            whole += len(frame)
            kept = whole if whole <= point else kept
        fault = {"cut_at_byte": point, "cut_reset": number % 2 == 1}
        yield Case(client, upstream, one, fault, _after(upstream, one, body[:kept]))


def _after(upstream: str, one: Recording, seen: bytes) -> Expected:
    return judged(upstream, one, seen, is_complete=False)


def run(
    stack: Stack,
    *,
    byte_cuts: int,
    event_cuts: int | None = None,
    native: int | None = None,
    crossing: int = 2,
) -> Tally:
    """Try all streams natively (or so many), and so many of each API for clients of the others."""
    wanted: list[tuple[str, str, Recording]] = []
    for upstream in CLIENTS:
        every = streams_of(upstream)
        chosen = random.Random(upstream).sample(every, min(crossing, len(every)))
        if upstream != "chat_completions":  # chats have a suite of their own: `cuts`
            wanted += [(upstream, upstream, one) for one in every[:native]]
        wanted += [
            (client, upstream, one) for client in CLIENTS if client != upstream for one in chosen
        ]
    by_stem: dict[str, list[tuple[str, str, Recording]]] = {}
    for item in wanted:
        by_stem.setdefault(item[2].stem, []).append(item)
    callers = Callers.of(stack)
    try:
        with ThreadPoolExecutor(CALLERS) as pool:
            told = list(
                pool.map(
                    lambda items: _try(stack, callers, items, byte_cuts, event_cuts),
                    by_stem.values(),
                )
            )
    finally:
        callers.close()
    pairs = [pair for part in told for pair in part]
    tally = Tally(cases=len(pairs))
    found = records(stack, {one.request_id for _, one in pairs})
    for case, one in pairs:
        _judge(case, one, found.get(one.request_id), tally)
    return tally


def _try(
    stack: Stack,
    callers: Callers,
    items: list[tuple[str, str, Recording]],
    byte_cuts: int,
    event_cuts: int | None,
) -> list[tuple[Case, Told]]:
    told = []
    for client, upstream, one in items:
        cases = list(cases_of(client, upstream, one, byte_cuts, event_cuts))
        stack.replay.set_fault_sequence(one.stem, [case.fault for case in cases])
        model = public_ids()[one.stem]
        told += [(case, ASK[client](callers, model)) for case in cases]
        stack.replay.clear_faults(one.stem)
    return told


def _judge(case: Case, told: Told, usage: Usage | None, tally: Tally) -> None:
    tally.raised[told.raised or "nothing"] += 1
    expected = case.expected
    tally.proper += expected.proper
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
        charge = usage.charge.amount_nanos
        is_right = charge == expected.charge_nanos or (
            case.fault.get("cut_reset") and charge <= expected.charge_nanos
        )
        if not expected.proper and not is_right:
            wrong.append(f"charge {charge}, not {expected.charge_nanos}")
    if bool(told.raised) is expected.proper:
        wrong.append(f"raised {told.raised or 'nothing'}")
    if wrong:
        pair = f"{case.client} from {case.upstream}"
        tally.wrong.append(f"{pair} {case.stream.stem} {case.fault}: {', '.join(wrong)}")
