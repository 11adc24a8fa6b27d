"""The headers of answers: ids, limits, what was applied. Durations as OpenAI writes them."""

from __future__ import annotations

from typing import Final

from edge.admission.admit import Admitted
from edge.admission.catalog import LANE_NAMES
from edge.admission.limits import LimitState
from edge.api.http import Headers
from kit.ids import format_id

_LANE_WORDS: Final[dict[int, bytes]] = {
    number: word.encode() for word, number in LANE_NAMES.items()
}


def of_request(request_id: bytes) -> Headers:
    """Return the request id under both names that SDKs read."""
    text = format_id("req", request_id).encode()
    return [(b"x-request-id", text), (b"request-id", text)]


def of_terms(admitted: Admitted) -> Headers:
    """Return the lane that serves, an output limit that we applied, and the limits' state."""
    headers = [(b"x-delivery-lane", _LANE_WORDS[admitted.choice.lane])]
    if admitted.limit.applied is not None:
        headers.append((b"x-1api-max-tokens-applied", str(admitted.limit.applied).encode()))
    if admitted.limits is not None:
        headers.extend(of_limits(admitted.limits))
    return headers


def of_limits(state: LimitState) -> Headers:
    """Return the six `x-ratelimit-` headers, as far as the key has such limits."""
    reset = duration(state.reset_seconds)
    headers: Headers = []
    for name, limit, remaining in (
        (b"requests", state.limit_requests, state.remaining_requests),
        (b"tokens", state.limit_tokens, state.remaining_tokens),
    ):
        if limit:
            headers += [
                (b"x-ratelimit-limit-" + name, str(limit).encode()),
                (b"x-ratelimit-remaining-" + name, str(min(limit, remaining)).encode()),
                (b"x-ratelimit-reset-" + name, reset),
            ]
    return headers


def duration(seconds: float) -> bytes:
    """Return a duration such as `120ms`, `8.64s` or `6m0s`."""
    ms = round(seconds * 1000)
    if ms < 1_000:
        return b"%dms" % ms
    hundredths = round(seconds * 100)
    if hundredths < 6_000:
        return f"{hundredths / 100:.2f}".rstrip("0").rstrip(".").encode() + b"s"
    return b"%dm%ds" % divmod(round(seconds), 60)
