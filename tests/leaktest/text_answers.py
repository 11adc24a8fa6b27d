"""What upstreams of the other APIs for text answer in the leak suite, canaries everywhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from tests.leaktest.upstream import Answer


def model_in(path: bytes) -> str | None:
    """Return the model in a path of Google's API, None in any other path."""
    text = unquote(path.decode("latin-1"))
    return text.partition("/models/")[2].rpartition(":")[0] if "/models/" in text else None


async def text_ok(answer: Answer) -> None:
    """Answer well, in the API of the path."""
    path = answer.head.split(b" ", 2)[1]
    if path.endswith((b"/count_tokens", b":countTokens")):
        counts = {"input_tokens": 5, "totalTokens": 5, answer.canary("usage.key"): 1}
        _document(answer, counts)
    elif path.endswith(b"/messages"):
        _of_messages(answer)
    elif path.endswith(b"/responses"):
        _of_responses(answer)
    elif b"enerateContent" in path:
        _of_generate(answer, stream=b":stream" in path)
    elif path.endswith(b"/completions"):
        _of_completions(answer)
    elif path.endswith(b"/embeddings"):
        vector = {"object": "embedding", "index": 0, "embedding": [0.5], answer.canary("id"): 1}
        counts = {"prompt_tokens": 5, "total_tokens": 5}
        _document(answer, {"object": "list", "data": [vector], "model": "m", "usage": counts})
    else:
        result = {"flagged": False, "categories": {answer.content(): False}}
        _document(answer, {"id": answer.canary("id"), "model": "m", "results": [result]})


def _of_messages(answer: Answer) -> None:
    usage = {"input_tokens": 11, "output_tokens": 7}
    call = {"type": "tool_use", "id": answer.canary("tool.id"), "name": "find", "input": {}}
    head = {
        "id": answer.canary("id"),
        "type": "message",
        "role": "assistant",
        "model": answer.canary("model"),
        "stop_sequence": None,
    }
    if not answer.stream:
        arguments = {"q": answer.canary("tool.arguments")}
        content = [{"type": "text", "text": answer.content()}, {**call, "input": arguments}]
        body = {**head, "content": content, "stop_reason": "tool_use", "usage": usage}
        _document(answer, body)
        return
    text = {"type": "text", "text": ""}
    started: dict[str, Any] = {
        **head,
        "content": [],
        "stop_reason": None,
        "usage": {**usage, "output_tokens": 1},
    }
    part = json.dumps({"q": answer.canary("tool.arguments")})
    ended = {"stop_reason": "tool_use", "stop_sequence": None}
    _events(
        answer,
        {"type": "message_start", "message": started},
        {"type": "content_block_start", "index": 0, "content_block": text},
        _delta(0, type="text_delta", text=answer.content()),
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": call},
        _delta(1, type="input_json_delta", partial_json=part),
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": ended, "usage": usage},
        {"type": "message_stop"},
    )


def _delta(index: int, **delta: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def _of_responses(answer: Answer) -> None:
    text = answer.content()
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {
        "type": "message",
        "id": answer.canary("id"),
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }
    counts = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
    body = {
        "id": answer.canary("id"),
        "object": "response",
        "model": answer.canary("model"),
        "status": "completed",
        "output": [item],
        "usage": counts,
        answer.canary("usage.key"): 1,
    }
    if not answer.stream:
        _document(answer, body)
        return
    begun = {**body, "status": "in_progress", "output": [], "usage": None}
    place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    _events(
        answer,
        {"type": "response.created", "sequence_number": 0, "response": begun},
        {
            "type": "response.output_text.delta",
            "sequence_number": 1,
            "delta": text,
            "logprobs": [],
            **place,
        },
        {"type": "response.completed", "sequence_number": 2, "response": body},
    )


def _of_generate(answer: Answer, *, stream: bool) -> None:
    parts = [
        {"text": answer.content()},
        {"functionCall": {"name": "find", "args": {"q": answer.canary("tool.arguments")}}},
    ]
    counts = {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18}
    body = {
        "candidates": [{"content": {"parts": parts, "role": "model"}, "finishReason": "STOP"}],
        "usageMetadata": counts,
        "modelVersion": answer.canary("model"),
        "responseId": answer.canary("id"),
    }
    if stream:
        _events(answer, body)
    else:
        _document(answer, body)


def _of_completions(answer: Answer) -> None:
    choice = {"index": 0, "text": answer.content(), "finish_reason": "stop", "logprobs": None}
    counts = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    body = {**answer.frame_head("text_completion"), "choices": [choice], "usage": counts}
    if not answer.stream:
        _document(answer, body)
        return
    answer.start(content_type="text/event-stream")
    answer.chunk(b"data: " + json.dumps(body).encode() + b"\n\ndata: [DONE]\n\n")
    answer.end()


def _document(answer: Answer, document: dict[str, Any]) -> None:
    answer.whole("200 OK", json.dumps(document).encode(), "application/json")


def _events(answer: Answer, *events: dict[str, Any]) -> None:
    answer.start(content_type="text/event-stream")
    for event in events:
        named = f"event: {event['type']}\n".encode() if "type" in event else b""
        answer.chunk(named + b"data: " + json.dumps(event).encode() + b"\n\n")
    answer.end()
