"""What the frames of a native stream of messages mean (Messages API reference, streaming)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from edge.translate import finish, splice
from edge.translate.json_body import made_bytes
from edge.translate.messages.errors import stream_error
from edge.translate.messages.shape import FOUND_PAGES
from edge.translate.messages.usage import UsageCounts
from edge.translate.native_stream import CostOf, Look
from edge.translate.usage import with_cost

MADE_FIELDS: Final = ("text", "thinking", "partial_json", "data", "name", "content")
"""What in a block or a delta the model made, as text."""
SIGNS: Final = ("signature", "citation")
"""What a delta has of thinking or sources that are not shown."""
_MADE_IN: Final = {"content_block_start": "content_block", "content_block_delta": "delta"}
_NO_MESSAGE: Final = "The upstream reported an error."


class MessagesLook:
    """Reads the frames of one answer."""

    __slots__ = ("_counts", "_error_type", "_model", "_request_id")

    def __init__(self, public_model: str, request_id: str) -> None:
        self._model = orjson.dumps(public_model)
        self._request_id = request_id
        self._counts = UsageCounts()
        self._error_type = "api_error"

    def look(self, data: bytes, event: dict[str, Any], cost_of: CostOf) -> Look:
        """Return what the frame with this data says."""
        kind = event.get("type")
        if isinstance(kind, str) and kind in _MADE_IN:
            return _made(event.get(_MADE_IN[kind]))
        match kind:
            case "message_start":
                return Look(self._started(data, event, cost_of))
            case "message_delta":
                return self._ending(data, event, cost_of)
        if kind == "error" or event.get("error"):
            # Also without its type: an error may repeat the request, credential included.
            return Look({}, error=self._error(event.get("error")))
        return Look({}, is_terminal=kind == "message_stop")

    def failed_event(self, message: str) -> bytes:
        """Return the provider's in-band error as the client gets it: its kind, our code."""
        return stream_error(message, self._error_type, self._request_id)

    def _started(
        self, data: bytes, event: Mapping[str, Any], cost_of: CostOf
    ) -> dict[str, bytes | None]:
        message = event.get("message")
        if not isinstance(message, dict):
            return {}
        raw = splice.raw_member(data, event, "message")
        edits: dict[str, bytes | None] = {"model": self._model} if "model" in message else {}
        if isinstance(usage := message.get("usage"), dict):
            edits |= with_cost(raw, message, cost_of(self._counts.take(usage)))
        return {"message": splice.edit(raw, message, edits)}

    def _ending(self, data: bytes, event: dict[str, Any], cost_of: CostOf) -> Look:
        edits: dict[str, bytes | None] = {}
        if isinstance(usage := event.get("usage"), dict):
            edits = with_cost(data, event, cost_of(self._counts.take(usage)))
        delta = event.get("delta")
        reason = finish.finish_reason(delta.get("stop_reason") if isinstance(delta, dict) else None)
        finished = () if reason == finish.UNSPECIFIED else ((0, reason),)
        return Look(edits, finished=finished)

    def _error(self, error: Any) -> str:
        told = error if isinstance(error, dict) else {}
        if isinstance(kind := told.get("type"), str):
            self._error_type = kind
        message = told.get("message")
        return message if isinstance(message, str) and message else _NO_MESSAGE


def block_bytes(block: Any) -> int | None:
    """Return the bytes of text that the model made in a block or a delta, None if it made nothing.

    Thinking and sources that are not shown count as made, with no bytes.
    """
    if not isinstance(block, dict):
        return None
    texts = [value for name in MADE_FIELDS if isinstance(value := block.get(name), str) and value]
    size = sum(len(text.encode()) for text in texts)
    given = block.get("input")
    if isinstance(given, dict) and given:
        size += made_bytes(given)
    if size or any(block.get(name) for name in SIGNS):
        return size
    return None


def is_search(block: Mapping[str, Any]) -> bool:
    """Say whether a block is what a search of the web found; one that failed costs nothing.

    (Anthropic's guide to web search, usage and pricing.)
    """
    return block.get("type") == FOUND_PAGES and isinstance(block.get("content"), list)


def _made(block: Any) -> Look:
    size = block_bytes(block)
    searches = int(isinstance(block, dict) and is_search(block))
    return Look({}, made=size is not None, content_bytes=size or 0, searches=searches)
