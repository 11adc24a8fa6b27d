"""Token counts of providers as our disjoint dimensions, and what a stream's usage adds up to.

Providers disagree: OpenAI's completion includes reasoning, xAI's does not (recorded: 12 + 1 + 290 =
303); DeepSeek names cache hits beside the details. The provider's own total decides. Counts that
contradict each other are refused, never repaired: the caller estimates and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edge.translate import splice
from edge.translate.counts import Contradiction, count, details_of, difference
from edge.translate.quirks import COMPATIBLE, Quirks
from kit.charge import Quantities, context_tokens, output_tokens
from kit.money import InvalidAmountError, format_dollars

PriceOf = Callable[[Quantities], int]
"""The charge, in nano-US-dollars, of quantities at the price that the request was admitted with."""


def from_openai(
    usage: Mapping[str, Any], *, quirks: Quirks = COMPATIBLE, tool_calls: int = 0
) -> Quantities | None:
    """Return the quantities of a `usage` object of chat completions, None if it is not to be used.

    One request is counted, for prices per request; `tool_calls` were counted elsewhere.
    None: a count is missing, negative, not an integer, beyond `MAX_QUANTITY`, or contradicts
    another one.
    """
    try:
        prompt, cached, written, audio_in, image_in = _input(usage, quirks)
        output, reasoning, audio_out, image_out = _output(usage, quirks)
    except Contradiction:
        return None
    # In the order of `Dimension`; each is a count that was checked, or less.
    inputs = (prompt, cached, written, 0)
    outputs = (output, reasoning, audio_in, audio_out, image_in, image_out)
    return (*inputs, *outputs, 1, tool_calls)


class UsageTally:
    """The usage that one answer reports, as often as it does: the last count is final.

    A last count that cannot be true leaves none, as an earlier one is but a part of it: then the
    caller estimates. `invalid`: a report could not be used. `decreased`: a later report was smaller
    than an earlier one, which no cumulative count may be; the caller raises an alarm.
    """

    __slots__ = ("_price_of", "decreased", "invalid", "quantities")

    def __init__(self, price_of: PriceOf) -> None:
        self._price_of = price_of
        self.quantities: Quantities | None = None
        self.invalid = False
        self.decreased = False

    def take(self, counted: Quantities | None) -> str | None:
        """Take a count, None if it cannot be true; return its cost in dollars, None if none.

        The cost is a decimal string.
        """
        if counted is None:
            self._refuse()
            return None
        try:
            cost = format_dollars(self._price_of(counted))
        except InvalidAmountError:
            self._refuse()
            return None
        if self.quantities is not None and _is_smaller(counted, self.quantities):
            self.decreased = True
        self.quantities = counted
        return cost

    def _refuse(self) -> None:
        self.invalid = True
        self.quantities = None


def with_cost(
    document: bytes,
    parsed: Mapping[str, Any],
    cost: str | None,
    *,
    name: str = "usage",
    as_number: bool = False,
) -> dict[str, bytes | None]:
    """Return the edit that puts the cost, in dollars, into a document's `usage`; none without.

    `as_number`: the same decimal digits as a JSON number, which OpenRouter's clients insist on.
    """
    usage = parsed.get(name)
    if cost is None and not (isinstance(usage, dict) and "cost" in usage):
        return {}
    raw = splice.raw_member(document, parsed, name)
    if cost is None:
        # What a provider calls the cost is what we pay: it must not be taken for ours.
        return {name: splice.edit(raw, parsed[name], {"cost": None})}
    shown = cost.encode() if as_number else b'"%b"' % cost.encode()
    return {name: splice.put(raw, parsed[name], "cost", shown)}


def _is_smaller(later: Quantities, earlier: Quantities) -> bool:
    return context_tokens(later) < context_tokens(earlier) or output_tokens(later) < output_tokens(
        earlier
    )


def _input(usage: Mapping[str, Any], quirks: Quirks) -> tuple[int, int, int, int, int]:
    """Return input, cached input, cache write, audio and image input."""
    prompt = count(usage, "prompt_tokens", required=True)
    details = details_of(usage, "prompt_tokens_details")
    cached = (
        count(details, "cached_tokens")
        or count(usage, "prompt_cache_hit_tokens")
        or count(usage, "cached_tokens")
    )
    written = count(details, "cache_write_tokens")
    rest = difference(prompt, cached + written)
    # Cached audio is counted in both details; what the cache served is not input again.
    audio = min(count(details, "audio_tokens"), rest)
    image = min(count(details, "image_tokens"), rest - audio) if quirks.images_priced_apart else 0
    return rest - audio - image, cached, written, audio, image


def _output(usage: Mapping[str, Any], quirks: Quirks) -> tuple[int, int, int, int]:
    """Return output, reasoning, audio and image output."""
    completion = count(usage, "completion_tokens", required=True)
    details = details_of(usage, "completion_tokens_details")
    reasoning = count(details, "reasoning_tokens") or count(usage, "reasoning_tokens")
    audio = count(details, "audio_tokens")
    image = count(details, "image_tokens") if quirks.images_priced_apart else 0
    beyond = _beyond_completion(usage, completion, reasoning, quirks)
    within = 0 if beyond else reasoning
    return difference(completion, within + audio + image), beyond or reasoning, audio, image


def _beyond_completion(
    usage: Mapping[str, Any], completion: int, reasoning: int, quirks: Quirks
) -> int:
    """Return the reasoning that the completion count leaves out, by the provider's own total."""
    total = count(usage, "total_tokens")
    if usage.get("total_tokens") is None:
        return reasoning if reasoning > completion else 0
    left = difference(total, count(usage, "prompt_tokens", required=True) + completion)
    if left not in {0, reasoning} and not (quirks.hidden_reasoning and reasoning == 0):
        raise Contradiction
    return left
