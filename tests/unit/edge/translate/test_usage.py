"""Token counts of providers: disjoint dimensions, and nothing that contradicts itself."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.translate import splice
from edge.translate.quirks import Quirks
from edge.translate.usage import UsageTally, from_openai, with_cost
from kit.charge import MAX_QUANTITY, context_tokens, output_tokens, quantities
from kit.money import InvalidAmountError


def usage(prompt: int, completion: int, **more: Any) -> dict[str, Any]:
    """Return a usage object; further members may replace the total."""
    total = {"total_tokens": prompt + completion}
    return {"prompt_tokens": prompt, "completion_tokens": completion, **total, **more}


def prompt_details(**details: Any) -> dict[str, Any]:
    """Return the details of the input."""
    return {"prompt_tokens_details": details}


def completion_details(**details: Any) -> dict[str, Any]:
    """Return the details of the output."""
    return {"completion_tokens_details": details}


VALID = [
    ("plain", usage(10, 4), {"input": 10, "output": 4}),
    ("null details", usage(10, 4, prompt_tokens_details=None), {"input": 10, "output": 4}),
    (
        "null counts",
        usage(10, 4, **prompt_details(cached_tokens=None)),
        {"input": 10, "output": 4},
    ),
    (
        "cached and written",
        usage(3100, 3, **prompt_details(cached_tokens=1024, cache_write_tokens=2048)),
        {"input": 28, "cached_input": 1024, "cache_write": 2048, "output": 3},
    ),
    (
        "cache hits of DeepSeek",
        usage(976, 61, prompt_cache_hit_tokens=896, prompt_cache_miss_tokens=80),
        {"input": 80, "cached_input": 896, "output": 61},
    ),
    (
        "cached tokens of Moonshot",
        usage(10, 4, cached_tokens=8),
        {"input": 2, "cached_input": 8, "output": 4},
    ),
    (
        "audio",
        usage(64, 41, **prompt_details(audio_tokens=52), **completion_details(audio_tokens=33)),
        {"input": 12, "audio_input": 52, "output": 8, "audio_output": 33},
    ),
    (
        "audio that was cached is cached",
        usage(150, 1, **prompt_details(audio_tokens=100, cached_tokens=128)),
        {"cached_input": 128, "audio_input": 22, "output": 1},
    ),
    (
        "reasoning inside the completion",
        usage(12, 78, **completion_details(reasoning_tokens=64)),
        {"input": 12, "output": 14, "reasoning": 64},
    ),
    (
        "reasoning beside the completion, as xAI counts",
        usage(12, 1, total_tokens=303, **completion_details(reasoning_tokens=290)),
        {"input": 12, "output": 1, "reasoning": 290},
    ),
    (
        "reasoning beside the completion, without a total",
        usage(12, 1, total_tokens=None, **completion_details(reasoning_tokens=290)),
        {"input": 12, "output": 1, "reasoning": 290},
    ),
    (
        "images are text where the price is one",
        usage(100, 2, **prompt_details(image_tokens=90)),
        {"input": 100, "output": 2},
    ),
]


@pytest.mark.parametrize(
    ("reported", "expected"), [one[1:] for one in VALID], ids=[o[0] for o in VALID]
)
def test_counts_become_disjoint_dimensions(
    reported: dict[str, Any], expected: dict[str, int]
) -> None:
    """Each shape that a provider is known to send."""
    assert from_openai(reported) == quantities(**expected, requests=1)


def test_images_are_apart_where_their_price_is() -> None:
    """A quirk of the upstream decides."""
    reported = usage(
        100, 50, **prompt_details(image_tokens=90), **completion_details(image_tokens=40)
    )
    assert from_openai(reported, quirks=Quirks(images_priced_apart=True)) == quantities(
        input=10, image_input=90, output=10, image_output=40, requests=1
    )


def test_reasoning_that_only_the_total_shows_is_charged_where_that_is_known() -> None:
    """Gemini's compatible endpoint; of another upstream the total is a contradiction."""
    reported = usage(10, 4, total_tokens=100)
    assert from_openai(reported, quirks=Quirks(hidden_reasoning=True)) == quantities(
        input=10, output=4, reasoning=86, requests=1
    )
    assert from_openai(reported) is None


@pytest.mark.parametrize(
    "reported",
    [
        {},
        {"prompt_tokens": 1},
        usage(-1, 4),
        usage(1, -4),
        {"prompt_tokens": 1.0, "completion_tokens": 4},
        {"prompt_tokens": True, "completion_tokens": 4},
        {"prompt_tokens": "1", "completion_tokens": 4},
        usage(MAX_QUANTITY + 1, 4),
        usage(10, 4, total_tokens=13),
        usage(10, 4, total_tokens=15),
        usage(10, 4, total_tokens=0),
        usage(10, 4, total_tokens=-14),
        usage(10, 4, **prompt_details(cached_tokens=11)),
        usage(10, 4, **prompt_details(cached_tokens=6, cache_write_tokens=5)),
        usage(10, 4, **prompt_details(cached_tokens=-1)),
        usage(10, 4, **completion_details(reasoning_tokens=5)),
        usage(10, 4, **completion_details(reasoning_tokens=3, audio_tokens=2)),
        usage(10, 4, prompt_tokens_details=[]),
    ],
)
def test_counts_that_cannot_be_true_are_refused(reported: dict[str, Any]) -> None:
    """Nothing is repaired: the caller estimates and says so."""
    assert from_openai(reported) is None


COUNTS = st.integers(0, 1000)


@given(prompt=COUNTS, completion=COUNTS, cached=COUNTS, reasoning=COUNTS, apart=st.booleans())
def test_what_is_accepted_adds_up_to_the_providers_total(
    prompt: int, completion: int, cached: int, reasoning: int, *, apart: bool
) -> None:
    """No token is counted twice or lost, wherever reasoning is counted."""
    total = prompt + completion + (reasoning if apart else 0)
    counted = from_openai(
        usage(
            prompt,
            completion,
            total_tokens=total,
            **prompt_details(cached_tokens=cached),
            **completion_details(reasoning_tokens=reasoning),
        )
    )
    possible = cached <= prompt and (apart or reasoning <= completion)
    assert (counted is not None) == possible
    if counted is not None:
        assert context_tokens(counted) == prompt
        assert context_tokens(counted) + output_tokens(counted) == total


def tally(price_of: Any = sum) -> UsageTally:
    """Return a tally that prices a token, and the request, at one nano-dollar."""
    return UsageTally(price_of)


def test_a_report_is_priced_as_a_decimal_string() -> None:
    """Exactly, in dollars."""
    assert tally().take(from_openai(usage(10, 4))) == "0.000000015"


def test_of_several_reports_the_last_counts() -> None:
    """Cumulative counts, as some upstreams send with each chunk."""
    counter = tally()
    for completion in (1, 2, 5):
        counter.take(from_openai(usage(10, completion)))
    assert counter.quantities == quantities(input=10, output=5, requests=1)
    assert not counter.decreased


@pytest.mark.parametrize("later", [usage(10, 4), usage(9, 5)])
def test_a_count_that_decreases_is_flagged(later: dict[str, Any]) -> None:
    """The last one still counts, as it is what the client was shown last."""
    counter = tally()
    counter.take(from_openai(usage(10, 5)))
    counter.take(from_openai(later))
    assert counter.decreased
    assert counter.quantities == from_openai(later)


def test_an_invalid_last_report_leaves_none() -> None:
    """What was counted before is but a part: an answer must not be charged as its first token."""
    counter = tally()
    counter.take(from_openai(usage(10, 5)))
    assert counter.take(from_openai(usage(10, -1))) is None
    assert counter.invalid
    assert counter.quantities is None
    counter.take(from_openai(usage(10, 6)))
    assert counter.quantities == quantities(input=10, output=6, requests=1)


def test_a_charge_beyond_the_ledger_is_an_invalid_report() -> None:
    """Such counts are not usage; they must not stop the stream either."""

    def beyond(_: Any) -> int:
        raise InvalidAmountError

    counter = tally(beyond)
    assert counter.take(from_openai(usage(10, 5))) is None
    assert counter.invalid
    assert counter.quantities is None


@pytest.mark.parametrize("cost", ["0.5", None])
def test_what_a_provider_calls_the_cost_is_not_shown_as_ours(cost: str | None) -> None:
    """It is what we pay; where we have no cost to show, none is shown."""
    told = b'{"usage":{"a":1,"cost":9.0,"b":2}}'
    parsed = orjson.loads(told)
    edited = orjson.loads(splice.edit(told, parsed, with_cost(told, parsed, cost)))["usage"]
    assert edited == {"a": 1, "b": 2} | ({"cost": cost} if cost else {})
