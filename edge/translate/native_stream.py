"""A stream that stays in its API: edited, counted, held at its end; every other byte passes.

What frames mean is each API's own affair (`FrameLook`); this is what they have in common. Chat has
its own, faster one (`chat/stream.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from edge.translate import finish, splice, sse
from edge.translate.answer import MAX_HELD_BYTES, EndKind, Fault, StreamEnd, StreamEnding
from edge.translate.usage import PriceOf, UsageTally
from kit.charge import Quantities
from oneapi.metering.v1.usage_record_pb2 import FinishReason

CostOf = Callable[[Quantities | None], str | None]
"""Takes a count of the provider's; returns its cost in US dollars, None if it cannot be true."""


@dataclass(slots=True, repr=False)
class Look:
    """What one frame says, and what is changed in it.

    `edits`: members of its top level as raw JSON, None removes. `made`: the model made something;
    `content_bytes` of it. `finished`: the reason of a choice that ended (choice, reason).
    `seen`: the choices that it is about, where an API can have several. `searches` of the web ended
    in it. `error`: the provider
    reports an error, in its words (for the client only).
    """

    edits: dict[str, bytes | None]
    made: bool = False
    content_bytes: int = 0
    finished: tuple[tuple[int, FinishReason.ValueType], ...] = ()
    is_terminal: bool = False
    is_dropped: bool = False
    seen: tuple[int, ...] = ()
    searches: int = 0
    error: str | None = None


class FrameLook(Protocol):
    """One API's reading of its own frames, for one answer."""

    def look(self, data: bytes, event: dict[str, Any], cost_of: CostOf) -> Look:
        """Return what the frame with this data says; counts of usage go through `cost_of`."""


class NativeStream:
    """One stream: feed it what the upstream sends, relay what it returns, then ask for its end."""

    __slots__ = (
        "_buffer",
        "_choices",
        "_counts_sent",
        "_ending",
        "_estimate",
        "_failed_event",
        "_held",
        "_held_bytes",
        "_look",
        "_max_held_bytes",
        "_reasons",
        "_searches",
        "_seen",
        "_tally",
        "_terminal",
        "content_bytes",
        "events",
        "fault",
        "has_output",
        "over",
    )

    def __init__(
        self,
        look: FrameLook,
        ending: StreamEnding,
        price_of: PriceOf,
        failed_event: Callable[[str], bytes],
        max_frame_bytes: int = sse.MAX_FRAME_BYTES,
        *,
        choices: int = 1,
        estimate: Callable[[], Quantities] | None = None,
    ) -> None:
        """`failed_event` makes the in-band error from the provider's message.

        `choices` were asked for: the first of them that ends does not end the stream. `estimate`
        gives, in an API's own units, what to charge where the provider counts nothing.
        """
        self._look = look
        self._ending = ending
        self._failed_event = failed_event
        self._estimate = estimate
        self._tally = UsageTally(price_of)
        self._buffer = sse.FrameBuffer(max_frame_bytes)
        self._max_held_bytes = max(MAX_HELD_BYTES, max_frame_bytes)
        self._choices = choices
        self._reasons: dict[int, FinishReason.ValueType] = {}
        self._seen: set[int] = set()
        self._searches = 0
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._counts_sent: tuple[int, int] | None = None
        self._terminal = False
        self.fault = Fault.NONE
        self.over = False
        self.has_output = False
        self.events = 0
        self.content_bytes = 0

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes of the upstream; return what the client gets now: whole frames, maybe none."""
        if self.over:
            return b""
        try:
            region = self._buffer.feed(chunk)
        except sse.FrameTooLarge:
            self._break(Fault.TOO_LARGE)
            return b""
        return self._frames(region)

    def finish(self, *, body_complete: bool) -> StreamEnd:
        """Return the end. `body_complete`: the body ended at its last chunk or Content-Length."""
        if body_complete and not self.over and (last := self._buffer.last_frame):
            self._hold(self._frames(last), self._counts())
        is_proper = self._is_proper(body_complete=body_complete)
        if not is_proper and self._counts_sent is not None:
            self.events, self.content_bytes = self._counts_sent
        has_tail = is_proper or self.fault is Fault.UPSTREAM_ERROR
        return StreamEnd(
            kind=EndKind.PROPER if is_proper else EndKind.CUT,
            fault=self.fault,
            tail=b"".join(self._held) if has_tail else b"",
            quantities=self._tally.quantities,
            usage_invalid=self._tally.invalid,
            usage_decreased=self._tally.decreased,
            finish_reason=finish.of_choices(self._reasons.values()),
            has_output=self.has_output,
            events=self.events,
            content_bytes=self.content_bytes,
            estimated=self._estimate() if self._estimate is not None else None,
            searches=self._searches,
        )

    def _is_proper(self, *, body_complete: bool) -> bool:
        if self.fault is not Fault.NONE:
            return False
        if self._terminal:
            return True
        has_finished = bool(self._reasons) and self._seen <= self._reasons.keys()
        return self._ending is StreamEnding.EOF and body_complete and has_finished

    def _frames(self, region: bytes) -> bytes:
        relayed = []
        at = 0
        while at < len(region) and not self.over:
            end = sse.frame_end(region, at)
            before = self._counts()
            edited = self._frame(region[at:end])
            at = end
            if self._terminal or self._is_at_end():
                self._hold(edited, before)
            else:
                relayed.append(edited)
        return b"".join(relayed)

    def _frame(self, frame: bytes) -> bytes:
        data = sse.data_of(frame)
        if data is None:
            # Without data there is no event, by the standard; some SDKs fail on such a frame.
            return frame if sse.is_comment(frame) else b""
        if not data.strip():
            return b""
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            event = None
        if not isinstance(event, dict):
            self._break(Fault.MALFORMED)
            return b""
        return self._event(frame, data, event)

    def _event(self, frame: bytes, data: bytes, event: dict[str, Any]) -> bytes:
        look = self._look.look(data, event, self._tally.take)
        if look.error is not None:
            self._reasons[0] = finish.ERROR
            self._held = [self._failed_event(look.error)]
            self._break(Fault.UPSTREAM_ERROR)
            return b""
        self.has_output = self.has_output or look.made
        self.events += look.made
        self.content_bytes += look.content_bytes
        self._reasons.update(look.finished)
        self._seen.update(look.seen)
        self._searches += look.searches
        if look.is_terminal:
            self._terminal = self.over = True
        if look.is_dropped:
            return b""
        edited = sse.with_data(frame, splice.edit(data, event, look.edits)) if look.edits else frame
        return sse.without_id(edited) if sse.has_id(edited) else edited

    def _is_at_end(self) -> bool:
        """Say whether a proper end of the body is all that is left to come."""
        return self._ending is StreamEnding.EOF and len(self._reasons) >= self._choices

    def _counts(self) -> tuple[int, int]:
        return self.events, self.content_bytes

    def _hold(self, frame: bytes, counts_before: tuple[int, int]) -> None:
        if self.fault is not Fault.NONE:
            return
        if self._counts_sent is None:
            self._counts_sent = counts_before
        self._held.append(frame)
        self._held_bytes += len(frame)
        if self._held_bytes > self._max_held_bytes:
            self._break(Fault.TOO_LARGE)

    def _break(self, fault: Fault) -> None:
        self.fault = fault
        self.over = True
