"""What the provider is told of a customer, and what its pages may change of that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from core.billing.accounts.model import Profile
from core.billing.documents.model import TaxMode
from core.billing.payments.buying import Wanted
from core.billing.payments.desk import PaymentDesk
from core.billing.payments.model import PaymentKind, PaymentState
from core.billing.stripe.client import StripeAdapter
from core.billing.stripe.gateway import CustomerDetails, PaymentUnknown, StripeRefused
from core.db.database import Database
from kit.money import NANOS_PER_CENT
from kit.reasons import InvalidArgument
from tests.support.payment_world import PaymentWorld
from tests.support.stripe import WEBHOOK_SECRET, StripeSimulator

BUSINESS = Profile("GmbH", "a@example.org", "Road 1\n1010 Wien", "AT", "ATU12345678")


@pytest.fixture
async def world(database_url: str, simulator: StripeSimulator) -> AsyncIterator[PaymentWorld]:
    """Give a test a world in which the provider calculates the tax."""
    simulator.order("reset")
    world = PaymentWorld(Database.connect(database_url), simulator, TaxMode.STRIPE)
    yield world
    await world.close()


@asynccontextmanager
async def adapted(world: PaymentWorld, kind: type[StripeAdapter]) -> AsyncIterator[PaymentDesk]:
    """Run another core process's desk, whose adapter does something on the way."""
    gateway = kind(
        world.simulator.api_key, [WEBHOOK_SECRET], base_url=world.simulator.origin, retries=0
    )
    world.gateway, plain = gateway, world.gateway
    desk = world.another_desk()
    world.gateway = plain
    try:
        yield desk
    finally:
        await gateway.close()


async def opens(world: PaymentWorld, desk: PaymentDesk, workspace_id: bytes, key: str) -> str:
    """Open a page at a desk; return where."""
    wanted = Wanted(workspace_id, key, PaymentKind.CHECKOUT, 1_000 * NANOS_PER_CENT)
    return (await desk.buy(world.act(), wanted)).session_url


def place(world: PaymentWorld) -> str | None:
    """Return in which country the provider believes its one customer to be."""
    (customer,) = world.simulator.objects("customer")
    return (customer["address"] or {}).get("country")


async def test_a_page_does_not_change_the_place_that_the_profile_says(world: PaymentWorld) -> None:
    """Whatever its visitor types in: the next charge is taxed by the profile."""
    workspace_id = await world.workspace(profile=BUSINESS)
    payment = await world.bought(workspace_id, 1_000, saves_card=True, country="IE")
    assert (payment.state, payment.tax, place(world)) == (PaymentState.SUCCEEDED, 0, "AT")
    assert (await world.charge(workspace_id, 1_000)).tax == 0


async def test_without_a_place_in_the_profile_the_page_asks_and_it_is_kept(
    world: PaymentWorld,
) -> None:
    """By it a saved card is charged."""
    workspace_id = await world.workspace(profile=Profile("Example Ltd", "a@example.org"))
    payment = await world.bought(workspace_id, 1_000, saves_card=True, country="DE")
    assert (payment.tax, place(world)) == (200, "DE")
    assert (await world.charge(workspace_id, 1_000)).tax == 200


async def test_a_customer_of_before_the_provider_calculated_tax_is_asked(
    world: PaymentWorld,
) -> None:
    """It was told no place then, whatever its profile says."""
    workspace_id = await world.workspace(profile=BUSINESS)
    world.tax_mode = TaxMode.NONE
    world.desk = world.another_desk()
    await world.bought(workspace_id, 1_000)
    world.tax_mode = TaxMode.STRIPE
    world.desk = world.another_desk()
    assert place(world) is None
    payment = await world.bought(workspace_id, 1_000, country="DE")
    assert (payment.state, place(world)) == (PaymentState.SUCCEEDED, "DE")


async def test_a_field_that_the_provider_does_not_take_is_named(world: PaymentWorld) -> None:
    """It is no sign that the customer is gone, and the rest is not told either."""
    workspace_id = await world.workspace(profile=BUSINESS)
    await world.bought(workspace_id, country="AT")
    moved = replace(BUSINESS, country="DE", email="a@example")
    with pytest.raises(InvalidArgument) as refused:
        await world.desk.update_profile(world.act(), workspace_id, moved)
    assert refused.value.metadata == {"fields": "email"}
    assert (place(world), len(world.simulator.objects("tax_id"))) == ("AT", 1)


class Refusing(StripeAdapter):
    """Refuses what it is told of a customer, in words of its own."""

    async def update_customer(self, customer_id: str, details: CustomerDetails) -> None:
        """Refuse."""
        raise StripeRefused(code="new_rule")


async def test_a_refusal_that_we_do_not_know_is_told(world: PaymentWorld) -> None:
    """As the provider's, not as done."""
    workspace_id = await world.workspace(profile=BUSINESS)
    await world.bought(workspace_id, country="AT")
    async with adapted(world, Refusing) as desk:
        with pytest.raises(StripeRefused):
            await desk.update_profile(world.act(), workspace_id, replace(BUSINESS, name="Other"))


async def test_a_profile_of_a_customer_that_is_gone_is_changed(world: PaymentWorld) -> None:
    """There is nobody to tell."""
    workspace_id = await world.workspace(profile=BUSINESS)
    await world.bought(workspace_id, country="AT")
    async with world.simulator.client() as client:
        await client.v1.customers.delete_async((await world.account(workspace_id)).customer_id)
    changed = await world.desk.update_profile(
        world.act(), workspace_id, replace(BUSINESS, name="Other")
    )
    assert changed.profile.name == "Other"


async def test_a_tax_id_that_somebody_else_removed_is_no_refusal(world: PaymentWorld) -> None:
    """Two change a profile at once: the second finds the old one gone."""
    workspace_id = await world.workspace(profile=BUSINESS)
    await world.bought(workspace_id, country="AT")
    customer = (await world.account(workspace_id)).customer_id
    path = "/v1/customers/*/tax_ids/*"
    world.simulator.fault("delay", path=path, method="DELETE", count=1, seconds=0.5)
    await asyncio.gather(*(world.gateway.set_tax_id(customer, None) for _ in range(2)))
    assert world.simulator.objects("tax_id") == []


@pytest.mark.parametrize("country", ["DE", ""])
async def test_a_profile_that_changes_while_its_customer_is_made_is_told(
    world: PaymentWorld, country: str
) -> None:
    """Whoever changed it could tell nobody: the customer had no name yet."""
    workspace_id = await world.workspace(profile=BUSINESS)
    later = Profile("Other", "b@example.org", "Road 2", country)

    class Edited(StripeAdapter):
        """Makes a customer while its profile is changed."""

        async def make_customer(self, workspace: str, details: CustomerDetails, *, key: str) -> str:
            made = await super().make_customer(workspace, details, key=key)
            await world.desk.update_profile(world.act(), workspace_id, later)
            return made

    async with adapted(world, Edited) as desk:
        assert await opens(world, desk, workspace_id, "request-1")
    (customer,) = world.simulator.objects("customer")
    assert (customer["name"], customer["email"]) == ("Other", "b@example.org")
    assert place(world) == (country or None)
    assert world.simulator.objects("tax_id") == []


async def test_a_profile_that_never_stays_is_asked_for_again(world: PaymentWorld) -> None:
    """No purchase waits for ever; the same request goes on later."""
    workspace_id = await world.workspace(profile=BUSINESS)
    edits = 0

    class Edited(StripeAdapter):
        """Never knows the latest."""

        async def set_tax_id(self, *given: Any) -> None:
            nonlocal edits
            edits += 1
            changed = replace(BUSINESS, name=f"Name {edits}")
            await world.desk.update_profile(world.act(), workspace_id, changed)
            await super().set_tax_id(*given)

    async with adapted(world, Edited) as desk:
        with pytest.raises(PaymentUnknown):
            await opens(world, desk, workspace_id, "request-1")
    assert await opens(world, world.desk, workspace_id, "request-1")
    account = await world.account(workspace_id)
    named = {one["id"]: one["name"] for one in world.simulator.objects("customer")}
    assert named[account.customer_id] == account.profile.name
