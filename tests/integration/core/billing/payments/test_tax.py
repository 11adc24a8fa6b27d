"""Tax on a purchase: none, a static rate, or what the provider calculates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from core.billing.documents.model import TaxMode
from core.billing.payments.model import Payment, PaymentState, static_tax
from core.db.database import Database
from kit.money import NANOS_PER_CENT
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
