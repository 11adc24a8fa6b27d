"""What never reached us is read from the provider, and its balance is compared with ours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest

from core.billing.events import store
from core.billing.events.movements import Movements
from core.billing.events.sweep import Place, Sweep
from core.billing.stripe.client import StripeAdapter
from core.billing.stripe.gateway import (
    BalanceTransaction,
    Page,
    PaymentUnknown,
    StripeEvent,
    StripeGateway,
)
from kit.clock import now
from kit.money import NANOS_PER_CENT
from tests.support.payment_world import PaymentWorld
from tests.support.stripe import WEBHOOK_SECRET

NAME = "events"


def sweep_of(world: PaymentWorld) -> Sweep[StripeEvent]:
    """The sweep of events, as the process runs it."""
    gateway: StripeGateway = world.gateway
    return Sweep(
        NAME,
        world.database.jobs,
        world.clock,
        lambda since, after: gateway.list_events(since=since, after=after),
        lambda page: world.inbox.keep([*page]),
    )


async def test_case_04_a_webhook_that_never_came_is_swept_up(world: PaymentWorld) -> None:
    """Within the hour, and the ones that came are not looked into again."""
    workspace_id = await world.workspace()
    world.pay(await world.checkout(workspace_id))
    sweep = sweep_of(world)
    assert await sweep.work()
    await world.inbox.work()
    assert await world.credits(workspace_id) == [1_000]
    assert not await sweep.work()
    world.pass_time(minutes=61)
    assert await sweep.work()
    assert await world.inbox.work() == 0


async def test_case_72_a_provider_that_is_busy_is_left_alone_and_the_place_is_kept(
    world: PaymentWorld,
) -> None:
    """429 in the middle: later and later, and then on from there."""
    workspace_id = await world.workspace()
    for _ in range(12):
        await world.bought(workspace_id)
    async with world.database.rpc.transaction("system") as tx:
        await tx.run("DELETE FROM stripe_inbox")
        await tx.commit()
    asked: list[str] = []
    pages: list[Page[StripeEvent]] = []

    async def fetch(since: object, after: str) -> Page[StripeEvent]:
        asked.append(after)
        page = await world.gateway.list_events(
            since=now(world.clock) - timedelta(days=1), after=after
        )
        short = Page(page.items[:5], has_more=page.has_more or len(page.items) > 5)
        pages.append(short)
        return short

    sweep: Sweep[StripeEvent] = Sweep(
        NAME, world.database.jobs, world.clock, fetch, lambda page: world.inbox.keep([*page])
    )
    world.simulator.fault("status_429", path="/v1/events", count=3)
    with pytest.raises(PaymentUnknown):
        await sweep.work()
    assert not await sweep.work()
    for pause in (31, 61):
        world.pass_time(seconds=pause)
        with pytest.raises(PaymentUnknown):
            await sweep.work()
    assert asked == ["", "", ""]
    world.pass_time(seconds=121)
    world.simulator.fault("status_429", path="/v1/events", count=1, probability=0.2, seed=3)
    finished = False
    while not finished:
        try:
            finished = await sweep.work()
        except PaymentUnknown:
            world.pass_time(minutes=61)
    assert len(set(asked[3:])) >= len(pages)
    kept = await world.rows("SELECT count(*) AS how_many FROM stripe_inbox")
    ours = [one for one in world.events() if one["type"].startswith(("payment_intent", "checkout"))]
    assert kept[0].how_many == len(ours)


async def test_a_place_survives_the_process(world: PaymentWorld) -> None:
    """It is a row, not a variable."""
    place = Place(now(world.clock), now(world.clock), "evt_1")
    assert Place.parse(str(place), now(world.clock)) == place
    async with world.database.rpc.transaction("system") as tx:
        moment = now(world.clock)
        assert await store.claim_cursor(tx, NAME, now=moment, rest=timedelta(hours=1)) == ""
        await store.move_cursor(tx, NAME, str(place), moment)
        assert await store.claim_cursor(tx, NAME, now=moment, rest=timedelta(hours=1)) is None
        await tx.commit()
    async with world.database.rpc.transaction("system") as tx:
        assert await store.read_cursor(tx, NAME) == str(place)


async def test_fees_and_payments_make_clearing_the_balance(world: PaymentWorld) -> None:
    """After any number of rounds, each fee once."""
    workspace_id = await world.workspace()
    for cents in (1_000, 2_500):
        await world.bought(workspace_id, cents)
    found = await world.movements.reconcile()
    world.pass_time(minutes=61)
    assert await world.movements.reconcile() == found
    assert found.difference == 0
    fees = await world.rows(
        "SELECT -sum(amount) AS total FROM ledger_entry WHERE account = 'exp.psp_fees'"
    )
    in_account = world.simulator.objects("balance_transaction")
    assert fees[0].total == sum(one["fee"] for one in in_account) * NANOS_PER_CENT
    assert found.balance == sum(one["net"] for one in in_account) * NANOS_PER_CENT


async def test_money_that_nothing_explains_is_listed_and_alarmed(world: PaymentWorld) -> None:
    """A charge that somebody made in the provider's own pages."""
    async with world.simulator.client() as client:
        await client.v1.payment_intents.create_async(
            {
                "amount": 700,
                "currency": "usd",
                "confirm": True,
                "payment_method": "pm_card_visa",
                "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            }
        )
    await world.hear()
    found = await world.movements.reconcile()
    assert found.difference == 700 * NANOS_PER_CENT
    assert [one.amount for one in found.unexplained] == [700]
    for _ in range(2):
        world.pass_time(minutes=61)
        await world.movements.work()
    assert await world.alarms() == ["stripe_clearing_mismatch"]


class PayingOut(StripeAdapter):
    """The account after the provider has paid out, taken a fee of its own and had one sent back."""

    moved = (
        ("txn_p1", "payout", -500),
        ("txn_p2", "payout_failure", 200),
        ("txn_f1", "stripe_fee", -30),
        ("txn_e1", "payout", -999),
    )

    async def list_balance_transactions(
        self, *, since: datetime, after: str
    ) -> Page[BalanceTransaction]:
        """Add them to what there is."""
        page = await super().list_balance_transactions(since=since, after=after)
        more = tuple(
            BalanceTransaction(
                name, kind, "po_1", cents, 0, cents, "eur" if name == "txn_e1" else "usd", since
            )
            for name, kind, cents in self.moved
        )
        return Page(page.items + more, page.has_more)

    async def balance(self) -> Mapping[str, int]:
        """Take them off."""
        found = await super().balance()
        return {**found, "usd": found.get("usd", 0) - 500 + 200 - 30}


async def test_payouts_and_the_providers_own_fees_are_posted_once(world: PaymentWorld) -> None:
    """To the bank and back; what is in another currency is never converted, but listed."""
    await world.bought(await world.workspace(), 1_000)
    gateway = PayingOut(
        world.simulator.api_key, [WEBHOOK_SECRET], base_url=world.simulator.origin, retries=0
    )
    movements = Movements(world.database.jobs, gateway, world.clock, world.ids, world.log)
    for _ in range(2):
        found = await movements.reconcile()
        assert found.difference == 0
        assert [one.id for one in found.unexplained] == ["txn_e1"]
        world.pass_time(minutes=61)
    await gateway.close()
    in_bank = await world.rows(
        "SELECT sum(amount) AS total FROM ledger_entry WHERE account = 'psp.bank'"
    )
    assert in_bank[0].total == -300 * NANOS_PER_CENT
