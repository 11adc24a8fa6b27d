"""OpenAI's chat completions shape of the demo: answers and errors, whole and as events.

After the OpenAI API reference; `reasoning_content` is the field that DeepSeek, xAI and others use
for reasoning, which OpenAI itself does not show.
"""

from __future__ import annotations

from itertools import chain, zip_longest
from typing import Any

import orjson

from edge.demo.answer import Answer, Choice, answer
from edge.demo.delivery import JSON_HEADERS, Work, deliver_body, deliver_stream
from edge.demo.errors import BadRequestError, DemoError, ModelNotFoundError, OrderedError
from edge.demo.knobs import EXAMPLES, Knobs, UnknownModelError, parse_model
from edge.demo.openai_chat_request import ChatRequest, parse_body, parse_chat
from edge.demo.schema import UnsupportedSchemaError
from edge.demo.server import Header, Reply, Request

CREATED = 1767225600
"""2026-01-01T00:00:00Z: a fixed time, so that equal requests get equal bytes."""

_NO_KNOBS = Knobs()
_FINGERPRINT = "fp_demo"
_DONE = b"data: [DONE]\n\n"
_MESSAGES = {
    400: "The request is not valid.",
    401: "Incorrect API key provided.",
    403: "This key may not use the model.",
    404: "The model does not exist or you do not have access to it.",
    429: "Rate limit reached for requests. Please try again in 1s.",
    503: "The engine is currently overloaded, please try again later.",
}
_RATE_HEADERS: tuple[Header, ...] = ((b"retry-after", b"1"), (b"retry-after-ms", b"1000"))


def chat_completions(request: Request, reply: Reply) -> Work:
    """Serve POST /v1/chat/completions."""
    knobs = _NO_KNOBS
    try:
        body = parse_body(request.body)
        knobs = knobs_of(body["model"])
        if knobs.error_status is not None:
            raise OrderedError(knobs.error_status)
        chat = parse_chat(body)
        answered = answer(chat.question, knobs)
    except UnsupportedSchemaError:
        return deliver_error(reply, knobs, BadRequestError("invalid_json_schema"))
    except DemoError as error:
        return deliver_error(reply, knobs, error)
    if chat.stream:
        return deliver_stream(reply, knobs, events(chat, answered))
    return deliver_body(reply, knobs, 200, completion(chat, answered))


def models(_request: Request, reply: Reply) -> Work:
    """Serve GET /v1/models: the plain model and an example of each knob."""
    listed = [_model_object(name) for name in EXAMPLES]
    reply.send(200, orjson.dumps({"object": "list", "data": listed}), JSON_HEADERS)
    return None


def model(name: str, reply: Reply) -> Work:
    """Serve GET /v1/models/{name}."""
    try:
        knobs_of(name)
    except DemoError as error:
        return deliver_error(reply, _NO_KNOBS, error)
    reply.send(200, orjson.dumps(_model_object(name)), JSON_HEADERS)
    return None


def deliver_error(reply: Reply, knobs: Knobs, error: DemoError) -> Work:
    """Send an error in OpenAI's envelope; a 429 says when to come back."""
    status = error.status
    kind = "invalid_request_error" if status < 500 else "server_error"
    code = error.code
    if status == 429:
        kind, code = "requests", "rate_limit_exceeded"
    elif status == 401:
        code = "invalid_api_key"
    message = _MESSAGES.get(status, _MESSAGES[400] if status < 500 else _MESSAGES[503])
    envelope = {"message": message, "type": kind, "param": error.param, "code": code}
    headers = JSON_HEADERS + (_RATE_HEADERS if status == 429 else ())
    return deliver_body(reply, knobs, status, orjson.dumps({"error": envelope}), headers)


def completion(chat: ChatRequest, answered: Answer) -> bytes:
    """Render the whole answer as a `chat.completion` object."""
    body = {
        **_head(chat, "chat.completion"),
        "choices": [_choice(index, one) for index, one in enumerate(answered.choices)],
        "usage": usage(answered),
    }
    return orjson.dumps(body)


def usage(answered: Answer) -> dict[str, Any]:
    """Render token counts; reasoning is part of the completion, as OpenAI counts it."""
    return {
        "prompt_tokens": answered.prompt_tokens,
        "completion_tokens": answered.completion_tokens,
        "total_tokens": answered.prompt_tokens + answered.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": answered.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": answered.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def events(chat: ChatRequest, answered: Answer) -> list[bytes]:
    """Render the answer as SSE events, the choices in turns, `[DONE]` last."""
    head = orjson.dumps(_head(chat, "chat.completion.chunk"))[:-1]
    tail = b',"usage":null}\n\n' if chat.include_usage else b"}\n\n"
    by_choice = [
        _choice_events(head, index, one, tail) for index, one in enumerate(answered.choices)
    ]
    if len(by_choice) == 1:
        rendered = by_choice[0]
    else:
        turns = chain.from_iterable(zip_longest(*by_choice))
        rendered = [event for event in turns if event is not None]
    if chat.include_usage:
        last = orjson.dumps({"choices": [], "usage": usage(answered)})
        rendered.append(b"data: " + head + b"," + last[1:] + b"\n\n")
    rendered.append(_DONE)
    return rendered


def _choice_events(head: bytes, index: int, choice: Choice, tail: bytes) -> list[bytes]:
    start = b'data: %b,"choices":[{"index":%d,"delta":' % (head, index)
    running = b',"logprobs":null,"finish_reason":null}]' + tail
    rendered = [start + delta + running for delta in _deltas(choice)]
    finish = b'{},"logprobs":null,"finish_reason":"%b"}]' % choice.finish.value.encode()
    rendered.append(start + finish + tail)
    return rendered


def _deltas(choice: Choice) -> list[bytes]:
    content = b"null" if choice.calls else b'""'
    deltas = [b'{"role":"assistant","content":%b,"refusal":null}' % content]
    deltas += [b'{"reasoning_content":%b}' % orjson.dumps(piece) for piece in choice.reasoning]
    deltas += [b'{"content":%b}' % orjson.dumps(piece) for piece in choice.text]
    for index, call in enumerate(choice.calls):
        function = {"name": call.name, "arguments": ""}
        opening = {"index": index, "id": call.id, "type": "function", "function": function}
        parts = [{"index": index, "function": {"arguments": piece}} for piece in call.arguments]
        deltas += [orjson.dumps({"tool_calls": [part]}) for part in (opening, *parts)]
    return deltas


def _choice(index: int, choice: Choice) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if choice.calls else "".join(choice.text),
        "refusal": None,
        "annotations": [],
    }
    if choice.reasoning:
        message["reasoning_content"] = "".join(choice.reasoning)
    if choice.calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": "".join(call.arguments)},
            }
            for call in choice.calls
        ]
    finish = choice.finish.value
    return {"index": index, "message": message, "logprobs": None, "finish_reason": finish}


def _head(chat: ChatRequest, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{chat.question.seed:016x}",
        "object": kind,
        "created": CREATED,
        "model": chat.model,
        "service_tier": chat.service_tier,
        "system_fingerprint": _FINGERPRINT,
    }


def _model_object(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "demo"}


def knobs_of(name: str) -> Knobs:
    """Return the knobs of a model name; raises ModelNotFoundError for one that is not ours."""
    try:
        return parse_model(name)
    except UnknownModelError:
        raise ModelNotFoundError from None
