"""An answer's events as a message: the frames of a stream, or the whole of it.

Blocks follow each other and are numbered from 0. A tool call ends when its arguments are whole and
another part begins: upstreams that send the pieces of several calls in turns have several open.

A source belongs to a text block (`citations_delta`). Text that comes last stays open until the end,
as sources often come with it. One that comes when other blocks have followed names the closed text
by its index: Anthropic's own SDKs find blocks by index, so that their message is the whole answer.
A source before all text waits for it, and one without any text is of nothing that was said.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson

from edge.translate.finish import UNSPECIFIED
from edge.translate.messages import call_ids
from edge.translate.messages.errors import event
from edge.translate.messages.usage import to_anthropic
from edge.translate.neutral.events import (
    Cited,
    Event,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallBegun,
    ToolCallDelta,
    Used,
)
from edge.translate.surface import Terms
from kit.charge import Quantities
from oneapi.metering.v1.usage_record_pb2 import FinishReason

_STOP_REASONS: Final[dict[FinishReason.ValueType, str]] = {
    FinishReason.FINISH_REASON_STOP: "end_turn",
    FinishReason.FINISH_REASON_LENGTH: "max_tokens",
    FinishReason.FINISH_REASON_TOOL_CALLS: "tool_use",
    FinishReason.FINISH_REASON_CONTENT_FILTER: "refusal",
}
_REFUSAL: Final = {"type": "refusal", "category": None, "explanation": None}
NOT_JSON: Final = "INVALID_JSON"
"""Under this name a call's arguments are given that are no JSON object: a model can make any text
(Anthropic's own convention, fine-grained tool streaming)."""

MAX_WAITING: Final = 64
"""Sources that wait for their text, at most: no answer has so many."""

Kind = Literal["text", "thinking", "tool_use"]


@dataclass(slots=True, repr=False)
class _Block:
    """A block of the message, and what was made of it so far."""

    index: int
    kind: Kind
    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    citations: list[dict[str, Any]] = field(default_factory=list)
    is_open: bool = True

    def start(self) -> dict[str, Any]:
        """Return the block as it begins."""
        match self.kind:
            case "text":
                return {"type": "text", "text": "", "citations": None}
            case "thinking":
                return {"type": "thinking", "thinking": "", "signature": ""}
        return {**self._call(), "input": {}}

    def whole(self) -> dict[str, Any]:
        """Return the block as it is in a whole message."""
        text = "".join(self.pieces)
        match self.kind:
            case "text":
                return {"type": "text", "text": text, "citations": self.citations or None}
            case "thinking":
                return {"type": "thinking", "thinking": text, "signature": ""}
        return {**self._call(), "input": _input(text)}

    def _call(self) -> dict[str, Any]:
        call = {"type": "tool_use", "id": self.id, "name": self.name}
        return {**call, "caller": {"type": "direct"}}

    def is_whole_call(self) -> bool:
        """Say whether the arguments of a call are a JSON object, so that none are to follow."""
        return (
            bool(self.pieces)
            and self.pieces[-1].rstrip().endswith("}")
            and _is_object("".join(self.pieces))
        )


class MessagesWriter:
    """Writes one answer. Only the first choice is one: this API knows no others."""

    __slots__ = (
        "_blocks",
        "_calls",
        "_finished",
        "_head",
        "_keeps_all",
        "_open_blocks",
        "_refused",
        "_started",
        "_text",
        "_waiting",
    )

    def __init__(self, terms: Terms) -> None:
        self._head: dict[str, Any] = {
            "id": "msg_" + terms.request_id.removeprefix("req_"),
            "type": "message",
            "role": "assistant",
            "model": terms.public_model,
        }
        self._blocks: list[_Block] = []
        self._open_blocks: list[_Block] = []
        self._calls: dict[int, _Block] = {}
        self._keeps_all = False
        self._finished: Finished | None = None
        self._refused = False
        self._started = False
        self._text: _Block | None = None
        """The last text, open or not."""
        self._waiting: list[dict[str, Any]] = []
        """Sources that came before any text."""

    def frames(self, events: list[Event]) -> bytes:
        """Return these events as frames; the message itself begins with the first of them."""
        out = b"" if self._started else self._start(events)
        return out + b"".join([self._event(one) for one in events if _is_ours(one)])

    def finish(self, used: Quantities | None, cost: str | None) -> bytes:
        """Return the last frames of a proper end."""
        start = b"" if self._started else self._start([])
        usage = to_anthropic(used, cost)
        ending = {"type": "message_delta", "delta": self._ending(), "usage": usage}
        stop = {"type": "message_stop"}
        return start + self._close_all() + _frame(ending) + _frame(stop)

    def whole(self, events: list[Event], used: Quantities | None, cost: str | None) -> bytes:
        """Return all events of a whole answer as one message."""
        self._keeps_all = True
        for one in events:
            if _is_ours(one):
                self._event(one)
        return orjson.dumps(
            {
                **self._head,
                "content": [block.whole() for block in self._blocks],
                **self._ending(),
                "usage": to_anthropic(used, cost),
            }
        )

    def _start(self, events: list[Event]) -> bytes:
        self._started = True
        counts = next((one.quantities for one in events if type(one) is Used), None)
        nothing = {"stop_reason": None, "stop_sequence": None, "stop_details": None}
        message = {**self._head, "content": [], **nothing, "container": None}
        message["usage"] = to_anthropic(counts, None)
        return _frame({"type": "message_start", "message": message})

    def _event(self, one: Event) -> bytes:
        match one:
            case TextDelta() | RefusalDelta() | ReasoningDelta():
                return self._say(one) if one.text else b""
            case ToolCallBegun():
                return self._call(one)
            case ToolCallDelta():
                return self._arguments(one.call, one.arguments)
            case Cited():
                return self._cite(one)
            case Finished():
                self._finished = one
                return self._close_all(unless_text=True)
        return b""

    def _say(self, said: TextDelta | RefusalDelta | ReasoningDelta) -> bytes:
        if isinstance(said, ReasoningDelta):
            delta = {"type": "thinking_delta", "thinking": said.text}
            return self._delta(self._open("thinking"), delta, said.text)
        self._refused = self._refused or isinstance(said, RefusalDelta)
        return self._delta(self._open("text"), {"type": "text_delta", "text": said.text}, said.text)

    def _open(self, kind: Kind) -> tuple[bytes, _Block]:
        """Return the open block of this kind, and the frames that begin it if there was none."""
        last = self._blocks[-1] if self._blocks else None
        if last is not None and last.is_open and last.kind == kind:
            return b"", last
        return self._begin(_Block(len(self._blocks), kind))

    def _begin(self, block: _Block) -> tuple[bytes, _Block]:
        closed = self._close_all(unless_unfinished=True)
        self._blocks.append(block)
        self._open_blocks.append(block)
        start = {"type": "content_block_start", "index": block.index}
        begun = closed + _frame({**start, "content_block": block.start()})
        if block.kind == "text":
            self._text = block
            begun += b"".join([self._give(block, one) for one in self._waiting])
            self._waiting = []
        return begun, block

    def _delta(self, opened: tuple[bytes, _Block], delta: dict[str, Any], text: str) -> bytes:
        begun, block = opened
        if self._keeps_all or block.kind == "tool_use":
            block.pieces.append(text)
        made = {"type": "content_block_delta", "index": block.index, "delta": delta}
        return begun + _frame(made)

    def _call(self, call: ToolCallBegun) -> bytes:
        call_id = call_ids.signed(call_ids.in_alphabet(call.id), call.signature)
        block = _Block(len(self._blocks), "tool_use", id=call_id, name=call.name)
        self._calls[call.call] = block
        return self._begin(block)[0]

    def _arguments(self, call: int, text: str) -> bytes:
        block = self._calls.get(call)
        if block is None or not block.is_open or not text:
            return b""  # blanks behind whole arguments
        return self._delta((b"", block), {"type": "input_json_delta", "partial_json": text}, text)

    def _cite(self, cited: Cited) -> bytes:
        citation = {
            "type": "web_search_result_location",
            "cited_text": cited.quote or "",
            "encrypted_index": "",
            "title": cited.title,
            "url": cited.url or "",
        }
        if self._text is not None:
            return self._give(self._text, citation)
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append(citation)
        return b""

    def _give(self, text: _Block, citation: dict[str, Any]) -> bytes:
        if self._keeps_all:
            text.citations.append(citation)
        delta = {"type": "citations_delta", "citation": citation}
        return _frame({"type": "content_block_delta", "index": text.index, "delta": delta})

    def _close_all(self, *, unless_unfinished: bool = False, unless_text: bool = False) -> bytes:
        """Close what is open; calls whose arguments may go on only at the end."""
        frames, kept = [], []
        for block in self._open_blocks:
            goes_on = unless_unfinished and block.kind == "tool_use" and not block.is_whole_call()
            if goes_on or (unless_text and block.kind == "text"):
                kept.append(block)
                continue
            block.is_open = False
            frames.append(_frame({"type": "content_block_stop", "index": block.index}))
        self._open_blocks = kept
        return b"".join(frames)

    def _ending(self) -> dict[str, Any]:
        finished = self._finished
        reason = UNSPECIFIED if finished is None else finished.reason
        word = _STOP_REASONS.get(reason, "end_turn")
        stop_sequence = None if finished is None else finished.stop_sequence
        if self._refused or (finished is not None and finished.refused):
            word = "refusal"
        elif word == "end_turn" and self._calls:
            # Some providers end calls as if they were answers; clients run tools by this word.
            word = "tool_use"
        elif word == "end_turn" and stop_sequence is not None:
            word = "stop_sequence"
        return {
            "stop_reason": word,
            "stop_sequence": stop_sequence,
            "stop_details": _REFUSAL if word == "refusal" else None,
            "container": None,
        }


def _is_ours(one: Event) -> bool:
    return getattr(one, "choice", 0) == 0


def _input(arguments: str) -> Any:
    """Return a call's arguments as they were spelled."""
    if not arguments.strip():
        return {}
    if _is_object(arguments):
        return orjson.Fragment(arguments.encode())
    return {NOT_JSON: arguments}


def _is_object(text: str) -> bool:
    if not text.rstrip().endswith("}"):
        return False
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def _frame(data: dict[str, Any]) -> bytes:
    return event(data["type"].encode(), orjson.dumps(data))
