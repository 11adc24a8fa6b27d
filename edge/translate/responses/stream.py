"""The events of a streamed response on its way to the client."""

from __future__ import annotations

from typing import Any, Final

from edge.translate import splice
from edge.translate.native_stream import CostOf, Look
from edge.translate.responses.edits import ResponseEdits
from edge.translate.responses.failure import FAILURE_CODES, SERVER_ERROR, Progress
from edge.translate.responses.output import failure_of, finish_of, is_made, is_search, size_of

NO_MESSAGE: Final = "The upstream reported an error."
CONTENT_EVENTS: Final = frozenset(
    {
        *("response.output_text.delta", "response.refusal.delta"),
        *("response.reasoning_text.delta", "response.reasoning_summary_text.delta"),
        *("response.function_call_arguments.delta", "response.custom_tool_call_input.delta"),
        *("response.audio.delta", "response.audio.transcript.delta"),
        *("response.mcp_call_arguments.delta", "response.code_interpreter_call_code.delta"),
        *("response.shell_call_command.delta", "response.apply_patch_call_operation_diff.delta"),
    }
)
"""Events whose `delta` the model made."""
TERMINAL_EVENTS: Final = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "response.cancelled"}
)
MAX_SEQUENCE: Final = 2**53 - 1
"""The largest number that every JSON parser reads exactly (RFC 8259, 6)."""


class ResponsesLook:
    """The reading of one answer's frames."""

    __slots__ = ("_counted", "_edits", "_progress")

    def __init__(self, edits: ResponseEdits, progress: Progress) -> None:
        self._edits = edits
        self._progress = progress
        self._counted: set[int] = set()
        """Items whose content came in events of its own."""

    def look(self, data: bytes, event: dict[str, Any], cost_of: CostOf) -> Look:
        """Return what the frame with this data says; counts of usage go through `cost_of`."""
        kind = event.get("type")
        kind = kind if isinstance(kind, str) else ""
        response = event.get("response")
        if kind == "error" or event.get("error") or kind == "response.failed":
            return self._failed(event, response, cost_of)
        number = event.get("sequence_number")
        if isinstance(number, int) and number < MAX_SEQUENCE:
            self._progress.sequence = number + 1
        if isinstance(response, dict):
            return self._response(kind, data, event, cost_of)
        delta = event.get("delta")
        index = event.get("output_index")
        index = index if isinstance(index, int) else 0
        if kind in CONTENT_EVENTS and isinstance(delta, str) and delta:
            self._counted.add(index)
            return Look({}, made=True, content_bytes=len(delta.encode()))
        if kind == "response.output_item.done" and isinstance(item := event.get("item"), dict):
            return self._item_done(item, index)
        return Look({})

    def _response(self, kind: str, data: bytes, event: dict[str, Any], cost_of: CostOf) -> Look:
        response = event["response"]
        if isinstance(response.get("id"), str):
            self._progress.response_id = response["id"]
        if isinstance(response.get("created_at"), int):
            self._progress.created = response["created_at"]
        raw = splice.raw_member(data, event, "response")
        look = Look({"response": self._edits.edited(raw, response, cost_of)})
        if kind in TERMINAL_EVENTS:
            look.is_terminal = True
            look.finished = ((0, finish_of(response)),)
        return look

    def _item_done(self, item: dict[str, Any], index: int) -> Look:
        if index in self._counted:
            # Encrypted reasoning comes with the end of its item only.
            return Look({}, made=bool(item.get("encrypted_content")))
        searches = int(is_search(item))
        return Look({}, made=is_made(item), content_bytes=size_of(item), searches=searches)

    def _failed(self, event: dict[str, Any], response: Any, cost_of: CostOf) -> Look:
        if isinstance(response, dict):
            self._edits.count(response, cost_of)
            code, message = failure_of(response.get("error"))
        else:
            code, message = failure_of(event)
        self._progress.failure_code = code if code in FAILURE_CODES else SERVER_ERROR
        return Look({}, error=message or NO_MESSAGE)
