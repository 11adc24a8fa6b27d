"""Amounts in the smallest unit of a currency, and Stripe's fees on them. No floats."""

from __future__ import annotations

from typing import Final

from tools.stripe_sim.errors import InvalidRequest

# Smallest charge by currency (docs.stripe.com/currencies), in its smallest unit.
MINIMUM: Final = {"usd": 50, "eur": 50, "gbp": 30, "chf": 50, "cad": 50, "aud": 50, "jpy": 50}
MAXIMUM: Final = 99_999_999
_FEE_PER_MILLE: Final = 29
_FEE_FIXED: Final = 30
DISPUTE_FEE: Final = 1_500


def check(amount: int, currency: str) -> None:
    """Refuse what cannot be charged.

    Raises:
        InvalidRequest: an unknown currency, or an amount out of its range.
    """
    if currency.lower() not in MINIMUM:
        raise InvalidRequest("Invalid currency", param="currency")
    if amount < MINIMUM[currency.lower()]:
        code = "amount_too_small" if amount > 0 else "parameter_invalid_integer"
        raise InvalidRequest("The amount is below the minimum", param="amount", code=code)
    if amount > MAXIMUM:
        raise InvalidRequest("The amount is too large", param="amount", code="amount_too_large")


def payment_fee(amount: int) -> int:
    """Return Stripe's fee on a payment: 2.9 % (half up) and 30 cents."""
    return (amount * _FEE_PER_MILLE + 500) // 1_000 + _FEE_FIXED
