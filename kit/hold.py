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


# Made for each request: not frozen, which would double the time of making it.
@dataclass(slots=True)
class RequestShape:
    """What of a request bounds its usage. Counts only, never content.

    `text_bytes` is the re-serialised body without its media data; `overhead_tokens` the model's
    constant for what a provider adds (larger where tools are present); `choices` is `n` or
    `best_of`, 0 where no limit that could be sent upstream bounds the output; `media_tokens` the
    catalogue's maxima for images, audio and files together; `fixed_output_tokens` the most output
    of a request that has no limit to lower, such as `n` images at the model's maximum. With
    `tool_calls`, calls of tools that the provider runs, `tool_tokens` are what they find and the
    request read again after each.
    """

    text_bytes: int
    overhead_tokens: int
    media_tokens: int = 0
    choices: int = 1
    has_audio: bool = False
    tool_calls: int = 0
    fixed_output_tokens: int = 0
    tool_tokens: int = 0

    @property
    def input_tokens(self) -> int:
        """Return the most input tokens that a provider can count."""
        return self.text_bytes + self.overhead_tokens + self.media_tokens + self.tool_tokens


class HoldBound:
    """What a request can cost at a price, as a straight line of its output limit.

    Computed once for each request. Per reachable context tier: the exact cost of everything but the
    limited output, and the exact cost of one more token of the limit, in 1/1,000,000 nano-dollars.
    The dearest input and output dimension count.
    """

    __slots__ = ("_lines",)

    def __init__(self, shape: RequestShape, price: Price, reasoning_beyond_limit: int = 0) -> None:
        """Take what a provider may add to the output limit of one choice as reasoning."""
        self._lines = [
            _line(shape, tier, reasoning_beyond_limit)
            for index, tier in enumerate(price.tiers)
            if index == 0 or shape.input_tokens > tier.above_context_tokens
        ]

    def nanos(self, output_tokens: int) -> Nanos:
        """Return the worst-case charge, in nano-US-dollars, with this output limit."""
        worst = max([fixed + output_tokens * rate for fixed, rate in self._lines])
        return Nanos(min(divide_up(worst, UNITS_PER_PRICE), MAX_NANOS))

    def affordable_output_tokens(self, budget_nanos: int) -> int:
        """Return the largest output limit of one choice that fits the budget, 0 if none does."""
        exact = budget_nanos * UNITS_PER_PRICE
        return min(
            [
                0 if exact < fixed else (exact - fixed) // rate if rate else MAX_NANOS
                for fixed, rate in self._lines
            ]
        )

    def default_output_tokens(self, available_nanos: int, model_cap: int) -> int:
        """Return the output limit to apply where the client gave none, 0 if it cannot pay.

        The model's cap, but no more than an eighth of the available credit buys and no less than
        4,096 tokens (or what is there), so that small wallets still run several requests at once.
        """
        everything = self.affordable_output_tokens(available_nanos)
        share = self.affordable_output_tokens(available_nanos // SMALL_WALLET_SHARE)
        wanted = max(share, SMALL_WALLET_OUTPUT_TOKENS)
        return max(0, min(model_cap, wanted, everything))


def _line(shape: RequestShape, tier: PriceTier, reasoning_beyond_limit: int) -> tuple[int, int]:
    rates = tier.rates
    output = _dearest_output(shape, tier)
    token = shape.choices * output
    fixed = (
        shape.input_tokens * _dearest_input(shape, tier)
        + shape.fixed_output_tokens * output
        + reasoning_beyond_limit * token
        + rates[_REQUESTS]
        + shape.tool_calls * rates[_TOOL_CALLS]
    )
    return fixed, token


def _dearest_input(shape: RequestShape, tier: PriceTier) -> int:
    rates = tier.rates
    dearest = max(
        rates[_INPUT], rates[_CACHED], rates[_WRITE], rates[_WRITE_LONG], rates[_IMAGE_INPUT]
    )
    return max(dearest, rates[_AUDIO_INPUT]) if shape.has_audio else dearest


def _dearest_output(shape: RequestShape, tier: PriceTier) -> int:
    rates = tier.rates
    dearest = max(rates[_OUTPUT], rates[_REASONING], rates[_IMAGE_OUTPUT])
    return max(dearest, rates[_AUDIO_OUTPUT]) if shape.has_audio else dearest
