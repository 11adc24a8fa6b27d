"""OpenAI's text completions shape of the demo: answers whole and as events.

After the OpenAI API reference. The words are the demo's own; `echo` and `suffix` give back what the
client sent, as the API says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from typing import Any

import orjson

from edge.demo import openai_chat
from edge.demo.answer import CHOICES_MAX, Answer, Choice, Question, answer
from edge.demo.delivery import Work, deliver_body, deliver_stream
from edge.demo.errors import BadRequestError, DemoError, OrderedError
from edge.demo.knobs import Knobs
from edge.demo.openai_chat_request import (
    BYTES_PER_TOKEN,
    integer,
    output_tokens_max,
    parse_body,
    stop_sequences,
)
from edge.demo.server import Reply, Request
from edge.demo.words import seed_of

DEFAULT_TOKENS = 16
PROMPTS_MAX = 128
LOGPROB = -0.125
_DONE = b"data: [DONE]\n\n"

Json = Any
Prompt = str | list[int]


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """A checked request: one question for each prompt."""

    model: str
    stream: bool
    include_usage: bool
    echo: bool
    logprobs: int | None
    shown: int
    prompts: tuple[Prompt, ...]
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """One text that comes back: what is echoed, and what was made."""

    echoed: str
    choice: Choice

    @property
    def pieces(self) -> tuple[str, ...]:
        """Return the text in pieces of one token."""
        return (self.echoed, *self.choice.text) if self.echoed else self.choice.text


def completions(request: Request, reply: Reply) -> Work:
    """Serve POST /v1/completions."""
    knobs = Knobs()
    try:
        body = parse_body(request.body)
        knobs = openai_chat.knobs_of(body["model"])
        if knobs.error_status is not None:
            raise OrderedError(knobs.error_status)
        asked = parse(body)
    except DemoError as error:
        return openai_chat.deliver_error(reply, knobs, error)
    answers = [answer(question, knobs) for question in asked.questions]
    shown = _shown(asked, answers)
    counts = _usage(answers)
    if asked.stream:
        return deliver_stream(reply, knobs, _events(asked, shown, counts))
    return deliver_body(reply, knobs, 200, _whole(asked, shown, counts))


def parse(body: dict[str, Json]) -> CompletionRequest:
    """Turn a body into questions; raises BadRequestError with the field at fault."""
    prompts = _prompts(body.get("prompt"))
    shown = integer(body, "n", 1, CHOICES_MAX) or 1
    made = integer(body, "best_of", 1, CHOICES_MAX) or shown
    if made < shown:
        raise BadRequestError("invalid_value", "best_of")
    limit = integer(body, "max_tokens", 0)
    options = body.get("stream_options") or {}
    asked = Question(
        seed=0,
        prompt_tokens=0,
        choices=made,
        output_tokens_max=DEFAULT_TOKENS if limit is None else min(limit, output_tokens_max({})),
        stop=stop_sequences(body),
    )
    return CompletionRequest(
        model=body["model"],
        stream=body.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        echo=body.get("echo") is True,
        logprobs=integer(body, "logprobs", 0, 5),
        shown=shown,
        prompts=prompts,
        questions=tuple(_question(prompt, asked) for prompt in prompts),
    )


def _prompts(value: Json) -> tuple[Prompt, ...]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not value:
        raise BadRequestError("missing_required_parameter", "prompt")
    if all(type(one) is int for one in value):
        return (value,)
    if len(value) > PROMPTS_MAX:
        raise BadRequestError("array_above_max_length", "prompt")
    for one in value:
        if not (isinstance(one, str) or (isinstance(one, list) and one)):
            raise BadRequestError("invalid_type", "prompt")
    return tuple(value)


def prompt_tokens(prompt: Prompt) -> int:
    """Count the tokens of a prompt: a quarter of its bytes, or what it has."""
    if isinstance(prompt, list):
        return len(prompt)
    return -(-len(prompt.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)


def _question(prompt: Prompt, asked: Question) -> Question:
    return replace(asked, seed=seed_of(orjson.dumps(prompt)), prompt_tokens=prompt_tokens(prompt))


def _shown(asked: CompletionRequest, answers: list[Answer]) -> list[Shown]:
    found = []
    for prompt, answered in zip(asked.prompts, answers, strict=True):
        echoed = prompt if asked.echo and isinstance(prompt, str) else ""
        found += [Shown(echoed, choice) for choice in answered.choices[: asked.shown]]
    return found


def _usage(answers: list[Answer]) -> dict[str, Json]:
    total = Answer(
        choices=(),
        prompt_tokens=sum(one.prompt_tokens for one in answers),
        cached_tokens=sum(one.cached_tokens for one in answers),
        completion_tokens=sum(one.completion_tokens for one in answers),
        reasoning_tokens=0,
    )
    return openai_chat.usage(total)


def _whole(asked: CompletionRequest, shown: list[Shown], counts: dict[str, Json]) -> bytes:
    choices = [
        _choice(index, one.pieces, 0, asked.logprobs, one.choice.finish.value)
        for index, one in enumerate(shown)
    ]
    return orjson.dumps({**_head(asked), "choices": choices, "usage": counts})


def _events(asked: CompletionRequest, shown: list[Shown], counts: dict[str, Json]) -> list[bytes]:
    usage: dict[str, Json] = {"usage": None} if asked.include_usage else {}
    by_choice = [_choice_events(asked, index, one, usage) for index, one in enumerate(shown)]
    turns = chain.from_iterable(zip_longest(*by_choice))
    events = [event for event in turns if event is not None]
    if asked.include_usage:
        events.append(_event({**_head(asked), "choices": [], "usage": counts}))
    return [*events, _DONE]


def _choice_events(
    asked: CompletionRequest, index: int, one: Shown, usage: dict[str, Json]
) -> list[bytes]:
    events, offset = [], 0
    for piece in one.pieces:
        choice = _choice(index, (piece,), offset, asked.logprobs, None)
        events.append(_event({**_head(asked), "choices": [choice], **usage}))
        offset += len(piece)
    last = _choice(index, (), offset, None, one.choice.finish.value)
    events.append(_event({**_head(asked), "choices": [last], **usage}))
    return events


def _choice(
    index: int, pieces: tuple[str, ...], offset: int, logprobs: int | None, finish: str | None
) -> dict[str, Json]:
    return {
        "text": "".join(pieces),
        "index": index,
        "logprobs": None if logprobs is None else _logprobs(pieces, offset, logprobs),
        "finish_reason": finish,
    }


def _logprobs(pieces: tuple[str, ...], offset: int, most: int) -> dict[str, Json]:
    offsets = []
    for piece in pieces:
        offsets.append(offset)
        offset += len(piece)
    return {
        "tokens": list(pieces),
        "token_logprobs": [LOGPROB for _ in pieces],
        "top_logprobs": [{piece: LOGPROB} if most else {} for piece in pieces],
        "text_offset": offsets,
    }


def _head(asked: CompletionRequest) -> dict[str, Json]:
    return {
        "id": f"cmpl-{asked.questions[0].seed:016x}",
        "object": "text_completion",
        "created": openai_chat.CREATED,
        "model": asked.model,
    }


def _event(chunk: dict[str, Json]) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"
