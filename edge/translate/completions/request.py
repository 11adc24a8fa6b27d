"""Text completions as a client asks for them: what we use is checked, everything else passes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from edge.translate import fields, native_body
from edge.translate.chat.native import MAX_CHOICES, MAX_TOKEN_LIMIT, model_of, usage_wanted
from edge.translate.errors import EmptyArray, InvalidType, InvalidValue, MissingParameter
from edge.translate.tiers import service_tier

MAX_PROMPTS: Final = 2_048
DEFAULT_TOKEN_LIMIT: Final = 16
"""What OpenAI's API reference says of a request without `max_tokens`; upstreams differ."""

Prompt = str | list[int]


# What is made for each request is not frozen: that would double the time of making it.
@dataclass(slots=True)
class CompletionRequest:
    """A checked request. `body` and `prompts` are content: they are never shown, logged or kept.

    `choices` is how many texts are made, `best_of` counted; `shown_choices` how many come back.
    """

    body: dict[str, Any] = field(repr=False)
    prompts: list[Prompt] = field(repr=False)
    model: str | None = field(repr=False)
    stream: bool
    include_usage: bool
    choices: int
    shown_choices: int
    token_limit: int
    service_tier: str | None


def parse(body: dict[str, Any]) -> CompletionRequest:
    """Return the request, or say which field is wrong.

    Raises:
        InvalidRequest: the subclass says how, its `param` says where.
    """
    native_body.refuse_unbound(body)
    prompts = prompts_of(body, "prompt", MAX_PROMPTS)
    shown = fields.integer(body, "n", minimum=1, maximum=MAX_CHOICES) or 1
    made = fields.integer(body, "best_of", minimum=1, maximum=MAX_CHOICES) or 1
    stream = bool(fields.flag(body, "stream"))
    if stream and shown * len(prompts) > MAX_CHOICES:
        raise InvalidValue("prompt")
    limit = fields.integer(body, "max_tokens", minimum=1, maximum=MAX_TOKEN_LIMIT)
    return CompletionRequest(
        body=body,
        prompts=prompts,
        model=model_of(body),
        stream=stream,
        include_usage=usage_wanted(body) and stream,
        choices=max(shown, made) * len(prompts),
        shown_choices=shown * len(prompts),
        token_limit=DEFAULT_TOKEN_LIMIT if limit is None else limit,
        service_tier=service_tier(body),
    )


def prompts_of(body: dict[str, Any], name: str, most: int) -> list[Prompt]:
    """Return a string, a list of them, a list of tokens, or a list of such lists, as a list.

    Raises:
        InvalidRequest: it is absent, empty, something else, or has more than `most` elements.
    """
    value = body.get(name)
    if value is None:
        raise MissingParameter(name)
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise InvalidType(name, "a string or an array")
    if not value:
        raise EmptyArray(name)
    if type(value[0]) is int:
        return [_tokens(value, name)]
    if len(value) > most:
        raise InvalidValue(name)
    return [_prompt(one, f"{name}[{index}]") for index, one in enumerate(value)]


def _prompt(value: Any, path: str) -> Prompt:
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise InvalidType(path, "a string or an array of tokens")
    if not value:
        raise EmptyArray(path)
    return _tokens(value, path)


def _tokens(value: list[Any], path: str) -> list[int]:
    for index, one in enumerate(value):
        if type(one) is not int:
            raise InvalidType(f"{path}[{index}]", "an integer")
        if one < 0:
            raise InvalidValue(f"{path}[{index}]")
    return value


def size_of(prompt: Prompt) -> int:
    """Return the most tokens that a prompt can be: its bytes, or the tokens that it is."""
    return len(prompt.encode()) if isinstance(prompt, str) else len(prompt)
