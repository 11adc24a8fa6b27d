"""What the demo answers, before any protocol gives it a shape.

A protocol file (`openai_chat.py` and its later siblings) turns a request into a `Question`, this
module turns the question into an `Answer`, and the protocol file renders that, whole or as events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import orjson

from edge.demo.knobs import Knobs
from edge.demo.schema import JsonValue, instance_of
from edge.demo.words import derive, json_pieces, words

OUTPUT_TOKENS_MAX = 4096
CHOICES_MAX = 8
PARALLEL_CALLS_MAX = 8
_ANSWER_TOKENS_MIN = 12
_ANSWER_TOKENS_SPREAD = 20
_JSON_OBJECT_SCHEMA: dict[str, JsonValue] = {
    "type": "object",
    "properties": {"answer": {"type": "string"}, "score": {"type": "integer"}},
}
_INSTRUCTIONS = frozenset({"system", "developer"})
_SALT_REASONING = 1001
_SALT_CALLS = 2001


class Finish(Enum):
    """Why a choice ended."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the client offers, with the JSON schema of its arguments."""

    name: str
    parameters: dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Question:
    """What decides an answer, free of any protocol; token counts are the demo's own."""

    seed: int
    prompt_tokens: int
    choices: int = 1
    output_tokens_max: int = OUTPUT_TOKENS_MAX
    reasoning_tokens: int = 0
    calls: tuple[Tool, ...] = ()
    schema: dict[str, JsonValue] | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call; the arguments are JSON text in pieces of one token."""

    id: str
    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer: its reasoning, then text or calls, each piece one token."""

    reasoning: tuple[str, ...]
    text: tuple[str, ...]
    calls: tuple[Call, ...]
    finish: Finish
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Answer:
    """All choices and their summed usage; reasoning counts inside the completion."""

    choices: tuple[Choice, ...]
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int


def last_turn(turns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Give the last turn that is no instruction: agents put some behind what the user said."""
    spoken = (one for one in reversed(turns) if one.get("role") not in _INSTRUCTIONS)
    return next(spoken, turns[-1])


def schema_of_any_object() -> dict[str, JsonValue]:
    """Give the schema answered where a client asks for JSON without saying which."""
    return _JSON_OBJECT_SCHEMA


def answer(question: Question, knobs: Knobs) -> Answer:
    """Answer a question; raises UnsupportedSchemaError for a schema that has no instance here."""
    choices = tuple(
        _choice(question, knobs, derive(question.seed, index)) for index in range(question.choices)
    )
    return Answer(
        choices=choices,
        prompt_tokens=question.prompt_tokens,
        cached_tokens=min(knobs.cached_tokens, question.prompt_tokens),
        completion_tokens=sum(choice.output_tokens for choice in choices),
        reasoning_tokens=sum(len(choice.reasoning) for choice in choices),
    )


def _choice(question: Question, knobs: Knobs, seed: int) -> Choice:
    if knobs.empty:
        return Choice((), (), (), Finish.STOP, 0)
    limit = min(question.output_tokens_max, OUTPUT_TOKENS_MAX)
    thinking = min(question.reasoning_tokens, limit)
    reasoning = tuple(words(derive(seed, _SALT_REASONING), thinking))
    if question.calls:
        return _calls_choice(question.calls, seed, reasoning, limit - thinking)
    return _text_choice(question, knobs, seed, reasoning, limit - thinking)


def _text_choice(
    question: Question, knobs: Knobs, seed: int, reasoning: tuple[str, ...], limit: int
) -> Choice:
    pieces = _text(question, knobs, seed, limit + 1)
    finish = Finish.LENGTH if len(pieces) > limit else Finish.STOP
    pieces = pieces[:limit]
    used = len(pieces)
    if question.stop:
        pieces, used, stopped = _cut_at_stop(pieces, question.stop)
        finish = Finish.STOP if stopped else finish
    return Choice(reasoning, tuple(pieces), (), finish, len(reasoning) + used)


def _text(question: Question, knobs: Knobs, seed: int, most: int) -> list[str]:
    if question.schema is not None:
        value = instance_of(question.schema, seed)
        return json_pieces(orjson.dumps(value).decode())
    length = knobs.tokens
    if length is None:
        length = _ANSWER_TOKENS_MIN + seed % _ANSWER_TOKENS_SPREAD
    return words(seed, min(length, most))


def _cut_at_stop(pieces: list[str], stop: tuple[str, ...]) -> tuple[list[str], int, bool]:
    """Keep the text before the first stop sequence, which itself costs the tokens it took."""
    text = "".join(pieces)
    found = [(at, at + len(sequence)) for sequence in stop if (at := text.find(sequence)) >= 0]
    if not found:
        return pieces, len(pieces), False
    at, end = min(found)
    kept, used, position = [], 0, 0
    for piece in pieces:
        if position < at:
            kept.append(piece[: at - position])
        if position < end:
            used += 1
        position += len(piece)
    return kept, used, True


def _calls_choice(
    tools: tuple[Tool, ...], seed: int, reasoning: tuple[str, ...], limit: int
) -> Choice:
    """Call each tool; a name costs one token, and the limit may cut arguments short."""
    calls: list[Call] = []
    left = limit
    finish = Finish.TOOL_CALLS
    for index, tool in enumerate(tools[:PARALLEL_CALLS_MAX]):
        if left <= 0:
            finish = Finish.LENGTH
            break
        own_seed = derive(seed, _SALT_CALLS + index)
        pieces = json_pieces(orjson.dumps(instance_of(tool.parameters, own_seed)).decode())
        if len(pieces) > left - 1:
            finish = Finish.LENGTH
        pieces = pieces[: left - 1]
        left -= 1 + len(pieces)
        calls.append(Call(f"call_{own_seed:016x}", tool.name, tuple(pieces)))
    return Choice(reasoning, (), tuple(calls), finish, len(reasoning) + limit - left)
