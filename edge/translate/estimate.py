"""Estimates of usage where the provider counted none: they are flagged, and never above the hold.

A customer is never charged for more than was delivered: an event with content is at least one
token, and only where events are too long for that does their size speak.
"""

from __future__ import annotations

from typing import Final

from kit.charge import Quantities, quantities
from kit.hold import RequestShape

BYTES_PER_TOKEN: Final = 4
"""What the tokenisers of the large providers make of English on average."""
LONGEST_TOKEN_BYTES: Final = 16
"""Events with more content than this on average carry several tokens each."""


def input_tokens(shape: RequestShape) -> int:
    """Return the estimated input: a quarter of the bytes and of the media bound, at least 1."""
    return max(1, (shape.text_bytes + shape.media_tokens) // BYTES_PER_TOKEN)


def output_tokens(events: int, content_bytes: int, *, limit: int) -> int:
    """Return the estimated output that was delivered, at most the limit that the hold covers."""
    delivered = events
    if content_bytes > events * LONGEST_TOKEN_BYTES:
        delivered = max(events, content_bytes // BYTES_PER_TOKEN)
    return min(delivered, limit)


def estimated(
    shape: RequestShape, *, events: int, content_bytes: int, limit: int, searches: int = 0
) -> Quantities:
    """Return what a request is charged for whose provider sent no usage.

    `limit` is the output limit of all choices together, as the hold was taken for; `searches` of
    the web were seen in the answer. What they made the provider read is not known, so not charged.
    """
    return quantities(
        input=min(input_tokens(shape), shape.input_tokens),
        output=output_tokens(events, content_bytes, limit=limit),
        requests=1,
        tool_calls=min(searches, shape.tool_calls),
    )
