"""Estimates: never above what was delivered or held."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.translate.estimate import estimated, input_tokens, output_tokens
from kit.charge import context_tokens, quantities
from kit.charge import output_tokens as all_output
from kit.hold import RequestShape

COUNTS = st.integers(0, 100_000)


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_an_estimate_stays_within_what_the_hold_covers(
    text_bytes: int, events: int, content_bytes: int, limit: int
) -> None:
    """Input within the bound of the shape, output within the limit."""
    shape = RequestShape(text_bytes=text_bytes, overhead_tokens=512)
    guess = estimated(shape, events=events, content_bytes=content_bytes, limit=limit)
    assert context_tokens(guess) <= shape.input_tokens
    assert all_output(guess) <= limit


def test_an_event_of_usual_size_is_one_token() -> None:
    """A longer word is no reason to charge two."""
    assert output_tokens(10, 10 * 16, limit=1000) == 10


def test_events_of_many_tokens_count_by_size() -> None:
    """Providers that send a sentence in each event."""
    assert output_tokens(10, 4000, limit=10_000) == 1000


def test_the_input_is_a_quarter_of_its_bytes_and_at_least_one_token() -> None:
    """The overhead is a bound, not an estimate."""
    assert input_tokens(RequestShape(text_bytes=400, overhead_tokens=512, media_tokens=800)) == 300
    assert input_tokens(RequestShape(text_bytes=1, overhead_tokens=512)) == 1


def test_an_estimate_counts_the_request() -> None:
    """Prices per request apply to estimated usage too."""
    shape = RequestShape(text_bytes=400, overhead_tokens=512)
    assert estimated(shape, events=3, content_bytes=9, limit=9) == quantities(
        input=100, output=3, requests=1
    )
