"""What a response object says: what was made, why it ended, what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edge.translate import finish
from edge.translate.json_body import made_bytes, objects
from edge.translate.quirks import COMPATIBLE, Quirks
from edge.translate.usage import from_openai
from kit.charge import Quantities
from oneapi.metering.v1.usage_record_pb2 import FinishReason

TOOL_CALLS: Final = FinishReason.FINISH_REASON_TOOL_CALLS
CLIENT_CALLS: Final = frozenset(
    {
        *("function_call", "custom_tool_call", "local_shell_call", "shell_call"),
        *("apply_patch_call",),
    }
)
"""Items that ask the client to run something."""
_READING_ACTIONS: Final = ("open_page", "find_in_page")
_TEXT_MEMBERS: Final = ("text", "refusal", "name", "arguments", "input", "action", "operation")


def finish_of(response: Mapping[str, Any]) -> FinishReason.ValueType:
    """Return why a response ended, unspecified while it runs."""
    status = response.get("status")
    if status == "completed":
        return TOOL_CALLS if any(map(is_client_call, objects(response.get("output")))) else _STOP
    if status == "incomplete":
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        return _INCOMPLETE.get(reason if isinstance(reason, str) else "", _OTHER)
    if status == "failed":
        return finish.ERROR
    return _OTHER if status == "cancelled" else finish.UNSPECIFIED


def is_client_call(item: Mapping[str, Any]) -> bool:
    """Say whether an item asks the client to run something."""
    kind = item.get("type")
    if kind == "tool_search_call":
        return item.get("execution") == "client"
    return isinstance(kind, str) and kind in CLIENT_CALLS


def size_of(item: Mapping[str, Any]) -> int:
    """Return the bytes that the model made in an item."""
    size = sum(_size_of(item.get(name)) for name in _TEXT_MEMBERS)
    for name in ("content", "summary"):
        for part in objects(item.get(name)):
            size += sum(_size_of(part.get(member)) for member in ("text", "refusal"))
    return size


def is_made(item: Mapping[str, Any]) -> bool:
    """Say whether an item holds anything that the model made; encrypted reasoning counts."""
    return size_of(item) > 0 or bool(item.get("encrypted_content"))


def searches_in(response: Mapping[str, Any]) -> int:
    """Return how many searches of the web a response has: opening a page that was found is none.

    OpenAI bills `search` actions only (guide to web search, "Output and citations").
    """
    return sum(map(is_search, objects(response.get("output"))))


def is_search(item: Mapping[str, Any]) -> bool:
    """Say whether an item is a search of the web that took place."""
    action = item.get("action")
    is_reading = isinstance(action, dict) and action.get("type") in _READING_ACTIONS
    is_search = item.get("type") == "web_search_call" and item.get("status") == "completed"
    return is_search and not is_reading


def quantities_of(
    usage: Mapping[str, Any], quirks: Quirks = COMPATIBLE, tool_calls: int = 0
) -> Quantities | None:
    """Return the quantities of a `usage` object of a response, None if it cannot be true.

    The members are those of chat completions by other names, with the same arithmetic.
    """
    return from_openai(
        {
            "prompt_tokens": usage.get("input_tokens"),
            "prompt_tokens_details": usage.get("input_tokens_details"),
            "completion_tokens": usage.get("output_tokens"),
            "completion_tokens_details": usage.get("output_tokens_details"),
            "total_tokens": usage.get("total_tokens"),
        },
        quirks=quirks,
        tool_calls=tool_calls,
    )


def failure_of(error: Any) -> tuple[str, str]:
    """Return the code and the message of an error, nested in its event or not; maybe empty."""
    inner = error.get("error") if isinstance(error, dict) else None
    told = inner if isinstance(inner, dict) else error
    if not isinstance(told, dict):
        return "", told if isinstance(told, str) else ""
    code, message = told.get("code"), told.get("message")
    return code if isinstance(code, str) else "", message if isinstance(message, str) else ""


def _size_of(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, str):
        return len(value.encode())
    return made_bytes(value)


_STOP: Final = FinishReason.FINISH_REASON_STOP
_OTHER: Final = FinishReason.FINISH_REASON_OTHER
_INCOMPLETE: Final = {
    "max_output_tokens": FinishReason.FINISH_REASON_LENGTH,
    "content_filter": FinishReason.FINISH_REASON_CONTENT_FILTER,
}
