"""The rate of tax as the provider says it: of calculations and of pages."""

from __future__ import annotations

from typing import Any

import pytest

from core.billing.stripe.reading import checkout_of, quote_of


def page(*taxes: dict[str, Any]) -> dict[str, Any]:
    """A page with the taxes of its breakdown."""
    return {
        "id": "cs_1",
        "status": "complete",
        "payment_status": "paid",
        "amount_total": 1_200,
        "currency": "usd",
        "livemode": False,
        "total_details": {
            "amount_tax": sum(one["amount"] for one in taxes),
            "breakdown": {"taxes": list(taxes)},
        },
    }


def tax(amount: int, percentage: object, effective: object = None) -> dict[str, Any]:
    """One rate of a breakdown."""
    rate = {"percentage": percentage, "effective_percentage": effective}
    return {"amount": amount, "rate": rate}


@pytest.mark.parametrize(
    ("taxes", "ppm"),
    [
        ([tax(200, 20.0)], 200_000),
        ([tax(88, 8.875)], 88_750),
        ([tax(73, 7.3)], 73_000),
        ([tax(200, 25.0, 20.0)], 200_000),
        ([tax(60, 6.0), tax(13, 1.25)], 72_500),
        ([tax(0, 19.0, 0.0)], 0),
        ([tax(60, 6.0), tax(0, 4.0)], 60_000),
        ([tax(50, None)], 0),
        ([tax(50, 1_000.0)], 0),
        ([], 0),
    ],
)
def test_the_rate_of_a_page_is_what_was_applied(taxes: list[dict[str, Any]], ppm: int) -> None:
    """Rates add up; one that took nothing is none; digits are read as they are written."""
    assert checkout_of(page(*taxes)).tax_rate_ppm == ppm


def test_a_page_without_a_breakdown_has_no_rate() -> None:
    """An older answer."""
    assert checkout_of({**page(), "total_details": {"amount_tax": 20}}).tax_rate_ppm == 0


@pytest.mark.parametrize(
    ("percentages", "ppm"), [(["8.875"], 88_750), (["6.25", "1.0"], 72_500), ([None], 0), ([], 0)]
)
def test_the_rate_of_a_calculation(percentages: list[str | None], ppm: int) -> None:
    """Exactly the sum of what is named; what took nothing is left out."""
    parts: list[dict[str, Any]] = [
        {"amount": 10, "tax_rate_details": {"percentage_decimal": each}} for each in percentages
    ]
    parts.append({"amount": 0, "tax_rate_details": {"percentage_decimal": "4.0"}})
    quote = quote_of({"id": "taxcalc_1", "tax_amount_exclusive": 10, "tax_breakdown": parts})
    assert quote.rate_ppm == ppm
