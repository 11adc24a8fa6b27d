"""A rich request of each API with any of its values replaced: taken and sent on, or refused.

What comes from nothing but chance seldom gets past the first checks; this gets to every field that
is read. One value at a time is replaced by every kind of value, two at a time by chance.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.translate.errors import InvalidRequest
from oneapi.common.v1.endpoint_pb2 import Endpoint
from tests.unit.edge.translate.terms import terms
from tests.unit.edge.translate.test_generate_any_input import RICH as GOOGLES
from tests.unit.edge.translate.test_generate_any_input import places
from tests.unit.edge.translate.test_schemas import JSON_OPERATIONS, SENT, Limits, surface_of

PIXEL = "data:image/png;base64,aGk="
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
FUNCTION = {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True}
TOOL = {"type": "function", **FUNCTION}
CHAT: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look."},
                {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://a.test/b.png"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "aGk="}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "refusal": "No.",
            "reasoning_details": [
                {"type": "reasoning.text", "text": "H", "format": "unknown", "id": "r"},
                {"type": "reasoning.text", "text": "m", "format": "unknown"},
                {"type": "reasoning.text", "signature": "s", "format": "unknown"},
                {"type": "reasoning.summary", "summary": "H", "format": "openai-responses-v1"},
                {"type": "reasoning.encrypted", "data": "e", "format": "openai-responses-v1"},
            ],
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"a": 1}'},
                    "extra_content": {"google": {"thought_signature": "b25l"}},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "7"}]},
        {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."},
        {"role": "user", "content": "And?"},
    ],
    "tools": [{"type": "function", "function": FUNCTION}],
    "temperature": 0.5,
    "max_tokens": 9,
    "service_tier": "auto",
}
CHAT_SETTINGS: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": "Hi."}],
    "tools": [{"type": "function", "function": FUNCTION}],
    "tool_choice": {
        "type": "allowed_tools",
        "allowed_tools": {
            "mode": "auto",
            "tools": [{"type": "function", "function": {"name": "f"}}],
        },
    },
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "n", "schema": SCHEMA, "strict": True, "description": "d"},
    },
    "parallel_tool_calls": True,
    "reasoning": {"effort": "high", "max_tokens": 1024, "exclude": False},
    "stream": True,
    "stream_options": {"include_usage": True},
    "stop": ["x"],
    "modalities": ["text"],
    "store": False,
}
RESPONSES: dict[str, Any] = {
    "model": "m",
    "instructions": "Be brief.",
    "input": [
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Look."},
                {"type": "input_image", "image_url": PIXEL, "detail": "low"},
                {"type": "input_file", "file_data": "data:text/plain;base64,aGk=", "filename": "a"},
                {"type": "input_file", "file_url": "https://a.test/b.pdf"},
            ],
        },
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Hm."}],
            "encrypted_content": "secret",
        },
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "7"},
        {
            "type": "additional_tools",
            "tools": [
                {"type": "namespace", "name": "s", "tools": [{"type": "function", **FUNCTION}]}
            ],
        },
        {"role": "assistant", "content": [{"type": "output_text", "text": "Yes."}]},
        {"role": "user", "content": "And?"},
    ],
    "tools": [TOOL],
    "tool_choice": {"type": "function", "name": "f"},
    "text": {
        "format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True},
        "verbosity": "low",
    },
    "reasoning": {"effort": "high", "summary": "auto", "mode": "standard"},
    "include": ["reasoning.encrypted_content"],
    "max_output_tokens": 9,
    "truncation": "disabled",
    "store": False,
    "metadata": {"a": "b"},
}
MESSAGES: dict[str, Any] = {
    "model": "m",
    "max_tokens": 2048,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look."},
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": "aGk="},
                },
                {
                    "type": "document",
                    "title": "a",
                    "source": {"type": "text", "media_type": "text/plain", "data": "b"},
                },
                {"type": "image", "source": {"type": "url", "url": "https://a.test/b.png"}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "s"},
                {"type": "redacted_thinking", "data": "e"},
                {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "c1",
                    "content": [{"type": "text", "text": "7"}],
                    "is_error": False,
                }
            ],
        },
    ],
    "tools": [{"name": "f", "description": "d", "input_schema": SCHEMA, "strict": True}],
    "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 1024, "display": "summarized"},
    "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": SCHEMA}},
    "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
    "speed": "standard",
    "inference_geo": "global",
    "stop_sequences": ["x"],
}
DECLARED = {"name": "f", "description": "d", "behavior": "BLOCKING", "parameters": SCHEMA}
GOOGLES_MORE = {
    **GOOGLES,
    "tools": [{"functionDeclarations": [{**DECLARED, "response": SCHEMA}]}],
    "generationConfig": {"maxOutputTokens": 9},
}
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("createChatCompletion", CHAT),
    ("createChatCompletion", CHAT_SETTINGS),
    ("createResponse", RESPONSES),
    ("createMessage", MESSAGES),
    ("countMessageTokens", MESSAGES),
    ("generateContent", GOOGLES),
    ("generateContent", GOOGLES_MORE),
    ("streamGenerateContent", GOOGLES_MORE),
    ("countTokens", GOOGLES),
    ("countTokens", {"generateContentRequest": GOOGLES_MORE}),
    ("createCompletion", {"model": "m", "prompt": ["a"], "max_tokens": 9, "logprobs": 2, "n": 1}),
    (
        "createEmbedding",
        {"model": "m", "input": ["a"], "dimensions": 2},
    ),
    ("createModeration", {"model": "m", "input": [{"type": "text", "text": "a"}]}),
    ("createImage", {"model": "m", "prompt": "a", "n": 1, "size": "1x1", "quality": "low"}),
    ("createSpeech", {"model": "m", "input": "a", "voice": "b", "speed": 1.0}),
]
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 2**64 - 1, 0.5, "", "a", "\ud800"),
    *([], [[]], [{}], ["a"], {}, {"a": 1}, {"type": []}),
)
UPSTREAMS = (
    Endpoint.ENDPOINT_CHAT_COMPLETIONS,
    Endpoint.ENDPOINT_RESPONSES,
    Endpoint.ENDPOINT_MESSAGES,
    Endpoint.ENDPOINT_GENERATE_CONTENT,
)


def is_sent_on(name: str, body: dict[str, Any]) -> bool:
    """Say whether any upstream would get a request; every refusal is one of ours."""
    operation = JSON_OPERATIONS[name]
    surface, path = surface_of(operation), operation.path.replace("{model}", "m")
    sent = False
    try:
        raw = json.dumps(body).encode()
        asked = surface.read(raw, SENT, path, b"alt=sse")
        asked.shape(Limits())
    except InvalidRequest:
        return False
    for endpoint in {*UPSTREAMS, surface.endpoint}:
        try:
            translation = asked.translation(terms(endpoint, Endpoint.ENDPOINT_COUNT_TOKENS))
            written = translation.body(7)
        except InvalidRequest:
            continue
        assert isinstance(orjson.loads(written), dict)
        sent = True
    return sent


def replaced(body: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """Return a body with another value at a place."""
    made = copy.deepcopy(body)
    holder = made
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = value
    return made


def near(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield bodies with one value replaced."""
    for path in places(body)[1:]:
        for value in VALUES:
            yield replaced(body, path, value)


@pytest.mark.parametrize(("name", "body"), REQUESTS)
def test_a_request_with_any_value_replaced_is_sent_on_or_refused(
    name: str, body: dict[str, Any]
) -> None:
    """Never with an error that is not ours."""
    assert is_sent_on(name, body)
    found = [is_sent_on(name, one) for one in near(body)]
    assert {True, False} <= set(found)


@given(st.sampled_from(REQUESTS), st.data())
def test_a_request_with_two_values_replaced_is_sent_on_or_refused(
    asked: tuple[str, dict[str, Any]], data: st.DataObject
) -> None:
    """A value can be wrong because of another one."""
    name, body = asked
    for _ in range(2):
        path = data.draw(st.sampled_from(places(body)[1:] or [("model",)]))
        body = replaced(body, path, data.draw(st.sampled_from(VALUES)))
    is_sent_on(name, body)
