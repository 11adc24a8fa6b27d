"""Checkout: a session, its page, and what a customer does there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import stripe

from tests.contract.stripe import worlds
from tests.support.stripe import OrderRefusedError, StripeSimulator

PAID_URL = "http://127.0.0.1:9/paid?session="


@pytest.fixture
async def browser() -> AsyncIterator[httpx.AsyncClient]:
    """Return a browser that stops before each redirect."""
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


def typed(card: str = "4242424242424242", expiry: str = "12 / 34", cvc: str = "123") -> Any:
    """Return the fields of the form."""
    return {"card": card, "expiry": expiry, "cvc": cvc}


async def test_a_customer_pays_on_the_page(
    client: stripe.StripeClient, simulator: StripeSimulator, browser: httpx.AsyncClient
) -> None:
    """The page names the amount; afterwards the session's intent has our metadata."""
    owner = await worlds.customer(client)
    session = await worlds.session(
        client,
        customer=owner.id,
        client_reference_id="ws_1",
        payment_intent_data={
            "metadata": {"topup_id": "top_1"},
            "setup_future_usage": "off_session",
        },
    )
    assert (session.status, session.payment_status, session.payment_intent) == (
        "open",
        "unpaid",
        None,
    )
    assert session.url is not None
    page = await browser.get(session.url)
    assert page.status_code == 200
    assert "$25.00" in page.text
    paid = await browser.post(session.url, data=typed("4242 4242 4242 4242"))
    assert (paid.status_code, paid.headers["location"]) == (303, PAID_URL + session.id)
    after = await client.v1.checkout.sessions.retrieve_async(
        session.id, {"expand": ["payment_intent", "line_items"]}
    )
    assert (after.status, after.payment_status, after.url) == ("complete", "paid", None)
    intent: Any = after.payment_intent
    assert (intent.amount_received, intent.metadata.topup_id) == (2_500, "top_1")
    assert after.line_items is not None
    assert after.line_items.data[0].amount_total == 2_500
    methods = await client.v1.customers.payment_methods.list_async(owner.id)
    assert [one.id for one in methods.data] == [intent.payment_method]
    again = await browser.get(f"{simulator.origin}/c/pay/{session.id}")
    assert "complete" in again.text


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (typed("4000000000000002"), "Your card was declined."),
        (typed("4000000000009995"), "Your card has insufficient funds."),
        (typed("4242424242424241"), "Your card number is incorrect."),
        (typed("4111111111111111"), "Your card was declined."),
        (typed(expiry="12 / 20"), "expiration year is invalid."),
        (typed(expiry="13 / 34"), "expiration month is invalid."),
        (typed(expiry="soon"), "expiration month is invalid."),
        (typed(cvc="x"), "security code is invalid."),
        ({}, "Your card number is incorrect."),
    ],
)
async def test_a_refused_card_can_be_replaced(
    client: stripe.StripeClient, browser: httpx.AsyncClient, fields: Any, sentence: str
) -> None:
    """The page says why; the session stays open for another card."""
    session = await worlds.session(client)
    assert session.url is not None
    refused = await browser.post(session.url, data=fields)
    assert refused.status_code == 402
    assert sentence in refused.text.replace("&#39;", "'")
    paid = await browser.post(session.url, data=typed())
    assert paid.status_code == 303
    sessions = await client.v1.checkout.sessions.list_async({"status": "complete"})
    assert [one.id for one in sessions.data] == [session.id]


@pytest.mark.parametrize("card", ["4000002500003155", "4000000000003220"])
@pytest.mark.parametrize("answer", ["complete", "fail"])
async def test_the_bank_asks_on_a_page_of_its_own(
    client: stripe.StripeClient,
    simulator: StripeSimulator,
    browser: httpx.AsyncClient,
    card: str,
    answer: str,
) -> None:
    """Confirmed, the payment is made; refused, another card may follow."""
    session = await worlds.session(client)
    assert session.url is not None
    sent = await browser.post(session.url, data=typed(card))
    bank = simulator.origin + sent.headers["location"]
    assert "$25.00" in (await browser.get(bank)).text
    back = await browser.post(bank, data={"answer": answer})
    after = await client.v1.checkout.sessions.retrieve_async(session.id)
    if answer == "complete":
        assert back.headers["location"] == PAID_URL + session.id
        assert after.payment_status == "paid"
    else:
        assert back.status_code == 402
        assert (after.status, after.payment_status) == ("open", "unpaid")
        assert (await browser.get(bank)).status_code == 404


async def test_a_double_click_pays_once(
    client: stripe.StripeClient, simulator: StripeSimulator, browser: httpx.AsyncClient
) -> None:
    """The second submission finds the session complete."""
    session = await worlds.session(client)
    assert session.url is not None
    await browser.post(session.url, data=typed())
    await browser.post(session.url, data=typed())
    assert len(simulator.objects("charge")) == 1


@pytest.mark.parametrize("succeeds", [True, False])
async def test_a_bank_debit_is_paid_days_later_or_not(
    client: stripe.StripeClient,
    simulator: StripeSimulator,
    succeeds: bool,  # noqa: FBT001
) -> None:
    """The session is complete and unpaid in between."""
    session = await worlds.session(client)
    pending = simulator.order(f"checkout/{session.id}/pay", **{"async": True})
    assert (pending["status"], pending["payment_status"]) == ("complete", "unpaid")
    intent = await client.v1.payment_intents.retrieve_async(pending["payment_intent"])
    assert (intent.status, intent.amount_received) == ("processing", 0)
    word = "succeed" if succeeds else "fail"
    simulator.order(f"async_payments/{session.id}/{word}")
    after = await client.v1.checkout.sessions.retrieve_async(session.id)
    assert after.payment_status == ("paid" if succeeds else "unpaid")
    types = [one["type"] for one in simulator.objects("event")]
    last = "succeeded" if succeeds else "failed"
    assert types[-1] == f"checkout.session.async_payment_{last}"
    with pytest.raises(OrderRefusedError):
        simulator.order(f"async_payments/{session.id}/{word}")


async def test_a_session_expires_by_time_or_by_order(
    client: stripe.StripeClient, simulator: StripeSimulator, browser: httpx.AsyncClient
) -> None:
    """Nobody can pay it any more."""
    now = simulator.state()["now"]
    timed = await worlds.session(client, expires_at=now + 3_600)
    other = await worlds.session(client)
    assert timed.url is not None
    simulator.order("clock", seconds=3_601)
    assert (await client.v1.checkout.sessions.retrieve_async(timed.id)).status == "expired"
    assert (await browser.get(timed.url)).status_code == 410
    expired = await client.v1.checkout.sessions.expire_async(other.id)
    assert (expired.status, expired.url) == ("expired", None)
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.checkout.sessions.expire_async(other.id)
    with pytest.raises(OrderRefusedError):
        simulator.order(f"checkout/{other.id}/pay")


async def test_tax_is_added_to_the_total(
    client: stripe.StripeClient, browser: httpx.AsyncClient
) -> None:
    """At the static rate of 20 %; where the customer is, is kept where that was asked for."""
    owner = await worlds.customer(client)
    session = await worlds.session(
        client,
        automatic_tax={"enabled": True},
        customer=owner.id,
        customer_update={"address": "auto"},
    )
    assert (session.amount_subtotal, session.amount_total) == (2_500, 3_000)
    assert session.total_details is not None
    assert session.total_details.amount_tax == 500
    assert session.url is not None
    await browser.post(session.url, data={**typed(), "country": "DE"})
    located = await client.v1.customers.retrieve_async(owner.id)
    assert located.address is not None
    assert located.address.country == "DE"


@pytest.mark.parametrize(
    "more",
    [
        {"mode": "subscription"},
        {"success_url": ""},
        {"line_items": []},
        {"customer": "cus_nobody"},
        {"expires_at": 1},
        {"discounts": [{"coupon": "x"}]},
        {"ui_mode": "elements"},
    ],
)
async def test_a_session_that_cannot_be_is_refused(
    client: stripe.StripeClient, simulator: StripeSimulator, more: Any
) -> None:
    """By Stripe's rules, or because the simulator would drop what is asked for."""
    with pytest.raises(stripe.InvalidRequestError):
        await worlds.session(client, **more)
    assert simulator.objects("checkout.session") == []


@pytest.mark.parametrize("path", ["/c/pay/cs_nothing", "/c/authenticate/pi_nothing"])
async def test_a_page_of_nothing_says_so(
    simulator: StripeSimulator, browser: httpx.AsyncClient, path: str
) -> None:
    """Read or submitted."""
    assert (await browser.get(simulator.origin + path)).status_code == 404
    assert (await browser.post(simulator.origin + path, data=typed())).status_code == 404
