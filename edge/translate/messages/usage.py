"""Anthropic's `usage` as our disjoint dimensions, and back (Messages API reference, Usage).

`input_tokens` leaves out what the cache read or wrote; thinking is a part of `output_tokens`. A
stream counts at its beginning and again at its end: later counts are cumulative, and what they
leave out stays as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge.translate.counts import Contradiction, count, details_of, difference
from kit.charge import Dimension, Quantities, output_tokens


class UsageCounts:
    """The counts of one answer, as far as they came."""

    __slots__ = ("_so_far",)

    def __init__(self) -> None:
        self._so_far: dict[str, Any] = {}

    def take(self, usage: Mapping[str, Any]) -> Quantities | None:
        """Take a `usage` object; return all that is counted now, None if it is not to be used.

        None: a count is missing, negative, not an integer, beyond `MAX_QUANTITY`, or contradicts
        another one.
        """
        self._so_far |= {name: value for name, value in usage.items() if value is not None}
        try:
            return _quantities(self._so_far, usage)
        except Contradiction:
            return None


def to_anthropic(used: Quantities | None, cost: str | None) -> dict[str, Any]:
    """Return quantities as the `usage` of a message; `cost` is in US dollars, decimal.

    The API has no way to say that nothing was counted: then the counts are 0, without a cost.
    """
    counts = used or (0,) * len(Dimension)
    written = counts[Dimension.CACHE_WRITE], counts[Dimension.CACHE_WRITE_LONG]
    usage: dict[str, Any] = {
        "input_tokens": counts[Dimension.INPUT]
        + counts[Dimension.AUDIO_INPUT]
        + counts[Dimension.IMAGE_INPUT],
        "cache_creation_input_tokens": sum(written),
        "cache_read_input_tokens": counts[Dimension.CACHED_INPUT],
        "cache_creation": {
            "ephemeral_5m_input_tokens": written[0],
            "ephemeral_1h_input_tokens": written[1],
        },
        "output_tokens": output_tokens(counts),
        "output_tokens_details": {"thinking_tokens": counts[Dimension.REASONING]},
        "server_tool_use": None,
        "service_tier": None,
        "inference_geo": None,
    }
    if cost is not None:
        usage["cost"] = cost
    return usage


def _quantities(all_counts: Mapping[str, Any], latest: Mapping[str, Any]) -> Quantities:
    written, written_long = _written(all_counts, latest)
    output = count(all_counts, "output_tokens", required=True)
    thinking = count(details_of(all_counts, "output_tokens_details"), "thinking_tokens")
    # In the order of `Dimension`. Searches are priced by number; what else the provider ran is not.
    inputs = (
        count(all_counts, "input_tokens", required=True),
        count(all_counts, "cache_read_input_tokens"),
        written,
        written_long,
    )
    searches = count(details_of(all_counts, "server_tool_use"), "web_search_requests")
    return (*inputs, difference(output, thinking), thinking, 0, 0, 0, 0, 1, searches)


def _written(all_counts: Mapping[str, Any], latest: Mapping[str, Any]) -> tuple[int, int]:
    """Return what was written to the cache for five minutes, and for an hour."""
    split = details_of(all_counts, "cache_creation")
    short = count(split, "ephemeral_5m_input_tokens")
    long = count(split, "ephemeral_1h_input_tokens")
    if all_counts.get("cache_creation_input_tokens") is None:
        return short, long
    total = count(all_counts, "cache_creation_input_tokens")
    # The end of a stream repeats the total without its parts.
    is_split = latest.get("cache_creation") is not None
    if long > total or (is_split and short + long != total):
        raise Contradiction
    return total - long, long
