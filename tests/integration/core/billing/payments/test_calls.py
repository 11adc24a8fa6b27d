"""Calls that are made again, changed or given up: never two under way, never for who left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from core.billing.accounts import service as accounts
from core.billing.accounts.model import AutoState, AutoTopUp, Profile
from core.billing.disputes.desk import DisputeDesk
from core.billing.events.inbox import Inbox
from core.billing.payments import store
from core.billing.payments.model import Payment, PaymentKind, PaymentState
from core.billing.payments.sending import Verdict, claim
from core.billing.refunds.desk import RefundDesk, RefundTerms
from core.billing.stripe.client import StripeAdapter
from core.billing.stripe.gateway import Intent, PaymentUnknown
from kit.clock import now
from kit.money import NANOS_PER_CENT
from tests.support.payment_world import PaymentWorld
from tests.support.stripe import WEBHOOK_SECRET

INTENTS = "/v1/payment_intents"


async def unanswered(world: PaymentWorld, workspace_id: bytes, cents: int = 2_000) -> Payment:
    """A charge by hand that the provider never heard of."""
    world.simulator.fault("status_429", path=INTENTS, method="POST", count=1)
    payment = await world.charge(workspace_id, cents)
    assert payment.state is PaymentState.CREATED
    return payment


async def short(world: PaymentWorld) -> tuple[bytes, Payment]:
    """An automatic charge that the provider never heard of."""
    workspace_id = await world.with_card()
    await world.auto(workspace_id)
    world.simulator.fault("status_429", path=INTENTS, method="POST", count=1)
    await world.desk.top_up_all()
    return workspace_id, (await world.payments(workspace_id))[-1]


def refund_desk(world: PaymentWorld) -> RefundDesk:
    """Return the desk of refunds beside that of payments."""
    return RefundDesk(
        world.database.rpc,
        world.gateway,
        world.clock,
        world.ids,
        world.log,
        world.documents,
        RefundTerms(),
    )


async def surplus(world: PaymentWorld) -> int:
    """Return what is owed to who paid it, by the ledger, in cents."""
    (row,) = await world.rows(
        "SELECT coalesce(sum(amount), 0) AS total FROM ledger_entry WHERE account = 'psp.surplus'"
    )
    return int(row.total) // NANOS_PER_CENT


async def claimed(world: PaymentWorld, read: Payment) -> tuple[Payment, Verdict]:
    """Claim the call of a payment."""
    async with world.database.rpc.transaction("system") as tx:
        found = await claim(tx, read, now(world.clock))
        await tx.commit()
    return found


async def withdrawn(world: PaymentWorld, payment: Payment) -> None:
    """It is not charged any more, and says why."""
    world.pass_time(minutes=6)
    await world.desk.work()
    after = await world.payment(payment)
    assert (after.state, after.failure) == (PaymentState.FAILED, "withdrawn")
    assert [one for one in world.simulator.objects("charge") if one["amount"] == after.net] == []


async def test_a_card_that_was_removed_meanwhile_is_not_charged(world: PaymentWorld) -> None:
    """By hand as well."""
    workspace_id = await world.with_card()
    payment = await unanswered(world, workspace_id)
    await world.desk.remove_card(world.act(), workspace_id)
    await withdrawn(world, payment)


async def test_a_top_up_that_was_switched_off_meanwhile_is_not_made(world: PaymentWorld) -> None:
    """And counts as no decline."""
    workspace_id, payment = await short(world)
    async with world.database.rpc.transaction("system") as tx:
        await accounts.set_auto(tx, world.act(), workspace_id, AutoTopUp())
        await tx.commit()
    await withdrawn(world, payment)
    auto = (await world.account(workspace_id)).auto
    assert (auto.state, auto.failures) == (AutoState.OFF, 0)


async def test_a_top_up_that_is_not_needed_any_more_is_not_made(world: PaymentWorld) -> None:
    """Somebody bought by hand meanwhile."""
    workspace_id, payment = await short(world)
    await world.bought(workspace_id, 5_000)
    await withdrawn(world, payment)


async def test_case_23_the_database_itself_allows_one_open_automatic_payment(
    world: PaymentWorld,
) -> None:
    """Whoever forgets the account's lock writes no second one; by hand, any number."""
    _, first = await short(world)
    second = replace(first, payment_id=world.ids.new(), request_id="auto:the-second")
    async with world.database.rpc.transaction("system") as tx:
        assert not await store.insert(tx, second)
        assert await store.insert(tx, replace(second, kind=PaymentKind.SAVED_CARD))


async def test_a_closed_workspace_is_not_charged(world: PaymentWorld) -> None:
    """It can use nothing any more."""
    payment = await unanswered(world, await world.with_card())
    async with world.database.rpc.transaction("system") as tx:
        await tx.run("UPDATE workspace SET state = 3")
        await tx.commit()
    await withdrawn(world, payment)


async def test_who_pressed_a_button_is_not_charged_an_hour_later(world: PaymentWorld) -> None:
    """The search comes first: what was made counts."""
    payment = await unanswered(world, await world.with_card())
    world.pass_time(minutes=61)
    await world.desk.work()
    after = await world.payment(payment)
    assert (after.state, after.failure) == (PaymentState.FAILED, "not_made")


async def test_a_key_changes_only_when_no_call_can_be_under_way(world: PaymentWorld) -> None:
    """Nor does anybody send who has not heard of the last call."""
    _, payment = await short(world)
    world.pass_time(minutes=58)
    again, verdict = await claimed(world, payment)
    assert (verdict, again.attempt) == (Verdict.SEND, 1)
    world.pass_time(minutes=4)
    assert (await claimed(world, again))[1] is Verdict.LEAVE
    world.pass_time(minutes=2)
    assert (await claimed(world, payment))[1] is Verdict.LEAVE
    anew, verdict = await claimed(world, again)
    assert (verdict, anew.attempt) == (Verdict.SEND, 2)
    assert (await claimed(world, again))[1] is Verdict.LEAVE


class Busy(StripeAdapter):
    """A customer with more charges than we look through."""

    async def find_intents(
        self, customer_id: str, payment: str, *, since: datetime
    ) -> Sequence[Intent]:
        """Prove nothing."""
        raise PaymentUnknown(code="list_too_long")


async def test_a_search_that_never_ends_keeps_no_payment_open(world: PaymentWorld) -> None:
    """A day later it is given up; money that comes is credited all the same."""
    _, payment = await short(world)
    gateway = Busy(
        world.simulator.api_key, [WEBHOOK_SECRET], base_url=world.simulator.origin, retries=0
    )
    others = PaymentWorld(world.database, world.simulator, clock=world.clock)
    desk, plain = others.desk, others.gateway
    desk._gateway = gateway
    world.pass_time(hours=2)
    await desk.work()
    assert (await world.payment(payment)).state is PaymentState.CREATED
    world.pass_time(hours=23)
    await desk.work()
    assert (await world.payment(payment)).failure == "not_made"
    await gateway.close()
    await plain.close()


async def test_a_search_looks_at_what_was_made_since(world: PaymentWorld) -> None:
    """Not at all that a customer ever bought."""
    workspace_id = await world.with_card()
    paid = await world.charge(workspace_id)
    moment = now(world.clock)
    hour = timedelta(hours=1)
    wanted = (paid.customer_id, paid.name)
    assert len(await world.gateway.find_intents(*wanted, since=moment - hour)) == 1
    assert await world.gateway.find_intents(*wanted, since=moment + hour) == []


@pytest.mark.parametrize("changes", [{}, {"amount": 900}])
async def test_money_that_gave_no_credit_goes_back_by_itself(
    world: PaymentWorld, changes: dict[str, object]
) -> None:
    """The second payment, or one that is not as asked for: once, and its refund is known."""
    workspace_id = await world.workspace()
    payment = await world.checkout(workspace_id)
    if not changes:
        world.pay(payment)
        await world.hear()
        payment = await world.payment(payment)
    await world.pay_aside(payment, **changes)
    await world.hear()
    nothing_hidden = await world.movements.reconcile()
    assert (nothing_hidden.difference, nothing_hidden.unexplained) == (0, ())
    assert await surplus(world) == changes.get("amount", 1_000)
    for _ in range(2):
        await world.hear()
        world.pass_time(minutes=20)
        await world.desk.work()
    (refund,) = world.simulator.objects("refund")
    assert refund["amount"] == changes.get("amount", 1_000)
    assert refund["payment_intent"] != payment.intent_id
    assert len(await world.alarms()) == 1
    await refund_desk(world).converge(refund["id"])
    found = await world.movements.reconcile()
    assert (found.difference, found.unexplained) == (0, ())
    assert await surplus(world) == 0


async def test_money_that_went_back_and_did_not_arrive_is_alarmed(world: PaymentWorld) -> None:
    """Days later it is ours again; told once."""
    payment = await world.bought(await world.workspace())
    await world.pay_aside(payment)
    await world.hear()
    await world.desk.work()
    (refund,) = world.simulator.objects("refund")
    world.simulator.order(f"refunds/{refund['id']}/fail")
    desk = refund_desk(world)
    for _ in range(2):
        await desk.converge(refund["id"])
    found = await world.movements.reconcile()
    assert (found.difference, found.unexplained) == (0, ())
    assert await surplus(world) == 1_000
    assert await world.alarms() == ["payment_paid_twice", "payment_not_returned"]
    (row,) = await world.rows("SELECT failure FROM payment_surplus")
    assert row.failure
    # Somebody gives it back by hand, as the alarm asks for: that is lost as well.
    by_hand = await world.gateway.make_refund(
        refund="", intent_id=refund["payment_intent"], amount=1_000, key="by-hand-1"
    )
    world.simulator.order(f"refunds/{by_hand.id}/fail")
    for _ in range(2):
        await desk.converge(by_hand.id)
    rows = await world.rows("SELECT object_id FROM alarm WHERE kind = 'payment_not_returned'")
    assert {row.object_id for row in rows} == {refund["id"], by_hand.id}
    assert len(rows) == 2
    (kept,) = await world.rows("SELECT refund_id FROM payment_surplus")
    assert kept.refund_id == refund["id"]
    assert await surplus(world) == 1_000


async def test_a_part_given_back_by_hand_that_is_lost_keeps_nothing_from_going_back(
    world: PaymentWorld,
) -> None:
    """It was before ours was made; somebody is told, and ours is made all the same."""
    payment = await world.bought(await world.workspace())
    await world.pay_aside(payment)
    await world.hear()
    (aside,) = [
        one for one in world.simulator.objects("payment_intent") if one["id"] != payment.intent_id
    ]
    by_hand = await world.gateway.make_refund(
        refund="", intent_id=aside["id"], amount=400, key="by-hand-1"
    )
    world.simulator.order(f"refunds/{by_hand.id}/fail")
    await refund_desk(world).converge(by_hand.id)
    assert await world.alarms() == ["payment_paid_twice", "payment_not_returned"]
    await world.desk.work()
    refunds = {one["id"]: one["amount"] for one in world.simulator.objects("refund")}
    (row,) = await world.rows("SELECT refund_id, failure FROM payment_surplus")
    assert (refunds[row.refund_id], row.failure) == (1_000, "")
    assert await surplus(world) == 0


async def test_money_that_the_provider_keeps_is_alarmed(world: PaymentWorld) -> None:
    """A bank has taken it already: nothing is tried again."""
    payment = await world.bought(await world.workspace())
    await world.pay_aside(payment)
    await world.hear()
    (aside,) = [
        one for one in world.simulator.objects("payment_intent") if one["id"] != payment.intent_id
    ]
    opened = world.simulator.order("disputes", payment_intent=aside["id"])
    for _ in range(2):
        await world.desk.work()
        world.pass_time(minutes=20)
    assert await world.alarms() == ["payment_paid_twice", "payment_not_returned"]
    # What the bank took of it is booked, so that clearing is the provider's balance.
    parts = (world.database.rpc, world.gateway, world.clock, world.ids, world.log, world.documents)
    for _ in range(2):
        await DisputeDesk(*parts, refund_desk(world)).converge(opened["id"])
    found = await world.movements.reconcile()
    assert (found.difference, found.unexplained) == (0, ())
    assert (await world.alarms())[2:] == ["dispute_mismatch"]


async def test_a_profile_that_changes_between_two_tries_is_another_call(
    world: PaymentWorld,
) -> None:
    """The same key with other content would never be answered."""
    workspace_id = await world.workspace()
    world.simulator.fault("drop_after_commit", path="/v1/customers", method="POST", count=1)
    with pytest.raises(PaymentUnknown):
        await world.checkout(workspace_id, key="request-1")
    await world.desk.update_profile(world.act(), workspace_id, Profile("Other", "b@example.org"))
    assert (await world.checkout(workspace_id, key="request-1")).session_url


async def test_one_event_that_fails_by_our_fault_hinders_no_other(world: PaymentWorld) -> None:
    """It comes again, and after some tries somebody is told."""
    workspace_id = await world.workspace()
    payment = await world.checkout(workspace_id)
    world.pay(payment)

    async def fails(_: str) -> None:
        raise RuntimeError

    inbox = Inbox(
        world.database.jobs,
        world.gateway,
        world.clock,
        world.ids,
        world.log,
        {"payment_intent": fails, "checkout.session": world.desk.converge_checkout},
    )
    await world.tell(*world.events())
    for _ in range(4):
        await inbox.work()
        world.pass_time(minutes=10)
    assert await world.credits(workspace_id) == [1_000]
    waiting = await world.rows("SELECT DISTINCT failure FROM stripe_inbox WHERE handled_at IS NULL")
    assert [row.failure for row in waiting] == ["fault"]
    assert await world.alarms() == ["billing_fault"]
