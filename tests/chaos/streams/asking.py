"""A recorded chat through the unmodified OpenAI SDK, and what the caller is told in the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import openai

from tests.e2e.test_recordings import request_of
from tests.support.recordings import Recording

ANSWER_SECONDS_MAX = 60.0


@dataclass(frozen=True, slots=True)
class Told:
    """What one caller saw: `raised` is the class of the exception, empty where there was none."""

    request_id: str
    raised: str
    chunks: int = 0


def sdk(base_url: str, api_key: str) -> openai.OpenAI:
    """Return the SDK as its users have it, but for its repeats, which would hide what happened."""
    http = openai.DefaultHttpxClient(trust_env=False)
    return openai.OpenAI(
        base_url=base_url,
        api_key=api_key,
        max_retries=0,
        timeout=ANSWER_SECONDS_MAX,
        http_client=http,
    )


def ask(client: openai.OpenAI, chat: Recording, *, model: str | None = None) -> Told:
    """Send a recorded request, to another model if one is named; read its answer to the end."""
    body: dict[str, Any] = request_of(chat, show_usage=True)
    body["model"] = model or body["model"]
    named = {name: body.pop(name) for name in ("model", "messages", "stream")}
    request_id, chunks = "", 0
    try:
        raw = client.chat.completions.with_raw_response.create(**named, extra_body=body)
        request_id = raw.headers["x-request-id"]
        answer: Any = raw.parse()
        if chat.is_stream:
            for _ in answer:
                chunks += 1
    except (openai.OpenAIError, httpx.HTTPError) as error:
        if isinstance(error, openai.APIStatusError):
            request_id = error.response.headers["x-request-id"]
        return Told(request_id, type(error).__name__, chunks)
    return Told(request_id, "", chunks)
