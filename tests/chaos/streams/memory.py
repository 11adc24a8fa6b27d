"""Readers that do not read, and upstreams that send single bytes: a stream's memory is bounded.

Many clients ask for a stream that never ends and read nothing of it; the edge must stop reading
from the upstream. What the process grew by, divided by the streams, is the figure.
"""

from __future__ import annotations

import json
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.chaos.streams.storm import _memory_kb
from tests.support.processes import until
from tests.support.stack import STREAM, Stack, public_ids

KIB_PER_STREAM_MAX = 256
FILL_SECONDS = 4.0
WARM_UP_STREAMS = 5
SMALL_WINDOW = 4_096


@dataclass(frozen=True, slots=True)
class Grown:
    """Memory that some streams took."""

    kind: str
    streams: int
    kib_per_stream: float

    @property
    def held(self) -> bool:
        """Say whether it stayed within what a stream may take."""
        return self.kib_per_stream <= KIB_PER_STREAM_MAX


def stalled_readers(stack: Stack, edge_pid: int, *, streams: int, seconds: float) -> Grown:
    """Hold endless streams open without reading a byte."""
    stack.replay.reset()
    stack.replay.set_faults(STREAM, endless=True)
    return _grown(stack, edge_pid, "stalled reader", streams, seconds)


def single_bytes(stack: Stack, edge_pid: int, *, streams: int, seconds: float) -> Grown:
    """Hold streams open whose upstream sends a byte a chunk, for ever; nobody reads."""
    stack.replay.reset()
    stack.replay.set_faults(STREAM, endless=True, one_byte_chunks=True)
    return _grown(stack, edge_pid, "one byte a chunk", streams, seconds)


def _grown(stack: Stack, edge_pid: int, kind: str, streams: int, seconds: float) -> Grown:
    _hold(stack, WARM_UP_STREAMS, 0.5)  # what the first streams cost once and for all
    before = _memory_kb(edge_pid)
    peak = _hold(stack, streams, seconds, edge_pid)
    until(lambda: stack.replay.calls().running == 0, 30)
    stack.replay.reset()
    return Grown(kind, streams, round(max(0, peak - before) / streams, 1))


def _hold(stack: Stack, streams: int, seconds: float, edge_pid: int | None = None) -> int:
    peak = 0
    with ExitStack() as links:
        for _ in range(streams):
            links.enter_context(_ask(stack))
        until(lambda: stack.replay.calls().running >= streams, 60)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(0.1)
            peak = max(peak, _memory_kb(edge_pid) if edge_pid else 0)
    return peak


def _ask(stack: Stack) -> socket.socket:
    place = urlsplit(stack.base_url)
    link = socket.socket()
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_WINDOW)
    link.connect((place.hostname, place.port))
    messages = [{"role": "user", "content": "Name a thing that is blue."}]
    named = {"model": public_ids()[STREAM], "stream": True, "messages": messages}
    body = json.dumps(named).encode()
    head = (
        f"POST {place.path}/chat/completions HTTP/1.1\r\nhost: test\r\n"
        f"authorization: Bearer {stack.api_key}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    link.sendall(head.encode() + body)
    return link
