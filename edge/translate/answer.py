"""What every translation of an answer hands back: a whole one, or a stream and its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from kit.charge import Quantities
from oneapi.metering.v1.usage_record_pb2 import FinishReason

JSON_TYPE: Final = b"application/json"
MAX_HELD_BYTES: Final = 1 << 20
"""What may follow the finish reason of a stream that ends with its body."""


@dataclass(slots=True)
class WholeAnswer:
    """A whole answer: what the client gets, and what the record says about it.

    `quantities` is None where the provider counted nothing usable; then the caller estimates, by
    `estimated` where the API has units of its own (images, seconds), else by the size of the texts
    and the `searches` of the web that were seen in the answer.
    """

    body: bytes = field(repr=False)
    quantities: Quantities | None
    usage_invalid: bool
    finish_reason: FinishReason.ValueType
    has_output: bool
    content_bytes: int
    content_type: bytes = JSON_TYPE
    estimated: Quantities | None = None
    searches: int = 0


class StreamEnding(Enum):
    """How streams of an upstream end: with a terminal frame, or with the body."""

    TERMINAL = 1
    EOF = 2


class EndKind(Enum):
    """Whether the upstream finished its answer."""

    PROPER = 1
    CUT = 2


class Fault(Enum):
    """Why a stream is broken before its body ended."""

    NONE = 0
    UPSTREAM_ERROR = 1
    MALFORMED = 2
    TOO_LARGE = 3


@dataclass(slots=True)
class StreamEnd:
    """How a stream ended, and what the record says about it.

    `tail` is the last bytes for the client, to be sent once the outcome is durable: the held frames
    and the terminal frame of a proper end, or the upstream's own error. After a cut without one it
    is empty, and the caller sends the surface's error event. `quantities` is the last usage that
    was seen, also before a cut; None means that the caller estimates: by `estimated` where the API
    has units of its own, else from `events`, `content_bytes` and `searches`.
    """

    kind: EndKind
    fault: Fault
    tail: bytes = field(repr=False)
    quantities: Quantities | None
    usage_invalid: bool
    usage_decreased: bool
    finish_reason: FinishReason.ValueType
    has_output: bool
    events: int
    content_bytes: int
    estimated: Quantities | None = None
    searches: int = 0


class AnswerStream(Protocol):
    """A stream on its way: feed it what the upstream sends, relay what it returns, then finish."""

    @property
    def over(self) -> bool:
        """Nothing more will be relayed before the end."""

    @property
    def events(self) -> int:
        """Relayed events with output."""

    @property
    def content_bytes(self) -> int:
        """Bytes of output in them."""

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes of the upstream; return what the client gets now: whole frames, maybe none."""

    def finish(self, *, body_complete: bool) -> StreamEnd:
        """Return the end. `body_complete`: the body ended at its last chunk or Content-Length."""
