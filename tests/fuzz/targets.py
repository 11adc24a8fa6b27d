"""What is fuzzed: functions of bytes that return nothing, or raise what was found.

`sse`    a stream in any pieces comes to the same, and to no exception
`spool`  any bytes are a frame or refused; a frame that is written again is read the same
`form`   a form that is read and written again is read the same
`head`   what our front takes for requests, a second and stricter reader takes for the same ones
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

import httptools

from edge.metering.frames import FRAME_BYTES, Frame, _sealed, decode, encode
from edge.server.head import refuse_head
from edge.translate import multipart
from edge.translate.answer import StreamEnd, StreamEnding
from edge.translate.chat.stream import ChatStream
from edge.translate.errors import InvalidForm
from edge.translate.multipart import Part
from tests.contract.bad_bodies import BAD_BODIES
from tests.contract.bad_forms import HOSTILE, TYPE, body, field
from tests.contract.bad_inputs import FRAMING, HEADS, PROTOCOLS, TARGETS, Target
from tests.support.recordings import load_fixtures
from tests.support.strict_http import targets

_TARGET: Final = Target("a", 80, "key", "model")
SEED_BYTES_MAX: Final = 1_024


class Finding(Exception):
    """The code broke one of its properties."""


def sse(data: bytes) -> None:
    """Feed a stream whole, in pieces of a drawn size, and byte by byte."""
    if len(data) < 2:
        return
    size, choice, stream = data[0] % 23 + 1, data[1], data[2:]
    ending = StreamEnding.EOF if choice & 1 else StreamEnding.TERMINAL
    expected = _streamed([stream], ending, whole=bool(choice & 2))
    for step in (size, 1):
        pieces = [stream[at : at + step] for at in range(0, len(stream), step)]
        if _streamed(pieces, ending, whole=bool(choice & 2)) != expected:
            raise Finding(f"pieces of {step}")
    if expected[1].quantities is not None and min(expected[1].quantities) < 0:
        raise Finding("a negative quantity")


def _streamed(pieces: list[bytes], ending: StreamEnding, *, whole: bool) -> tuple[bytes, StreamEnd]:
    stream = ChatStream(public_model="public", show_usage=True, price_of=lambda _: 1, ending=ending)
    relayed = b"".join([stream.feed(piece) for piece in pieces])
    return relayed, stream.finish(body_complete=whole)


def spool(data: bytes) -> None:
    """Read bytes as a frame, as they are and with a checksum that fits."""
    raw = data[:FRAME_BYTES].ljust(FRAME_BYTES, b"\0")
    for one in (raw, _sealed(raw)):
        frame = decode(one)
        if isinstance(frame, Frame) and decode(encode(frame.place, frame.body)) != frame:
            raise Finding("a frame that is not read as it was written")


def form(data: bytes) -> None:
    """Read bytes as a form, write its fields anew, and read those."""
    with contextlib.suppress(InvalidForm):
        parts = multipart.parsed(data, TYPE)
        fields = [(f"field-{at}", bytes(part.data)) for at, part in enumerate(parts)]
        anew = multipart.written([Part(name, value) for name, value in fields], b"anew")
        again = multipart.parsed(anew, multipart.content_type_of(b"anew"))
        if b"--anew" not in data and fields != [(one.name, bytes(one.data)) for one in again]:
            raise Finding("a form that is not read as it was written")


class _Front:
    """Collects what the front's parser and its rules take for requests."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.taken: list[bytes] = []
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []

    def on_message_begin(self) -> None:
        self._url, self._headers = b"", []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        refusal = refuse_head(self.parser.get_http_version(), self._url, self._headers)
        if refusal is not None or self.parser.should_upgrade():
            raise Finding  # stops the parser, as the front does

    def on_message_complete(self) -> None:
        self.taken.append(self._url)


def head(data: bytes) -> None:
    """Read bytes as requests, with both readers."""
    front = _Front()
    with contextlib.suppress(httptools.HttpParserError, httptools.HttpParserUpgrade, Finding):
        front.parser.feed_data(data)
    sure = list(targets(data))
    if front.taken != sure[: len(front.taken)]:
        raise Finding(f"{front.taken!r} against {sure!r}")


Fuzzed = Callable[[bytes], None]
TARGETS_BY_NAME: Final[dict[str, Fuzzed]] = {"sse": sse, "spool": spool, "form": form, "head": head}


def seeds(name: str) -> list[bytes]:
    """Return where a fuzzer begins: recorded streams, and the tables of bad input."""
    if name == "sse":
        streams = [one.body() for one in load_fixtures() if one.is_stream]
        return [
            bytes([7, choice]) + body[: SEED_BYTES_MAX - 2] for body in streams for choice in (0, 3)
        ]
    if name == "spool":
        return [bytes(FRAME_BYTES), b"1APF" + bytes(range(256)) * 2]
    if name == "form":
        forms = [raw for raw, _ in HOSTILE.values()] + [body(field("a", b"1"), field("b", b""))]
        return [raw for raw in forms if len(raw) <= SEED_BYTES_MAX]
    rows = (*FRAMING, *HEADS, *TARGETS, *PROTOCOLS, *BAD_BODIES[:20])
    wires = [row.wire(_TARGET) for row in rows]
    return [wire for wire in wires if len(wire) <= SEED_BYTES_MAX]
