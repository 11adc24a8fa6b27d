"""Why a model stopped: the providers' words as the closed list of the usage record."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from oneapi.metering.v1.usage_record_pb2 import FinishReason

# Looked up once: the generated enum searches its descriptor at each access.
UNSPECIFIED: Final = FinishReason.FINISH_REASON_UNSPECIFIED
STOP: Final = FinishReason.FINISH_REASON_STOP
ERROR: Final = FinishReason.FINISH_REASON_ERROR
_OTHER: Final = FinishReason.FINISH_REASON_OTHER
_REASONS: Final = {
    "stop": FinishReason.FINISH_REASON_STOP,
    "length": FinishReason.FINISH_REASON_LENGTH,
    "max_tokens": FinishReason.FINISH_REASON_LENGTH,
    "model_length": FinishReason.FINISH_REASON_LENGTH,
    "tool_calls": FinishReason.FINISH_REASON_TOOL_CALLS,
    "function_call": FinishReason.FINISH_REASON_TOOL_CALLS,
    "content_filter": FinishReason.FINISH_REASON_CONTENT_FILTER,
    # Anthropic's, whose `pause_turn` and `compaction` are other reasons (Messages API).
    "end_turn": FinishReason.FINISH_REASON_STOP,
    "stop_sequence": FinishReason.FINISH_REASON_STOP,
    "tool_use": FinishReason.FINISH_REASON_TOOL_CALLS,
    "model_context_window_exceeded": FinishReason.FINISH_REASON_LENGTH,
    "refusal": FinishReason.FINISH_REASON_CONTENT_FILTER,
    "error": ERROR,
    "insufficient_system_resource": ERROR,
}
_MOST_TELLING_FIRST: Final = (
    ERROR,
    FinishReason.FINISH_REASON_CONTENT_FILTER,
    FinishReason.FINISH_REASON_LENGTH,
    FinishReason.FINISH_REASON_TOOL_CALLS,
    FinishReason.FINISH_REASON_STOP,
    _OTHER,
)


def finish_reason(word: object) -> FinishReason.ValueType:
    """Return what a provider's `finish_reason` means; unspecified for null and an empty word."""
    if word is None or word == "":
        return UNSPECIFIED
    known = _REASONS.get(word) if isinstance(word, str) else None
    return _OTHER if known is None else known


def of_choices(reasons: Iterable[FinishReason.ValueType]) -> FinishReason.ValueType:
    """Return the one reason that a record keeps for several choices: the most telling one."""
    seen = set(reasons)
    for reason in _MOST_TELLING_FIRST:
        if reason in seen:
            return reason
    return UNSPECIFIED
