"""An OpenAI-compatible upstream's answer as events: chunks of a stream, or a whole completion.

Compatible upstreams differ in where reasoning stands (`reasoning_content`, `reasoning`,
`reasoning_details`, Mistral's parts of content) and in how they number tool calls; both are read in
all their spellings, whoever sends them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from edge.translate import finish
from edge.translate.chat import reasoning_details
from edge.translate.chat.native import MAX_CHOICES
from edge.translate.chat.stream import usage_of
from edge.translate.errors import MalformedAnswer
from edge.translate.json_body import answer_object, answer_text, objects
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
from edge.translate.quirks import quirks_of
from edge.translate.surface import Terms
from edge.translate.usage import from_openai

_DONE: Final = b"[DONE]"
_NO_WORDS: Final = "The upstream reported an error."


class ChatAnswerReader:
    """Reads one answer; it remembers which calls have begun and who refused."""

    __slots__ = ("_calls", "_quirks", "_refused", "_request_id")

    def __init__(self, terms: Terms) -> None:
        self._quirks = quirks_of(terms.upstream)
        self._request_id = terms.request_id
        self._calls: dict[int, _Calls] = {}
        self._refused: set[int] = set()

    def frame(self, data: bytes) -> list[Event]:
        """Return what the data of one server-sent event says.

        Raises:
            MalformedAnswer: it is not what chat sends.
        """
        if data.startswith(_DONE):
            return [Ended()]
        return list(self._events(answer_object(data), is_whole=False))

    def whole(self, body: bytes) -> list[Event]:
        """Return what a whole completion says.

        Raises:
            MalformedAnswer: it is not a JSON object, or has no choices.
        """
        answer = answer_object(body)
        if not answer.get("error") and not isinstance(answer.get("choices"), list):
            raise MalformedAnswer
        return [*self._events(answer, is_whole=True), Ended()]

    def _events(self, chunk: dict[str, Any], *, is_whole: bool) -> Iterator[Event]:
        if chunk.get("error"):
            yield Failed(_words_of(chunk["error"]))
            return
        choices = objects(chunk.get("choices"))
        for place, choice in enumerate(choices):
            index = _index(choice, place if is_whole else 0)
            said = choice.get("message" if is_whole else "delta")
            if isinstance(said, dict):
                yield from self._said(index, said, _logprobs(choice), is_whole=is_whole)
            reason = finish.finish_reason(choice.get("finish_reason"))
            if reason == finish.ERROR:
                # What was said so far is not an answer that ended (DeepSeek's, OpenRouter's words).
                yield Failed(_NO_WORDS)
                return
            if reason != finish.UNSPECIFIED:
                yield Finished(index, reason, refused=index in self._refused)
        usage = usage_of(chunk, choices)
        if usage is not None:
            yield Used(from_openai(usage, quirks=self._quirks))

    def _said(
        self,
        choice: int,
        said: dict[str, Any],
        logprobs: list[dict[str, Any]] | None,
        *,
        is_whole: bool,
    ) -> Iterator[Event]:
        """Return the parts of a delta or a message, in the order in which models make them."""
        yield from _reasoning(choice, said)
        text = _visible(said.get("content"))
        if text or logprobs:
            yield TextDelta(choice, text, logprobs)
        if isinstance(refusal := said.get("refusal"), str) and refusal:
            self._refused.add(choice)
            yield RefusalDelta(choice, refusal)
        for call in objects(said.get("tool_calls")):
            begun = self._calls.setdefault(choice, _Calls(self._request_id, choice))
            yield from begun.take(call, is_whole=is_whole)
        for annotation in objects(said.get("annotations")):
            yield from _cited(choice, annotation)


class _Calls:
    """The tool calls of one choice: which have begun, by the number or the id that they have."""

    __slots__ = ("_by_id", "_by_index", "_choice", "_count", "_request_id")

    def __init__(self, request_id: str, choice: int) -> None:
        self._request_id = request_id
        self._choice = choice
        self._count = 0
        self._by_index: dict[int, int] = {}
        self._by_id: dict[str, int] = {}

    def take(self, call: dict[str, Any], *, is_whole: bool) -> Iterator[Event]:
        """Return what a call, or a piece of one, says.

        Raises:
            MalformedAnswer: it begins a call without a name.
        """
        function = call.get("function")
        if not isinstance(function, dict):
            raise MalformedAnswer
        number = self._count if is_whole else self._number(call, function)
        if number == self._count:
            yield self._begin(call, function)
        arguments = function.get("arguments")
        if isinstance(arguments, dict):  # some give the object itself
            arguments = answer_text(arguments)
        if isinstance(arguments, str) and arguments:
            yield ToolCallDelta(self._choice, number, arguments)

    def _number(self, call: dict[str, Any], function: dict[str, Any]) -> int:
        """Return the number of a call in a stream; a new one where nothing says that it goes on."""
        index, identity = call.get("index"), call.get("id")
        known = self._by_index.get(index) if isinstance(index, int) else None
        is_named = bool(function.get("name"))
        if isinstance(identity, str) and identity:
            same = self._by_id.get(identity)
            if same is not None and (known is not None or not is_named or index is None):
                return same
            # Some number every call 0: then id and name tell them apart.
            return self._count if is_named or known is None else known
        if known is not None:
            return known
        return self._count if isinstance(index, int) or is_named else max(0, self._count - 1)

    def _begin(self, call: dict[str, Any], function: dict[str, Any]) -> ToolCallBegun:
        name, identity = function.get("name"), call.get("id")
        if not isinstance(name, str) or not name:
            raise MalformedAnswer
        if not isinstance(identity, str) or not identity:
            tail = self._request_id.removeprefix("req_")
            identity = f"call_{tail[-24:]}{self._choice}x{self._count}"
        if isinstance(index := call.get("index"), int):
            self._by_index[index] = self._count
        self._by_id.setdefault(identity, self._count)
        self._count += 1
        signature = reasoning_details.signature_of(call)
        return ToolCallBegun(self._choice, self._count - 1, identity, name, signature)


def _index(choice: dict[str, Any], default: int) -> int:
    index = choice.get("index")
    if not isinstance(index, int):
        return default
    return max(0, min(index, MAX_CHOICES - 1))


def _words_of(error: Any) -> str:
    """Return the provider's message: it goes to the client and nowhere else."""
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) and message else _NO_WORDS


def _logprobs(choice: dict[str, Any]) -> list[dict[str, Any]] | None:
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    return tokens_of(content) or None


def _visible(content: Any) -> str:
    """Return the text of a content: a string, or Mistral's parts."""
    if isinstance(content, str):
        return content
    texts = [one.get("text") for one in objects(content) if one.get("type") == "text"]
    return "".join([text for text in texts if isinstance(text, str)])


def _reasoning(choice: int, said: dict[str, Any]) -> Iterator[Event]:
    text = _reasoning_text(said)
    details = objects(said.get("reasoning_details"))
    if text is None:
        for one in details:
            for name in ("text", "summary"):
                if isinstance(piece := one.get(name), str) and piece:
                    yield ReasoningDelta(choice, piece, summary=name == "summary")
    else:
        yield ReasoningDelta(choice, text)
    for one in details:
        if isinstance(signature := one.get("signature"), str) and signature:
            yield ReasoningSigned(choice, signature)
        if isinstance(data := one.get("data"), str) and data:
            yield RedactedReasoning(choice, data)


def _reasoning_text(said: dict[str, Any]) -> str | None:
    """Return reasoning in plain text, None if there is none; two names for it mean it once."""
    for name in ("reasoning_content", "reasoning"):
        if isinstance(text := said.get(name), str) and text:
            return text
    pieces = []
    for part in objects(said.get("content")):
        if part.get("type") == "thinking":
            inner = part.get("thinking")
            texts = [one.get("text") for one in objects(inner)] or [inner]
            pieces += [text for text in texts if isinstance(text, str)]
    return "".join(pieces) or None


def _cited(choice: int, annotation: dict[str, Any]) -> Iterator[Event]:
    source = annotation.get("url_citation")
    if isinstance(source, dict):
        places = [source.get(name) for name in ("start_index", "end_index")]
        start, end = (place if isinstance(place, int) else None for place in places)
        url, title = source.get("url"), source.get("title")
        yield Cited(
            choice,
            url if isinstance(url, str) else None,
            title if isinstance(title, str) else None,
            start=start,
            end=end,
        )
