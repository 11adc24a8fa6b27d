"""Google's Gemini shape of the demo: generated content, counts, models and errors.

After the Gemini API reference (v1beta). Streams are server-sent events and end with their body, as
Google's do. A function call has a signature, as Gemini 3 gives one to the first of parallel calls.
"""

from __future__ import annotations

import base64
from itertools import chain, zip_longest
from typing import Any
from urllib.parse import unquote

import orjson

from edge.demo.answer import OUTPUT_TOKENS_MAX, Answer, Choice, Finish, answer
from edge.demo.delivery import JSON_HEADERS, Work, deliver_body, deliver_stream
from edge.demo.errors import BadRequestError, DemoError, ModelNotFoundError, OrderedError
from edge.demo.google_generate_request import GenerateRequest, parse_body, parse_generate
from edge.demo.knobs import EXAMPLES, Knobs, UnknownModelError, parse_model
from edge.demo.schema import UnsupportedSchemaError
from edge.demo.server import Header, Reply, Request

PREFIX = "/v1beta/models"
CONTEXT_TOKENS = 131_072

_NO_KNOBS = Knobs()
_FINISHES = {Finish.STOP: "STOP", Finish.TOOL_CALLS: "STOP", Finish.LENGTH: "MAX_TOKENS"}
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_MESSAGES = {
    400: "Request contains an invalid argument.",
    401: "API key not valid. Please pass a valid API key.",
    403: "This key may not use the model.",
    404: "The model is not found for API version v1beta, or is not supported for this method.",
    429: "Resource has been exhausted (e.g. check quota).",
    503: "The model is overloaded. Please try again later.",
}
_RETRY: tuple[Header, ...] = ((b"retry-after", b"1"),)
_METHODS = ("generateContent", "streamGenerateContent", "countTokens")


def serve(request: Request, reply: Reply) -> Work:
    """Serve a path below /v1beta/models."""
    name = unquote(request.path.removeprefix(PREFIX)).removeprefix("/")
    if request.method == "GET":
        return _models(reply) if not name else _model(name, reply)
    model, _, method = name.rpartition(":")
    if request.method != "POST" or method not in _METHODS:
        return deliver_error(reply, _NO_KNOBS, DemoError(404, "unknown_url"))
    return _ask(model, method, request, reply)


def _ask(model: str, method: str, request: Request, reply: Reply) -> Work:
    knobs = _NO_KNOBS
    try:
        knobs = _knobs(model)
        if knobs.error_status is not None:
            raise OrderedError(knobs.error_status)
        body = parse_body(request.body)
        if method == "countTokens":
            return deliver_body(reply, knobs, 200, _count(model, body))
        asked = parse_generate(model, body)
        answered = answer(asked.question, knobs)
    except UnsupportedSchemaError:
        path = "generationConfig.responseSchema"
        return deliver_error(reply, knobs, BadRequestError("invalid_argument", path))
    except DemoError as error:
        return deliver_error(reply, knobs, error)
    if method == "streamGenerateContent":
        return deliver_stream(reply, knobs, events(asked, answered))
    return deliver_body(reply, knobs, 200, response(asked, answered))


def deliver_error(reply: Reply, knobs: Knobs, error: DemoError) -> Work:
    """Send an error in Google's envelope; a 429 says when to come back."""
    status = error.status
    fallback = _MESSAGES[400] if status < 500 else _MESSAGES[503]
    envelope: dict[str, Any] = {
        "code": status,
        "message": _MESSAGES.get(status, fallback),
        "status": _STATUSES.get(status, "INVALID_ARGUMENT" if status < 500 else "UNKNOWN"),
    }
    if error.param is not None:
        violation = {"field": error.param, "description": error.code}
        kind = "type.googleapis.com/google.rpc.BadRequest"
        envelope["details"] = [{"@type": kind, "fieldViolations": [violation]}]
    headers = JSON_HEADERS + (_RETRY if status == 429 else ())
    return deliver_body(reply, knobs, status, orjson.dumps({"error": envelope}), headers)


def response(asked: GenerateRequest, answered: Answer) -> bytes:
    """Render the whole answer as a `GenerateContentResponse`."""
    candidates = [
        _candidate(index, _joined(_parts(asked, one)), one.finish)
        for index, one in enumerate(answered.choices)
    ]
    return orjson.dumps(_chunk(asked, candidates, usage(asked, answered)))


def events(asked: GenerateRequest, answered: Answer) -> list[bytes]:
    """Render a stream: a chunk for each part, each with the usage so far."""
    by_choice = [_deltas(asked, index, one) for index, one in enumerate(answered.choices)]
    turns = [one for one in chain.from_iterable(zip_longest(*by_choice)) if one is not None]
    prompt = {"promptTokenCount": answered.prompt_tokens, "totalTokenCount": answered.prompt_tokens}
    last = len(turns) - 1
    return [
        b"data: %b\r\n\r\n"
        % orjson.dumps(_chunk(asked, [one], usage(asked, answered) if place == last else prompt))
        for place, one in enumerate(turns)
    ]


def usage(asked: GenerateRequest, answered: Answer) -> dict[str, Any]:
    """Render token counts; candidates leave thoughts out, and zeros are left out."""
    details = [{"modality": "TEXT", "tokenCount": asked.text_tokens}]
    if asked.image_tokens:
        details.append({"modality": "IMAGE", "tokenCount": asked.image_tokens})
    counts = {
        "promptTokenCount": answered.prompt_tokens,
        "candidatesTokenCount": answered.completion_tokens - answered.reasoning_tokens,
        "totalTokenCount": answered.prompt_tokens + answered.completion_tokens,
        "cachedContentTokenCount": answered.cached_tokens,
        "thoughtsTokenCount": answered.reasoning_tokens,
    }
    return {
        **{name: count for name, count in counts.items() if count},
        "promptTokensDetails": details,
    }


def _deltas(asked: GenerateRequest, index: int, choice: Choice) -> list[dict[str, Any]]:
    deltas = [_candidate(index, [part]) for part in _parts(asked, choice)]
    deltas.append(_candidate(index, [], choice.finish))
    return deltas


def _parts(asked: GenerateRequest, choice: Choice) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if asked.shows_thoughts:
        parts += [{"text": piece, "thought": True} for piece in choice.reasoning]
    parts += [{"text": piece} for piece in choice.text]
    for call in choice.calls:
        try:
            args = orjson.loads("".join(call.arguments) or "{}")
        except orjson.JSONDecodeError:
            continue  # the token limit cut it short: Google shows no half calls
        part: dict[str, Any] = {"functionCall": {"id": call.id, "name": call.name, "args": args}}
        if not any("functionCall" in one for one in parts):
            signature = base64.b64encode(f"signature of {call.id}".encode()).decode()
            part["thoughtSignature"] = signature
        parts.append(part)
    return parts


def _joined(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the parts of a whole answer: the texts of thoughts, and of the answer, as one each."""
    thoughts = "".join(part["text"] for part in parts if part.get("thought"))
    text = "".join(part["text"] for part in parts if "text" in part and not part.get("thought"))
    joined: list[dict[str, Any]] = [{"text": thoughts, "thought": True}] if thoughts else []
    joined += [{"text": text}] if text else []
    return joined + [part for part in parts if "functionCall" in part]


def _candidate(
    index: int, parts: list[dict[str, Any]], finish: Finish | None = None
) -> dict[str, Any]:
    content: dict[str, Any] = {"parts": parts, "role": "model"} if parts else {"role": "model"}
    candidate: dict[str, Any] = {"content": content, "index": index}
    if finish is not None:
        candidate["finishReason"] = _FINISHES[finish]
    return candidate


def _chunk(
    asked: GenerateRequest, candidates: list[dict[str, Any]], counts: dict[str, Any]
) -> dict[str, Any]:
    return {
        "candidates": candidates,
        "usageMetadata": counts,
        "modelVersion": asked.model,
        "responseId": f"{asked.question.seed:016x}",
    }


def _count(model: str, body: dict[str, Any]) -> bytes:
    inner = body.get("generateContentRequest")
    asked = parse_generate(model, inner if isinstance(inner, dict) else body)
    details = [{"modality": "TEXT", "tokenCount": asked.text_tokens}]
    if asked.image_tokens:
        details.append({"modality": "IMAGE", "tokenCount": asked.image_tokens})
    total = asked.question.prompt_tokens
    return orjson.dumps({"totalTokens": total, "promptTokensDetails": details})


def _models(reply: Reply) -> Work:
    listed = [_model_object(name) for name in EXAMPLES]
    reply.send(200, orjson.dumps({"models": listed}), JSON_HEADERS)
    return None


def _model(name: str, reply: Reply) -> Work:
    try:
        _knobs(name)
    except DemoError as error:
        return deliver_error(reply, _NO_KNOBS, error)
    reply.send(200, orjson.dumps(_model_object(name)), JSON_HEADERS)
    return None


def _model_object(name: str) -> dict[str, Any]:
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name,
        "inputTokenLimit": CONTEXT_TOKENS,
        "outputTokenLimit": OUTPUT_TOKENS_MAX,
        "supportedGenerationMethods": list(_METHODS),
    }


def _knobs(name: str) -> Knobs:
    try:
        return parse_model(name)
    except UnknownModelError:
        raise ModelNotFoundError from None
