"""Anthropic's messages shape of the demo: answers and errors, whole and as events.

After Anthropic's Messages API reference, version 2023-06-01.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from edge.demo.answer import Answer, Choice, Finish, answer
from edge.demo.anthropic_messages_request import MessagesRequest, parse_messages
from edge.demo.delivery import JSON_HEADERS, Work, deliver_body, deliver_stream
from edge.demo.errors import BadRequestError, DemoError, ModelNotFoundError, OrderedError
from edge.demo.knobs import Knobs, UnknownModelError, parse_model
from edge.demo.openai_chat_request import parse_body
from edge.demo.schema import UnsupportedSchemaError
from edge.demo.server import Header, Reply, Request

_NO_KNOBS = Knobs()
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_MESSAGES = {
    401: "invalid x-api-key",
    403: "This key may not use the model.",
    404: "The model does not exist.",
    429: "This request would exceed the rate limit.",
    529: "Overloaded",
}
_RATE_HEADERS: tuple[Header, ...] = ((b"retry-after", b"1"),)
_STOP_REASONS = {
    Finish.STOP: "end_turn",
    Finish.LENGTH: "max_tokens",
    Finish.TOOL_CALLS: "tool_use",
}


def messages(request: Request, reply: Reply) -> Work:
    """Serve POST /v1/messages."""
    knobs = _NO_KNOBS
    try:
        body = parse_body(request.body)
        knobs = _knobs(body["model"])
        _give_ordered_error(knobs)
        asked = parse_messages(body)
        answered = answer(asked.question, knobs)
    except UnsupportedSchemaError:
        return deliver_error(reply, knobs, BadRequestError("invalid_json_schema"))
    except DemoError as error:
        return deliver_error(reply, knobs, error)
    met = stop_sequence_met(asked, answered, knobs)
    if asked.stream:
        return deliver_stream(reply, knobs, events(asked, answered, met))
    return deliver_body(reply, knobs, 200, message(asked, answered, met))


def count_tokens(request: Request, reply: Reply) -> Work:
    """Serve POST /v1/messages/count_tokens."""
    knobs = _NO_KNOBS
    try:
        body = parse_body(request.body)
        knobs = _knobs(body["model"])
        _give_ordered_error(knobs)
        asked = parse_messages(body, counts_only=True)
    except DemoError as error:
        return deliver_error(reply, knobs, error)
    counted = orjson.dumps({"input_tokens": asked.question.prompt_tokens})
    return deliver_body(reply, knobs, 200, counted)


def deliver_error(reply: Reply, knobs: Knobs, error: DemoError) -> Work:
    """Send an error in Anthropic's envelope; a 429 says when to come back."""
    status = error.status
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    message = _MESSAGES.get(status, "Internal server error" if status >= 500 else "Bad request")
    if error.param is not None:
        message = f"{error.param}: {error.code}"
    envelope = {"type": "error", "error": {"type": kind, "message": message}, "request_id": None}
    headers = JSON_HEADERS + (_RATE_HEADERS if status == 429 else ())
    return deliver_body(reply, knobs, status, orjson.dumps(envelope), headers)


def message(asked: MessagesRequest, answered: Answer, met: str | None) -> bytes:
    """Render the whole answer as a `message` object."""
    body = {
        **_head(asked),
        "content": _content(asked, answered.choices[0]),
        **_ending(answered.choices[0], met),
        "usage": usage(answered),
    }
    return orjson.dumps(body)


def usage(answered: Answer) -> dict[str, Any]:
    """Render token counts: the input leaves the cache out, the output includes thinking."""
    return {
        "input_tokens": answered.prompt_tokens - answered.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": answered.cached_tokens,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": answered.completion_tokens,
        "output_tokens_details": {"thinking_tokens": answered.reasoning_tokens},
        "server_tool_use": None,
        "service_tier": "standard",
        "inference_geo": None,
    }


def events(asked: MessagesRequest, answered: Answer, met: str | None) -> list[bytes]:
    """Render the answer as SSE events, `message_stop` last."""
    nothing = {"stop_reason": None, "stop_sequence": None, "stop_details": None, "container": None}
    counted = {**usage(answered), "output_tokens": 1, "output_tokens_details": None}
    begun = {**_head(asked), "content": [], **nothing, "usage": counted}
    rendered = [_event("message_start", message=begun)]
    for index, (start, deltas) in enumerate(_parts(asked, answered.choices[0])):
        rendered.append(_event("content_block_start", index=index, content_block=start))
        if index == 0:
            rendered.append(_event("ping"))
        rendered += [_event("content_block_delta", index=index, delta=delta) for delta in deltas]
        rendered.append(_event("content_block_stop", index=index))
    ending = _ending(answered.choices[0], met)
    rendered.append(_event("message_delta", delta=ending, usage=usage(answered)))
    rendered.append(_event("message_stop"))
    return rendered


def stop_sequence_met(asked: MessagesRequest, answered: Answer, knobs: Knobs) -> str | None:
    """Say which stop sequence ended the text, by what it would have been without any."""
    question = asked.question
    if not question.stop or answered.choices[0].finish is not Finish.STOP:
        return None
    text = "".join(answer(replace(question, stop=()), knobs).choices[0].text)
    found = [(text.find(sequence), sequence) for sequence in question.stop if sequence in text]
    return min(found)[1] if found else None


def _parts(
    asked: MessagesRequest, choice: Choice
) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Return each block as it begins, and the deltas that fill it."""
    parts: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if choice.reasoning:
        pieces = choice.reasoning if asked.shows_thinking else ()
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces]
        deltas.append({"type": "signature_delta", "signature": _signature(asked)})
        parts.append(({"type": "thinking", "thinking": "", "signature": ""}, deltas))
    if choice.text:
        deltas = [{"type": "text_delta", "text": piece} for piece in choice.text]
        parts.append(({"type": "text", "text": "", "citations": None}, deltas))
    for call in choice.calls:
        start = {"type": "tool_use", "id": _call_id(call.id), "name": call.name, "input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": one} for one in call.arguments]
        parts.append(({**start, "caller": {"type": "direct"}}, deltas))
    return parts


def _content(asked: MessagesRequest, choice: Choice) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    for block, deltas in _parts(asked, choice):
        for delta in deltas:
            for name in ("thinking", "signature", "text"):
                if name in delta:
                    block[name] += delta[name]
        if block["type"] == "tool_use":
            block["input"] = _input("".join(delta["partial_json"] for delta in deltas))
        content.append(block)
    return content


def _input(arguments: str) -> dict[str, Any]:
    """Return a call's arguments; the token limit may have cut them short."""
    try:
        return dict(orjson.loads(arguments))
    except orjson.JSONDecodeError:
        return {}


def _ending(choice: Choice, met: str | None) -> dict[str, Any]:
    reason = "stop_sequence" if met is not None else _STOP_REASONS[choice.finish]
    return {
        "stop_reason": reason,
        "stop_sequence": met,
        "stop_details": None,
        "container": None,
    }


def _head(asked: MessagesRequest) -> dict[str, Any]:
    return {
        "id": f"msg_{asked.question.seed:016x}",
        "type": "message",
        "role": "assistant",
        "model": asked.model,
    }


def _call_id(id: str) -> str:
    return id.replace("call_", "toolu_", 1)


def _signature(asked: MessagesRequest) -> str:
    return f"ZGVtbw{asked.question.seed:016x}"


def _event(kind: str, **data: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **data}))


def _knobs(name: str) -> Knobs:
    try:
        return parse_model(name)
    except UnknownModelError:
        raise ModelNotFoundError from None


def _give_ordered_error(knobs: Knobs) -> None:
    if knobs.error_status is not None:
        raise OrderedError(knobs.error_status)
