"""Anthropic's own types, from its SDK, as checks of what we send to clients and to its API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.message_create_params import (
    MessageCreateParamsNonStreaming,
    MessageCreateParamsStreaming,
)
from pydantic import TypeAdapter


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def check_message(body: bytes) -> Message:
    """Return a whole answer as the SDK reads it; raises where it is none."""
    return Message.model_validate_json(body, strict=True)


def check_events(stream: bytes) -> list[Any]:
    """Return the events of a stream as the SDK reads them; its names stand in `event:` lines."""
    events = []
    for frame in stream.replace(b"\r\n", b"\n").split(b"\n\n"):
        lines = dict(line.split(b": ", 1) for line in frame.split(b"\n") if b": " in line)
        if not lines or lines[b"event"] in {b"ping", b"error"}:
            continue
        data = json.loads(lines[b"data"])
        assert data["type"] == lines[b"event"].decode()
        events.append(_adapter(RawMessageStreamEvent).validate_json(lines[b"data"], strict=True))
    return events


def check_request(body: Mapping[str, Any]) -> None:
    """Check a request for the API; what the SDK does not know it lets pass."""
    streamed = body.get("stream") is True
    kind: Any = MessageCreateParamsStreaming if streamed else MessageCreateParamsNonStreaming
    _walk(_adapter(kind).validate_python(body))


def _walk(value: Any) -> None:
    """Read everything: the SDK's lists are checked when they are read."""
    if isinstance(value, dict):
        for inner in value.values():
            _walk(inner)
    elif not isinstance(value, str | bytes | int | float | bool | None):
        for inner in value:
            _walk(inner)
