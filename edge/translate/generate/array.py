"""A stream as one JSON array, which Google sends to clients that do not ask for `alt=sse`.

Each frame's data is an element. The bracket at the end stands for a proper end: what was cut has
none, so that no client takes it for whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edge.translate import sse
from edge.translate.answer import AnswerStream, EndKind, StreamEnd, WholeAnswer
from edge.translate.surface import Header, Translation
from edge.translate.usage import PriceOf


def element_of(frames: bytes, *, is_first: bool) -> bytes:
    """Return whole frames as elements of an array, with what separates them."""
    found = [data for frame in sse.split_frames(frames) if (data := sse.data_of(frame))]
    if not found:
        return b""
    return (b"[" if is_first else b",\n") + b",\n".join(found)


class ArrayStream:
    """A stream of frames, sent on as the elements of an array."""

    __slots__ = ("_begin", "_has_begun", "_inner")

    def __init__(self, inner: AnswerStream, begin: Callable[[], None]) -> None:
        """`begin` is told when the first element goes out."""
        self._inner = inner
        self._begin = begin
        self._has_begun = False

    @property
    def over(self) -> bool:
        """Nothing more will be relayed before the end."""
        return self._inner.over

    @property
    def events(self) -> int:
        """Relayed events with output."""
        return self._inner.events

    @property
    def content_bytes(self) -> int:
        """Bytes of output in them."""
        return self._inner.content_bytes

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes of the upstream; return the elements that the client gets now."""
        return self._elements(self._inner.feed(chunk))

    def finish(self, *, body_complete: bool) -> StreamEnd:
        """Return the end; a proper one closes the array."""
        end = self._inner.finish(body_complete=body_complete)
        tail = self._elements(end.tail)
        if end.kind is EndKind.PROPER:
            tail += b"]" if self._has_begun else b"[]"
        return replace(end, tail=tail)

    def _elements(self, frames: bytes) -> bytes:
        elements = element_of(frames, is_first=not self._has_begun) if frames else b""
        if elements and not self._has_begun:
            self._has_begun = True
            self._begin()
        return elements


class AsArray:
    """A translation whose stream goes out as an array."""

    __slots__ = ("_begin", "_inner")

    def __init__(self, inner: Translation, begin: Callable[[], None]) -> None:
        """Take the translation that makes frames."""
        self._inner = inner
        self._begin = begin

    @property
    def path(self) -> bytes:
        """Return the path below the upstream's base URL."""
        return self._inner.path

    @property
    def headers(self) -> tuple[Header, ...]:
        """Return what the upstream's API wants."""
        return self._inner.headers

    @property
    def content_type(self) -> bytes:
        """Return the type of the body for the upstream."""
        return self._inner.content_type

    @property
    def written_bytes(self) -> int:
        """Return the bytes of a body that was written for the upstream."""
        return self._inner.written_bytes

    def body(self, output_limit: int | None) -> bytes:
        """Return the body for the upstream."""
        return self._inner.body(output_limit)

    def stream(self, price_of: PriceOf) -> AnswerStream:
        """Return what carries a streamed answer to the client."""
        return ArrayStream(self._inner.stream(price_of), self._begin)

    def whole(self, body: bytes, content_type: bytes, price_of: PriceOf) -> WholeAnswer:
        """Return a whole answer as the client gets it."""
        return self._inner.whole(body, content_type, price_of)
