"""Events of another API's answer as a chat completion: chunks of a stream, or one object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from edge.translate import sse
from edge.translate.chat import reasoning_details as details
from edge.translate.chat.stream import terminal_frame
from edge.translate.neutral.conversation import Maker
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
from edge.translate.surface import Terms
from kit.charge import Dimension, Quantities, context_tokens, output_tokens
from oneapi.common.v1.endpoint_pb2 import Endpoint
from oneapi.metering.v1.usage_record_pb2 import FinishReason

WORDS: Final = {
    FinishReason.FINISH_REASON_STOP: "stop",
    FinishReason.FINISH_REASON_LENGTH: "length",
    FinishReason.FINISH_REASON_TOOL_CALLS: "tool_calls",
    FinishReason.FINISH_REASON_CONTENT_FILTER: "content_filter",
}
OTHER_WORD: Final = "stop"
"""OpenAI's schema has no word for other reasons, and SDKs that check it refuse another one."""
_MAKERS: Final = (
    (Endpoint.ENDPOINT_MESSAGES, Maker.ANTHROPIC),
    (Endpoint.ENDPOINT_GENERATE_CONTENT, Maker.GOOGLE),
    (Endpoint.ENDPOINT_RESPONSES, Maker.RESPONSES),
)
"""Whose reasoning an answer has, in the order in which the upstream's API is chosen."""


class ChatAnswerWriter:
    """Writes one answer. `include_usage`: the client asked for usage at the end of its stream."""

    __slots__ = ("_choices", "_cost_as_number", "_finished", "_head", "_include_usage", "_maker")

    def __init__(self, terms: Terms, *, include_usage: bool, cost_as_number: bool = False) -> None:
        self._head = {
            "id": f"chatcmpl-{terms.request_id.removeprefix('req_')}",
            "object": "chat.completion.chunk",
            "created": terms.created,
            "model": terms.public_model,
        }
        self._include_usage = include_usage
        self._cost_as_number = cost_as_number
        self._maker = maker_of(terms.serves)
        self._choices: dict[int, _Said] = {}
        self._finished: dict[int, Finished] = {}

    def frames(self, events: list[Event]) -> bytes:
        """Return these events as chunks, one for each; what ends the answer waits for `finish`."""
        frames = []
        for event in events:
            match event:
                case Finished(choice=choice):
                    self._finished[choice] = event
                case Used() | Ended() | Failed():
                    pass
                case _:
                    frames += self._chunks(event)
        return b"".join(frames)

    def finish(self, used: Quantities | None, cost: str | None) -> bytes:
        """Return the finish reasons, the usage if the client asked for it, and `[DONE]`."""
        frames = []
        for choice in sorted({*self._choices, *self._finished} or {0}):
            if choice not in self._choices:
                frames.append(self._opening(choice))
            frames.append(self._chunk(choice, {}, reason=self._word(choice)))
        if self._include_usage and used is not None:
            frames.append(
                self._frame([], usage=usage_of(used, cost, as_number=self._cost_as_number))
            )
        frames.append(terminal_frame())
        return b"".join(frames)

    def whole(self, events: list[Event], used: Quantities | None, cost: str | None) -> bytes:
        """Return all events of a whole answer as one completion."""
        for event in events:
            match event:
                case Finished(choice=choice):
                    self._finished[choice] = event
                case Used() | Ended() | Failed():
                    pass
                case _:
                    self._said(event.choice).take(event, self._maker)
        body: dict[str, Any] = {
            **self._head,
            "object": "chat.completion",
            "choices": [
                self._said(choice).as_choice(choice, self._word(choice))
                for choice in sorted({*self._choices, *self._finished} or {0})
            ],
        }
        if used is not None:
            body["usage"] = usage_of(used, cost, as_number=self._cost_as_number)
        return orjson.dumps(body)

    def _said(self, choice: int) -> _Said:
        return self._choices.setdefault(choice, _Said())

    def _chunks(self, event: _Piece) -> list[bytes]:
        frames = []
        if event.choice not in self._choices:
            frames.append(self._opening(event.choice))
        said = self._said(event.choice)
        logprobs = event.logprobs if isinstance(event, TextDelta) else None
        delta = said.delta(event, self._maker)
        if delta:
            frames.append(self._chunk(event.choice, delta, logprobs=logprobs))
        return frames

    def _opening(self, choice: int) -> bytes:
        return self._chunk(choice, {"role": "assistant", "content": "", "refusal": None})

    def _chunk(
        self,
        choice: int,
        delta: dict[str, Any],
        *,
        logprobs: list[dict[str, Any]] | None = None,
        reason: str | None = None,
    ) -> bytes:
        one = {
            "index": choice,
            "delta": delta,
            "logprobs": _logprobs(logprobs),
            "finish_reason": reason,
        }
        return self._frame([one])

    def _frame(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
        chunk: dict[str, Any] = {**self._head, "choices": choices}
        if self._include_usage:
            chunk["usage"] = usage
        return sse.frame_of(orjson.dumps(chunk))

    def _word(self, choice: int) -> str:
        finished = self._finished.get(choice)
        if finished is None:
            return OTHER_WORD
        said = self._choices.get(choice)
        if finished.refused and not (said is not None and said.has_refusal):
            return WORDS[FinishReason.FINISH_REASON_CONTENT_FILTER]
        return WORDS.get(finished.reason, OTHER_WORD)


_Piece = (
    TextDelta
    | RefusalDelta
    | ReasoningDelta
    | ReasoningSigned
    | RedactedReasoning
    | ToolCallBegun
    | ToolCallDelta
    | Cited
)


@dataclass(slots=True, repr=False)
class _Said:
    """What a choice has said: of a stream only what later chunks need, of a whole answer all."""

    characters: int = 0
    has_refusal: bool = False
    texts: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    details: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    arguments: dict[int, list[str]] = field(default_factory=dict)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    logprobs: list[dict[str, Any]] = field(default_factory=list)

    def delta(self, event: _Piece, maker: Maker) -> dict[str, Any]:
        """Return an event as the delta of a chunk, empty if chat has no place for it."""
        delta: dict[str, Any] = {}
        match event:
            case TextDelta(text=text):
                self.characters += len(text)
                delta = {"content": text}
            case RefusalDelta(text=text):
                self.has_refusal = True
                delta = {"refusal": text}
            case ReasoningDelta(text=text, summary=summary):
                delta = {"reasoning_content": text} | _details(maker, text, summary=summary)
            case ReasoningSigned(signature=signature):
                delta["reasoning_details"] = [details.signature_detail(maker, signature)]
            case RedactedReasoning(data=data):
                delta["reasoning_details"] = [details.encrypted_detail(maker, data)]
            case ToolCallBegun(call=call):
                delta["tool_calls"] = [{"index": call, **_call(event)}]
            case ToolCallDelta(call=call, arguments=arguments):
                delta["tool_calls"] = [{"index": call, "function": {"arguments": arguments}}]
            case Cited(url=str()):
                delta["annotations"] = [_citation(event, self.characters)]
        return delta

    def take(self, event: _Piece, maker: Maker) -> None:
        """Take an event of a whole answer."""
        delta = self.delta(event, maker)
        match event:
            case TextDelta(text=text, logprobs=logprobs):
                self.texts.append(text)
                self.logprobs += logprobs or []
            case RefusalDelta(text=text):
                self.refusals.append(text)
            case ReasoningDelta(text=text):
                self.reasoning.append(text)
            case ToolCallBegun(call=call):
                self.calls.append(_call(event))
                self.arguments[call] = []
            case ToolCallDelta(call=call, arguments=arguments):
                self.arguments.setdefault(call, []).append(arguments)
        self.details += delta.get("reasoning_details", [])
        self.annotations += delta.get("annotations", [])

    def as_choice(self, index: int, reason: str) -> dict[str, Any]:
        """Return a choice of a whole completion."""
        text = "".join(self.texts)
        is_silent = not text and bool(self.calls or self.refusals)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if is_silent else text,
            "refusal": "".join(self.refusals) or None,
            "annotations": self.annotations,
        }
        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)
        if self.details:
            message["reasoning_details"] = details.joined(self.details)
        for number, call in enumerate(self.calls):
            call["function"]["arguments"] = "".join(self.arguments.get(number, []))
        if self.calls:
            message["tool_calls"] = self.calls
        return {
            "index": index,
            "message": message,
            "logprobs": _logprobs(self.logprobs or None),
            "finish_reason": reason,
        }


def maker_of(serves: frozenset[int]) -> Maker:
    """Return whose reasoning comes from a candidate that serves these endpoints."""
    for endpoint, maker in _MAKERS:
        if endpoint in serves:
            return maker
    return Maker.CHAT


def usage_of(used: Quantities, cost: str | None, *, as_number: bool = False) -> dict[str, Any]:
    """Return quantities as OpenAI's usage, reasoning within the completion, with their cost."""
    prompt, completion = context_tokens(used), output_tokens(used)
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "cached_tokens": used[Dimension.CACHED_INPUT],
            "cache_write_tokens": used[Dimension.CACHE_WRITE] + used[Dimension.CACHE_WRITE_LONG],
            "audio_tokens": used[Dimension.AUDIO_INPUT],
        },
        "completion_tokens_details": {
            "reasoning_tokens": used[Dimension.REASONING],
            "audio_tokens": used[Dimension.AUDIO_OUTPUT],
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    if cost is not None:
        usage["cost"] = orjson.Fragment(cost) if as_number else cost
    return usage


def _details(maker: Maker, text: str, *, summary: bool) -> dict[str, Any]:
    """Return the same text as a detail where it must come back with its signature."""
    if maker is Maker.CHAT:
        return {}
    return {"reasoning_details": [details.text_detail(maker, text, summary=summary)]}


def _call(begun: ToolCallBegun) -> dict[str, Any]:
    call: dict[str, Any] = {
        "id": begun.id,
        "type": "function",
        "function": {"name": begun.name, "arguments": ""},
    }
    if begun.signature is not None:
        call["extra_content"] = details.call_extra(begun.signature)
    return call


def _citation(cited: Cited, characters: int) -> dict[str, Any]:
    """Return a source as an annotation; where its span is not known, it ends where it was named."""
    end = characters if cited.end is None else cited.end
    citation = {
        "start_index": end if cited.start is None else cited.start,
        "end_index": end,
        "url": cited.url,
        "title": cited.title or "",
    }
    return {"type": "url_citation", "url_citation": citation}


def _logprobs(content: list[dict[str, Any]] | None) -> dict[str, Any] | None:
    return None if content is None else {"content": content, "refusal": None}
