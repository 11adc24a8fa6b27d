"""OpenAI chat completions to an OpenAI-compatible upstream: the request, and the whole answer.

Only what we use is checked; everything else passes to the provider, unknown fields included. What
the provider sees is what is billed: the object is serialised again from what was parsed.
The stream is in `stream.py`, the bound of a request's usage in `shape.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from edge.translate import finish, native_body, splice
from edge.translate.answer import WholeAnswer
from edge.translate.errors import (
    EmptyArray,
    IntegerAboveMaximum,
    IntegerBelowMinimum,
    InvalidType,
    InvalidValue,
    MissingParameter,
)
from edge.translate.json_body import answer_object, objects
from edge.translate.quirks import COMPATIBLE, Quirks
from edge.translate.tiers import LANE_TIERS, service_tier
from edge.translate.usage import PriceOf, UsageTally, from_openai, with_cost

MAX_CHOICES: Final = 128
MAX_MESSAGES: Final = 16_384
MAX_TOKEN_LIMIT: Final = 2**31 - 1
LIMIT_FIELDS: Final = ("max_completion_tokens", "max_tokens")


# What is made for each request is not frozen: that would double the time of making it.
@dataclass(slots=True)
class ChatRequest:
    """A checked request. `body` is content: it is never shown, logged or kept.

    `token_limit` is the smaller one where the client sent both fields of `limit_fields`.
    """

    body: dict[str, Any] = field(repr=False)
    model: str | None = field(repr=False)
    stream: bool
    include_usage: bool
    choices: int
    token_limit: int | None
    limit_fields: tuple[str, ...]
    service_tier: str | None
    has_tools: bool
    searches: int = 0
    """Searches of the web that it causes, as its shape says: no answer counts them."""


def parse(body: Any) -> ChatRequest:
    """Return the request, or say which field is wrong.

    Raises:
        InvalidRequest: the subclass says how, its `param` says where.
    """
    if not isinstance(body, dict):
        raise InvalidType("body", "a JSON object")
    _check_messages(body)
    stream = _flag(body, "stream")
    limits = {name: _limit(body, name) for name in LIMIT_FIELDS if body.get(name) is not None}
    return ChatRequest(
        body=body,
        model=model_of(body),
        stream=stream,
        include_usage=usage_wanted(body) and stream,
        choices=_choices(body),
        token_limit=min(limits.values(), default=None),
        limit_fields=tuple(limits),
        service_tier=service_tier(body),
        # No `or`: both are checked.
        has_tools=_has_elements(body, "tools") | _has_elements(body, "functions"),
    )


def prepare(
    request: ChatRequest,
    *,
    upstream_model: str,
    output_limit: int | None = None,
    quirks: Quirks = COMPATIBLE,
) -> bytes:
    """Return the body for the upstream.

    `output_limit` caps the output tokens of one choice: in the fields that the client used, else in
    the one that the upstream takes; where it knows no other, the client's limit goes there too.
    `store: true` becomes false, as nothing may be kept; a `service_tier` that chose our lane is
    left out, as it would change the upstream's price.
    """
    body = native_body.forwarded(request.body, upstream_model)
    if request.stream:
        ask_for_usage(body, quirks)
    _limit_output(body, request, output_limit, quirks)
    if not quirks.knows_developer:
        body["messages"] = [_known_role(message) for message in request.body["messages"]]
    if request.service_tier in LANE_TIERS:
        del body["service_tier"]
    return orjson.dumps(body)


def _limit_output(
    body: dict[str, Any], request: ChatRequest, output_limit: int | None, quirks: Quirks
) -> None:
    names = request.limit_fields
    if quirks.knows_one_limit and names not in ((), (quirks.limit_field,)):
        for name in names:
            del body[name]
        body[quirks.limit_field] = request.token_limit
        names = (quirks.limit_field,)
    if output_limit is not None:
        for name in names or (quirks.limit_field,):
            body[name] = min(body.get(name) or output_limit, output_limit)


def _known_role(message: dict[str, Any]) -> dict[str, Any]:
    return {**message, "role": "system"} if message.get("role") == "developer" else message


def response(
    body: bytes,
    *,
    public_model: str,
    price_of: PriceOf,
    quirks: Quirks = COMPATIBLE,
    said: str = "message",
    cost_as_number: bool = False,
    searches: int = 0,
) -> WholeAnswer:
    """Return a whole answer with our two edits: the public model id, and the cost in `usage`.

    Every other byte is the provider's. `said` is the field of a choice with what the model made.

    Raises:
        MalformedAnswer: the body is not a JSON object.
    """
    answer = answer_object(body)
    tally = UsageTally(price_of)
    edits: dict[str, bytes | None] = {}
    if "model" in answer:
        edits["model"] = orjson.dumps(public_model)
    if isinstance(usage := answer.get("usage"), dict):
        cost = tally.take(from_openai(usage, quirks=quirks, tool_calls=searches))
        edits |= with_cost(body, answer, cost, as_number=cost_as_number)
    made, size, reasons = False, 0, []
    for choice in objects(answer.get("choices")):
        message = said_in(choice, said)
        made = made or has_output(message)
        size += size_of(texts_of(message))
        reasons.append(finish.finish_reason(choice.get("finish_reason")))
    return WholeAnswer(
        body=splice.edit(body, answer, edits),
        quantities=tally.quantities,
        usage_invalid=tally.invalid,
        finish_reason=finish.of_choices(reasons),
        has_output=made,
        content_bytes=size,
        searches=searches if made else 0,
    )


def said_in(choice: Mapping[str, Any], said: str) -> Any:
    """Return what a choice says: a message, a delta, or a completion's text as if it were one."""
    value = choice.get(said)
    return {said: value} if said == "text" else value


def has_output(message: Any) -> bool:
    """Say whether a message or a delta holds anything that the model made."""
    if isinstance(message, dict):
        for name, value in message.items():
            if value and name != "role":
                return True
    return False


def texts_of(message: Any) -> set[str]:
    """Return the texts that the model made, tool arguments included.

    As a set: providers that give reasoning under two names made it once.
    """
    if not isinstance(message, dict):
        return set()
    texts = {value for name, value in message.items() if name != "role" and type(value) is str}
    for call in objects(message.get("tool_calls")):
        function = call.get("function")
        if isinstance(function, dict):
            texts |= {value for value in function.values() if isinstance(value, str)}
    return texts


def size_of(texts: set[str]) -> int:
    """Return the bytes of these texts."""
    return sum([len(text.encode()) for text in texts])


def ask_for_usage(body: dict[str, Any], quirks: Quirks) -> None:
    """Ask for usage in a stream, unless the upstream always sends it."""
    if not quirks.asks_for_usage:
        body.pop("stream_options", None)
        return
    body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}


def model_of(body: Mapping[str, Any]) -> str | None:
    """Return the model that the client named, None if it named none."""
    model = body.get("model")
    if model is not None and not isinstance(model, str):
        raise InvalidType("model", "a string")
    return model or None


def _check_messages(body: Mapping[str, Any]) -> None:
    messages = body.get("messages")
    if messages is None:
        raise MissingParameter("messages")
    if not isinstance(messages, list):
        raise InvalidType("messages", "an array of objects")
    if not messages:
        raise EmptyArray("messages")
    if len(messages) > MAX_MESSAGES:
        raise InvalidValue("messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise InvalidType(f"messages[{index}]", "an object")


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidType(name, "a boolean")
    return bool(value)


def usage_wanted(body: Mapping[str, Any]) -> bool:
    """Say whether the client asked for usage at the end of its stream."""
    options = body.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise InvalidType("stream_options", "an object")
    if not isinstance(options.get("include_usage"), bool | None):
        raise InvalidType("stream_options.include_usage", "a boolean")
    return bool(options.get("include_usage"))


def _choices(body: Mapping[str, Any]) -> int:
    if "n" not in body and "best_of" not in body:
        return 1
    # `best_of` is not in OpenAI's chat; upstreams that know it generate, and bill, that many.
    counts = [_integer(body, name, 1, MAX_CHOICES) for name in ("n", "best_of")]
    return max(count or 1 for count in counts)


def _limit(body: Mapping[str, Any], name: str) -> int:
    return _integer(body, name, 1, MAX_TOKEN_LIMIT) or 1


def _integer(body: Mapping[str, Any], name: str, minimum: int, maximum: int) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if type(value) is not int:
        raise InvalidType(name, "an integer")
    if value < minimum:
        raise IntegerBelowMinimum(name, minimum)
    if value > maximum:
        raise IntegerAboveMaximum(name, maximum)
    return value


def _has_elements(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, list):
        raise InvalidType(name, "an array")
    return bool(value)
