"""Google's answers as events: frames of a stream, and a whole answer, which is one such frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from edge.translate import finish
from edge.translate.generate import reasons, usage
from edge.translate.generate.errors import message_of
from edge.translate.generate.stream import index_of, is_blocked, parts_of
from edge.translate.json_body import answer_object, answer_text, objects
from edge.translate.neutral.events import (
    Cited,
    Event,
    Failed,
    Finished,
    ReasoningDelta,
    ReasoningSigned,
    TextDelta,
    ToolCallBegun,
    ToolCallDelta,
    Used,
)

FAILED_CALL: Final = "The model did not make a valid answer, such as a malformed function call."
"""What the ends mean that Google has for what the model could not make."""


class GenerateReader:
    """Reads one answer; it counts the calls of each candidate."""

    __slots__ = ("_calls", "_in_other_letters", "_request_id")

    def __init__(self, request_id: str) -> None:
        """`request_id` makes the ids of calls to which the model gave none."""
        self._request_id = request_id.removeprefix("req_")
        self._calls: dict[int, int] = {}
        self._in_other_letters: set[int] = set()
        """The candidates whose text has more bytes than characters."""

    def frame(self, data: bytes) -> list[Event]:
        """Return what the data of one server-sent event says.

        Raises:
            MalformedAnswer: it is not what this API sends.
        """
        return self._events(answer_object(data))

    def whole(self, body: bytes) -> list[Event]:
        """Return what a whole answer says, `Finished` and `Used` included.

        Raises:
            MalformedAnswer: it is not what this API sends.
        """
        return self._events(answer_object(body))

    def _events(self, answer: Mapping[str, Any]) -> list[Event]:
        if answer.get("error"):
            return [Failed(message_of(answer["error"]))]
        events: list[Event] = []
        for candidate in objects(answer.get("candidates")):
            events += self._candidate(candidate)
        if is_blocked(answer):
            events.append(Finished(0, reasons.CONTENT_FILTER))
        counted = answer.get("usageMetadata")
        if isinstance(counted, dict):
            events.append(Used(usage.from_google(counted)))
        if any(type(event) is Finished and event.reason == reasons.ERROR for event in events):
            # Not every API has a word for it, and none of the others would be true.
            events.append(Failed(FAILED_CALL))
        return events

    def _candidate(self, candidate: Mapping[str, Any]) -> Iterator[Event]:
        choice = index_of(candidate)
        logprobs = _logprobs(candidate)
        for part in parts_of(candidate):
            for event in self._part(part, choice):
                if logprobs and type(event) is TextDelta:
                    event.logprobs, logprobs = logprobs, None
                yield event
        yield from self._citations(candidate, choice)
        reason = reasons.from_google(
            candidate.get("finishReason"), has_calls=bool(self._calls.get(choice))
        )
        if reason != finish.UNSPECIFIED:
            yield Finished(choice, reason)

    def _part(self, part: Mapping[str, Any], choice: int) -> Iterator[Event]:
        text, signature = part.get("text"), part.get("thoughtSignature")
        signature = signature if isinstance(signature, str) else None
        call = part.get("functionCall")
        if isinstance(call, dict):
            yield from self._call(call, choice, signature)
            return
        is_thought = part.get("thought") is True
        if is_thought and isinstance(text, str) and text:
            yield ReasoningDelta(choice, text, summary=True)
        # The signature of a text stands for the thoughts before it.
        if signature is not None:
            yield ReasoningSigned(choice, signature)
        if not is_thought and isinstance(text, str) and text:
            if not text.isascii():
                self._in_other_letters.add(choice)
            yield TextDelta(choice, text)

    def _call(self, call: Mapping[str, Any], choice: int, signature: str | None) -> Iterator[Event]:
        number = self._calls.get(choice, 0)
        self._calls[choice] = number + 1
        args = call.get("args")
        call_id = _word(call, "id") or f"call_{self._request_id}_{choice}_{number}"
        yield ToolCallBegun(choice, number, call_id, _word(call, "name") or "", signature)
        yield ToolCallDelta(choice, number, answer_text(args if isinstance(args, dict) else {}))

    def _citations(self, candidate: Mapping[str, Any], choice: int) -> Iterator[Event]:
        metadata = candidate.get("citationMetadata")
        for one in objects(metadata.get("citations")) if isinstance(metadata, dict) else ():
            start, end = _place(one, "startIndex"), _place(one, "endIndex")
            if choice in self._in_other_letters:
                start = end = None  # Google counts bytes
            elif end is not None:
                start = start or 0
            yield Cited(choice, _word(one, "uri"), _word(one, "title"), start=start, end=end)
        grounding = candidate.get("groundingMetadata")
        for one in objects(grounding.get("groundingChunks")) if isinstance(grounding, dict) else ():
            web = one.get("web")
            if isinstance(web, dict):
                yield Cited(choice, _word(web, "uri"), _word(web, "title"))


def _logprobs(candidate: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return log probabilities in the shape of OpenAI's chat."""
    result = candidate.get("logprobsResult")
    if not isinstance(result, dict):
        return None
    chosen, tops = objects(result.get("chosenCandidates")), objects(result.get("topCandidates"))
    found = []
    for index, one in enumerate(chosen):
        top = objects(tops[index].get("candidates")) if index < len(tops) else []
        found.append(_token(one) | {"top_logprobs": [_token(other) for other in top]})
    return found or None


def _token(one: Mapping[str, Any]) -> dict[str, Any]:
    token, number = _word(one, "token") or "", one.get("logProbability")
    # Zero is left out, as everywhere in protobuf's JSON: a token that was certain.
    return {
        "token": token,
        "logprob": number if isinstance(number, int | float) else 0,
        "bytes": list(token.encode()),
    }


def _word(holder: Mapping[str, Any], name: str) -> str | None:
    value = holder.get(name)
    return value if isinstance(value, str) else None


def _place(holder: Mapping[str, Any], name: str) -> int | None:
    value = holder.get(name)
    return value if type(value) is int and value >= 0 else None
