"""The four APIs for text, each by its client side and its upstream side."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, Protocol

from edge.translate.chat.surface import ChatSurface
from edge.translate.generate.surface import GenerateSurface
from edge.translate.messages.surface import MessagesSurface
from edge.translate.neutral.conversation import Conversation
from edge.translate.neutral.halves import AnswerWriter, UpstreamApi
from edge.translate.responses.surface import ResponsesSurface
from edge.translate.surface import Surface, Terms, Translation
from edge.translate.upstreams import UPSTREAM_APIS
from oneapi.common.v1.endpoint_pb2 import Endpoint


class TextCall(Protocol):
    """A client's request for text."""

    def conversation(self) -> Conversation:
        """Return it in the neutral form."""

    def writer(self, terms: Terms) -> AnswerWriter:
        """Return what writes its answer."""

    def translation(self, terms: Terms) -> Translation:
        """Return how it reaches a candidate."""


@dataclass(frozen=True, slots=True)
class TextApi:
    """One API. `simple_body` is the least that its clients send who want to see reasoning."""

    name: str
    surface: Surface
    simple_body: dict[str, Any]
    has_choices: bool = False

    @property
    def number(self) -> Endpoint.ValueType:
        """Return the endpoint's number."""
        return self.surface.endpoint

    @property
    def upstream(self) -> UpstreamApi:
        """Return its upstream side."""
        return next(api for api in UPSTREAM_APIS if api.endpoint == self.surface.endpoint)

    def read(self, body: dict[str, Any], *, is_stream: bool) -> TextCall:
        """Read a request as the edge does."""
        path = "/v1"
        if self.name == "generate_content":
            method = "streamGenerateContent" if is_stream else "generateContent"
            path = f"/v1beta/models/any:{method}"
        else:
            body = {**body, "stream": is_stream}
        call: Any = self.surface.read(json.dumps(body).encode(), {}, path, b"alt=sse")
        return call  # type: ignore[no-any-return]

    def simple(self, *, is_stream: bool) -> TextCall:
        """Read the least request."""
        return self.read(self.simple_body, is_stream=is_stream)


_HELLO: Final = [{"role": "user", "content": "hello"}]
TEXT_APIS: Final = {
    api.name: api
    for api in (
        TextApi(
            "chat_completions",
            ChatSurface(),
            {
                "model": "m",
                "messages": _HELLO,
                "stream_options": {"include_usage": True},
            },
            has_choices=True,
        ),
        TextApi("responses", ResponsesSurface(), {"model": "m", "input": "hello"}),
        TextApi(
            "messages",
            MessagesSurface(),
            {
                "model": "m",
                "messages": _HELLO,
                "max_tokens": 4_096,
                "thinking": {"type": "enabled", "budget_tokens": 1_024},
            },
        ),
        TextApi(
            "generate_content",
            GenerateSurface(),
            {
                "contents": [{"role": "user", "parts": [{"text": "hello"}]}],
                "generationConfig": {"thinkingConfig": {"includeThoughts": True}},
            },
            has_choices=True,
        ),
    )
}
