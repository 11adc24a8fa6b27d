"""The saved card: charged on request and automatically, and what banks say to it."""

from __future__ import annotations

import asyncio

import pytest

from core.billing.accounts.model import AutoState, AutoStop
from core.billing.payments.model import PaymentKind, PaymentState
from core.billing.stripe.gateway import PaymentUnknown
from core.ledger.model import GrantKind
from kit.money import NANOS_PER_CENT
from kit.reasons import InvalidArgument, InvalidState
from tests.support.payment_world import PaymentWorld

INTENTS = "/v1/payment_intents"
DECLINED = "pm_card_chargeCustomerFail"
WANTS_OWNER = "pm_card_authenticationRequired"


async def test_a_card_is_saved_with_a_purchase_and_charged_later(world: PaymentWorld) -> None:
    """Of the card we know what may be shown."""
    workspace_id = await world.workspace()
    await world.bought(workspace_id, 1_000, saves_card=True)
    account = await world.account(workspace_id)
    assert (account.card_brand, account.card_last4) == ("visa", "4242")
    charged = await world.charge(workspace_id, 2_000)
    assert charged.state is PaymentState.SUCCEEDED
    await world.hear()
    assert await world.credits(workspace_id) == [1_000, 2_000]
    assert (await world.movements.reconcile()).difference == 0


async def test_without_a_card_nothing_is_charged(world: PaymentWorld) -> None:
    """Nor written down."""
    workspace_id = await world.workspace()
    with pytest.raises(InvalidState):
        await world.charge(workspace_id)
    with pytest.raises(InvalidState):
        await world.auto(workspace_id)
    assert await world.payments(workspace_id) == []


async def test_a_declined_charge_has_failed(world: PaymentWorld) -> None:
    """With the bank's word for why, and no credit."""
    workspace_id = await world.with_card(DECLINED)
    failed = await world.charge(workspace_id)
    assert (failed.state, failed.failure) == (PaymentState.FAILED, "generic_decline")
    await world.hear()
    assert await world.credits(workspace_id) == [100]


@pytest.mark.parametrize("commits", [True, False])
async def test_case_20_a_500_that_is_replayed_charges_once(
    world: PaymentWorld, *, commits: bool
) -> None:
    """Whether the provider had made the charge or not: it is looked for before it is made again."""
    workspace_id = await world.with_card()
    world.simulator.fault("status_500", path=INTENTS, method="POST", count=1, commits=commits)
    unknown = await world.charge(workspace_id, 2_000, key="request-1")
    assert unknown.state is PaymentState.CREATED
    # The same key is answered with the same 500 for a day.
    again = await world.charge(workspace_id, 2_000, key="request-1")
    assert again.state is (PaymentState.SUCCEEDED if commits else PaymentState.CREATED)
    for _ in range(3):
        world.pass_time(hours=1, minutes=5)
        await world.desk.work()
    # Who pressed a button is not charged an hour later.
    ends = PaymentState.SUCCEEDED if commits else PaymentState.FAILED
    assert (await world.payment(unknown)).state is ends
    assert len(_charges(world, 2_000)) == int(commits)


async def test_case_20_an_automatic_charge_gets_a_new_key_after_a_search(
    world: PaymentWorld,
) -> None:
    """The old one is answered with the same 500 for a day."""
    workspace_id = await world.with_card()
    await world.auto(workspace_id, below=500, buys=2_000)
    world.simulator.fault("status_500", path=INTENTS, method="POST", count=1)
    for _ in range(3):
        await world.desk.top_up_all()
        world.pass_time(minutes=25)
        await world.desk.work()
    world.pass_time(minutes=25)
    await world.desk.work()
    assert await world.credits(workspace_id) == [100, 2_000]
    assert len(_charges(world, 2_000)) == 1


async def test_case_20_what_was_never_made_is_given_up_after_a_search(world: PaymentWorld) -> None:
    """A day later nobody may be charged for it any more."""
    workspace_id = await world.with_card()
    world.simulator.fault("status_500", path=INTENTS, method="POST")
    unknown = await world.charge(workspace_id, 2_000)
    world.pass_time(hours=24)
    await world.desk.work()
    given_up = await world.payment(unknown)
    assert (given_up.state, given_up.failure) == (PaymentState.FAILED, "not_made")
    assert _charges(world, 2_000) == []


async def test_case_21_a_crash_after_the_charge_is_found_by_its_metadata(
    world: PaymentWorld,
) -> None:
    """The answer never came; the janitor finds what was made, and credits it once."""
    workspace_id = await world.with_card()
    world.simulator.fault("drop_after_commit", path=INTENTS, method="POST", count=1)
    unknown = await world.charge(workspace_id, 2_000)
    assert unknown.state is PaymentState.CREATED
    assert await world.desk.work() == 0
    world.pass_time(minutes=3)
    assert await world.desk.work() == 1
    await world.hear()
    assert await world.credits(workspace_id) == [100, 2_000]
    assert len(_charges(world, 2_000)) == 1


async def test_case_22_a_crash_before_the_acknowledgement_changes_nothing_twice(
    world: PaymentWorld,
) -> None:
    """Everything is told again after it was posted: a second delivery, and a second look."""
    workspace_id = await world.with_card()
    await world.charge(workspace_id, 2_000)
    await world.hear()
    async with world.database.rpc.transaction("system") as tx:
        await tx.run("UPDATE stripe_inbox SET handled_at = NULL, not_before = 'epoch'")
        await tx.commit()
    await world.hear_at_once(2)
    assert await world.credits(workspace_id) == [100, 2_000]
    assert await world.alarms() == []


async def test_case_23_two_processes_that_see_the_threshold_top_up_once(
    world: PaymentWorld,
) -> None:
    """At the same moment, several times."""
    workspace_id = await world.with_card()
    await world.auto(workspace_id, below=500, buys=1_000)
    desks = [world.another_desk() for _ in range(4)]
    await asyncio.gather(*(desk.top_up_all() for desk in desks))
    await world.hear()
    assert await world.credits(workspace_id) == [100, 1_000]
    assert await world.desk.top_up_all() == 0


async def test_case_24_a_charge_under_way_counts_for_the_threshold(world: PaymentWorld) -> None:
    """And by hand and automatically at once, both are valid, with a receipt each."""
    workspace_id = await world.with_card()
    await world.auto(workspace_id, below=500, buys=1_000)
    world.simulator.fault("drop_after_commit", path=INTENTS, method="POST", count=1)
    by_hand = await world.charge(workspace_id, 2_000)
    assert by_hand.state is PaymentState.CREATED
    assert await world.desk.top_up_all() == 0
    await world.hear()
    await world.auto(workspace_id, below=5_000, buys=1_000)
    assert await world.desk.top_up_all() == 1
    await world.hear()
    assert await world.credits(workspace_id) == [100, 2_000, 1_000]
    receipts = await world.rows("SELECT DISTINCT payment_id FROM billing_document WHERE kind = 1")
    assert len(receipts) == 3


async def test_case_25_a_bank_that_wants_the_owner_stops_automatic_top_up(
    world: PaymentWorld,
) -> None:
    """No credit, a mail with a page; who confirms there is credited, once."""
    workspace_id = await world.with_card(WANTS_OWNER)
    await world.auto(workspace_id)
    await world.desk.top_up_all()
    automatic = (await world.payments(workspace_id))[-1]
    assert (automatic.kind, automatic.state) == (
        PaymentKind.AUTOMATIC,
        PaymentState.NEEDS_ACTION,
    )
    assert automatic.session_url
    auto = (await world.account(workspace_id)).auto
    assert (auto.state, auto.stop_reason) == (AutoState.STOPPED, AutoStop.AUTHENTICATION)
    assert await world.credits(workspace_id) == [100]
    letters = await world.rows("SELECT template, object_id FROM mail_outbox")
    assert [(row.template, row.object_id.bytes) for row in letters] == [
        ("top_up_needs_you", automatic.payment_id)
    ]
    await world.hear()
    assert await world.desk.top_up_all() == 0
    world.pay(automatic)
    await world.hear()
    assert (await world.payment(automatic)).state is PaymentState.SUCCEEDED
    assert await world.credits(workspace_id) == [100, 1_000]


async def test_case_25_the_page_is_made_by_the_janitor_if_the_process_died(
    world: PaymentWorld,
) -> None:
    """The charge is cancelled first, so that no two can go through."""
    workspace_id = await world.with_card(WANTS_OWNER)
    await world.auto(workspace_id)
    world.simulator.fault("status_500", path="/v1/checkout/sessions", method="POST", count=1)
    await world.desk.top_up_all()
    automatic = (await world.payments(workspace_id))[-1]
    assert (automatic.state, automatic.session_url) == (PaymentState.NEEDS_ACTION, "")
    (intent,) = [one for one in world.simulator.objects("payment_intent") if one["amount"] == 1_000]
    assert intent["status"] == "canceled"
    await world.hear()
    world.pass_time(hours=25)  # the provider replays a 500 for a day
    await world.desk.work()
    assert (await world.payment(automatic)).session_url
    assert len(await world.rows("SELECT 1 FROM mail_outbox")) == 1


async def test_a_charge_by_hand_that_wants_the_owner_has_a_page(world: PaymentWorld) -> None:
    """The caller is there to be sent to it; no mail."""
    workspace_id = await world.with_card(WANTS_OWNER)
    payment = await world.charge(workspace_id, 2_000)
    assert payment.state is PaymentState.NEEDS_ACTION
    world.pay(payment)
    await world.hear()
    assert await world.credits(workspace_id) == [100, 2_000]
    assert await world.rows("SELECT 1 FROM mail_outbox") == []


async def test_case_26_declines_pause_for_an_hour_and_end_after_three(
    world: PaymentWorld,
) -> None:
    """Each of them once; then its owner is told."""
    workspace_id = await world.with_card(DECLINED)
    await world.auto(workspace_id)
    auto = (await world.account(workspace_id)).auto
    for tried in range(1, 4):
        assert await world.desk.top_up_all() == 1
        await world.hear()
        auto = (await world.account(workspace_id)).auto
        assert auto.failures == tried
        world.pass_time(minutes=59)
        assert await world.desk.top_up_all() == 0
        world.pass_time(minutes=2)
    assert (auto.state, auto.stop_reason) == (AutoState.STOPPED, AutoStop.DECLINED)
    assert await world.desk.top_up_all() == 0
    assert len(await world.payments(workspace_id)) == 4
    letters = await world.rows("SELECT template FROM mail_outbox")
    assert [row.template for row in letters] == ["top_up_stopped"]
    await world.auto(workspace_id)
    assert (await world.account(workspace_id)).auto.failures == 0


async def test_a_decline_between_successes_is_forgotten(world: PaymentWorld) -> None:
    """Three in a row stop it, not three in a year."""
    workspace_id = await world.with_card(DECLINED)
    await world.auto(workspace_id, below=5_000)
    await world.desk.top_up_all()
    assert (await world.account(workspace_id)).auto.failures == 1
    await world.save_card(workspace_id, "pm_card_visa")
    world.pass_time(minutes=61)
    await world.desk.top_up_all()
    assert (await world.account(workspace_id)).auto.failures == 0
    assert await world.credits(workspace_id) == [100, 1_000]


async def test_case_27_a_card_that_was_removed_fails_cleanly(world: PaymentWorld) -> None:
    """The ledger is untouched, and automatic top-up stops."""
    workspace_id = await world.with_card()
    await world.auto(workspace_id)
    method = (await world.account(workspace_id)).method_id
    async with world.simulator.client() as client:
        await client.v1.payment_methods.detach_async(method)
    await world.desk.top_up_all()
    failed = (await world.payments(workspace_id))[-1]
    assert failed.state is PaymentState.FAILED
    assert await world.credits(workspace_id) == [100]
    await world.hear()
    account = await world.account(workspace_id)
    assert account.method_id == ""
    assert await world.desk.top_up_all() == 0
    with pytest.raises(InvalidState):
        await world.charge(workspace_id)


async def test_case_27_a_customer_that_was_deleted_takes_the_card_along(
    world: PaymentWorld,
) -> None:
    """As the provider's event says."""
    workspace_id = await world.with_card()
    await world.auto(workspace_id)
    customer = (await world.account(workspace_id)).customer_id
    async with world.simulator.client() as client:
        await client.v1.customers.delete_async(customer)
    await world.hear()
    account = await world.account(workspace_id)
    assert (account.customer_id, account.method_id) == ("", "")
    assert (account.auto.state, account.auto.stop_reason) == (
        AutoState.STOPPED,
        AutoStop.CARD_GONE,
    )


async def test_removing_the_card_removes_it_at_the_provider(world: PaymentWorld) -> None:
    """Here first: whatever the provider says to it changes nothing."""
    workspace_id = await world.with_card()
    await world.auto(workspace_id)
    world.simulator.fault("status_500", path="/v1/payment_methods/*/detach", count=1)
    method = (await world.account(workspace_id)).method_id
    account = await world.desk.remove_card(world.act(), workspace_id)
    assert (account.method_id, account.auto.state) == ("", AutoState.OFF)
    world.pass_time(minutes=16)
    await world.desk.work()
    (left,) = [one for one in world.simulator.objects("payment_method") if one["id"] == method]
    assert left["customer"] is None


async def test_a_monthly_cap_holds_and_the_next_month_begins_anew(world: PaymentWorld) -> None:
    """What failed does not count."""
    workspace_id = await world.with_card()
    await world.auto(workspace_id, below=100_000, buys=1_000, cap=2_500)
    for _ in range(4):
        await world.desk.top_up_all()
        assert await world.desk.top_up_all() == 0
        world.pass_time(seconds=61)
    assert await world.credits(workspace_id) == [100, 1_000, 1_000]
    world.pass_time(days=31)
    await world.desk.top_up_all()
    assert await world.credits(workspace_id) == [100, 1_000, 1_000, 1_000]


async def test_credit_in_leases_is_not_missing(world: PaymentWorld) -> None:
    """What is set aside for running requests counts, what is frozen too."""
    workspace_id = await world.with_card()
    await world.money.edge()
    await world.money.grant(workspace_id, 900 * NANOS_PER_CENT, GrantKind.PROMOTIONAL)
    await world.auto(workspace_id, below=500, buys=1_000)
    await world.money.acquire(workspace_id, 1, 900 * NANOS_PER_CENT)
    assert (await world.balance(workspace_id)).available < 500 * NANOS_PER_CENT
    assert await world.desk.top_up_all() == 0


async def test_a_suspended_workspace_buys_nothing_by_itself(world: PaymentWorld) -> None:
    """Its owner may still pay."""
    workspace_id = await world.with_card()
    await world.auto(workspace_id)
    async with world.database.rpc.transaction("system") as tx:
        await tx.run("UPDATE workspace SET state = 2")
        await tx.commit()
    assert await world.desk.top_up_all() == 0
    assert (await world.charge(workspace_id, 300)).state is PaymentState.SUCCEEDED


async def test_settings_that_buy_nothing_are_refused(world: PaymentWorld) -> None:
    """No threshold, or a cap below one purchase."""
    workspace_id = await world.with_card()
    with pytest.raises(InvalidArgument):
        await world.auto(workspace_id, below=0)
    with pytest.raises(InvalidArgument):
        await world.auto(workspace_id, buys=1_000, cap=999)


async def test_a_provider_that_is_away_is_no_refusal(world: PaymentWorld) -> None:
    """The page cannot be had: the caller may ask again."""
    workspace_id = await world.workspace()
    world.simulator.fault("status_429", count=1)
    with pytest.raises(PaymentUnknown):
        await world.checkout(workspace_id)


def _charges(world: PaymentWorld, cents: int) -> list[str]:
    return [
        one["id"]
        for one in world.simulator.objects("charge")
        if one["amount"] == cents and one["paid"]
    ]
