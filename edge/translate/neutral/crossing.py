"""A request for text that crosses over: read by the client's API, asked in the upstream's."""

from __future__ import annotations

from collections.abc import Callable

from edge.translate import finish, sse
from edge.translate.answer import (
    JSON_TYPE,
    MAX_HELD_BYTES,
    EndKind,
    Fault,
    StreamEnd,
    StreamEnding,
    WholeAnswer,
)
from edge.translate.errors import MalformedAnswer
from edge.translate.json_body import written
from edge.translate.neutral.conversation import Conversation
from edge.translate.neutral.events import (
    Cited,
    Ended,
    Event,
    Failed,
    Finished,
    ReasoningDelta,
    ReasoningSigned,
    RedactedReasoning,
    RefusalDelta,
    TextDelta,
    ToolCallBegun,
    ToolCallDelta,
    Used,
)
from edge.translate.neutral.halves import AnswerReader, AnswerWriter, UpstreamApi
from edge.translate.surface import Header, Terms
from edge.translate.usage import PriceOf, UsageTally
from oneapi.metering.v1.usage_record_pb2 import FinishReason

FailedEvent = Callable[[str], bytes]
"""Makes the in-band error of the client's API from the provider's message."""


class Crossing:
    """One request for one candidate of another API, and its answer on the way back."""

    __slots__ = (
        "_api",
        "_failed_event",
        "_prepared",
        "_terms",
        "_writer",
        "content_type",
        "path",
        "written_bytes",
    )

    def __init__(
        self,
        conversation: Conversation,
        api: UpstreamApi,
        terms: Terms,
        *,
        stream: bool,
        writer: AnswerWriter,
        failed_event: FailedEvent,
    ) -> None:
        """Write the request in the upstream's API.

        Raises:
            InvalidRequest: it cannot be expressed there; the client's field is named.
        """
        self._api = api
        self._terms = terms
        self._writer = writer
        self._failed_event = failed_event
        self._prepared = api.write(conversation, terms, stream=stream)
        self.path = api.path(terms, stream=stream)
        self.content_type = JSON_TYPE
        self.written_bytes = len(written(self._prepared))

    @property
    def headers(self) -> tuple[Header, ...]:
        """Return what the upstream's API wants."""
        return self._api.headers(self._terms)

    def body(self, output_limit: int | None) -> bytes:
        """Return the body for the upstream."""
        return written(self._api.limit(self._prepared, self._terms, output_limit))

    def stream(self, price_of: PriceOf) -> CrossingStream:
        """Return what carries a streamed answer to the client."""
        api, terms = self._api, self._terms
        has_frame = terms.ends_with_terminal_frame and not api.ends_with_body
        return CrossingStream(
            api.reader(terms),
            self._writer,
            StreamEnding.TERMINAL if has_frame else StreamEnding.EOF,
            price_of,
            self._failed_event,
            max_frame_bytes=api.max_frame_bytes,
        )

    def whole(self, body: bytes, _content_type: bytes, price_of: PriceOf) -> WholeAnswer:
        """Return a whole answer as the client gets it.

        Raises:
            MalformedAnswer: it is not what the upstream's API answers.
        """
        tally, count = UsageTally(price_of), Count()
        events = self._api.reader(self._terms).whole(body)
        cost = None
        for event in events:
            if type(event) is Used:
                cost = tally.take(event.quantities)
            elif type(event) is Failed:
                raise MalformedAnswer
        count.take(events)
        if count.has_output and not count.has_finished:
            raise MalformedAnswer
        return WholeAnswer(
            body=self._writer.whole(events, tally.quantities, cost),
            quantities=tally.quantities,
            usage_invalid=tally.invalid,
            finish_reason=count.reason,
            has_output=count.has_output,
            content_bytes=count.content_bytes,
        )


class Count:
    """What of an answer's events counts as output, and why it ended."""

    __slots__ = ("_reasons", "_seen", "content_bytes", "events", "has_output")

    def __init__(self) -> None:
        self._reasons: dict[int, FinishReason.ValueType] = {}
        self._seen: set[int] = set()
        self.has_output = False
        self.events = 0
        self.content_bytes = 0

    @property
    def reason(self) -> FinishReason.ValueType:
        """The one reason that a record keeps."""
        return finish.of_choices(self._reasons.values())

    @property
    def has_finished(self) -> bool:
        """Whether every choice that made something has ended."""
        return bool(self._reasons) and self._seen <= self._reasons.keys()

    def take(self, events: list[Event]) -> None:
        """Count the events of one frame."""
        made, size = False, 0
        for event in events:
            if type(event) is Finished:
                self._reasons[event.choice] = event.reason
                continue
            one = output_of(event)
            if one is not None and not isinstance(event, Used | Failed | Ended):
                made = True
                self._seen.add(event.choice)
                size += len(one.encode()) if one else 0
        self.has_output = self.has_output or made
        self.events += made
        self.content_bytes += size

    def fail(self) -> None:
        """Note that the provider reported an error."""
        self._reasons[0] = finish.ERROR


def output_of(event: Event) -> str | None:
    """Return what of an event the model made, None if it made nothing."""
    match event:
        case TextDelta(text=text) | RefusalDelta(text=text) | ReasoningDelta(text=text):
            return text or None
        case ToolCallBegun(name=text) | ToolCallDelta(arguments=text):
            return text or None
        case RedactedReasoning() | ReasoningSigned() | Cited():
            return ""
    return None


class CrossingStream:
    """A stream that crosses over: frames of one API in, frames of the other out, none delayed."""

    __slots__ = (
        "_buffer",
        "_cost",
        "_count",
        "_ending",
        "_failed_event",
        "_max_tail_bytes",
        "_reader",
        "_tail_bytes",
        "_tally",
        "_terminal",
        "_upstream_error",
        "_writer",
        "fault",
        "over",
    )

    def __init__(
        self,
        reader: AnswerReader,
        writer: AnswerWriter,
        ending: StreamEnding,
        price_of: PriceOf,
        failed_event: FailedEvent,
        *,
        max_frame_bytes: int = sse.MAX_FRAME_BYTES,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._ending = ending
        self._failed_event = failed_event
        self._tally = UsageTally(price_of)
        self._count = Count()
        self._buffer = sse.FrameBuffer(max_frame_bytes)
        self._max_tail_bytes = max(MAX_HELD_BYTES, max_frame_bytes)
        self._cost: str | None = None
        self._terminal = False
        self._upstream_error = b""
        self._tail_bytes = 0
        self.fault = Fault.NONE
        self.over = False

    @property
    def events(self) -> int:
        """Relayed events with output."""
        return self._count.events

    @property
    def content_bytes(self) -> int:
        """Bytes of output in them."""
        return self._count.content_bytes

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes of the upstream; return what the client gets now."""
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
        late = b""
        if body_complete and not self.over and (last := self._buffer.last_frame):
            late = self._frames(last)
        is_proper = self._is_proper(body_complete=body_complete)
        tail = self._upstream_error
        if is_proper:
            tail = late + self._writer.finish(self._tally.quantities, self._cost)
        return StreamEnd(
            kind=EndKind.PROPER if is_proper else EndKind.CUT,
            fault=self.fault,
            tail=tail,
            quantities=self._tally.quantities,
            usage_invalid=self._tally.invalid,
            usage_decreased=self._tally.decreased,
            finish_reason=self._count.reason,
            has_output=self._count.has_output,
            events=self._count.events,
            content_bytes=self._count.content_bytes,
        )

    def _is_proper(self, *, body_complete: bool) -> bool:
        if self.fault is not Fault.NONE:
            return False
        if self._count.has_output and not self._count.has_finished:
            # Nobody said why it ended, and the other API has no word for that: it may be half.
            return False
        if self._terminal:
            return True
        return self._ending is StreamEnding.EOF and body_complete and self._count.has_finished

    def _frames(self, region: bytes) -> bytes:
        relayed = []
        at = 0
        while at < len(region) and not self.over:
            end = sse.frame_end(region, at)
            data = sse.data_of(region[at:end])
            at = end
            if data and data.strip():
                relayed.append(self._frame(data))
        return b"".join(relayed)

    def _frame(self, data: bytes) -> bytes:
        try:
            events = self._reader.frame(data)
        except MalformedAnswer:
            self._break(Fault.MALFORMED)
            return b""
        for event in events:
            if type(event) is Used:
                self._cost = self._tally.take(event.quantities)
            elif type(event) is Failed:
                self._count.fail()
                self._upstream_error = self._failed_event(event.message)
                self._break(Fault.UPSTREAM_ERROR)
                return b""
            elif type(event) is Ended:
                self._terminal = self.over = True
        self._count.take(events)
        if self._count.has_finished:
            self._tail_bytes += len(data)
            if self._tail_bytes > self._max_tail_bytes:
                self._break(Fault.TOO_LARGE)
                return b""
        return self._writer.frames(events)

    def _break(self, fault: Fault) -> None:
        self.fault = fault
        self.over = True
