"""Tax on a purchase: none, a static rate, or what the provider calculates."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from core.billing.accounts.model import Profile
from core.billing.documents.model import TaxMode
from core.billing.payments.model import Payment, PaymentState, static_tax
from core.billing.stripe.gateway import PaymentUnknown
from core.db.database import Database
from core.db.values import to_uuid
from kit.money import NANOS_PER_CENT
from kit.reasons import InvalidArgument
from tests.support.payment_world import PaymentWorld
from tests.support.stripe import StripeSimulator


@asynccontextmanager
async def taxed(
    database_url: str, simulator: StripeSimulator, mode: TaxMode, rate: int = 0
) -> AsyncIterator[PaymentWorld]:
    """Make a world with tax."""
    simulator.order("reset")
    world = PaymentWorld(Database.connect(database_url), simulator, mode, rate)
    try:
        yield world
    finally:
        await world.close()


async def holds(world: PaymentWorld, payment: Payment, tax: int) -> None:
    """Check that the credit is the net amount, and the tax is where it belongs."""
    assert payment.state is PaymentState.SUCCEEDED
    assert (await world.movements.reconcile()).difference == 0
    owed = await world.rows(
        "SELECT coalesce(sum(amount), 0) AS total FROM ledger_entry WHERE account = 'tax_payable'"
    )
    assert owed[0].total == tax * NANOS_PER_CENT


async def receipt(world: PaymentWorld, payment: Payment) -> dict[str, Any]:
    """Read what the receipt of a payment says."""
    rows = await world.rows(
        "SELECT snapshot FROM billing_document WHERE payment_id = :id AND kind = 1",
        id=to_uuid(payment.payment_id),
    )
    said: dict[str, Any] = json.loads(rows[0].snapshot)
    return said


async def test_a_static_rate_is_on_top(database_url: str, simulator: StripeSimulator) -> None:
    """Rounded half to even, once."""
    async with taxed(database_url, simulator, TaxMode.STATIC_RATE, 190_000) as world:
        workspace_id = await world.workspace()
        payment = await world.bought(workspace_id, 1_050)
        assert payment.tax == 200
        await holds(world, payment, 200)
        assert (await world.balance(workspace_id)).available == 1_050 * NANOS_PER_CENT


async def test_the_provider_calculates_on_its_page(
    database_url: str, simulator: StripeSimulator
) -> None:
    """It says how much it was when the page is paid."""
    async with taxed(database_url, simulator, TaxMode.STRIPE) as world:
        workspace_id = await world.workspace()
        payment = await world.bought(workspace_id, 1_000)
        assert payment.tax > 0
        await holds(world, payment, payment.tax)


async def test_the_provider_calculates_before_a_saved_card_is_charged(
    database_url: str, simulator: StripeSimulator
) -> None:
    """And the charge names the calculation."""
    async with taxed(database_url, simulator, TaxMode.STRIPE) as world:
        workspace_id = await world.with_card()
        first = (await world.payments(workspace_id))[0]
        charged = await world.charge(workspace_id, 1_000)
        assert charged.tax_calculation_id
        assert charged.tax > 0
        await holds(world, charged, first.tax + charged.tax)


async def test_a_charge_that_goes_on_with_its_owner_is_taxed_once(
    database_url: str, simulator: StripeSimulator
) -> None:
    """What was calculated for the charge is not on the page, which adds its own."""
    async with taxed(database_url, simulator, TaxMode.STRIPE) as world:
        workspace_id = await world.with_card("pm_card_authenticationRequired")
        asked = await world.charge(workspace_id, 1_000)
        assert (asked.state, asked.tax > 0) == (PaymentState.NEEDS_ACTION, True)
        world.pay(asked)
        await world.hear()
        paid = await world.payment(asked)
        assert (paid.state, paid.tax) == (PaymentState.SUCCEEDED, asked.tax)
        assert await world.credits(workspace_id) == [100, 1_000]


async def test_a_business_in_another_member_state_owes_the_tax_itself(
    database_url: str, simulator: StripeSimulator
) -> None:
    """By its address and tax id, which the provider knows of its profile: page and card alike."""
    async with taxed(database_url, simulator, TaxMode.STRIPE) as world:
        business = Profile("GmbH", "a@example.org", "Road 1\n1010 Wien", "AT", "ATU 12345678")
        workspace_id = await world.with_card(profile=business)
        (tax_id,) = simulator.objects("tax_id")
        assert (tax_id["type"], tax_id["value"]) == ("eu_vat", "ATU12345678")
        charged = await world.charge(workspace_id, 1_000)
        assert charged.tax_calculation_id
        await holds(world, charged, 0)
        for payment in await world.payments(workspace_id):
            said = await receipt(world, payment)
            assert (said["tax"], said["tax_rate_percent"]) == ("0.00", "0")
            assert said["tax_note"] == "Reverse charge"


async def test_a_tax_id_follows_the_profile(database_url: str, simulator: StripeSimulator) -> None:
    """Changed, it is another one there; what is none is said; erased, it is gone with the place."""
    async with taxed(database_url, simulator, TaxMode.STRIPE) as world:
        business = Profile("GmbH", "a@example.org", "Road 1", "DE", "DE123456789")
        workspace_id = await world.with_card(profile=business)
        moved = replace(business, country="AT", tax_id="ATU12345678")
        for _ in range(2):
            await world.desk.update_profile(world.act(), workspace_id, moved)
            assert [one["value"] for one in simulator.objects("tax_id")] == ["ATU12345678"]
            (customer,) = simulator.objects("customer")
            assert (customer["address"]["line1"], customer["address"]["country"]) == (
                "Road 1",
                "AT",
            )
        assert (await world.charge(workspace_id, 1_000)).tax == 0
        wrong = replace(moved, country="GB", tax_id="ATU1")
        with pytest.raises(InvalidArgument) as refused:
            await world.desk.update_profile(world.act(), workspace_id, wrong)
        assert refused.value.metadata == {"fields": "tax_id"}
        assert simulator.objects("tax_id") == []
        no_place = replace(moved, country="US", address="Somewhere")
        with pytest.raises(InvalidArgument) as refused:
            await world.desk.update_profile(world.act(), workspace_id, no_place)
        assert refused.value.metadata == {"fields": "address"}
        assert (await world.account(workspace_id)).profile == wrong
        await world.desk.update_profile(world.act(), workspace_id, Profile())
        assert simulator.objects("tax_id") == []
        assert simulator.objects("customer")[0]["address"] is None


async def test_a_tax_id_that_the_provider_does_not_take_hinders_no_purchase(
    database_url: str, simulator: StripeSimulator
) -> None:
    """One without an answer is told again; where it is none, tax is added."""
    async with taxed(database_url, simulator, TaxMode.STRIPE) as world:
        simulator.fault("status_429", path="/v1/customers/*/tax_ids", method="POST", count=1)
        business = Profile("GmbH", "a@example.org", "Road 1", "DE", "DE123456789")
        workspace_id = await world.workspace(profile=business)
        with pytest.raises(PaymentUnknown):
            await world.checkout(workspace_id, key="request-1")
        payment = await world.checkout(workspace_id, key="request-1")
        assert payment.session_url
        (customer,) = simulator.objects("customer")
        assert customer["address"]["line1"] == "Road 1"
        assert len(simulator.objects("tax_id")) == 1
        wrong = replace(business, tax_id="DE12")
        paid = await world.bought(await world.workspace(profile=wrong), 1_000, country="DE")
        assert paid.tax == 200
        assert len(simulator.objects("tax_id")) == 1


async def test_a_receipt_says_the_rate_that_the_provider_says(
    database_url: str, simulator: StripeSimulator
) -> None:
    """Of so small an amount the tax alone would say another one."""
    async with taxed(database_url, simulator, TaxMode.STRIPE) as world:
        workspace_id = await world.workspace()
        payment = await world.bought(workspace_id, 101, saves_card=True, country="DE")
        charged = await world.charge(workspace_id, 102)
        for each in (payment, charged):
            said = await receipt(world, each)
            assert (said["tax"], said["tax_rate_percent"]) == ("0.20", "20")


def test_static_tax_is_half_even() -> None:
    """Of a half cent, the even one."""
    assert static_tax(50, 190_000) == 10  # 9.5
    assert static_tax(150, 190_000) == 28  # 28.5
    assert static_tax(100, 0) == 0


async def test_case_71_a_rate_that_changes_meanwhile_is_that_of_the_next_payment(
    database_url: str, simulator: StripeSimulator
) -> None:
    """What was asked for is what is charged, whenever the answer comes."""
    async with taxed(database_url, simulator, TaxMode.STATIC_RATE, 190_000) as world:
        workspace_id = await world.with_card()
        simulator.fault("status_429", path="/v1/payment_intents", method="POST", count=1)
        unknown = await world.charge(workspace_id, 1_000)
        world.tax_rate_ppm = 200_000
        world.desk = world.another_desk()
        world.pass_time(minutes=3)
        assert await world.desk.work() == 1
        assert (await world.payment(unknown)).tax == 190
        assert (await world.charge(workspace_id, 1_000)).tax == 200
        assert await world.credits(workspace_id) == [100, 1_000, 1_000]
        assert (await world.movements.reconcile()).difference == 0


async def test_case_71_an_old_calculation_is_never_charged(
    database_url: str, simulator: StripeSimulator
) -> None:
    """The provider keeps them for 90 days; whatever waited so long is given up, and asked anew."""
    async with taxed(database_url, simulator, TaxMode.STRIPE) as world:
        workspace_id = await world.with_card()
        simulator.fault("status_429", path="/v1/payment_intents", method="POST", count=1)
        unknown = await world.charge(workspace_id, 1_000)
        assert unknown.state is PaymentState.CREATED
        world.pass_time(days=91)
        await world.desk.work()
        given_up = await world.payment(unknown)
        assert (given_up.state, given_up.failure) == (PaymentState.FAILED, "not_made")
        again = await world.charge(workspace_id, 1_000)
        assert again.state is PaymentState.SUCCEEDED
        assert again.tax_calculation_id not in {"", given_up.tax_calculation_id}
