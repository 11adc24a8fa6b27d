"""What clients send: a request with a canary in every field and header, and malformed ones."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.leaktest.canaries import Case

NEVER_FORWARDED = "never-forwarded"
"""Stands with every canary that must not leave for a provider: an upstream that sees it refuses."""
FORWARDED_ANYHOW = 418

Body = dict[str, Any]


@dataclass(frozen=True)
class Demand:
    """Bytes for a connection, and the name of what they are."""

    name: str
    raw: bytes


def full_body(canary: Case, model: str, *, stream: bool) -> Body:
    """Return a body that is accepted, with a canary in every place that holds a text."""
    parts = [
        {"type": "text", "text": canary("messages.content.text")},
        {
            "type": "image_url",
            "image_url": {"url": _data_url(canary("image"), "image/png"), "detail": "low"},
        },
        {
            "type": "file",
            "file": {
                "filename": canary("file.name"),
                "file_data": _data_url(canary("file.bytes"), "application/pdf"),
            },
        },
        {
            "type": "input_audio",
            "input_audio": {"data": _encoded(canary("audio")), "format": "wav"},
        },
    ]
    call = {"name": canary("tool_calls.name"), "arguments": canary("tool_calls.arguments")}
    spoken = {
        "role": "assistant",
        "content": canary("assistant.content"),
        "refusal": canary("assistant.refusal"),
        "reasoning_content": canary("assistant.reasoning"),
        "tool_calls": [{"id": canary("tool_calls.id"), "type": "function", "function": call}],
    }
    return {
        "model": model,
        "stream": stream,
        "messages": [
            {"role": "system", "content": canary("system")},
            {"role": "user", "name": canary("messages.name"), "content": parts},
            spoken,
            {"role": "tool", "tool_call_id": canary("tool.id"), "content": canary("tool.content")},
            {"role": canary("messages.role"), "content": canary("messages.content")},
        ],
        **_tools(canary),
        **_labels(canary),
    }


def _tools(canary: Case) -> Body:
    parameters = {
        "type": "object",
        "properties": {canary("tools.property"): {"description": canary("tools.property.text")}},
    }
    function = {
        "name": canary("tools.name"),
        "description": canary("tools.description"),
        "parameters": parameters,
    }
    schema = {"name": canary("schema.name"), "schema": {"description": canary("schema.text")}}
    return {
        "tools": [{"type": "function", "function": function}],
        "tool_choice": {"type": "function", "function": {"name": canary("tool_choice")}},
        "response_format": {"type": "json_schema", "json_schema": schema},
    }


def _labels(canary: Case) -> Body:
    return {
        "stop": [canary("stop")],
        "user": canary("user"),
        "metadata": {canary("metadata.key"): f"{canary('metadata.value')} {NEVER_FORWARDED}"},
        "logit_bias": {canary("logit_bias"): 1},
        "safety_identifier": canary("safety_identifier"),
        "prompt_cache_key": canary("prompt_cache_key"),
        "prediction": {"type": "content", "content": canary("prediction")},
        "reasoning_effort": canary("reasoning_effort"),
        "stream_options": {"include_usage": True, canary("stream_options"): 1},
        canary("unknown.key"): {"deep": [canary("unknown.value")]},
    }


def head(
    canary: Case, length: int | str, key: str, *, target: str = "", method: str = "POST"
) -> bytes:
    """Return a request's head with a canary in every header and in the query."""
    target = target or f"/v1/chat/completions?trace={canary('query')}"
    lines = [
        f"{method} {target} HTTP/1.1",
        "host: 127.0.0.1",
        "connection: close",
        "content-type: application/json",
        f"authorization: Bearer {key}",
        f"idempotency-key: {canary('header.idempotency-key')}",
        f"user-agent: {canary('header.user-agent')}",
        f"x-title: {canary('header.x-title')}",
        f"referer: http://{canary('header.referer')}/",
        f"http-referer: http://{canary('header.http-referer')}/",
        f"origin: http://{canary('header.origin')}",
        f"x-request-id: {canary('header.x-request-id')}",
        f"x-client-request-id: {canary('header.x-client-request-id')}",
        f"openai-organization: {canary('header.openai-organization')}",
        f"openai-project: {canary('header.openai-project')}",
        f"x-stainless-lang: {canary('header.x-stainless')}",
        f"cookie: session={canary('header.cookie')}",
        f"traceparent: {canary('header.traceparent')}",
        f"baggage: user={canary('header.baggage')}",
        f"accept-language: {canary('header.accept-language')}",
        f"x-forwarded-for: {canary('header.x-forwarded-for')}",
        f"x-{canary('header.name').lower()}: {canary('header.unknown')}",
        f"content-length: {length}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def post(canary: Case, body: Body | bytes, key: str) -> bytes:
    """Return a request to the chat endpoint as bytes."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return head(canary, len(raw), key) + raw


# --- what is wrong


def wrong_values(canary: Case, model: str) -> Iterator[tuple[str, Body]]:
    """Give bodies with a canary where something else belongs."""
    simple: Body = {"model": model, "messages": [{"role": "user", "content": canary("content")}]}
    word = canary("wrong")
    for name in (
        *("model", "messages", "stream", "n", "best_of", "max_tokens", "max_completion_tokens"),
        *("service_tier", "stream_options", "tools", "functions", "modalities"),
        *("web_search_options", "plugins", "mcp_servers"),
    ):
        yield name, {**simple, name: word}
    for name, value in {
        "messages": [word],
        "tools": [word],
        "modalities": [word],
        "n": {word: word},
        "stream_options": {"include_usage": word},
    }.items():
        yield f"{name} inside", {**simple, name: value}
    for place, part in (
        ("part", word),
        ("part type", {"type": word, "text": word}),
        ("part without type", {word: word}),
        ("part type object", {"type": {word: word}}),
    ):
        yield place, {**simple, "messages": [{"role": "user", "content": [part]}]}
    yield "tool type", {**simple, "tools": [{"type": word}]}


def broken_bodies(canary: Case, model: str, too_large: int) -> Iterator[tuple[str, bytes]]:
    """Give bodies that are no JSON object, or too much of one."""
    text = canary("broken").encode()
    good = json.dumps({"model": model, "messages": [{"role": "user", "content": "x"}]}).encode()
    yield "not JSON", text
    yield "cut JSON", good[:-3] + text
    yield "JSON text", b'"' + text + b'"'
    yield "JSON list", b'["' + text + b'"]'
    yield "key only", b'{"' + text + b'"'
    yield "invalid UTF-8", good.replace(b'"x"', b'"' + text + b'\xff\xfe\xc3"')
    yield "lone surrogate", good.replace(b'"x"', b'"\\ud800' + text + b'"')
    yield "NaN", good[:-1] + b', "' + text + b'": NaN}'
    yield "huge number", good[:-1] + b', "' + text + b'": 1' + b"0" * 400 + b"}"
    yield "same key twice", good[:-1] + b', "model": "' + text + b'"}'
    yield "deep", b'{"' + text + b'":' + b"[" * 5_000 + b"]" * 5_000 + b"}"
    yield "NUL", good.replace(b'"x"', b'"\\u0000' + text + b'"')
    yield "too large", good.replace(b'"x"', b'"' + text * (1 + too_large // len(text)) + b'"')


def broken_requests(canary: Case, key: str, unknown_key: str) -> Iterator[Demand]:
    """Give what is no request, or one to nowhere."""
    word = canary("target")
    yield Demand("unknown path", head(canary, 0, key, target=f"/v1/{word}", method="GET"))
    yield Demand("encoded path", head(canary, 0, key, target=f"/v1/%2e%2e/{word}", method="GET"))
    yield Demand("model page", head(canary, 0, key, target=f"/v1/models/{word}", method="GET"))
    yield Demand("long target", head(canary, 0, key, target="/" + word * 400, method="GET"))
    yield Demand("wrong method", head(canary, 0, key, method="DELETE"))
    yield Demand("method", head(canary, 0, key, method=word.upper()))
    yield Demand("absolute", head(canary, 0, key, target=f"http://{word}/v1/models", method="GET"))
    yield Demand("no HTTP", word.encode() * 4 + b"\r\n\r\n")
    yield Demand("version", f"GET /{word} HTTP/{word}\r\n\r\n".encode())
    yield Demand("header line", f"GET / HTTP/1.1\r\nhost: x\r\n{word}\r\n\r\n".encode())
    yield Demand("two hosts", f"GET / HTTP/1.1\r\nhost: x\r\nhost: {word}\r\n\r\n".encode())
    yield Demand("bad length", head(canary, word, key))
    yield Demand("many headers", _with(canary, key, f"x-{word}: {word}\r\n" * 150))
    yield Demand("long header", _with(canary, key, f"x-long: {word * 2_000}\r\n"))
    yield Demand("bad chunk", _chunked(canary, key, f"{word}\r\n{word}\r\n"))
    yield Demand("chunk extension", _chunked(canary, key, f"1;{word}={word}\r\nx\r\n0\r\n\r\n"))
    yield Demand("trailer", _chunked(canary, key, f"1\r\nx\r\n0\r\n{word}: {word}\r\n\r\n"))
    for name, value in {
        "content-encoding": "gzip",
        "content-encoding canary": f"content-encoding: {word}",
        "lane": f"x-delivery-lane: {word}",
        "maximum cost": f"x-max-cost: {word}",
        "expect": f"expect: {word}",
        "upgrade": f"upgrade: {word}",
    }.items():
        line = value if ":" in value else f"{name}: {value}"
        yield Demand(name, _with(canary, key, line + "\r\n", _small(canary)))
    for name, wrong in {
        "no key at all": word,
        "unknown key": unknown_key,
        "garbled key": key[:-1] + ("A" if key[-1] != "A" else "B"),
        "key with more": key + word,
    }.items():
        yield Demand(name, post(canary, _small(canary), wrong))
    in_url = head(canary, 0, key, target=f"/v1/chat/completions?key={key}&q={word}")
    yield Demand("key in the URL", in_url.replace(f"authorization: Bearer {key}\r\n".encode(), b""))
    long_key = "header.idempotency-key"
    idem = post(canary, _small(canary), key)
    yield Demand(
        "long idempotency key", idem.replace(canary(long_key).encode(), word.encode() * 20)
    )


def _small(canary: Case) -> bytes:
    content = canary("content")
    return json.dumps(
        {"model": "mode-ok", "messages": [{"role": "user", "content": content}]}
    ).encode()


def _with(canary: Case, key: str, lines: str, body: bytes = b"") -> bytes:
    raw = head(canary, len(body), key)
    return raw[:-2] + lines.encode() + b"\r\n" + body


def _chunked(canary: Case, key: str, chunks: str) -> bytes:
    raw = head(canary, "0", key).replace(b"content-length: 0", b"transfer-encoding: chunked")
    return raw + chunks.encode()


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _data_url(text: str, kind: str) -> str:
    return f"data:{kind};base64,{_encoded(text)}"
