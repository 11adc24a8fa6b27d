"""The headers of answers."""

from __future__ import annotations

import pytest

from edge.admission.limits import LimitState
from edge.api.headers import duration, of_limits, of_request, of_terms
from tests.unit.edge.admission.world import AdmissionWorld


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, b"0ms"),
        (0.12, b"120ms"),
        (0.9994, b"999ms"),
        (0.9999, b"1s"),
        (1, b"1s"),
        (8.64, b"8.64s"),
        (59.5, b"59.5s"),
        (59.999, b"1m0s"),
        (60, b"1m0s"),
        (359.7, b"6m0s"),
        (3_725, b"62m5s"),
    ],
)
def test_durations_are_written_as_openai_writes_them(seconds: float, text: bytes) -> None:
    """Clients parse these."""
    assert duration(seconds) == text


def test_a_limit_has_three_headers_and_no_limit_has_none() -> None:
    """What does not apply is not shown, and nothing above the limit is promised."""
    state = LimitState(10, 0, 12, 99, 30.0, 0.0)
    assert of_limits(state) == [
        (b"x-ratelimit-limit-requests", b"10"),
        (b"x-ratelimit-remaining-requests", b"10"),
        (b"x-ratelimit-reset-requests", b"30s"),
    ]


def test_the_request_id_has_both_names() -> None:
    """OpenAI's SDKs read one, Anthropic's the other."""
    text = b"req_" + b"00" * 16
    assert of_request(bytes(16)) == [(b"x-request-id", text), (b"request-id", text)]


async def test_the_terms_name_the_lane_and_the_limit_that_we_chose() -> None:
    """A client can see what was applied."""
    small = AdmissionWorld(wallet=1_000_000 + 50 * 4_000)
    assert of_terms(await small.admit()) == [
        (b"x-delivery-lane", b"default"),
        (b"x-1api-max-tokens-applied", b"50"),
    ]
    assert of_terms(await AdmissionWorld().admit(limit=5)) == [(b"x-delivery-lane", b"default")]
