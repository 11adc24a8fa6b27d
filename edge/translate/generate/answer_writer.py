"""An answer of another API, written as Google's: frames of a stream, or one body.

A function call goes out when its arguments are whole: this API has no place for half of them.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from edge.translate import finish, sse
from edge.translate.generate import reasons, usage
from edge.translate.generate.seals import maker_of, sealed_signature
from edge.translate.json_body import objects
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
from edge.translate.surface import Terms
from kit.charge import Quantities
from oneapi.metering.v1.usage_record_pb2 import FinishReason

_MALFORMED_CALL: Final = "MALFORMED_FUNCTION_CALL"

Json = dict[str, Any]


class GenerateWriter:
    """Writes one answer. `shows_thoughts`: the client asked for them (`includeThoughts`)."""

    __slots__ = ("_choices", "_head", "_maker", "_shows_thoughts")

    def __init__(self, terms: Terms, *, shows_thoughts: bool) -> None:
        self._head: Json = {
            "modelVersion": terms.public_model,
            "responseId": terms.request_id.removeprefix("req_"),
        }
        self._maker = maker_of(terms.serves)
        self._shows_thoughts = shows_thoughts
        self._choices: dict[int, _Candidate] = {}

    def frames(self, events: list[Event]) -> bytes:
        """Return these events as a frame of the client's stream, maybe none."""
        written = [(index, self._choices[index].written()) for index in sorted(self._take(events))]
        candidates = [one | {"index": index} for index, one in written if one]
        if not candidates:
            return b""
        return sse.frame_of(orjson.dumps({"candidates": candidates, **self._head}))

    def finish(self, used: Quantities | None, cost: str | None) -> bytes:
        """Return the last frame of a proper end: calls that were open, reasons and usage."""
        return sse.frame_of(orjson.dumps(self._body(self._ended(), used, cost)))

    def whole(self, events: list[Event], used: Quantities | None, cost: str | None) -> bytes:
        """Return all events of a whole answer as one body. `cost` is in US dollars, decimal."""
        self._take(events)
        return orjson.dumps(self._body(self._ended(), used, cost))

    def _take(self, events: list[Event]) -> set[int]:
        """Take events; return the choices that they are of."""
        taken: set[int] = set()
        for event in events:
            if (choice := _choice_of(event)) is None:
                continue
            taken.add(choice)
            made = self._choices.setdefault(choice, _Candidate())
            if (thought := _thought_of(event, self._maker)) is None:
                made.take(event)
            elif self._shows_thoughts and (thought["text"] or "thoughtSignature" in thought):
                made.add(thought)
        return taken

    def _ended(self) -> list[Json]:
        choices = self._choices or {0: _Candidate()}
        return [made.ended(index) for index, made in sorted(choices.items())]

    def _body(self, candidates: list[Json], used: Quantities | None, cost: str | None) -> Json:
        counted = {} if used is None else {"usageMetadata": usage.to_google(used, cost)}
        return {"candidates": candidates, **counted, **self._head}


class _Candidate:
    """One candidate on its way: what was not written yet, and the call whose arguments come."""

    __slots__ = (
        "_call",
        "_calls",
        "_citations",
        "_is_ascii",
        "_logprobs",
        "_malformed",
        "_parts",
        "_reason",
        "_refused",
    )

    def __init__(self) -> None:
        self._parts: list[Json] = []
        self._logprobs: list[Json] = []
        self._citations: list[Json] = []
        self._calls: dict[int, tuple[Json, list[str]]] = {}
        self._call: int | None = None
        self._reason: FinishReason.ValueType = finish.UNSPECIFIED
        self._refused = self._malformed = False
        self._is_ascii = True

    def take(self, event: Event) -> None:
        """Take one event of this candidate."""
        match event:
            case TextDelta(text=text, logprobs=logprobs):
                self._logprobs += logprobs or ()
                self._say(text)
            case RefusalDelta(text=text):
                self._say(text)
            case ToolCallBegun():
                self._begin(event)
            case ToolCallDelta(call=call, arguments=arguments):
                self._more(call, arguments)
            case Cited():
                self._citations.append(self._citation(event))
            case Finished(reason=reason, refused=refused):
                self._reason, self._refused = reason, refused
            case _:
                pass

    def written(self) -> Json:
        """Return what has come since the last time, empty if nothing has."""
        parts, self._parts = self._parts, []
        made: Json = {"content": {"parts": parts, "role": "model"}} if parts else {}
        return made | self._extras()

    def ended(self, index: int) -> Json:
        """Return what is left at a proper end, calls that were still open included, and why."""
        self._close_all()
        word = reasons.to_google(self._reason)
        if self._refused:
            word = "SAFETY"
        elif self._malformed and word == "STOP":
            word = _MALFORMED_CALL
        content = {"parts": _joined(self._parts), "role": "model"}
        return {"content": content, "finishReason": word, "index": index} | self._extras()

    def _say(self, text: str) -> None:
        if text:
            self._is_ascii = self._is_ascii and text.isascii()
            self.add({"text": text})

    def add(self, part: Json) -> None:
        """Add a part."""
        # A model that goes on to something else has finished the call before.
        self._close()
        self._parts.append(part)

    def _begin(self, event: ToolCallBegun) -> None:
        self._close()
        call: Json = {"id": event.id, "name": event.name}
        part: Json = {"functionCall": call}
        if event.signature is not None:
            part["thoughtSignature"] = event.signature
        self._calls[event.call] = (part, [])
        self._call = event.call

    def _more(self, call: int, arguments: str) -> None:
        if call in self._calls:
            self._calls[call][1].append(arguments)
            self._call = call

    def _close(self, *, at_end: bool = False) -> None:
        """Write the call whose arguments came last, if it is whole.

        One without arguments may still get some, as long as the answer has not ended.
        """
        if self._call is None:
            return
        part, pieces = self._calls[self._call]
        text = "".join(pieces)
        args = _arguments(text) if text or at_end else None
        if args is not None:
            part["functionCall"]["args"] = args
            self._parts.append(part)
            del self._calls[self._call]
        self._call = None

    def _close_all(self) -> None:
        for call in sorted(self._calls):
            self._call = call
            self._close(at_end=True)
        self._malformed = bool(self._calls)

    def _citation(self, cited: Cited) -> Json:
        """Return a source; Google counts bytes where we count characters."""
        made: Json = {"uri": cited.url, "title": cited.title}
        if self._is_ascii:
            made |= {"startIndex": cited.start, "endIndex": cited.end}
        return {name: value for name, value in made.items() if value is not None}

    def _extras(self) -> Json:
        made: Json = {}
        if self._citations:
            made["citationMetadata"] = {"citations": self._citations}
            self._citations = []
        if self._logprobs:
            made["logprobsResult"] = _logprobs_result(self._logprobs)
            self._logprobs = []
        return made


def _choice_of(event: Event) -> int | None:
    return getattr(event, "choice", None)


def _thought_of(event: Event, maker: Maker) -> Json | None:
    """Return an event of reasoning as a part, None if it is another event."""
    match event:
        case ReasoningDelta(text=text):
            return {"text": text, "thought": True}
        case ReasoningSigned(signature=signature):
            seal = sealed_signature(maker, "signed", signature)
        case RedactedReasoning(data=data):
            seal = sealed_signature(maker, "redacted", data)
        case _:
            return None
    return {"text": "", "thought": True, "thoughtSignature": seal}


def _arguments(text: str) -> Json | None:
    """Return the arguments of a call, None if they are not a whole JSON object yet."""
    if not text.strip():
        return {}
    try:
        args = orjson.loads(text)
        orjson.dumps(args)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
    return args if isinstance(args, dict) else None


def _joined(parts: list[Json]) -> list[Json]:
    """Return parts of a whole answer, with text that belongs together in one of them.

    A signature ends the thoughts that it stands for.
    """
    joined: list[Json] = []
    texts: list[list[str]] = []
    for part in parts:
        last = joined[-1] if joined else {}
        goes_on = "text" in part and "text" in last and "thoughtSignature" not in last
        if goes_on and part.get("thought") == last.get("thought"):
            texts[-1].append(part["text"])
            last.update({name: value for name, value in part.items() if name != "text"})
            continue
        joined.append(dict(part))
        texts.append([part.get("text", "")])
    for part, pieces in zip(joined, texts, strict=True):
        if "text" in part:
            part["text"] = "".join(pieces)
    return joined


def _logprobs_result(tokens: list[Json]) -> Json:
    """Return log probabilities in Google's shape, of those in the shape of OpenAI's chat."""
    tokens = objects(tokens)
    result: Json = {"chosenCandidates": [_logprob(one) for one in tokens]}
    if any(one.get("top_logprobs") for one in tokens):
        result["topCandidates"] = [
            {"candidates": [_logprob(top) for top in objects(one.get("top_logprobs"))]}
            for one in tokens
        ]
    return result


def _logprob(one: Json) -> Json:
    return {"token": one.get("token"), "logProbability": one.get("logprob")}
