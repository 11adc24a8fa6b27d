"""Answers nested more deeply than what can be written: they pass or are malformed, no fault."""

from __future__ import annotations

import json
from typing import Any, Final

import orjson
import pytest

from edge.translate.answer import EndKind
from edge.translate.chat.surface import ChatSurface
from edge.translate.errors import MalformedAnswer
from edge.translate.generate.surface import GenerateSurface
from edge.translate.messages.surface import MessagesSurface
from edge.translate.responses.surface import ResponsesSurface
from edge.translate.surface import Surface, Translation
from oneapi.common.v1.endpoint_pb2 import Endpoint
from tests.unit.edge.translate.terms import price_of, terms

LEVELS: Final = 400
"""More than `orjson` writes, fewer than it reads."""
SAID: Final = [{"role": "user", "content": "Hi."}]
CHAT: Final = Endpoint.ENDPOINT_CHAT_COMPLETIONS
RESPONSES: Final = Endpoint.ENDPOINT_RESPONSES
MESSAGES: Final = Endpoint.ENDPOINT_MESSAGES
GENERATE: Final = Endpoint.ENDPOINT_GENERATE_CONTENT
CLIENTS: Final[list[tuple[Surface, dict[str, Any]]]] = [
    (ChatSurface(), {"messages": SAID}),
    (ResponsesSurface(), {"input": "Hi."}),
    (MessagesSurface(), {"messages": SAID, "max_tokens": 9}),
    (GenerateSurface(), {"contents": [{"parts": [{"text": "Hi."}]}]}),
]
DEEP: Final = "DEEP"
TOKEN: Final = {"token": "a", "logprob": DEEP, "bytes": DEEP, "top_logprobs": [{"token": DEEP}]}
CALL: Final = {"id": "c", "type": "function", "function": {"name": "f", "arguments": DEEP}}
BLOCK: Final = {"type": "tool_use", "id": "c", "name": "f", "input": {"a": DEEP}}
PART: Final = {"functionCall": {"name": "f", "args": {"a": DEEP}}}
TEXT: Final = {"type": "output_text", "text": "a", "annotations": [], "logprobs": [TOKEN]}
ANSWERS: Final[list[tuple[int, dict[str, Any], list[dict[str, Any]]]]] = [
    (
        CHAT,
        {"choices": [{"message": {"tool_calls": [CALL]}, "finish_reason": "stop"}]},
        [{"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, **CALL}]}}]}],
    ),
    (
        CHAT,
        {"choices": [{"message": {"content": "a"}, "logprobs": {"content": [TOKEN]}}]},
        [{"choices": [{"delta": {"content": "a"}, "logprobs": {"content": [TOKEN]}}]}],
    ),
    (
        RESPONSES,
        {"status": "completed", "output": [{"type": "message", "content": [TEXT]}]},
        [{"type": "response.output_text.delta", "delta": "a", "logprobs": [TOKEN]}],
    ),
    (
        MESSAGES,
        {"type": "message", "content": [BLOCK], "stop_reason": "end_turn"},
        [{"type": "content_block_start", "index": 0, "content_block": BLOCK}],
    ),
    (
        GENERATE,
        {"candidates": [{"content": {"parts": [PART]}, "finishReason": "STOP"}]},
        [{"candidates": [{"content": {"parts": [PART]}}]}],
    ),
    (
        GENERATE,
        {
            "candidates": [
                {
                    "content": {"parts": [{"text": "a"}]},
                    "logprobsResult": {
                        "chosenCandidates": [{"token": "a", "logProbability": {"a": DEEP}}]
                    },
                }
            ]
        },
        [],
    ),
]


def deep(document: dict[str, Any]) -> bytes:
    """Return a document with objects inside each other where it says so."""
    nested = '{"a":' * LEVELS + "1" + "}" * LEVELS
    return json.dumps(document).replace(f'"{DEEP}"', nested).encode()


def way(surface: Surface, body: dict[str, Any], endpoint: int, *, stream: bool) -> Translation:
    """Return how a client of an API gets the answer of an upstream of this one."""
    path = f"/v1beta/models/m:{'streamGenerateContent' if stream else 'generateContent'}"
    said = {} if isinstance(surface, GenerateSurface) else {"stream": stream}
    request = surface.read(orjson.dumps({**body, **said}), {}, path, b"alt=sse")
    return request.translation(terms(Endpoint.ValueType(endpoint)))


@pytest.mark.parametrize(("surface", "body"), CLIENTS)
@pytest.mark.parametrize(("endpoint", "whole", "frames"), ANSWERS)
def test_a_deep_answer_is_no_fault_of_ours(
    surface: Surface,
    body: dict[str, Any],
    endpoint: int,
    whole: dict[str, Any],
    frames: list[dict[str, Any]],
) -> None:
    """Natively its bytes pass, to other APIs what can be written does."""
    try:
        answer = way(surface, body, endpoint, stream=False).whole(deep(whole), b"", price_of)
        assert answer.has_output
    except MalformedAnswer:
        pass
    for frame in [*frames, whole] if endpoint == GENERATE else frames:
        stream = way(surface, body, endpoint, stream=True).stream(price_of)
        stream.feed(b"data: " + deep(frame) + b"\n\n")
        assert stream.finish(body_complete=False).kind is EndKind.CUT


def test_a_deep_message_passes_natively() -> None:
    """As many bytes as came; what it says beside the deep part is counted."""
    whole = deep({"type": "message", "content": [BLOCK], "stop_reason": "tool_use"})
    answer = way(*CLIENTS[2], MESSAGES, stream=False).whole(whole, b"", price_of)
    assert (answer.body, answer.has_output, answer.content_bytes) == (whole, True, len("f"))
