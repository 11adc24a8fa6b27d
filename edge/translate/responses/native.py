"""Responses to an upstream that serves them itself: the request, and the whole answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from edge.translate import sse
from edge.translate.answer import JSON_TYPE, StreamEnding, WholeAnswer
from edge.translate.errors import MalformedAnswer
from edge.translate.json_body import answer_object, objects
from edge.translate.native_body import forwarded
from edge.translate.native_stream import NativeStream
from edge.translate.quirks import quirks_of
from edge.translate.responses import sealed
from edge.translate.responses.edits import ResponseEdits
from edge.translate.responses.failure import Progress, Running, failed_frames
from edge.translate.responses.output import finish_of, is_made, searches_in, size_of
from edge.translate.responses.stream import ResponsesLook
from edge.translate.surface import Header, Terms
from edge.translate.tiers import LANE_TIERS
from edge.translate.usage import PriceOf, UsageTally

PATH: Final = b"/responses"
_ENDED: Final = frozenset({"completed", "incomplete", "failed", "cancelled"})


class NativeResponses:
    """One request for one candidate, and its answer on the way back."""

    __slots__ = ("_body", "_edits", "_progress", "_running", "_terms", "_tool_calls")

    path = PATH
    headers: tuple[Header, ...] = ()
    content_type = JSON_TYPE
    written_bytes = 0

    def __init__(
        self,
        body: Mapping[str, Any],
        running: Running,
        progress: Progress,
        terms: Terms,
        tool_calls: int | None = None,
    ) -> None:
        """Take the most calls of tools that the provider may run, None where it has none."""
        self._body = body
        self._tool_calls = tool_calls
        self._running = running
        self._progress = progress
        self._terms = terms
        self._edits = ResponseEdits(
            terms.public_model, body.get("metadata"), quirks_of(terms.upstream)
        )

    def body(self, output_limit: int | None) -> bytes:
        """Return the body for the upstream; `output_limit` caps the output tokens."""
        body = forwarded(self._body, self._terms.upstream_model)
        body["store"] = False  # it is true where nobody says so
        if body.get("service_tier") in LANE_TIERS:
            # It chose our lane; at the upstream it would change the price.
            del body["service_tier"]
        if output_limit is not None:
            body["max_output_tokens"] = min(
                body.get("max_output_tokens") or output_limit, output_limit
            )
        if self._tool_calls is not None:
            body["max_tool_calls"] = self._tool_calls
        if isinstance(given := body["input"], list):
            body["input"] = [item for item in given if not sealed.is_useless(item)]
        return orjson.dumps(body)

    def stream(self, price_of: PriceOf) -> NativeStream:
        """Return what carries a streamed answer to the client."""
        ending = StreamEnding.TERMINAL if self._terms.ends_with_terminal_frame else StreamEnding.EOF
        self._running.progress = self._progress
        look = ResponsesLook(self._edits, self._progress)
        return NativeStream(
            look,
            ending,
            price_of,
            self._failed_event,
            max_frame_bytes=sse.LARGE_FRAME_BYTES,
        )

    def whole(self, body: bytes, _content_type: bytes, price_of: PriceOf) -> WholeAnswer:
        """Return a whole answer with our edits.

        Raises:
            MalformedAnswer: it is no response that has ended.
        """
        response = _parsed(body)
        tally = UsageTally(price_of)
        edited = self._edits.edited(body, response, tally.take)
        output = objects(response.get("output"))
        return WholeAnswer(
            body=edited,
            quantities=tally.quantities,
            usage_invalid=tally.invalid,
            finish_reason=finish_of(response),
            has_output=any(map(is_made, output)),
            content_bytes=sum(map(size_of, output)),
            searches=searches_in(response),
        )

    def _failed_event(self, message: str) -> bytes:
        return failed_frames(self._body, self._progress, "upstream_stream_error", message)


def _parsed(body: bytes) -> dict[str, Any]:
    response = answer_object(body)
    status = response.get("status")
    if not isinstance(status, str) or status not in _ENDED:
        raise MalformedAnswer
    return response
