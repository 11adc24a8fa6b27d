"""A stream of chat completions on its way to the client: edited, counted, and ended honestly.

No frame is split, merged or delayed, except the last ones: they wait until the outcome is durable.
An answer that the upstream cut is never given a clean end.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from edge.translate import finish, splice, sse
from edge.translate.answer import MAX_HELD_BYTES, EndKind, Fault, StreamEnd, StreamEnding
from edge.translate.chat import plain_frames
from edge.translate.chat.native import (
    MAX_CHOICES,
    has_output,
    said_in,
    size_of,
    texts_of,
)
from edge.translate.chat.plain_frames import NO_BURST
from edge.translate.json_body import objects
from edge.translate.quirks import COMPATIBLE, Quirks
from edge.translate.usage import PriceOf, UsageTally, from_openai, with_cost
from oneapi.metering.v1.usage_record_pb2 import FinishReason

MAX_LEARNINGS: Final = 64
"""A stream whose chunks never repeat their ends is parsed chunk by chunk."""
LAST_CHOICE_INDEX: Final = MAX_CHOICES - 1

_DONE: Final = b"[DONE]"


class ChatStream:
    """One stream: feed it what the upstream sends, relay what it returns, then ask for its end.

    `show_usage`: the client asked for usage. `said`: the field of a choice with what it made.
    `price_of` gives the cost that is shown with it. `searches` of the web belong to every count.
    `over` turns true when nothing more will be relayed before the end: the terminal frame came, or
    the stream is broken (`fault`). `events` and `content_bytes` count what was relayed.
    """

    __slots__ = (
        "_buffer",
        "_choices",
        "_cost_as_number",
        "_counts_sent",
        "_ending",
        "_held",
        "_held_bytes",
        "_learnings",
        "_model",
        "_plain",
        "_quirks",
        "_reasons",
        "_said",
        "_seen",
        "_show_usage",
        "_tally",
        "_terminal",
        "content_bytes",
        "events",
        "fault",
        "has_output",
        "over",
        "searches",
    )

    def __init__(
        self,
        *,
        public_model: str,
        show_usage: bool,
        price_of: PriceOf,
        ending: StreamEnding = StreamEnding.TERMINAL,
        choices: int = 1,
        quirks: Quirks = COMPATIBLE,
        cost_as_number: bool = False,
        said: str = "delta",
    ) -> None:
        self._model = orjson.dumps(public_model)
        self._show_usage = show_usage
        self._cost_as_number = cost_as_number
        self._tally = UsageTally(price_of)
        self._quirks = quirks
        self._ending = ending
        self._choices = choices
        self._said = said
        self.searches = 0
        self._buffer = sse.FrameBuffer()
        self._plain: plain_frames.PlainFrames | None = None
        self._learnings = 0
        self._reasons: dict[int, FinishReason.ValueType] = {}
        self._seen: set[int] = set()
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._counts_sent: tuple[int, int] | None = None
        self._terminal: bytes | None = None
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
        if not region:
            return b""
        return self._relay(region)

    def finish(self, *, body_complete: bool) -> StreamEnd:
        """Return the end. `body_complete`: the body ended at its last chunk or Content-Length."""
        if body_complete and not self.over and (last := self._buffer.last_frame):
            self._hold(self._counts(), self._frame(last))
        kind = EndKind.PROPER if self._is_proper(body_complete=body_complete) else EndKind.CUT
        if kind is EndKind.CUT and self._counts_sent is not None:
            self.events, self.content_bytes = self._counts_sent
        return StreamEnd(
            kind=kind,
            fault=self.fault,
            tail=self._tail(kind),
            quantities=self._tally.quantities,
            usage_invalid=self._tally.invalid,
            usage_decreased=self._tally.decreased,
            finish_reason=finish.of_choices(self._reasons.values()),
            has_output=self.has_output,
            events=self.events,
            content_bytes=self.content_bytes,
            searches=self.searches if self.has_output else 0,
        )

    def _is_proper(self, *, body_complete: bool) -> bool:
        if self.fault is not Fault.NONE:
            return False
        if self._terminal is not None:
            return True
        finished = bool(self._reasons) and len(self._reasons) >= len(self._seen)
        return self._ending is StreamEnding.EOF and body_complete and finished

    def _tail(self, kind: EndKind) -> bytes:
        if kind is EndKind.PROPER:
            return b"".join(self._held) + (self._terminal or terminal_frame())
        return b"".join(self._held) if self.fault is Fault.UPSTREAM_ERROR else b""

    def _relay(self, region: bytes) -> bytes:
        relayed = []
        at = 0
        while at < len(region) and not self.over:
            burst = NO_BURST
            if self._plain is not None and not self._held:
                burst = self._plain.edit(region, at)
                self.events += burst.frames
                self.content_bytes += burst.content_bytes
                at += burst.bytes_read
            if burst.frames:
                relayed.append(burst.edited)
                continue
            end = sse.frame_end(region, at)
            relayed.append(self._next(region[at:end]))
            at = end
        return b"".join(relayed)

    def _next(self, frame: bytes) -> bytes:
        before = self._counts()
        edited = self._frame(frame)
        if self._ending is StreamEnding.TERMINAL or len(self._reasons) < self._choices or self.over:
            return edited
        self._hold(before, edited)
        return b""

    def _counts(self) -> tuple[int, int]:
        return self.events, self.content_bytes

    def _hold(self, counts_before: tuple[int, int], frame: bytes) -> None:
        if self._counts_sent is None:
            self._counts_sent = counts_before
        self._held.append(frame)
        self._held_bytes += len(frame)
        if self._held_bytes > MAX_HELD_BYTES:
            self._break(Fault.TOO_LARGE)

    def _frame(self, frame: bytes) -> bytes:
        """Return one frame as the client gets it; nothing for one that it must not get."""
        data = sse.data_of(frame)
        if data is None:
            # Without data there is no event, by the standard; some SDKs fail on such a frame.
            return frame if sse.is_comment(frame) else b""
        if data.startswith(_DONE):
            self._terminal = frame
            self.over = True
        if not data.strip() or self.over:
            return b""
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            chunk = None
        if not isinstance(chunk, dict):
            self._break(Fault.MALFORMED)
            return b""
        return self._chunk(frame, data, chunk)

    def _chunk(self, frame: bytes, data: bytes, chunk: dict[str, Any]) -> bytes:
        if chunk.get("error"):
            self._break(Fault.UPSTREAM_ERROR)
            self._held = [upstream_error_event(chunk["error"])]
            self._reasons[0] = finish.ERROR
        choices = objects(chunk.get("choices"))
        usage = usage_of(chunk, choices)
        cost = None
        if usage is not None:
            counted = from_openai(usage, quirks=self._quirks, tool_calls=self.searches)
            cost = self._tally.take(counted)
        if self.fault is not Fault.NONE:
            return b""
        if not self._show_usage and not choices and isinstance(chunk.get("usage"), dict):
            return b""
        texts = self._count(choices)
        edits = self._edits(data, chunk, cost)
        edited = sse.with_data(frame, splice.edit(data, chunk, edits)) if edits else frame
        if sse.has_id(edited):
            # Nobody resumes a POST; with an id, `openai` takes each later comment for an event.
            edited = sse.without_id(edited)
        if usage is None and self.has_output and _is_plain(choices):
            self._learn(frame, chunk, edited, texts)
        return edited

    def _edits(
        self, data: bytes, chunk: dict[str, Any], cost: str | None
    ) -> dict[str, bytes | None]:
        edits: dict[str, bytes | None] = {"model": self._model} if "model" in chunk else {}
        if "usage" in chunk:
            if not self._show_usage:
                edits["usage"] = None
            elif isinstance(chunk["usage"], dict):
                edits |= with_cost(data, chunk, cost, as_number=self._cost_as_number)
        return edits

    def _count(self, choices: list[dict[str, Any]]) -> set[str]:
        texts: set[str] = set()
        made = False
        for choice in choices:
            delta = said_in(choice, self._said)
            made = made or has_output(delta)
            texts |= texts_of(delta)
            index = _index(choice)
            self._seen.add(index)
            reason = finish.finish_reason(choice.get("finish_reason"))
            if reason != finish.UNSPECIFIED:
                self._reasons[index] = reason
        self.has_output = self.has_output or made
        # A plain chunk counts even if empty, as it does within a burst.
        self.events += made or (self.has_output and _is_plain(choices))
        self.content_bytes += size_of(texts)
        return texts

    def _learn(self, frame: bytes, chunk: dict[str, Any], edited: bytes, texts: set[str]) -> None:
        # Of several choices each chunk must be seen, to know which of them have finished.
        texts.discard("")
        if self._choices == 1 and len(texts) == 1 and self._learnings < MAX_LEARNINGS:
            self._learnings += 1
            self._plain = plain_frames.learn(frame, chunk, edited, *texts) or self._plain

    def _break(self, fault: Fault) -> None:
        self.fault = fault
        self.over = True


def terminal_frame() -> bytes:
    """Return the frame that ends a stream of chat completions."""
    return b"data: [DONE]\n\n"


def error_event(code: str, message: str, type: str) -> bytes:
    """Return the in-band error of a stream, as OpenAI's SDKs raise it."""
    error = {"message": message, "type": type, "param": None, "code": code}
    return sse.frame_of(orjson.dumps({"error": error}))


def upstream_error_event(error: Any) -> bytes:
    """Return an upstream's in-band error in OpenAI's shape, with our code.

    Its message is the client's own affair: it goes to the client and nowhere else.
    """
    message = error.get("message") if isinstance(error, dict) else error
    if not isinstance(message, str) or not message:
        message = "The upstream reported an error."
    return error_event("upstream_stream_error", message, "server_error")


def usage_of(chunk: dict[str, Any], choices: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the usage in a chunk, also where Groq and Moonshot have put it."""
    extension = chunk.get("x_groq")
    places = [chunk, extension if isinstance(extension, dict) else {}, *choices]
    for place in places:
        usage = place.get("usage")
        if isinstance(usage, dict):
            return usage
    return None


def _index(choice: dict[str, Any]) -> int:
    index = choice.get("index")
    return max(0, min(index, LAST_CHOICE_INDEX)) if isinstance(index, int) else 0


def _is_plain(choices: list[dict[str, Any]]) -> bool:
    return len(choices) == 1 and choices[0].get("finish_reason") is None
