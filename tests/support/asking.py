"""A chat as a client sends it, and all that came back, however it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import httpx

MESSAGES: Final = [{"role": "user", "content": "Name a thing that is blue."}]
STREAMED: Final = {"stream": True, "stream_options": {"include_usage": True}}


@dataclass(frozen=True, slots=True)
class Told:
    """What came of one request: the answer's head, its body as far as it came, how it ended."""

    status: int
    request_id: str
    text: str
    clean: bool


def ask(client: httpx.Client, model: str, **more: Any) -> Told:
    """Send a chat and read whatever comes."""
    body = {"model": model, "messages": MESSAGES, **more}
    text, clean = "", True
    with client.stream("POST", "/chat/completions", json=body) as answer:
        try:
            for part in answer.iter_text():
                text += part
        except httpx.RemoteProtocolError:
            clean = False
    return Told(answer.status_code, answer.headers["x-request-id"], text, clean)
