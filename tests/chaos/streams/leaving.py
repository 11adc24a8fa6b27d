"""The client leaves after each event: the upstream is cancelled at once, the record says so.

The upstream sends so many events and then nothing; the client reads as many as it will ever get
and closes its connection. Of an answer whose last events are held back until they are durable it
sees fewer, which changes nothing.
"""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from oneapi.metering.v1 import usage_record_pb2 as record
from tests.chaos.streams.books import records
from tests.e2e.test_recordings import request_of
from tests.support.processes import until
from tests.support.recordings import Recording
from tests.support.replay.frames import split_frames
from tests.support.stack import Stack, recorded_chats

CALLERS = 8
CANCELLED_MS_MAX = 250.0
QUIET_SECONDS = 0.15
"""Nothing came for so long: the client has all that it will get."""


@dataclass(slots=True)
class Tally:
    """What became of the streams; milliseconds from the close to the upstream's notice."""

    cases: int = 0
    cancelled: int = 0
    slowest_ms: float = 0.0
    median_ms: float = 0.0
    estimated: int = 0
    by_provider: int = 0
    free: int = 0
    wrong: list[str] = field(default_factory=list)


def run(
    stack: Stack,
    *,
    chats: int | None = None,
    step: int = 1,
    cancelled_ms_max: float = CANCELLED_MS_MAX,
) -> Tally:
    """Leave every stream after every `step`-th event; of so many chats, or of all."""
    every = [one for one in recorded_chats().values() if one.is_stream and one.status == 200]
    stack.replay.reset()
    left: list[tuple[str, str, int]] = []
    tally, delays = Tally(), []
    for start in range(0, len(every[:chats]), CALLERS):
        some = every[:chats][start : start + CALLERS]
        with ThreadPoolExecutor(CALLERS) as callers:
            parts = list(callers.map(lambda chat: _leave_at_each(stack, chat, step), some))
        told = [one for part in parts for one in part]
        left += told
        delays += _delays(stack, told, tally, cancelled_ms_max)
    found = records(stack, {request_id for request_id, _, _ in left})
    for request_id, name, _ in left:
        usage = found.get(request_id)
        if usage is None:
            tally.wrong.append(f"{name}: no record")
            continue
        by_provider = usage.usage_source == record.USAGE_SOURCE_PROVIDER
        tally.by_provider += by_provider
        tally.estimated += usage.usage_source == record.USAGE_SOURCE_ESTIMATED
        tally.free += usage.charge.amount_nanos == 0
        if usage.outcome not in {record.OUTCOME_CANCELLED, record.OUTCOME_FAILED}:
            tally.wrong.append(f"{name}: outcome {usage.outcome}")
        if not by_provider and usage.charge.amount_nanos > usage.hold.amount_nanos:
            tally.wrong.append(f"{name}: an estimate above the hold")
    delays.sort()
    tally.slowest_ms = max(delays, default=0.0)
    tally.median_ms = delays[len(delays) // 2] if delays else 0.0
    return tally


def _leave_at_each(stack: Stack, chat: Recording, step: int) -> list[tuple[str, str, int]]:
    frames = split_frames(chat.body())
    done = next((at for at, one in enumerate(frames) if b"[DONE]" in one), len(frames))
    points = list(range(0, done + 1, step))
    faults = [{"stall_at_event": point} for point in points]
    stack.replay.set_fault_sequence(chat.stem, faults)
    told = [(*_leave(stack, chat), f"{chat.stem} after {point}") for point in points]
    return [(request_id, name, left_ns) for request_id, left_ns, name in told]


def _leave(stack: Stack, chat: Recording) -> tuple[str, int]:
    """Read until nothing more comes, close, and return the request's id and when that was."""
    place = urlsplit(stack.base_url)
    body = json.dumps(request_of(chat, show_usage=True)).encode()
    head = (
        f"POST {place.path}/chat/completions HTTP/1.1\r\nhost: test\r\n"
        f"authorization: Bearer {stack.api_key}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((place.hostname, place.port)) as link:
        link.sendall(head.encode() + body)
        answer = b""
        link.settimeout(10.0)
        try:
            while piece := link.recv(65_536):
                answer += piece
                # The head comes with the first byte: from then on silence says it all.
                link.settimeout(QUIET_SECONDS)
        except TimeoutError:
            pass
        left_ns = time.monotonic_ns()
    fields = dict(
        line.split(": ", 1) for line in answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    )
    return fields.get("x-request-id", ""), left_ns


def _delays(
    stack: Stack, left: list[tuple[str, str, int]], tally: Tally, cancelled_ms_max: float
) -> list[float]:
    """Pair each leaving with the upstream's notice of it, in the order of a chat's calls."""
    until(lambda: stack.replay.calls().running == 0, 30)
    calls: dict[str, list[Any]] = {}
    for call in stack.replay.calls().ended:
        calls.setdefault(call.stem, []).append(call)
    stack.replay.reset()
    delays = []
    for stem, ended in calls.items():
        ended.sort(key=lambda call: call.started_ns)
        mine = [one for one in left if one[1].rpartition(" after ")[0] == stem]
        tally.cases += len(mine)
        for (_, name, left_ns), call in zip(mine, ended, strict=True):
            tally.cancelled += call.outcome == "cancelled"
            delays.append(delay := (call.ended_ns - left_ns) / 1e6)
            if call.outcome != "cancelled" or delay > cancelled_ms_max:
                tally.wrong.append(f"{name}: {call.outcome} after {delay:.0f} ms")
    return delays
