"""The other APIs for text in the leak suite: a canary in every field, natively and crossing over.

What must not leave for a provider carries `NEVER_FORWARDED`: an upstream that sees it refuses.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

from tests.leaktest import demands
from tests.leaktest.canaries import Case
from tests.leaktest.demands import NEVER_FORWARDED

MODES = (
    *("text-ok", "echo-400", "echo-text", "echo-500", "html-500", "html-200", "redirect"),
    *("reset", "reset-midway", "cut-midway", "bad-chunk", "bad-json", "error-event", "huge"),
    *("many-headers", "encoded", "odd-values"),
)
"""What upstreams of their own APIs do."""
UPSTREAMS: dict[str, dict[str, Any]] = {
    "leak-messages": {"dialect": "anthropic", "surfaces": ["messages", "count_tokens"]},
    "leak-generate": {
        "dialect": "google",
        "stream_end": "eof",
        "surfaces": ["generate_content", "count_tokens"],
    },
    "leak-responses": {"surfaces": ["responses"]},
    "leak-others": {"surfaces": ["completions", "embeddings", "moderations"]},
}
OTHER_KINDS = {"embeddings": "embedding", "moderations": "moderation", "completions": "text"}
CROSSING_MODES = ("ok", "echo-400", "html-500", "cut-midway", "error-event", "bad-json", "slow")


def models(model_of: Callable[[str, str, str], dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the models of these upstreams; `model_of` makes one of id, upstream and mode."""
    found = []
    for upstream in UPSTREAMS:
        name = upstream.removeprefix("leak-")
        if name == "others":
            for surface, kind in OTHER_KINDS.items():
                made = [model_of(f"{surface}-{mode}", upstream, mode) for mode in MODES]
                found += [{**one, "kind": kind} for one in made]
        else:
            found += [model_of(f"{name}-{mode}", upstream, mode) for mode in MODES]
    return found


# --- what clients send


def requests(canary: Case, mode: str, key: str) -> Iterator[tuple[str, bytes]]:
    """Give a request of each API to an upstream that has the same API, whole and streamed."""
    for stream in (False, True):
        yield from texts(
            canary,
            {name: f"{name}-{mode}" for name in ("messages", "responses", "generate")},
            key,
            stream=stream,
        )
        prompt = {
            "model": f"completions-{mode}",
            "prompt": canary("prompt"),
            "suffix": canary("suffix"),
            "user": canary("user"),
            "stop": canary("stop"),
            "stream": stream,
            **_identity(canary),
        }
        yield f"completions {_kind(stream=stream)}", _post(canary, "/v1/completions", prompt, key)
    vector = {"model": f"embeddings-{mode}", "input": [canary("input")], "user": canary("user")}
    vector |= _identity(canary)
    yield "embeddings", _post(canary, "/v1/embeddings", vector, key)
    judged = {"model": f"moderations-{mode}", "input": canary("input"), canary("unknown.key"): 1}
    judged |= _identity(canary)
    yield "moderations", _post(canary, "/v1/moderations", judged, key)
    counted = {**messages(canary, f"messages-{mode}"), "max_tokens": None}
    del counted["max_tokens"]
    yield "count", _post(canary, "/v1/messages/count_tokens", counted, key)
    path = f"/v1beta/models/generate-{mode}:countTokens"
    body = {"contents": generate(canary)["contents"]}
    yield "count of Google's", _post(canary, path, body, key)


def _identity(canary: Case) -> dict[str, Any]:
    """Return what says who the client is, and asks for something to be kept."""
    return {
        "metadata": {canary("metadata.key"): f"{canary('metadata')} {NEVER_FORWARDED}"},
        "client_metadata": {"where": f"{canary('client_metadata')} {NEVER_FORWARDED}"},
        "user_profile_id": f"{canary('user_profile_id')} {NEVER_FORWARDED}",
        "store": True,
    }


def crossing(canary: Case, mode: str, key: str) -> Iterator[tuple[str, bytes]]:
    """Give a request of each API to a chat upstream, whole and streamed."""
    for stream in (False, True):
        names = ("messages", "responses", "generate")
        yield from texts(canary, dict.fromkeys(names, f"mode-{mode}"), key, stream=stream)


def texts(
    canary: Case, model_of: dict[str, str], key: str, *, stream: bool
) -> Iterator[tuple[str, bytes]]:
    """Give a request of each API for text."""
    kind = _kind(stream=stream)
    body = {**messages(canary, model_of["messages"]), "stream": stream}
    yield f"messages {kind}", _post(canary, "/v1/messages?beta=true", body, key)
    body = {**responses(canary, model_of["responses"]), "stream": stream}
    yield f"responses {kind}", _post(canary, "/v1/responses", body, key)
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    path = f"/v1beta/models/{model_of['generate']}:{method}"
    yield f"generate {kind}", _post(canary, path, generate(canary), key)


def messages(canary: Case, model: str) -> dict[str, Any]:
    """Return a request of Anthropic's API that is accepted."""
    call = {"type": "tool_use", "id": "toolu_1", "name": "find", "input": {"q": canary("call")}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": canary("result")}
    return {
        "model": model,
        "max_tokens": 64,
        "system": canary("system"),
        "messages": [
            {"role": "user", "content": canary("content")},
            {"role": "assistant", "content": [{"type": "text", "text": canary("said")}, call]},
            {"role": "user", "content": [result, _image_of_anthropic(canary)]},
        ],
        "tools": [_tool_of_anthropic(canary)],
        "stop_sequences": [canary("stop")],
        "metadata": {"user_id": f"{canary('user_id')} {NEVER_FORWARDED}"},
    }


def _tool_of_anthropic(canary: Case) -> dict[str, Any]:
    return {
        "name": "find",
        "description": canary("tool.description"),
        "input_schema": {
            "type": "object",
            "properties": {"q": {"type": "string", "description": canary("tool.property")}},
        },
    }


def _image_of_anthropic(canary: Case) -> dict[str, Any]:
    data = base64.b64encode(canary("image").encode()).decode()
    source = {"type": "base64", "media_type": "image/png", "data": data}
    return {"type": "image", "source": source}


def responses(canary: Case, model: str) -> dict[str, Any]:
    """Return a request of OpenAI's Responses API that is accepted."""
    url = "data:image/png;base64," + base64.b64encode(canary("image").encode()).decode()
    content = [
        {"type": "input_text", "text": canary("content")},
        {"type": "input_image", "image_url": url, "detail": "low"},
    ]
    call = {"type": "function_call", "call_id": "call_1", "name": "find", "arguments": ""}
    return {
        "model": model,
        "instructions": canary("instructions"),
        "input": [
            {"type": "message", "role": "user", "content": content},
            {**call, "arguments": json.dumps({"q": canary("call")})},
            {"type": "function_call_output", "call_id": "call_1", "output": canary("result")},
        ],
        "tools": [
            {
                "type": "function",
                "name": "find",
                "description": canary("tool.description"),
                "parameters": {"type": "object", "properties": {}},
                "strict": False,
            }
        ],
        "max_output_tokens": 64,
        "prompt_cache_key": canary("prompt_cache_key"),
        "metadata": {"turn": f"{canary('metadata')} {NEVER_FORWARDED}"},
        "client_metadata": {"where": f"{canary('client_metadata')} {NEVER_FORWARDED}"},
    }


def generate(canary: Case) -> dict[str, Any]:
    """Return a request of Google's API that is accepted."""
    data = base64.b64encode(canary("image").encode()).decode()
    return {
        "systemInstruction": {"parts": [{"text": canary("system")}]},
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": canary("content")},
                    {"inlineData": {"mimeType": "image/png", "data": data}},
                ],
            },
            {
                "role": "model",
                "parts": [{"functionCall": {"name": "find", "args": {"q": canary("call")}}}],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"name": "find", "response": {"r": canary("result")}}}
                ],
            },
        ],
        "tools": [
            {"functionDeclarations": [{"name": "find", "description": canary("tool.description")}]}
        ],
        "generationConfig": {"maxOutputTokens": 64, "stopSequences": [canary("stop")]},
    }


def broken(canary: Case, key: str) -> Iterator[tuple[str, bytes]]:
    """Give requests of each API with a canary where something else belongs."""
    word = canary("wrong")
    for name in ("max_tokens", "messages", "system", "tools", "stream", "thinking", "metadata"):
        body = {**messages(canary, "messages-text-ok"), name: {word: [word]}}
        yield f"wrong messages {name}", _post(canary, "/v1/messages", body, key)
    for name in ("input", "tools", "include", "reasoning", "stream", "store", "conversation"):
        body = {**responses(canary, "responses-text-ok"), name: {word: [word]}}
        yield f"wrong responses {name}", _post(canary, "/v1/responses", body, key)
    for name in ("contents", "tools", "toolConfig", "systemInstruction", "cachedContent"):
        body = {**generate(canary), name: [{word: [word]}]}
        path = "/v1beta/models/generate-text-ok:generateContent"
        yield f"wrong generate {name}", _post(canary, path, body, key)
    for path in ("/v1/embeddings", "/v1/completions", "/v1/moderations"):
        yield f"wrong {path}", _post(canary, path, {"model": word, "input": {word: word}}, key)
    yield "unknown method", _post(canary, f"/v1beta/models/x:{word}", {}, key)
    yield "unknown model", _post(canary, f"/v1beta/models/{word}:generateContent", {}, key)


def _post(canary: Case, path: str, body: dict[str, Any], key: str) -> bytes:
    raw = json.dumps(body).encode()
    head = demands.head(canary, len(raw), key, target=path)
    more = f"x-codex-turn-metadata: {canary('header.codex')} {NEVER_FORWARDED}\r\n"
    more += f"session-id: {canary('header.session')} {NEVER_FORWARDED}\r\n"
    return head[:-2] + more.encode() + b"\r\n" + raw


def _kind(*, stream: bool) -> str:
    return "stream" if stream else "whole"
