"""Small beginnings for the tests of the simulator."""

from __future__ import annotations

from typing import Any

import stripe

SUCCESS_URL = "http://127.0.0.1:9/paid?session={CHECKOUT_SESSION_ID}"


async def customer(client: stripe.StripeClient) -> stripe.Customer:
    """Create a customer."""
    return await client.v1.customers.create_async({"email": "ada@example.com"})


async def session(
    client: stripe.StripeClient, cents: int = 2_500, **more: Any
) -> stripe.checkout.Session:
    """Open a Checkout session over an amount of credits."""
    price: Any = {
        "currency": "usd",
        "unit_amount": cents,
        "product_data": {"name": "Credits"},
    }
    params: Any = {
        "mode": "payment",
        "success_url": SUCCESS_URL,
        "line_items": [{"quantity": 1, "price_data": price}],
        **more,
    }
    return await client.v1.checkout.sessions.create_async(params)


async def payment(
    client: stripe.StripeClient, cents: int = 2_500, card: str = "pm_card_visa", **more: Any
) -> stripe.PaymentIntent:
    """Pay with a test card."""
    params: Any = {
        "amount": cents,
        "currency": "usd",
        "payment_method": card,
        "allowed_payment_method_types": ["card"],
        "confirm": True,
        **more,
    }
    return await client.v1.payment_intents.create_async(params)
