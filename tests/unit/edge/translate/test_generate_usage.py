"""Google's counts and words for an end, as ours."""

from __future__ import annotations

from typing import Any

import pytest

from edge.translate import finish
from edge.translate.generate import reasons, usage
from kit.charge import quantities
from oneapi.metering.v1.usage_record_pb2 import FinishReason

COUNTS = {"promptTokenCount": 5, "candidatesTokenCount": 3, "totalTokenCount": 8}
STOP = FinishReason.FINISH_REASON_STOP
LENGTH = FinishReason.FINISH_REASON_LENGTH
CALLS = FinishReason.FINISH_REASON_TOOL_CALLS
BLOCKED = FinishReason.FINISH_REASON_CONTENT_FILTER
ERROR = FinishReason.FINISH_REASON_ERROR
OTHER = FinishReason.FINISH_REASON_OTHER


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (COUNTS, {"input": 5, "output": 3}),
        ({"promptTokenCount": 5, "totalTokenCount": 5}, {"input": 5}),
        ({**COUNTS, "cachedContentTokenCount": 4}, {"input": 1, "cached_input": 4, "output": 3}),
        (
            {**COUNTS, "thoughtsTokenCount": 7, "totalTokenCount": 15},
            {"input": 5, "output": 3, "reasoning": 7},
        ),
        # Some models name their thoughts in the total only.
        ({**COUNTS, "totalTokenCount": 15}, {"input": 5, "output": 3, "reasoning": 7}),
        # What tools read is inside the prompt, or beyond it: the total says which.
        ({**COUNTS, "toolUsePromptTokenCount": 2}, {"input": 5, "output": 3}),
        (
            {**COUNTS, "toolUsePromptTokenCount": 2, "totalTokenCount": 10},
            {"input": 7, "output": 3},
        ),
        (
            {
                "promptTokenCount": 100,
                "cachedContentTokenCount": 40,
                "candidatesTokenCount": 30,
                "totalTokenCount": 130,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 20},
                    {"modality": "AUDIO", "tokenCount": 50},
                    {"modality": "IMAGE", "tokenCount": 30},
                ],
                "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 40}],
                "candidatesTokensDetails": [
                    {"modality": "AUDIO", "tokenCount": 25},
                    {"modality": "TEXT"},
                ],
            },
            {
                "input": 20,
                "cached_input": 40,
                "audio_input": 10,
                "image_input": 30,
                "output": 5,
                "audio_output": 25,
            },
        ),
    ],
)
def test_counts_are_disjoint_dimensions(counts: dict[str, Any], expected: dict[str, int]) -> None:
    """The provider's total decides."""
    assert usage.from_google(counts) == quantities(requests=1, **expected)


@pytest.mark.parametrize(
    "counts",
    [
        {},
        {"candidatesTokenCount": 3, "totalTokenCount": 3},
        {**COUNTS, "promptTokenCount": -1},
        {**COUNTS, "promptTokenCount": 5.0},
        {**COUNTS, "promptTokenCount": True},
        {**COUNTS, "candidatesTokenCount": 2**32},
        {**COUNTS, "totalTokenCount": 7},
        {**COUNTS, "cachedContentTokenCount": 6},
        {**COUNTS, "thoughtsTokenCount": 7, "totalTokenCount": 9},
        {**COUNTS, "thoughtsTokenCount": 7},
        {**COUNTS, "promptTokensDetails": {}},
        {**COUNTS, "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 4}]},
    ],
)
def test_counts_that_cannot_be_true_are_refused(counts: dict[str, Any]) -> None:
    """Never repaired: the caller estimates."""
    assert usage.from_google(counts) is None


def test_what_is_written_is_read_as_the_same_quantities() -> None:
    """But for the dimensions that this API has no counts for."""
    used = quantities(input=5, cached_input=4, output=3, reasoning=2, requests=1)
    assert usage.from_google(usage.to_google(used, "0.01")) == used
    assert usage.to_google(used, None) == {
        "promptTokenCount": 9,
        "cachedContentTokenCount": 4,
        "candidatesTokenCount": 3,
        "thoughtsTokenCount": 2,
        "totalTokenCount": 14,
    }


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("STOP", STOP),
        ("MAX_TOKENS", LENGTH),
        ("SAFETY", BLOCKED),
        ("RECITATION", BLOCKED),
        ("LANGUAGE", OTHER),
        ("OTHER", OTHER),
        ("BLOCKLIST", BLOCKED),
        ("PROHIBITED_CONTENT", BLOCKED),
        ("SPII", BLOCKED),
        ("MALFORMED_FUNCTION_CALL", ERROR),
        ("IMAGE_SAFETY", BLOCKED),
        ("IMAGE_PROHIBITED_CONTENT", BLOCKED),
        ("IMAGE_OTHER", OTHER),
        ("NO_IMAGE", OTHER),
        ("IMAGE_RECITATION", BLOCKED),
        ("UNEXPECTED_TOOL_CALL", ERROR),
        ("TOO_MANY_TOOL_CALLS", ERROR),
        ("MISSING_THOUGHT_SIGNATURE", ERROR),
        ("MALFORMED_RESPONSE", ERROR),
        ("SOMETHING_NEW", OTHER),
        (7, OTHER),
        ("FINISH_REASON_UNSPECIFIED", finish.UNSPECIFIED),
        ("", finish.UNSPECIFIED),
        (None, finish.UNSPECIFIED),
    ],
)
def test_every_word_for_an_end_has_its_meaning(
    word: object, reason: FinishReason.ValueType
) -> None:
    """A function call ends with STOP as well."""
    assert reasons.from_google(word, has_calls=False) == reason
    assert reasons.from_google("STOP", has_calls=True) == CALLS
