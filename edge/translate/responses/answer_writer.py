"""Answers of other APIs as responses: events with numbers and indexes, or one object.

The object at the end of a stream is made of the items that the stream built, and a whole answer is
the same items without their frames: so the two agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from edge.translate.errors import NestedTooDeeply
from edge.translate.neutral.conversation import Maker
from edge.translate.neutral.events import (
    Cited,
    Event,
    Finished,
    ReasoningDelta,
    ReasoningSigned,
    RedactedReasoning,
    RefusalDelta,
    TextDelta,
    ToolCallBegun,
    ToolCallDelta,
)
from edge.translate.responses.failure import Progress, Running, frame_of
from edge.translate.responses.items import (
    CallItem,
    Item,
    MessageItem,
    Outlet,
    ReasoningItem,
    Status,
)
from edge.translate.responses.read_tools import namespaces
from edge.translate.responses.resource import resource
from edge.translate.responses.sealed import seal
from edge.translate.surface import Terms
from kit.charge import Dimension, Quantities, context_tokens, output_tokens
from oneapi.common.v1 import endpoint_pb2
from oneapi.metering.v1.usage_record_pb2 import FinishReason

MAKERS: Final = (
    (endpoint_pb2.ENDPOINT_CHAT_COMPLETIONS, Maker.CHAT),
    (endpoint_pb2.ENDPOINT_MESSAGES, Maker.ANTHROPIC),
    (endpoint_pb2.ENDPOINT_GENERATE_CONTENT, Maker.GOOGLE),
)
"""Whose reasoning an answer has, by what the candidate serves: in the order of preference."""
_INCOMPLETE: Final = {
    FinishReason.FINISH_REASON_LENGTH: "max_output_tokens",
    FinishReason.FINISH_REASON_CONTENT_FILTER: "content_filter",
}


class ResponsesWriter:
    """Writes one answer."""

    __slots__ = (
        "_begun",
        "_calls",
        "_maker",
        "_open",
        "_outlet",
        "_progress",
        "_reason",
        "_response",
        "_running",
        "_shows_summary",
        "_spaces",
    )

    def __init__(
        self, body: Mapping[str, Any], running: Running, progress: Progress, terms: Terms
    ) -> None:
        """Write the answer to this body.

        Raises:
            NestedTooDeeply: what the answer has to repeat cannot be written.
        """
        self._running = running
        self._progress = progress
        self._response = resource(body, progress.response_id, terms.created, terms.public_model)
        # Who asked for a summary is shown the reasoning where summaries are looked for.
        self._shows_summary = self._response["reasoning"]["summary"] is not None
        self._maker = _maker(terms.serves)
        self._spaces = namespaces(body)
        self._outlet = Outlet(progress)
        self._open: MessageItem | ReasoningItem | None = None
        self._calls: dict[int, CallItem] = {}
        self._reason = FinishReason.FINISH_REASON_UNSPECIFIED
        self._begun = False
        try:
            frame_of({"type": "", "response": self._response})
        except orjson.JSONEncodeError:
            raise NestedTooDeeply from None

    def frames(self, events: list[Event]) -> bytes:
        """Return these events as frames of the client's stream."""
        self._begin()
        for event in events:
            self._take(event)
        return self._outlet.taken()

    def finish(self, used: Quantities | None, cost: str | None) -> bytes:
        """Return the last frames of a proper end: what is still open, then the whole response."""
        self._begin()
        self._close()
        response = self._ended(used, cost)
        self._outlet.put(f"response.{response['status']}", response=response)
        return self._outlet.taken()

    def whole(self, events: list[Event], used: Quantities | None, cost: str | None) -> bytes:
        """Return all events of a whole answer as one body. `cost` is in US dollars, decimal."""
        for event in events:
            self._take(event)
        self._close()
        return orjson.dumps(self._ended(used, cost))

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._running.progress = self._progress
            self._outlet.put("response.created", response=self._response)
            self._outlet.put("response.in_progress", response=self._response)

    def _take(self, event: Event) -> None:
        match event:
            case TextDelta(text=text, logprobs=logprobs) if text or logprobs:
                self._message().add_text(text, logprobs)
            case RefusalDelta(text=text) if text:
                self._message().add_refusal(text)
            case Cited(url=url) if url is not None:
                self._message().cite(event)
            case ReasoningDelta() | ReasoningSigned() | RedactedReasoning():
                self._take_reasoning(event)
            case ToolCallBegun():
                self._begin_call(event)
            case ToolCallDelta(call=call, arguments=arguments) if arguments:
                if call in self._calls:
                    self._calls[call].add(arguments)
            case Finished(reason=reason):
                self._reason = reason
                self._close()

    def _take_reasoning(self, event: ReasoningDelta | ReasoningSigned | RedactedReasoning) -> None:
        match event:
            case ReasoningDelta(text=text, summary=summary) if text:
                self._reasoning().add(text, is_summary=summary or self._shows_summary)
            case ReasoningSigned(signature=signature):
                self._reasoning().seal(seal(self._maker, "signed", signature))
            case RedactedReasoning(data=data):
                self._sealed(seal(self._maker, "redacted", data))

    def _message(self) -> MessageItem:
        if not isinstance(self._open, MessageItem):
            self._close_open()
            self._open = MessageItem(self._outlet)
        return self._open

    def _reasoning(self) -> ReasoningItem:
        """Return the reasoning item that is open; what follows a signature is another one."""
        item = self._open
        if not isinstance(item, ReasoningItem) or item.is_sealed:
            self._close_open()
            self._open = item = ReasoningItem(self._outlet)
        return item

    def _sealed(self, content: str) -> None:
        """Add a reasoning item that holds nothing but what its maker wants back."""
        self._close_open()
        item = ReasoningItem(self._outlet)
        item.seal(content)
        item.close("completed")

    def _begin_call(self, event: ToolCallBegun) -> None:
        self._close_open()
        if event.signature is not None:
            self._sealed(seal(self._maker, "call", event.signature))
        if event.call in self._calls:
            self._calls.pop(event.call).close("completed")
        namespace, name = self._spaces.get(event.name, (None, event.name))
        self._calls[event.call] = CallItem(self._outlet, event.id, name, namespace)

    def _close_open(self) -> None:
        if self._open is not None:
            self._open.close("completed")
            self._open = None

    def _close(self) -> None:
        """Close all items. Calls stay open until here: their arguments may come in turns."""
        status: Status = "incomplete" if self._reason in _INCOMPLETE else "completed"
        last: list[Item] = [*self._calls.values()]
        if self._open is not None:
            last.append(self._open)
        for item in last:
            item.close(status if item is last[-1] else "completed")
        self._open = None
        self._calls = {}

    def _ended(self, used: Quantities | None, cost: str | None) -> dict[str, Any]:
        reason = _INCOMPLETE.get(self._reason)
        return {
            **self._response,
            "status": "completed" if reason is None else "incomplete",
            "incomplete_details": None if reason is None else {"reason": reason},
            "output": self._progress.items(),
            "usage": None if used is None else usage_of(used, cost),
        }


def usage_of(used: Quantities, cost: str | None) -> dict[str, Any]:
    """Return the counts as a response has them: details are parts of their totals."""
    taken, made = context_tokens(used), output_tokens(used)
    usage = {
        "input_tokens": taken,
        "input_tokens_details": {
            "cached_tokens": used[Dimension.CACHED_INPUT],
            "cache_write_tokens": used[Dimension.CACHE_WRITE] + used[Dimension.CACHE_WRITE_LONG],
        },
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": used[Dimension.REASONING]},
        "total_tokens": taken + made,
    }
    return usage if cost is None else {**usage, "cost": cost}


def _maker(serves: frozenset[int]) -> Maker:
    for endpoint, maker in MAKERS:
        if endpoint in serves:
            return maker
    return Maker.RESPONSES
