"""Finish reasons as the closed list of the usage record."""

from __future__ import annotations

import pytest

from edge.translate.finish import finish_reason, of_choices
from oneapi.metering.v1.usage_record_pb2 import FinishReason


@pytest.mark.parametrize(
    ("word", "name"),
    [
        (None, "UNSPECIFIED"),
        ("", "UNSPECIFIED"),
        ("stop", "STOP"),
        ("length", "LENGTH"),
        ("model_length", "LENGTH"),
        ("tool_calls", "TOOL_CALLS"),
        ("function_call", "TOOL_CALLS"),
        ("content_filter", "CONTENT_FILTER"),
        ("error", "ERROR"),
        ("insufficient_system_resource", "ERROR"),
        ("end_turn", "STOP"),
        ("stop_sequence", "STOP"),
        ("tool_use", "TOOL_CALLS"),
        ("max_tokens", "LENGTH"),
        ("model_context_window_exceeded", "LENGTH"),
        ("refusal", "CONTENT_FILTER"),
        ("pause_turn", "OTHER"),
        ("a sentence of somebody's", "OTHER"),
        (7, "OTHER"),
        (["stop"], "OTHER"),
    ],
)
def test_a_word_of_a_provider_becomes_a_number(word: object, name: str) -> None:
    """Never text: an unknown word is only known to be another one."""
    assert finish_reason(word) == FinishReason.Value(f"FINISH_REASON_{name}")


def test_of_several_choices_the_most_telling_reason_is_kept() -> None:
    """A record has one reason."""
    reasons = [finish_reason("stop"), finish_reason("length")]
    assert of_choices(reasons) == FinishReason.FINISH_REASON_LENGTH
    assert of_choices([]) == FinishReason.FINISH_REASON_UNSPECIFIED
