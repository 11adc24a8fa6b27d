"""A charge that wants its owner: one page and one letter, whoever sees it and whoever dies."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from core.billing.accounts.model import AutoState, AutoStop
from core.billing.payments.desk import PaymentDesk
from core.billing.payments.model import Payment, PaymentState
from core.billing.stripe.client import StripeAdapter
from core.billing.stripe.gateway import Checkout, StripeRefused
from tests.support.payment_world import PaymentWorld
from tests.support.stripe import WEBHOOK_SECRET

WANTS_OWNER = "pm_card_authenticationRequired"
PAGES = "/v1/checkout/sessions"


async def refused(world: PaymentWorld) -> Payment:
    """An automatic charge that wants its owner, whose page could not be had."""
    workspace_id = await world.with_card(WANTS_OWNER)
    await world.auto(workspace_id)
    world.simulator.fault("status_429", path=PAGES, method="POST", count=1)
    await world.desk.top_up_all()
    payment = (await world.payments(workspace_id))[-1]
    assert (payment.state, payment.session_url) == (PaymentState.NEEDS_ACTION, "")
    return payment


class Counting(StripeAdapter):
    """Counts the pages that it is asked for."""

    pages = 0

    def __init__(self, world: PaymentWorld) -> None:
        """Speak with the world's account."""
        super().__init__(
            world.simulator.api_key, [WEBHOOK_SECRET], base_url=world.simulator.origin, retries=0
        )
        self.asked = asyncio.Event()

    async def make_checkout(self, **fields: Any) -> Checkout:
        """Count, and take a while, so that others come meanwhile."""
        self.pages += 1
        self.asked.set()
        await asyncio.sleep(0.2)
        return await super().make_checkout(**fields)


def counted(world: PaymentWorld) -> Counting:
    """Let the world's next desks work with a provider that counts."""
    counting = Counting(world)
    world.gateway = counting
    return counting


async def letters(world: PaymentWorld) -> int:
    """Return how many letters wait to be sent."""
    return len(await world.rows("SELECT 1 FROM mail_outbox"))


async def test_of_two_sweeps_one_asks_the_owner(world: PaymentWorld) -> None:
    """The webhook's, the janitor's and another process's, all at the same moment."""
    payment = await refused(world)
    world.pass_time(minutes=20)
    first, counting = world.gateway, counted(world)
    try:
        desks = [world.another_desk() for _ in range(3)]
        await asyncio.gather(*(desk._ask_owner(payment) for desk in desks))
        assert (counting.pages, await letters(world)) == (1, 1)
        assert (await world.payment(payment)).session_url
    finally:
        await first.close()


async def test_whoever_dies_over_it_is_relieved(world: PaymentWorld) -> None:
    """After five minutes, when no call can be under way any more; still one letter."""
    payment = await refused(world)
    first, counting = world.gateway, counted(world)
    try:
        desk = world.another_desk()
        world.pass_time(minutes=2)
        await desk.work()
        assert (counting.pages, await letters(world)) == (0, 0)
        world.pass_time(minutes=4)
        await dies(world.another_desk(), payment, counting)
        world.pass_time(minutes=2)
        await desk.work()
        assert await letters(world) == 0
        pages = counting.pages
        for _ in range(3):
            world.pass_time(minutes=10)
            await desk.work()
        assert (counting.pages, await letters(world)) == (pages + 1, 1)
        assert len(world.simulator.objects("checkout.session")) == 2
    finally:
        await first.close()


async def dies(desk: PaymentDesk, payment: Payment, provider: Counting) -> None:
    """Let a process die while it asks for the page."""
    asking = asyncio.create_task(desk._ask_owner(payment))
    await asyncio.wait_for(provider.asked.wait(), 10)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_an_owner_whose_page_is_refused_is_told_that_it_stopped(world: PaymentWorld) -> None:
    """There is no page to confirm it on, so the letter about that was never written."""
    payment = await refused(world)
    first, refusing = (
        world.gateway,
        Refusing(
            world.simulator.api_key, [WEBHOOK_SECRET], base_url=world.simulator.origin, retries=0
        ),
    )
    world.gateway = refusing
    try:
        world.pass_time(minutes=20)
        await world.another_desk().work()
    finally:
        world.gateway = first
        await refusing.close()
    after = await world.payment(payment)
    assert (after.state, after.failure) == (PaymentState.FAILED, "no_pages_today")
    auto = (await world.account(payment.workspace_id)).auto
    assert (auto.state, auto.stop_reason) == (AutoState.STOPPED, AutoStop.AUTHENTICATION)
    rows = await world.rows("SELECT template FROM mail_outbox")
    assert [row.template for row in rows] == ["top_up_stopped"]


class Refusing(StripeAdapter):
    """Makes no pages."""

    async def make_checkout(self, **_: Any) -> Checkout:
        """Refuse."""
        raise StripeRefused(code="no_pages_today")


async def test_an_older_look_closes_no_page(world: PaymentWorld) -> None:
    """The charge was cancelled for its page: who read the payment before takes that for its end."""
    asked = await refused(world)
    world.pass_time(minutes=20)
    await world.desk.work()
    open_page = await world.payment(asked)
    assert open_page.session_url
    # As it was while the bank thought about it.
    older = replace(asked, state=PaymentState.PENDING)
    after = await world.desk._settle(older)
    assert (after.state, after.session_id) == (open_page.state, open_page.session_id)
    world.pay(after)
    assert (await world.desk._settle(after)).state is PaymentState.SUCCEEDED


async def test_an_older_look_that_finds_money_counts(world: PaymentWorld) -> None:
    """Whatever page there is by now."""
    payment = await world.checkout(await world.workspace())
    world.pay(payment)
    (intent,) = world.simulator.objects("payment_intent")
    older = replace(payment, state=PaymentState.CREATED, session_id="", intent_id=intent["id"])
    assert (await world.desk._settle(older)).state is PaymentState.SUCCEEDED
