"""Tax ids of customers, and the tax that a business elsewhere in the union owes itself."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.contract.stripe import worlds
from tests.support.stripe import StripeSimulator

DE: Any = {"type": "eu_vat", "value": "DE123456789"}
LINES: Any = [{"amount": 1_000, "reference": "a", "tax_behavior": "exclusive"}]


async def test_a_tax_id_is_made_listed_and_taken_away(client: stripe.StripeClient) -> None:
    """With the customer, or later; each customer has its own."""
    owner = await client.v1.customers.create_async({"tax_id_data": [DE]})
    other = await worlds.customer(client)
    ids = client.v1.customers.tax_ids
    (first,) = (await ids.list_async(owner.id)).data
    assert (first.type, first.value, first.country) == ("eu_vat", "DE123456789", "DE")
    second = await ids.create_async(owner.id, {"type": "us_ein", "value": "12-3456789"})
    assert (await ids.retrieve_async(owner.id, second.id)).value == "12-3456789"
    assert [one.id for one in (await ids.list_async(owner.id)).data] == [second.id, first.id]
    with pytest.raises(stripe.InvalidRequestError):
        await ids.retrieve_async(other.id, second.id)
    assert (await ids.delete_async(owner.id, first.id)).deleted
    with pytest.raises(stripe.InvalidRequestError):
        await ids.delete_async(owner.id, first.id)
    assert [one.id for one in (await ids.list_async(owner.id)).data] == [second.id]


async def test_one_that_is_none_is_refused(client: stripe.StripeClient) -> None:
    """With the code that says so; and no more than five."""
    owner = await worlds.customer(client)
    ids = client.v1.customers.tax_ids
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await ids.create_async(owner.id, {"type": "eu_vat", "value": "123"})
    assert caught.value.code == "tax_id_invalid"
    for _ in range(5):
        await ids.create_async(owner.id, DE)
    with pytest.raises(stripe.InvalidRequestError):
        await ids.create_async(owner.id, DE)


async def test_a_deleted_customer_has_none(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """They go with it."""
    owner = await client.v1.customers.create_async({"tax_id_data": [DE]})
    await client.v1.customers.delete_async(owner.id)
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.customers.tax_ids.list_async(owner.id)
    assert simulator.objects("tax_id") == []


@pytest.mark.parametrize(
    ("country", "tax_id", "tax_exempt", "tax"),
    [
        ("DE", DE, "none", 0),
        ("IE", DE, "none", 200),
        ("US", DE, "none", 200),
        ("DE", None, "none", 200),
        ("DE", {"type": "us_ein", "value": "12-3456789"}, "none", 200),
        ("US", None, "reverse", 0),
        ("US", None, "exempt", 0),
    ],
)
async def test_who_owes_its_own_tax_pays_none(
    client: stripe.StripeClient, country: str, tax_id: Any, tax_exempt: Any, tax: int
) -> None:
    """A calculation and a page say the same, with the rate that was applied."""
    given: Any = {"address": {"country": country}, "tax_exempt": tax_exempt}
    owner = await client.v1.customers.create_async(
        {**given, **({"tax_id_data": [tax_id]} if tax_id else {})}
    )
    calculation = await client.v1.tax.calculations.create_async(
        {"currency": "usd", "line_items": LINES, "customer": owner.id}
    )
    assert calculation.tax_amount_exclusive == tax
    (part,) = calculation.tax_breakdown
    assert part.tax_rate_details.percentage_decimal == ("20.00" if tax else "0.0")
    session = await worlds.session(client, automatic_tax={"enabled": True}, customer=owner.id)
    assert session.total_details is not None
    assert session.total_details.amount_tax == tax * 5 // 2
    assert not hasattr(session.total_details, "breakdown")
    page = await client.v1.checkout.sessions.retrieve_async(
        session.id, {"expand": ["total_details.breakdown"]}
    )
    assert page.total_details is not None
    assert page.total_details.breakdown is not None
    (applied,) = page.total_details.breakdown.taxes
    assert applied.rate.effective_percentage == (20 if tax else 0)
    assert applied.taxability_reason == part.taxability_reason


async def test_the_page_counts_where_somebody_says_they_are(
    client: stripe.StripeClient, simulator: StripeSimulator
) -> None:
    """If it asks; at home, a tax id of elsewhere changes nothing."""
    owner = await client.v1.customers.create_async(
        {"address": {"country": "DE"}, "tax_id_data": [DE]}
    )
    for asks, total, place in ((False, 2_500, "DE"), (True, 3_000, "IE")):
        more: Any = {"customer_update": {"address": "auto"}} if asks else {}
        session = await worlds.session(
            client, automatic_tax={"enabled": True}, customer=owner.id, **more
        )
        assert session.amount_total == 2_500
        simulator.order(f"checkout/{session.id}/pay", country="IE")
        paid = await client.v1.checkout.sessions.retrieve_async(session.id)
        assert (paid.amount_total, paid.payment_status) == (total, "paid")
        known = await client.v1.customers.retrieve_async(owner.id)
        assert known.address is not None
        assert known.address.country == place


async def test_a_page_that_neither_knows_nor_asks_where_somebody_is_is_refused(
    client: stripe.StripeClient,
) -> None:
    """No tax can be calculated."""
    owner = await client.v1.customers.create_async({"email": "a@example.org"})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await worlds.session(client, automatic_tax={"enabled": True}, customer=owner.id)
    assert refused.value.code == "customer_tax_location_invalid"


async def test_an_address_that_no_mail_can_go_to_is_refused(client: stripe.StripeClient) -> None:
    """Of a new customer and of one that has another."""
    owner = await client.v1.customers.create_async({"email": "a@example.org"})
    for call in (
        client.v1.customers.create_async({"email": "a@example"}),
        client.v1.customers.update_async(owner.id, {"email": "a@example"}),
    ):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            await call
        assert refused.value.code == "email_invalid"
