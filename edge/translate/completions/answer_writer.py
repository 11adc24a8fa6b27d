"""Events of another API's answer as a text completion: chunks of a stream, or one object.

A completion is text: a refusal's words are text as well. Reasoning has no place in it.
"""

from __future__ import annotations

from typing import Any

import orjson

from edge.translate import sse
from edge.translate.chat.answer_writer import OTHER_WORD, WORDS, usage_of
from edge.translate.chat.stream import terminal_frame
from edge.translate.neutral.events import Event, Finished, RefusalDelta, TextDelta
from edge.translate.surface import Terms
from kit.charge import Quantities
from oneapi.metering.v1.usage_record_pb2 import FinishReason


class CompletionWriter:
    """Writes one answer. `include_usage`: the client asked for usage at the end of its stream."""

    __slots__ = ("_finished", "_head", "_include_usage", "_texts")

    def __init__(self, terms: Terms, *, include_usage: bool) -> None:
        self._head = {
            "id": f"cmpl-{terms.request_id.removeprefix('req_')}",
            "object": "text_completion",
            "created": terms.created,
            "model": terms.public_model,
        }
        self._include_usage = include_usage
        self._finished: dict[int, Finished] = {}
        self._texts: dict[int, list[str]] = {}

    def frames(self, events: list[Event]) -> bytes:
        """Return the text of these events as chunks; what ends the answer waits for `finish`."""
        frames = []
        for event in events:
            if isinstance(event, TextDelta | RefusalDelta):
                self._texts.setdefault(event.choice, [])
                frames.append(self._frame([_choice(event.choice, event.text, None)]))
            elif isinstance(event, Finished):
                self._finished[event.choice] = event
        return b"".join(frames)

    def finish(self, used: Quantities | None, cost: str | None) -> bytes:
        """Return the finish reasons, the usage if the client asked for it, and `[DONE]`."""
        frames = [
            self._frame([_choice(choice, "", self._word(choice))]) for choice in self._choices()
        ]
        if self._include_usage and used is not None:
            frames.append(self._frame([], usage=usage_of(used, cost)))
        frames.append(terminal_frame())
        return b"".join(frames)

    def whole(self, events: list[Event], used: Quantities | None, cost: str | None) -> bytes:
        """Return all events of a whole answer as one completion."""
        for event in events:
            if isinstance(event, TextDelta | RefusalDelta):
                self._texts.setdefault(event.choice, []).append(event.text)
            elif isinstance(event, Finished):
                self._finished[event.choice] = event
        body: dict[str, Any] = {
            **self._head,
            "choices": [
                _choice(choice, "".join(self._texts.get(choice, [])), self._word(choice))
                for choice in self._choices()
            ],
        }
        if used is not None:
            body["usage"] = usage_of(used, cost)
        return orjson.dumps(body)

    def _choices(self) -> list[int]:
        return sorted({*self._texts, *self._finished} or {0})

    def _word(self, choice: int) -> str:
        finished = self._finished.get(choice)
        if finished is None:
            return OTHER_WORD
        if finished.refused:
            return WORDS[FinishReason.FINISH_REASON_CONTENT_FILTER]
        return WORDS.get(finished.reason, OTHER_WORD)

    def _frame(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
        chunk: dict[str, Any] = {**self._head, "choices": choices}
        if self._include_usage:
            chunk["usage"] = usage
        return sse.frame_of(orjson.dumps(chunk))


def _choice(index: int, text: str, reason: str | None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": reason}
