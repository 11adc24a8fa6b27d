"""Anthropic's counts as our dimensions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.translate.messages.usage import UsageCounts, to_anthropic
from kit.charge import DIMENSIONS, MAX_QUANTITY, Dimension, quantities


def counted(*usages: dict[str, Any]) -> Any:
    """Return what the last of these reports adds up to."""
    counts = UsageCounts()
    return [counts.take(usage) for usage in usages][-1]


def test_input_leaves_the_cache_out_and_output_includes_thinking() -> None:
    """The classes are disjoint."""
    usage = {
        "input_tokens": 12,
        "cache_read_input_tokens": 2000,
        "cache_creation_input_tokens": 1500,
        "cache_creation": {"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 500},
        "output_tokens": 30,
        "output_tokens_details": {"thinking_tokens": 20},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 3},
    }
    assert counted(usage) == quantities(
        input=12,
        cached_input=2000,
        cache_write=1000,
        cache_write_long=500,
        output=10,
        reasoning=20,
        requests=1,
        tool_calls=2,
    )


def test_the_end_of_a_stream_counts_everything_so_far() -> None:
    """What it leaves out, or gives as null, stays as it was; a total keeps its parts."""
    begun = {
        "input_tokens": 7,
        "cache_creation_input_tokens": 9,
        "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 5},
        "output_tokens": 1,
    }
    expected = quantities(input=7, cache_write=4, cache_write_long=5, output=8, requests=1)
    assert counted(begun, {"output_tokens": 8}) == expected
    ended = {"input_tokens": None, "cache_creation_input_tokens": 9, "output_tokens": 8}
    assert counted(begun, ended) == expected


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"input_tokens": 1},
        {"output_tokens": 1},
        {"input_tokens": -1, "output_tokens": 1},
        {"input_tokens": True, "output_tokens": 1},
        {"input_tokens": 1.0, "output_tokens": 1},
        {"input_tokens": MAX_QUANTITY + 1, "output_tokens": 1},
        {"input_tokens": 1, "output_tokens": 1, "cache_read_input_tokens": "2"},
        {"input_tokens": 1, "output_tokens": 1, "output_tokens_details": {"thinking_tokens": 2}},
        {"input_tokens": 1, "output_tokens": 1, "output_tokens_details": []},
        {
            "input_tokens": 1,
            "output_tokens": 1,
            "cache_creation_input_tokens": 5,
            "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 1},
        },
    ],
)
def test_counts_that_cannot_be_true_are_not_used(usage: dict[str, Any]) -> None:
    """Never repaired: the caller estimates."""
    assert counted(usage) is None


def test_a_cache_without_parts_is_one_of_five_minutes() -> None:
    """The default of the API."""
    usage = {"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 5}
    assert counted(usage) == quantities(input=1, cache_write=5, output=1, requests=1)


NUMBERS = st.integers(0, 2**29)


@given(st.lists(NUMBERS, min_size=6, max_size=6))
def test_what_is_written_is_read_again(numbers: list[int]) -> None:
    """For every count that a message can express."""
    values = [0] * DIMENSIONS
    values[:6] = numbers
    values[Dimension.REQUESTS] = 1
    used = tuple(values)
    written = to_anthropic(used, "0.5")
    assert written["cost"] == "0.5"
    assert counted(written) == used


def test_audio_and_images_are_input_of_a_message() -> None:
    """It has no other place for them, and loses none."""
    used = quantities(input=1, audio_input=2, image_input=3, audio_output=4, output=5)
    written = to_anthropic(used, None)
    assert (written["input_tokens"], written["output_tokens"]) == (6, 9)
    assert "cost" not in written
