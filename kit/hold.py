"""The hold: the most that a request can be charged, set aside before its upstream is contacted.

A hold is a true upper bound where the model's limits in the catalogue are: then the sum of charges
can never exceed the credit that was there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kit.charge import UNITS_PER_PRICE, Dimension, Price, PriceTier
from kit.money import MAX_NANOS, Nanos, divide_up

SMALL_WALLET_SHARE: Final = 8
"""Without `max_tokens` the output is capped to what one eighth of the available credit buys."""
SMALL_WALLET_OUTPUT_TOKENS: Final = 4_096
"""That cap is never below this many tokens, as long as the credit covers them."""
_INPUT, _CACHED = int(Dimension.INPUT), int(Dimension.CACHED_INPUT)
_WRITE, _WRITE_LONG = int(Dimension.CACHE_WRITE), int(Dimension.CACHE_WRITE_LONG)
_OUTPUT, _REASONING = int(Dimension.OUTPUT), int(Dimension.REASONING)
_AUDIO_INPUT, _AUDIO_OUTPUT = int(Dimension.AUDIO_INPUT), int(Dimension.AUDIO_OUTPUT)
_IMAGE_INPUT, _IMAGE_OUTPUT = int(Dimension.IMAGE_INPUT), int(Dimension.IMAGE_OUTPUT)
_REQUESTS, _TOOL_CALLS = int(Dimension.REQUESTS), int(Dimension.TOOL_CALLS)


@dataclass(frozen=True, slots=True)
class RequestShape:
    """What of a request bounds its usage. Counts only, never content.

    `text_bytes` is the re-serialised body without its media data; `overhead_tokens` the model's
    constant for what a provider adds (larger where tools are present); `choices` is `n` or
    `best_of`; `media_tokens` the catalogue's maxima for images, audio and files together.
    """

    text_bytes: int
    overhead_tokens: int
    media_tokens: int = 0
    choices: int = 1
    has_audio: bool = False
    tool_calls: int = 0

    @property
    def input_tokens(self) -> int:
        """Return the most input tokens that a provider can count."""
        return self.text_bytes + self.overhead_tokens + self.media_tokens


def hold_nanos(
    shape: RequestShape, price: Price, *, output_tokens: int, reasoning_beyond_limit: int = 0
) -> Nanos:
    """Return the worst-case charge, in nano-US-dollars, of a request with this output limit.

    `output_tokens` limits one choice; `reasoning_beyond_limit` is what a provider may add to it.
    The dearest reachable context tier and the dearest input and output dimension count.
    """
    worst = max(
        _tier_exact(shape, tier, shape.choices * (output_tokens + reasoning_beyond_limit))
        for tier in _reachable(shape, price)
    )
    return Nanos(min(divide_up(worst, UNITS_PER_PRICE), MAX_NANOS))


def affordable_output_tokens(
    shape: RequestShape, price: Price, budget_nanos: int, *, reasoning_beyond_limit: int = 0
) -> int:
    """Return the largest output limit of one choice whose hold fits the budget, 0 if none does."""
    exact_budget = budget_nanos * UNITS_PER_PRICE
    answers = []
    for tier in _reachable(shape, price):
        left = exact_budget - _tier_exact(shape, tier, shape.choices * reasoning_beyond_limit)
        rate = _dearest_output(shape, tier) * shape.choices
        if left < 0:
            return 0
        answers.append(left // rate if rate > 0 else MAX_NANOS)
    return min(answers)


def default_output_tokens(
    shape: RequestShape,
    price: Price,
    *,
    available_nanos: int,
    model_cap: int,
    reasoning_beyond_limit: int = 0,
) -> int:
    """Return the output limit to apply where the client gave none, 0 if nothing can be paid for.

    The model's cap, but no more than an eighth of the available credit buys and no less than 4,096
    tokens (or what is there), so that small wallets still run several requests at once.
    """
    share = affordable_output_tokens(
        shape,
        price,
        available_nanos // SMALL_WALLET_SHARE,
        reasoning_beyond_limit=reasoning_beyond_limit,
    )
    everything = affordable_output_tokens(
        shape, price, available_nanos, reasoning_beyond_limit=reasoning_beyond_limit
    )
    wanted = max(share, SMALL_WALLET_OUTPUT_TOKENS)
    return max(0, min(model_cap, wanted, everything))


def _reachable(shape: RequestShape, price: Price) -> list[PriceTier]:
    return [
        tier
        for index, tier in enumerate(price.tiers)
        if index == 0 or shape.input_tokens > tier.above_context_tokens
    ]


def _dearest_input(shape: RequestShape, tier: PriceTier) -> int:
    rates = tier.rates
    # Written out, as it runs several times for each request.
    dearest = max(
        rates[_INPUT], rates[_CACHED], rates[_WRITE], rates[_WRITE_LONG], rates[_IMAGE_INPUT]
    )
    return max(dearest, rates[_AUDIO_INPUT]) if shape.has_audio else dearest


def _dearest_output(shape: RequestShape, tier: PriceTier) -> int:
    rates = tier.rates
    dearest = max(rates[_OUTPUT], rates[_REASONING], rates[_IMAGE_OUTPUT])
    return max(dearest, rates[_AUDIO_OUTPUT]) if shape.has_audio else dearest


def _tier_exact(shape: RequestShape, tier: PriceTier, output_tokens: int) -> int:
    return (
        shape.input_tokens * _dearest_input(shape, tier)
        + output_tokens * _dearest_output(shape, tier)
        + tier.rates[_REQUESTS]
        + shape.tool_calls * tier.rates[_TOOL_CALLS]
    )
