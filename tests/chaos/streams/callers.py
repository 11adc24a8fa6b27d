"""Clients of every API for text: a stream asked for by an unmodified SDK and read to its end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import anthropic
import httpx
import openai
from google import genai
from google.genai import errors, types

from tests.chaos.streams.asking import ANSWER_SECONDS_MAX, Told
from tests.support.stack import Stack

_HELLO: Final = [{"role": "user", "content": "hello"}]


@dataclass(frozen=True, slots=True)
class Callers:
    """The unmodified SDKs, without their repeats, which would hide what happened."""

    openai: openai.OpenAI
    anthropic: anthropic.Anthropic
    google: genai.Client
    googles_connections: httpx.Client
    """Google's SDK leaves a client that it was given open."""

    @classmethod
    def of(cls, stack: Stack) -> Callers:
        """Make them for a service."""
        root = stack.base_url.removesuffix("/v1")
        key, seconds = stack.api_key, ANSWER_SECONDS_MAX
        connections = httpx.Client(trust_env=False, event_hooks={"response": [_note_request_id]})
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
            genai.Client(
                api_key=key,
                http_options=types.HttpOptions(
                    base_url=root,
                    timeout=int(seconds * 1_000),
                    retry_options=types.HttpRetryOptions(attempts=1),
                    httpx_client=connections,
                ),
            ),
            connections,
        )

    def close(self) -> None:
        """Close their connections."""
        self.openai.close()
        self.anthropic.close()
        self.google.close()
        self.googles_connections.close()


class _Seen(threading.local):
    """Google's SDK raises errors without headers: whose answer a thread got last."""

    request_id = ""


_seen = _Seen()


def _note_request_id(answer: httpx.Response) -> None:
    _seen.request_id = answer.headers["x-request-id"]


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
    _seen.request_id, raised, chunks = "", "", 0
    try:
        for _ in callers.google.models.generate_content_stream(model=model, contents="hello"):
            chunks += 1
    except (errors.APIError, errors.UnknownApiResponseError, httpx.HTTPError) as error:
        raised = type(error).__name__
    return Told(_seen.request_id, raised, chunks)


ASK: Final = {
    "chat_completions": _ask_chat,
    "responses": _ask_responses,
    "messages": _ask_messages,
    "generate_content": _ask_generate,
}
