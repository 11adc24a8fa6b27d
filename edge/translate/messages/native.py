"""Messages to an upstream that serves messages: the request, and the whole answer.

Unknown fields pass. What the provider sees is what is billed: the object is serialised again from
what was parsed. The stream is in `stream.py`, the bound of a request's usage in `shape.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from edge.translate import finish, splice
from edge.translate.answer import JSON_TYPE, StreamEnding, WholeAnswer
from edge.translate.errors import MalformedAnswer
from edge.translate.json_body import answer_object, written
from edge.translate.messages import searches as web
from edge.translate.messages.ours import without_ours
from edge.translate.messages.request import BETA_QUERY, MessagesRequest
from edge.translate.messages.rounds import must_not_think
from edge.translate.messages.stream import MessagesLook, block_bytes, is_search
from edge.translate.messages.usage import UsageCounts
from edge.translate.native_body import forwarded
from edge.translate.native_stream import NativeStream
from edge.translate.surface import Terms
from edge.translate.tiers import LANE_TIERS
from edge.translate.usage import PriceOf, UsageTally, with_cost

PATH: Final = b"/messages"
COUNT_PATH: Final = b"/messages/count_tokens"
MIN_BUDGET_TOKENS: Final = 1024
"""The smallest budget for thinking (Messages API reference)."""


class NativeMessages:
    """One request for one candidate, and its answer on the way back."""

    __slots__ = (
        "_request",
        "_searches",
        "_terms",
        "content_type",
        "headers",
        "path",
        "written_bytes",
    )

    def __init__(
        self,
        request: MessagesRequest,
        terms: Terms,
        path: bytes = PATH,
        *,
        searches: Sequence[int] = (),
    ) -> None:
        """`searches` are those that each of the request's web search tools may make."""
        self._request = request
        self._searches = searches
        self._terms = terms
        self.path = path + b"?" + BETA_QUERY if request.is_beta else path
        self.headers = request.headers
        self.content_type = JSON_TYPE
        self.written_bytes = 0

    def body(self, output_limit: int | None) -> bytes:
        """Return the body for the upstream; `output_limit` caps its `max_tokens`."""
        body = forwarded(self._request.body, self._terms.upstream_model)
        body["messages"] = without_ours(body["messages"])
        if must_not_think(body):
            del body["thinking"]
        if self._request.service_tier in LANE_TIERS:
            del body["service_tier"]
        if self._searches:
            body["tools"] = web.limited(body["tools"], self._searches)
        return written(limited(body, output_limit))

    def stream(self, price_of: PriceOf) -> NativeStream:
        """Return what carries a streamed answer to the client."""
        look = MessagesLook(self._terms.public_model, self._terms.request_id)
        ending = StreamEnding.TERMINAL if self._terms.ends_with_terminal_frame else StreamEnding.EOF
        return NativeStream(look, ending, price_of, look.failed_event)

    def whole(self, body: bytes, _content_type: bytes, price_of: PriceOf) -> WholeAnswer:
        """Return a whole answer with our two edits: the public model id, and the cost in `usage`.

        Raises:
            MalformedAnswer: the body is no message.
        """
        answer = parsed(body)
        tally = UsageTally(price_of)
        edits: dict[str, bytes | None] = {}
        if "model" in answer:
            edits["model"] = orjson.dumps(self._terms.public_model)
        if isinstance(usage := answer.get("usage"), dict):
            edits |= with_cost(body, answer, tally.take(UsageCounts().take(usage)))
        sizes = [size for size in map(block_bytes, _blocks(answer)) if size is not None]
        return WholeAnswer(
            body=splice.edit(body, answer, edits),
            quantities=tally.quantities,
            usage_invalid=tally.invalid,
            finish_reason=finish.finish_reason(answer.get("stop_reason")),
            has_output=bool(sizes),
            content_bytes=sum(sizes),
            searches=sum(map(is_search, _blocks(answer))),
        )


class NativeCount(NativeMessages):
    """Counting tokens: the answer passes as it is, and there is nothing to charge."""

    __slots__ = ()

    def __init__(self, request: MessagesRequest, terms: Terms) -> None:
        super().__init__(request, terms, COUNT_PATH)

    def whole(self, body: bytes, _content_type: bytes, _price_of: PriceOf) -> WholeAnswer:
        """Return the count.

        Raises:
            MalformedAnswer: the body is none.
        """
        if type(parsed(body).get("input_tokens")) is not int:
            raise MalformedAnswer
        return WholeAnswer(
            body=body,
            quantities=None,
            usage_invalid=False,
            finish_reason=finish.UNSPECIFIED,
            has_output=True,
            content_bytes=0,
        )


def limited(body: dict[str, Any], output_limit: int | None) -> dict[str, Any]:
    """Return a body with an output limit of ours, the smaller one where it has its own.

    A budget for thinking must stay below the limit.
    """
    if output_limit is None:
        return body
    limit = min(body.get("max_tokens") or output_limit, output_limit)
    body = {**body, "max_tokens": limit}
    thinking = body.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    if type(budget) is int and budget >= limit:
        # Too small a budget is the provider's to refuse: it says so in the client's words.
        body["thinking"] = {**body["thinking"], "budget_tokens": max(MIN_BUDGET_TOKENS, limit - 1)}
    return body


def parsed(body: bytes) -> dict[str, Any]:
    """Return an answer's JSON object.

    Raises:
        MalformedAnswer: it is none.
    """
    answer = answer_object(body)
    if answer.get("type") == "error":
        raise MalformedAnswer
    return answer


def _blocks(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = answer.get("content")
    return [one for one in content if isinstance(one, dict)] if isinstance(content, list) else []
