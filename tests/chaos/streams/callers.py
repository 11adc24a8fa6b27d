"""Clients of every API for text: a stream asked for by an unmodified SDK and read to its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import anthropic
import httpx
import openai

from tests.chaos.streams.asking import ANSWER_SECONDS_MAX, Told
from tests.support.stack import Stack

_HELLO: Final = [{"role": "user", "content": "hello"}]


@dataclass(frozen=True, slots=True)
class Callers:
    """The unmodified SDKs, without their repeats, which would hide what happened."""

    openai: openai.OpenAI
    anthropic: anthropic.Anthropic
    plain: httpx.Client

    @classmethod
    def of(cls, stack: Stack) -> Callers:
        """Make them for a service."""
        root = stack.base_url.removesuffix("/v1")
        key, seconds = stack.api_key, ANSWER_SECONDS_MAX
        return cls(
            openai.OpenAI(
                base_url=stack.base_url,
                api_key=key,
                max_retries=0,
                timeout=seconds,
                http_client=openai.DefaultHttpxClient(trust_env=False),
            ),
            anthropic.Anthropic(
                base_url=root,
                api_key=key,
                max_retries=0,
                timeout=seconds,
                http_client=anthropic.DefaultHttpxClient(trust_env=False),
            ),
            httpx.Client(
                base_url=root,
                headers={"x-goog-api-key": key},
                timeout=seconds,
                trust_env=False,
            ),
        )

    def close(self) -> None:
        """Close their connections."""
        self.openai.close()
        self.anthropic.close()
        self.plain.close()


def _by_sdk(begin: Callable[[], Any]) -> Told:
    request_id, chunks = "", 0
    try:
        raw = begin()
        request_id = raw.headers["x-request-id"]
        for _ in raw.parse():
            chunks += 1
    except (openai.OpenAIError, anthropic.AnthropicError, httpx.HTTPError) as error:
        if isinstance(error, openai.APIStatusError | anthropic.APIStatusError):
            request_id = error.response.headers["x-request-id"]
        return Told(request_id, type(error).__name__, chunks)
    return Told(request_id, "", chunks)


def _ask_chat(callers: Callers, model: str) -> Told:
    create = callers.openai.chat.completions.with_raw_response.create
    messages: Any = _HELLO
    return _by_sdk(lambda: create(model=model, messages=messages, stream=True))


def _ask_responses(callers: Callers, model: str) -> Told:
    create = callers.openai.responses.with_raw_response.create
    return _by_sdk(lambda: create(model=model, input="hello", stream=True))


def _ask_messages(callers: Callers, model: str) -> Told:
    create = callers.anthropic.messages.with_raw_response.create
    messages: Any = _HELLO
    return _by_sdk(lambda: create(model=model, max_tokens=4_096, messages=messages, stream=True))


def _ask_generate(callers: Callers, model: str) -> Told:
    """Ask as Google's SDK does; `make clients` has the SDK itself."""
    path = f"/v1beta/models/{model}:streamGenerateContent?alt=sse"
    body = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
    parts: list[bytes] = []
    request_id, raised = "", ""
    try:
        with callers.plain.stream("POST", path, json=body) as answer:
            request_id = answer.headers["x-request-id"]
            raised = "" if answer.status_code == 200 else f"status {answer.status_code}"
            parts.extend(answer.iter_raw())
    except httpx.HTTPError as error:
        raised = type(error).__name__
    if any(b'"error"' in part for part in parts):
        raised = "error in the stream"
    return Told(request_id, raised, len(parts))


ASK: Final = {
    "chat_completions": _ask_chat,
    "responses": _ask_responses,
    "messages": _ask_messages,
    "generate_content": _ask_generate,
}
