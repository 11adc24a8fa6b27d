"""How a part of a payment divides into credit and tax. Pure; amounts in minor units (cents).

The parts of a payment that go back, however they are cut, add up to the whole of it: each part is
rounded half to even against all that went back before it, so the last one takes what is left.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from kit.money import NANOS_PER_CENT, divide_half_even

MINOR_NANOS: Final = NANOS_PER_CENT
"""One cent in nano-dollars."""


@dataclass(frozen=True, slots=True)
class Share:
    """So much credit, and the tax on it."""

    net: int
    tax: int

    @property
    def gross(self) -> int:
        """Return what was paid for it."""
        return self.net + self.tax

    @property
    def net_nanos(self) -> int:
        """Return the credit in nano-dollars."""
        return self.net * MINOR_NANOS

    @property
    def tax_nanos(self) -> int:
        """Return the tax in nano-dollars."""
        return self.tax * MINOR_NANOS

    def without(self, taken: Share) -> Share:
        """Return what is left of it; never below nothing."""
        return Share(max(0, self.net - taken.net), max(0, self.tax - taken.tax))


NOTHING: Final = Share(0, 0)


def total(shares: Iterable[Share]) -> Share:
    """Return the sum of shares."""
    parts = list(shares)
    return Share(sum(part.net for part in parts), sum(part.tax for part in parts))


def share_of_net(whole: Share, taken: Share, net: int) -> Share:
    """Return so much credit of a payment of which some went back, with the tax on it.

    Raises:
        ValueError: not above nothing, or more than is left.
    """
    left = whole.without(taken)
    if not 0 < net <= left.net:
        raise ValueError("a share is a part of what is left")
    target = divide_half_even(whole.tax * (taken.net + net), whole.net)
    tax = left.tax if net == left.net else min(max(target - taken.tax, 0), left.tax)
    return Share(net, tax)


def share_of_gross(whole: Share, taken: Share, gross: int) -> Share:
    """Return the credit and tax in so much money of a payment of which some went back.

    A part always has some credit, and leaves some to the rest, wherever there is enough of it.

    Raises:
        ValueError: not above nothing, or more than is left.
    """
    left = whole.without(taken)
    if not 0 < gross <= left.gross:
        raise ValueError("a share is a part of what is left")
    if gross == left.gross:
        return left
    target = divide_half_even(whole.tax * (taken.gross + gross), whole.gross)
    most = max(left.net - 1, min(left.net, 1))
    net = min(max(gross - max(target - taken.tax, 0), 1), most)
    tax = min(max(gross - net, 0), left.tax)
    return Share(gross - tax, tax)


def refundable_minor(*, free_nanos: int, whole: Share, taken: Share) -> int:
    """Return how much unused credit can go back: whole cents of what is free and not refunded."""
    return max(0, min(free_nanos // MINOR_NANOS, whole.without(taken).net))
