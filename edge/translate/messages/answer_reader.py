"""An upstream's message as events: frames of a stream, or a whole message (Messages API).

Citations of a block come before its text; they are told when the block ends, with its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from edge.translate import finish
from edge.translate.errors import MalformedAnswer
from edge.translate.json_body import answer_object, answer_text
from edge.translate.messages.usage import UsageCounts
from edge.translate.neutral.events import (
    Cited,
    Ended,
    Event,
    Failed,
    Finished,
    ReasoningDelta,
    ReasoningSigned,
    RedactedReasoning,
    TextDelta,
    ToolCallBegun,
    ToolCallDelta,
    Used,
)

_NO_MESSAGE: Final = "The upstream reported an error."


@dataclass(slots=True, repr=False)
class _Block:
    """An open block: which call it is, where its text begins, and what it cites."""

    call: int | None = None
    has_arguments: bool = False
    begins_at: int = 0
    citations: list[dict[str, Any]] = field(default_factory=list)


class MessagesReader:
    """Reads one answer."""

    __slots__ = ("_blocks", "_calls", "_characters", "_counts")

    def __init__(self) -> None:
        self._counts = UsageCounts()
        self._blocks: dict[int, _Block] = {}
        self._calls = 0
        self._characters = 0

    def frame(self, data: bytes) -> list[Event]:
        """Return what the data of one server-sent event says.

        Raises:
            MalformedAnswer: it is not what this API sends.
        """
        return list(self._events(answer_object(data)))

    def whole(self, body: bytes) -> list[Event]:
        """Return what a whole message says.

        Raises:
            MalformedAnswer: it is none.
        """
        message = answer_object(body)
        if message.get("type") == "error" or message.get("error"):
            return [_failed(message)]
        content = message.get("content")
        if not isinstance(content, list):
            raise MalformedAnswer
        events: list[Event] = []
        for index, block in enumerate(content):
            events += self._begun(index, _dict(block))
            events += self._ended(index)
        return [*events, *_finished(message), *self._used(message), Ended()]

    def _events(self, event: dict[str, Any]) -> Iterator[Event]:
        match event.get("type"):
            case "message_start":
                yield from self._used(_dict(event.get("message")))
            case "content_block_start":
                yield from self._begun(_index(event), _dict(event.get("content_block")))
            case "content_block_delta":
                yield from self._delta(_index(event), _dict(event.get("delta")))
            case "content_block_stop":
                yield from self._ended(_index(event))
            case "message_delta":
                yield from _finished(_dict(event.get("delta")))
                yield from self._used(event)
            case "message_stop":
                yield Ended()
            case kind if kind == "error" or event.get("error"):
                yield _failed(event)

    def _used(self, holder: dict[str, Any]) -> Iterator[Event]:
        usage = holder.get("usage")
        if isinstance(usage, dict):
            yield Used(self._counts.take(usage))

    def _begun(self, index: int, block: dict[str, Any]) -> Iterator[Event]:
        opened = self._blocks[index] = _Block(begins_at=self._characters)
        match block.get("type"):
            case "text":
                yield from self._text(_text(block, "text"))
                citations = block.get("citations")
                if isinstance(citations, list):
                    opened.citations += [one for one in citations if isinstance(one, dict)]
            case "thinking":
                yield from _thought(block)
            case "redacted_thinking":
                yield RedactedReasoning(0, _text(block, "data"))
            case "tool_use":
                opened.call = self._calls
                self._calls += 1
                yield ToolCallBegun(0, opened.call, _named(block, "id"), _named(block, "name"))
                given = block.get("input")
                if isinstance(given, dict) and given:
                    yield from self._arguments(opened, answer_text(given))

    def _delta(self, index: int, delta: dict[str, Any]) -> Iterator[Event]:
        block = self._blocks.get(index)
        if block is None:
            raise MalformedAnswer
        match delta.get("type"):
            case "text_delta":
                yield from self._text(_text(delta, "text"))
            case "thinking_delta" | "signature_delta":
                yield from _thought(delta)
            case "input_json_delta":
                yield from self._arguments(block, _text(delta, "partial_json"))
            case "citations_delta":
                block.citations.append(_dict(delta.get("citation")))

    def _ended(self, index: int) -> Iterator[Event]:
        block = self._blocks.pop(index, None)
        if block is None:
            raise MalformedAnswer
        if block.call is not None and not block.has_arguments:
            # No pieces at all stand for an empty object, which others spell.
            yield ToolCallDelta(0, block.call, "{}")
        for citation in block.citations:
            yield _cited(citation, block.begins_at, self._characters)

    def _text(self, text: str) -> Iterator[Event]:
        if text:
            self._characters += len(text)
            yield TextDelta(0, text)

    def _arguments(self, block: _Block, text: str) -> Iterator[Event]:
        # Of tools that the provider runs nothing is passed on: we ask for none.
        if block.call is not None and text:
            block.has_arguments = True
            yield ToolCallDelta(0, block.call, text)


def _thought(made: dict[str, Any]) -> Iterator[Event]:
    """Return thinking and its signature, which its maker wants back together."""
    if text := _text(made, "thinking"):
        yield ReasoningDelta(0, text)
    if signature := _text(made, "signature"):
        yield ReasoningSigned(0, signature)


def _finished(message: dict[str, Any]) -> Iterator[Event]:
    word = message.get("stop_reason")
    reason = finish.finish_reason(word)
    if reason != finish.UNSPECIFIED:
        met = message.get("stop_sequence")
        stop_sequence = met if isinstance(met, str) else None
        yield Finished(0, reason, stop_sequence, refused=word == "refusal")


def _cited(citation: dict[str, Any], start: int, end: int) -> Cited:
    texts = {name: value for name, value in citation.items() if isinstance(value, str)}
    return Cited(
        0,
        url=texts.get("url") or texts.get("source"),
        title=texts.get("title") or texts.get("document_title"),
        quote=texts.get("cited_text"),
        start=start,
        end=end,
    )


def _failed(event: dict[str, Any]) -> Failed:
    """Return the provider's words: they are for the client and kept nowhere."""
    error = event.get("error")
    message = error.get("message") if isinstance(error, dict) else None
    return Failed(message if isinstance(message, str) and message else _NO_MESSAGE)


def _dict(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedAnswer
    return value


def _index(event: dict[str, Any]) -> int:
    index = event.get("index")
    if type(index) is not int:
        raise MalformedAnswer
    return index


def _text(holder: dict[str, Any], name: str) -> str:
    """Return a text, empty if it is absent."""
    value = holder.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise MalformedAnswer
    return value


def _named(block: dict[str, Any], name: str) -> str:
    value = _text(block, name)
    if not value:
        raise MalformedAnswer
    return value
