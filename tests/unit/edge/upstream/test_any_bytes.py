"""Whatever an upstream writes, in any pieces: one answer or a refusal, and bounded memory."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from edge.upstream.exchange import Exchange
from edge.upstream.message import Limits, Timeouts

LIMITS = Limits(max_header_count=8, max_header_bytes=256)
TIMEOUTS = Timeouts(connect_seconds=1, first_byte_seconds=1, idle_seconds=1)
LINES = st.sampled_from(
    [
        *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 204 No\r\n"),
        *(
            b"HTTP/1.0 200 OK\r\n",
            b"HTTP/1.1 099 ?\r\n",
            b"HTTP/1.1 999 ?\r\n",
            b"\r\n",
            b"\r\n\r\n",
        ),
        *(b"Content-Length: 3\r\n", b"Content-Length: -3\r\n", b"Transfer-Encoding: chunked\r\n"),
        *(b"Transfer-Encoding: gzip\r\n", b"Connection: close\r\n", b"Keep-Alive: timeout=5\r\n"),
        *(b"abc", b"3\r\nabc\r\n", b"0\r\n\r\n", b"zz\r\n", b"X: " + b"y" * 90 + b"\r\n", b"\n"),
    ]
)
WIRES = st.lists(LINES | st.binary(max_size=8), max_size=12).map(b"".join)
Seen = tuple[bool, int, list[tuple[bytes, bytes]], bytes, bool, bool]


def seen(pieces: list[bytes]) -> Seen:
    """Return what an exchange makes of these reads, until it refuses one or has its end."""
    exchange = Exchange(TIMEOUTS, LIMITS, is_head=False)
    body, accepted = b"", True
    for piece in pieces:
        if not piece or exchange.complete:
            continue
        accepted = exchange.feed(memoryview(piece))
        body += exchange.take()
        if not accepted:
            break
    head = exchange.headers if exchange.head_complete else []
    return accepted, exchange.status, head, body, exchange.head_complete, exchange.complete


@given(WIRES, st.lists(st.integers(0, 400), max_size=8))
@example(
    b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", [5]
)
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", [50])
def test_any_bytes_in_any_pieces_come_to_the_same(wire: bytes, places: list[int]) -> None:
    """Status, headers, body and end; a refusal is one however the bytes came."""
    edges = [0, *sorted(place % (len(wire) + 1) for place in places), len(wire)]
    whole = seen([wire])
    parts = seen([wire[start:end] for start, end in pairwise(edges)])
    single = seen([wire[at : at + 1] for at in range(len(wire))])
    accepted = whole[0]
    assert (parts[0], single[0]) == (accepted, accepted)
    # Of an answer that is refused, what stands before the broken place may be read by then.
    assert not accepted or parts == single == whole


@given(st.lists(LINES, min_size=1, max_size=6))
def test_no_storm_is_read_for_ever(lines: list[bytes]) -> None:
    """Interim answers, headers, extensions and trailers end at the bound."""
    exchange = Exchange(TIMEOUTS, LIMITS, is_head=False)
    piece = memoryview(b"".join(lines))
    for _ in range(1_000):
        if exchange.complete or not exchange.feed(piece):
            break
        if exchange.take():
            break  # a body may be long; its reader bounds it
        assert sum(len(name) + len(value) for name, value in exchange.headers) <= 256
    else:
        raise AssertionError("read for ever")
