"""The simulator's payment page in a real browser: a card is typed, a bank is answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.browser import Browser, find_browser
from tests.support.processes import until
from tests.support.stripe import API_KEY, StripeSimulator

PAY = """
const typed = { card: "%s", expiry: "12 / 34", cvc: "123" };
for (const name in typed) document.querySelector(`[name=${name}]`).value = typed[name];
document.querySelector("button[type=submit]").click();
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a browser with one page."""
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium on this machine")
    with Browser(program) as started:
        yield started


@pytest.fixture(scope="module")
def simulator() -> Iterator[StripeSimulator]:
    """Run an account whose success page is a page of its own."""
    with StripeSimulator() as started:
        yield started


def session(simulator: StripeSimulator) -> dict[str, Any]:
    """Open a session by the bare API."""
    line = "line_items[0]"
    answer = httpx.post(
        f"{simulator.origin}/v1/checkout/sessions",
        headers={"Authorization": f"Bearer {API_KEY}"},
        data={
            "mode": "payment",
            "success_url": f"{simulator.origin}/?session={{CHECKOUT_SESSION_ID}}",
            "cancel_url": f"{simulator.origin}/",
            f"{line}[quantity]": "2",
            f"{line}[price_data][currency]": "usd",
            f"{line}[price_data][unit_amount]": "1250",
            f"{line}[price_data][product_data][name]": "Credits <b>",
            "payment_intent_data[setup_future_usage]": "off_session",
            "automatic_tax[enabled]": "true",
        },
        trust_env=False,
    )
    opened: dict[str, Any] = answer.json()
    return opened


def at(browser: Browser, path: str) -> bool:
    """Say whether the browser has come to an address."""
    return path in str(browser.value("location.href"))


def test_a_customer_pays_in_a_browser(browser: Browser, simulator: StripeSimulator) -> None:
    """A refused card first, then one that the bank asks about."""
    opened = session(simulator)
    browser.visit(opened["url"], width=360)
    assert browser.complaints == []
    assert browser.value("document.querySelector('#total').textContent") == "$30.00"
    assert browser.value("document.documentElement.scrollWidth <= innerWidth")
    assert "Credits <b>" in browser.value("document.body.textContent")
    browser.value(PAY % "4000000000000002")
    until(lambda: browser.value("document.querySelector('[role=alert]') !== null"))
    browser.value(PAY % "4000002500003155")
    until(lambda: at(browser, "/c/authenticate/"))
    until(lambda: browser.value("document.querySelector('[value=complete]') !== null"))
    browser.value("document.querySelector('[value=complete]').click()")
    until(lambda: at(browser, f"?session={opened['id']}"))
    paid = simulator.objects("checkout.session")[-1]
    assert (paid["status"], paid["payment_status"]) == ("complete", "paid")


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_complains_of_nothing(
    browser: Browser,
    simulator: StripeSimulator,
    dark: bool,  # noqa: FBT001
) -> None:
    """Wide, light and dark; and where nothing is to be paid."""
    opened = session(simulator)
    browser.visit(opened["url"], dark=dark)
    assert browser.complaints == []
    simulator.order(f"checkout/{opened['id']}/pay")
    browser.visit(opened["url"], dark=dark)
    assert browser.complaints == []
    assert "complete" in browser.value("document.body.textContent")
