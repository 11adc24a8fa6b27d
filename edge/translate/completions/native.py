"""Completions for an upstream that serves completions: bytes pass, with our edits.

Answers differ from chat's in one field only: a choice has `text` where a chat has what was said.
"""

from __future__ import annotations

from typing import Final

import orjson

from edge.translate.answer import JSON_TYPE, StreamEnding, WholeAnswer
from edge.translate.chat import native as chat
from edge.translate.chat.stream import ChatStream
from edge.translate.completions.request import CompletionRequest
from edge.translate.native_body import forwarded
from edge.translate.quirks import quirks_of
from edge.translate.surface import Header, Terms
from edge.translate.tiers import LANE_TIERS
from edge.translate.usage import PriceOf

_SAID: Final = "text"


class NativeCompletion:
    """One request for one candidate, and its answer on the way back."""

    __slots__ = ("_request", "_terms")

    path = b"/completions"
    headers: tuple[Header, ...] = ()
    content_type = JSON_TYPE
    written_bytes = 0

    def __init__(self, request: CompletionRequest, terms: Terms) -> None:
        self._request = request
        self._terms = terms

    def body(self, output_limit: int | None) -> bytes:
        """Return the body for the upstream; its limit is stated, as the upstreams' own differ."""
        request, terms = self._request, self._terms
        limit = request.token_limit
        body = {
            **forwarded(request.body, terms.upstream_model),
            "max_tokens": limit if output_limit is None else min(limit, output_limit),
        }
        if request.stream:
            chat.ask_for_usage(body, quirks_of(terms.upstream))
        if request.service_tier in LANE_TIERS:
            del body["service_tier"]
        return orjson.dumps(body)

    def stream(self, price_of: PriceOf) -> ChatStream:
        """Return what carries a streamed answer to the client."""
        request, terms = self._request, self._terms
        terminal = terms.ends_with_terminal_frame
        return ChatStream(
            public_model=terms.public_model,
            show_usage=request.include_usage,
            price_of=price_of,
            ending=StreamEnding.TERMINAL if terminal else StreamEnding.EOF,
            choices=request.shown_choices,
            quirks=quirks_of(terms.upstream),
            said=_SAID,
        )

    def whole(self, body: bytes, _content_type: bytes, price_of: PriceOf) -> WholeAnswer:
        """Return a whole answer as the client gets it.

        Raises:
            MalformedAnswer: it is not a JSON object.
        """
        return chat.response(
            body,
            public_model=self._terms.public_model,
            price_of=price_of,
            quirks=quirks_of(self._terms.upstream),
            said=_SAID,
        )
