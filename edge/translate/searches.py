"""Searches of the web that a provider makes: what of the catalogue bounds them.

It is the only tool of providers' that is taken: each call has a price, and the number of calls has
a limit that the provider keeps. After each search the provider reads the whole request again, with
all that was found (recorded: two searches for a request of 372 bytes count 31,772 input tokens).
"""

from __future__ import annotations

from edge.translate.surface import ModelLimits
from kit.hold import RequestShape


def calls_of(limits: ModelLimits) -> int:
    """Return how many searches one request may cause; 0 where the catalogue does not bound them."""
    is_bounded = limits.tool_calls_max > 0 and limits.tool_call_max_tokens > 0
    return limits.tool_calls_max if is_bounded else 0


def set_aside(shape: RequestShape, calls: int, limits: ModelLimits) -> None:
    """Add to a request's bound what so many searches can make its provider count."""
    # What the first of n searches adds is read n times, what the last one adds once.
    added = limits.tool_call_max_tokens * (calls * (calls + 1) // 2)
    shape.tool_tokens = calls * shape.input_tokens + added
    shape.tool_calls = calls
