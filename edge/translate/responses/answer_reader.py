"""Answers of OpenAI's Responses API as neutral events.

Some providers send no deltas for some items, some no `done` for others: what an item says in the
end is compared with what came before, and the rest of it is not lost.
"""

from __future__ import annotations

from typing import Any, Final

from edge.translate import finish
from edge.translate.errors import MalformedAnswer
from edge.translate.json_body import answer_object, objects
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
from edge.translate.neutral.logprobs import tokens_of
from edge.translate.quirks import COMPATIBLE, Quirks
from edge.translate.responses.output import failure_of, finish_of, quantities_of
from edge.translate.responses.stream import NO_MESSAGE, TERMINAL_EVENTS

_TEXT_EVENTS: Final = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "reasoning",
    "response.reasoning_summary_text.delta": "summary",
}
_ITEM_EVENTS: Final = frozenset({"response.output_item.added", "response.output_item.done"})


class ResponsesReader:
    """Reads one answer."""

    __slots__ = ("_calls", "_cited", "_lengths", "_quirks", "_refused", "_signed")

    def __init__(self, quirks: Quirks = COMPATIBLE) -> None:
        self._quirks = quirks
        self._lengths: dict[tuple[int, str, int], int] = {}
        """Characters that came of each text: of an item, a kind, a part."""
        self._calls: dict[int, int] = {}
        """The number of the call that an item is."""
        self._cited: dict[int, int] = {}
        self._signed: set[int] = set()
        self._refused = False

    def frame(self, data: bytes) -> list[Event]:
        """Return what the data of one server-sent event says.

        Raises:
            MalformedAnswer: it is not what this API sends.
        """
        event = answer_object(data)
        kind = event.get("type")
        if not isinstance(kind, str):
            raise MalformedAnswer
        if kind == "error" or event.get("error"):
            return [Failed(failure_of(event)[1] or NO_MESSAGE)]
        if kind in TERMINAL_EVENTS:
            return self._terminal(event.get("response"))
        return self._event(kind, event, _place(event, "output_index"))

    def _event(self, kind: str, event: dict[str, Any], index: int) -> list[Event]:
        if (text_kind := _TEXT_EVENTS.get(kind)) is not None:
            return self._text_delta(event, index, text_kind)
        if kind == "response.function_call_arguments.delta":
            return self._arguments(index, event.get("delta"))
        if kind == "response.output_text.annotation.added":
            return self._citation(index, event.get("annotation"))
        if kind in _ITEM_EVENTS and isinstance(item := event.get("item"), dict):
            is_done = kind == "response.output_item.done"
            return self._item(index, item, is_done=is_done)
        return []

    def whole(self, body: bytes) -> list[Event]:
        """Return what a whole answer says.

        Raises:
            MalformedAnswer: it is not what this API sends, or has not ended.
        """
        return self._terminal(answer_object(body))

    def _terminal(self, response: Any) -> list[Event]:
        if not isinstance(response, dict):
            raise MalformedAnswer
        reason = finish_of(response)
        if reason == finish.UNSPECIFIED:
            raise MalformedAnswer
        counted: list[Event] = []
        if isinstance(usage := response.get("usage"), dict):
            counted.append(Used(quantities_of(usage, self._quirks)))
        if reason == finish.ERROR:
            return [*counted, Failed(failure_of(response.get("error"))[1] or NO_MESSAGE)]
        events: list[Event] = []
        for index, item in enumerate(objects(response.get("output"))):
            events += self._item(index, item, is_done=True)
        return [*events, Finished(0, reason, refused=self._refused), *counted, Ended()]

    def _item(self, index: int, item: dict[str, Any], *, is_done: bool) -> list[Event]:
        kind = item.get("type")
        if kind == "function_call":
            return self._call(index, item, is_done=is_done)
        if not is_done:
            return []
        if kind == "message":
            return self._message(index, item)
        return self._reasoning(index, item) if kind == "reasoning" else []

    def _call(self, index: int, item: dict[str, Any], *, is_done: bool) -> list[Event]:
        events: list[Event] = []
        if index not in self._calls:
            call_id, name = item.get("call_id"), item.get("name")
            if not isinstance(call_id, str) or not isinstance(name, str):
                raise MalformedAnswer
            self._calls[index] = len(self._calls)
            events.append(ToolCallBegun(0, self._calls[index], call_id, name))
        arguments = item.get("arguments")
        if is_done and isinstance(arguments, str):
            return events + self._arguments(index, self._rest(index, "arguments", 0, arguments))
        return events

    def _arguments(self, index: int, delta: Any) -> list[Event]:
        if not isinstance(delta, str) or index not in self._calls:
            raise MalformedAnswer
        self._count(index, "arguments", 0, delta)
        return [ToolCallDelta(0, self._calls[index], delta)] if delta else []

    def _message(self, index: int, item: dict[str, Any]) -> list[Event]:
        events: list[Event] = []
        for place, part in enumerate(objects(item.get("content"))):
            kind = part.get("type")
            text = part.get("refusal" if kind == "refusal" else "text")
            if not isinstance(text, str):
                continue
            kind = "refusal" if kind == "refusal" else "text"
            logprobs = tokens_of(part.get("logprobs")) if kind == "text" else []
            events += self._text(index, kind, place, self._rest(index, kind, place, text), logprobs)
            for annotation in objects(part.get("annotations"))[self._cited.get(index, 0) :]:
                events += self._citation(index, annotation)
        return events

    def _reasoning(self, index: int, item: dict[str, Any]) -> list[Event]:
        events: list[Event] = []
        has_text = False
        for name, kind in (("summary", "summary"), ("content", "reasoning")):
            for place, part in enumerate(objects(item.get(name))):
                text = part.get("text")
                if isinstance(text, str) and text:
                    has_text = True
                    rest = self._rest(index, kind, place, text)
                    events += self._text(index, kind, place, rest, [])
        secret = item.get("encrypted_content")
        if isinstance(secret, str) and secret and index not in self._signed:
            self._signed.add(index)
            events.append(ReasoningSigned(0, secret) if has_text else RedactedReasoning(0, secret))
        return events

    def _text_delta(self, event: dict[str, Any], index: int, kind: str) -> list[Event]:
        delta = event.get("delta")
        if not isinstance(delta, str):
            raise MalformedAnswer
        place = _place(event, "summary_index" if kind == "summary" else "content_index")
        return self._text(index, kind, place, delta, tokens_of(event.get("logprobs")))

    def _text(
        self, index: int, kind: str, place: int, text: str, logprobs: list[dict[str, Any]]
    ) -> list[Event]:
        if not text:
            return []
        self._count(index, kind, place, text)
        if kind == "text":
            return [TextDelta(0, text, logprobs or None)]
        if kind == "refusal":
            self._refused = True
            return [RefusalDelta(0, text)]
        return [ReasoningDelta(0, text, summary=kind == "summary")]

    def _citation(self, index: int, annotation: Any) -> list[Event]:
        self._cited[index] = self._cited.get(index, 0) + 1
        if not isinstance(annotation, dict) or annotation.get("type") != "url_citation":
            return []
        url, title = annotation.get("url"), annotation.get("title")
        start, end = annotation.get("start_index"), annotation.get("end_index")
        return [
            Cited(
                0,
                url=url if isinstance(url, str) else None,
                title=title if isinstance(title, str) else None,
                start=start if isinstance(start, int) else None,
                end=end if isinstance(end, int) else None,
            )
        ]

    def _count(self, index: int, kind: str, place: int, text: str) -> None:
        key = (index, kind, place)
        self._lengths[key] = self._lengths.get(key, 0) + len(text)

    def _rest(self, index: int, kind: str, place: int, text: str) -> str:
        """Return what of a finished text did not come yet."""
        return text[self._lengths.get((index, kind, place), 0) :]


def _place(event: dict[str, Any], name: str) -> int:
    value = event.get(name)
    return value if isinstance(value, int) else 0
