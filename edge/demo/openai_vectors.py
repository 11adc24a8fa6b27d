"""OpenAI's embeddings and moderations shapes of the demo.

After the OpenAI API reference. Vectors come from a hash of their text: equal texts have equal
vectors of length 1, nothing else about them means anything. Texts with the word `violent` are
flagged.
"""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from collections.abc import Callable
from typing import Any

import orjson

from edge.demo import openai_chat
from edge.demo.delivery import Work, deliver_body
from edge.demo.errors import BadRequestError, DemoError, OrderedError
from edge.demo.knobs import Knobs
from edge.demo.openai_chat_request import integer, parse_body
from edge.demo.openai_completions import Prompt, prompt_tokens
from edge.demo.server import Reply, Request

DIMENSIONS = 256
DIMENSIONS_MAX = 4096
INPUTS_MAX = 2048
FLAGGED_WORD = "violent"
FLAGGED_SCORE = 0.9375
OTHER_SCORE = 0.0009765625
CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
IMAGE_CATEGORIES = frozenset(
    {
        "self-harm",
        "self-harm/intent",
        "self-harm/instructions",
        "sexual",
        "violence",
        "violence/graphic",
    }
)
"""What OpenAI's moderation looks for in images as well."""

Json = Any


def embeddings(request: Request, reply: Reply) -> Work:
    """Serve POST /v1/embeddings; the model is `demo-embedding` with knobs."""
    return _serve(request, reply, "demo-embedding", _embeddings)


def moderations(request: Request, reply: Reply) -> Work:
    """Serve POST /v1/moderations; the model is `demo-moderation` with knobs."""
    return _serve(request, reply, "demo-moderation", _moderations)


def _serve(
    request: Request, reply: Reply, family: str, made: Callable[[dict[str, Json]], dict[str, Json]]
) -> Work:
    knobs = Knobs()
    try:
        body = parse_body(request.body)
        name: str = body["model"]
        knobs = openai_chat.knobs_of(f"demo{name.removeprefix(family)}")
        if knobs.error_status is not None:
            raise OrderedError(knobs.error_status)
        answer = made(body)
    except DemoError as error:
        return openai_chat.deliver_error(reply, knobs, error)
    return deliver_body(reply, knobs, 200, orjson.dumps(answer))


def _embeddings(body: dict[str, Json]) -> dict[str, Json]:
    inputs = _inputs(body.get("input"))
    dimensions = integer(body, "dimensions", 1, DIMENSIONS_MAX) or DIMENSIONS
    encoding = body.get("encoding_format") or "float"
    if encoding not in {"float", "base64"}:
        raise BadRequestError("invalid_value", "encoding_format")
    packed = [vector(one, dimensions) for one in inputs]
    tokens = sum(map(prompt_tokens, inputs))
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _shown(one, encoding)}
            for index, one in enumerate(packed)
        ],
        "model": body["model"],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def vector(text: Prompt, dimensions: int) -> bytes:
    """Return a vector of length 1 as little-endian 32-bit floats, the same for equal texts."""
    digest = hashlib.shake_128(orjson.dumps(text)).digest(2 * dimensions)
    values = [value + 0.5 for value in struct.unpack(f"<{dimensions}h", digest)]
    length = math.sqrt(sum(value * value for value in values))
    return struct.pack(f"<{dimensions}f", *(value / length for value in values))


def _shown(packed: bytes, encoding: str) -> str | list[float]:
    if encoding == "base64":
        return base64.b64encode(packed).decode()
    return list(struct.unpack(f"<{len(packed) // 4}f", packed))


def _inputs(value: Json) -> list[Prompt]:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not value:
        raise BadRequestError("missing_required_parameter", "input")
    if all(type(one) is int for one in value):
        return [value]
    if len(value) > INPUTS_MAX:
        raise BadRequestError("array_above_max_length", "input")
    for one in value:
        is_tokens = isinstance(one, list) and bool(one) and all(type(t) is int for t in one)
        if not (isinstance(one, str) or is_tokens):
            raise BadRequestError("invalid_type", "input")
    return value


def _moderations(body: dict[str, Json]) -> dict[str, Json]:
    given = body.get("input")
    # Parts are one input together; each string of a list is its own.
    inputs: list[Json] = given if isinstance(given, list) else [given]
    if not inputs:
        raise BadRequestError("empty_array", "input")
    if isinstance(inputs[0], dict):
        results = [_parts_result(inputs)]
    elif all(isinstance(one, str) for one in inputs):
        results = [_result([one], has_image=False) for one in inputs]
    else:
        raise BadRequestError("invalid_type", "input")
    identity = hashlib.blake2b(orjson.dumps(given), digest_size=8).hexdigest()
    return {"id": f"modr-{identity}", "model": body["model"], "results": results}


def _parts_result(parts: list[Json]) -> dict[str, Json]:
    texts, has_image = [], False
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "image_url":
            has_image = True
        elif kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        else:
            raise BadRequestError("invalid_value", "input")
    return _result(texts, has_image=has_image)


def _result(texts: list[str], *, has_image: bool) -> dict[str, Json]:
    is_violent = any(FLAGGED_WORD in text.lower() for text in texts)
    kinds = ["text"] * bool(texts) + ["image"] * has_image
    return {
        "flagged": is_violent,
        "categories": {name: is_violent and name == "violence" for name in CATEGORIES},
        "category_scores": {
            name: FLAGGED_SCORE if is_violent and name == "violence" else OTHER_SCORE
            for name in CATEGORIES
        },
        "category_applied_input_types": {
            name: [kind for kind in kinds if kind == "text" or name in IMAGE_CATEGORIES]
            for name in CATEGORIES
        },
    }
