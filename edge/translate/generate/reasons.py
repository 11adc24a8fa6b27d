"""Why a candidate ended: Google's words as the closed list of the record, and back."""

from __future__ import annotations

from typing import Final

from edge.translate import finish
from oneapi.metering.v1.usage_record_pb2 import FinishReason

# Looked up once: the generated enum searches its descriptor at each access.
STOP: Final = FinishReason.FINISH_REASON_STOP
LENGTH: Final = FinishReason.FINISH_REASON_LENGTH
TOOL_CALLS: Final = FinishReason.FINISH_REASON_TOOL_CALLS
CONTENT_FILTER: Final = FinishReason.FINISH_REASON_CONTENT_FILTER
ERROR: Final = FinishReason.FINISH_REASON_ERROR
OTHER: Final = FinishReason.FINISH_REASON_OTHER

_BLOCKED: Final = (
    *("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR"),
    *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"),
)
_FAILED: Final = (
    *("MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE"),
    *("UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"),
)
"""The model made something that is no answer."""
_FROM_GOOGLE: Final = {
    "STOP": STOP,
    "MAX_TOKENS": LENGTH,
    **dict.fromkeys(_BLOCKED, CONTENT_FILTER),
    **dict.fromkeys(_FAILED, ERROR),
    "FINISH_REASON_UNSPECIFIED": finish.UNSPECIFIED,
}
_TO_GOOGLE: Final = {
    STOP: "STOP",
    TOOL_CALLS: "STOP",
    LENGTH: "MAX_TOKENS",
    CONTENT_FILTER: "SAFETY",
}


def from_google(word: object, *, has_calls: bool) -> FinishReason.ValueType:
    """Return what a `finishReason` means; unspecified where the candidate has not ended.

    Google says STOP after function calls too.
    """
    if word is None or word == "":
        return finish.UNSPECIFIED
    reason = _FROM_GOOGLE.get(word, OTHER) if isinstance(word, str) else OTHER
    return TOOL_CALLS if reason == STOP and has_calls else reason


def to_google(reason: FinishReason.ValueType) -> str:
    """Return Google's word for why an answer ended."""
    return _TO_GOOGLE.get(reason, "OTHER")
