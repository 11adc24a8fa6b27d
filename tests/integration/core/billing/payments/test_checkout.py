"""Credit bought on the provider's page, however its events come."""

from __future__ import annotations

import asyncio

import pytest

from core.billing.payments import store
from core.billing.payments.buying import Wanted
from core.billing.payments.model import PaymentKind, PaymentState
from core.billing.stripe.gateway import PaymentUnknown, StripeRefused
from core.db.values import to_uuid
from kit.money import NANOS_PER_CENT
from kit.reasons import AmountOutOfRange, InvalidArgument, RequestIdReused
from tests.support.payment_world import PaymentWorld


async def test_paying_gives_credit_once(world: PaymentWorld) -> None:
    """With a receipt, the card that paid, and both sides of the books equal."""
    workspace_id = await world.workspace()
    opened = await world.checkout(workspace_id, 1_000)
    assert opened.state is PaymentState.PENDING
    assert opened.session_url.startswith("http")
    world.pay(opened)
    await world.hear()
    paid = await world.payment(opened)
    assert paid.state is PaymentState.SUCCEEDED
    assert (paid.card_brand, paid.card_last4) == ("visa", "4242")
    assert (await world.balance(workspace_id)).available == 1_000 * NANOS_PER_CENT
    found = await world.movements.reconcile()
    assert (found.difference, found.unexplained) == (0, ())
    receipts = await world.rows("SELECT payment_id FROM billing_document WHERE kind = 1")
    assert [row.payment_id.bytes for row in receipts] == [paid.payment_id]


async def test_case_01_the_same_webhook_five_times_at_once_is_one_posting(
    world: PaymentWorld,
) -> None:
    """Each of them is acknowledged."""
    workspace_id = await world.workspace()
    payment = await world.checkout(workspace_id)
    world.pay(payment)
    await world.hear_at_once(5)
    await world.hear()
    assert await world.credits(workspace_id) == [1_000]
    assert await world.alarms() == []


@pytest.mark.parametrize("first", ["checkout.session.completed", "payment_intent.succeeded"])
async def test_case_02_session_and_intent_in_either_order_give_credit_once(
    world: PaymentWorld, first: str
) -> None:
    """Both fire for one payment."""
    workspace_id = await world.workspace()
    payment = await world.checkout(workspace_id)
    world.pay(payment)
    events = [event for event in world.events() if event["type"] == first]
    assert len(events) == 1
    await world.tell(*events)
    await world.inbox.work()
    assert await world.credits(workspace_id) == [1_000]
    await world.hear()
    assert await world.credits(workspace_id) == [1_000]


async def test_case_02_session_and_intent_at_the_same_time_give_credit_once(
    world: PaymentWorld,
) -> None:
    """By the convergers of both, several at once."""
    workspace_id = await world.workspace()
    payment = await world.checkout(workspace_id)
    intent = world.pay(payment)["payment_intent"]
    others = [world.another_desk() for _ in range(3)]
    await asyncio.gather(
        *(desk.converge_intent(intent) for desk in others),
        *(desk.converge_checkout(payment.session_id) for desk in others),
    )
    assert await world.credits(workspace_id) == [1_000]


async def test_case_03_an_event_before_our_row_waits_for_it(world: PaymentWorld) -> None:
    """As it would if the provider were quicker than our commit."""
    workspace_id = await world.workspace()
    payment = await world.checkout(workspace_id)
    world.pay(payment)
    await _hide(world, payment.payment_id)
    await world.hear()
    assert await world.credits(workspace_id) == []
    waiting = await world.rows("SELECT failure FROM stripe_inbox WHERE handled_at IS NULL")
    assert {row.failure for row in waiting} == {"not_known_yet"}
    await _show(world, payment.payment_id)
    world.pass_time(seconds=5)
    await world.inbox.work()
    assert await world.credits(workspace_id) == [1_000]
    assert await world.rows("SELECT 1 FROM stripe_inbox WHERE handled_at IS NULL") == []


async def test_case_03_an_event_about_nothing_of_ours_is_given_up_with_an_alarm(
    world: PaymentWorld,
) -> None:
    """After three days, and never silently."""
    workspace_id = await world.workspace()
    payment = await world.checkout(workspace_id)
    world.pay(payment)
    await _hide(world, payment.payment_id)
    await world.hear()
    world.pass_time(days=3, minutes=1)
    await world.inbox.work()
    assert set(await world.alarms()) == {"stripe_event_unmatched"}
    assert await world.rows("SELECT 1 FROM stripe_inbox WHERE handled_at IS NULL") == []


async def test_case_04_without_any_webhook_the_janitor_gives_the_credit(
    world: PaymentWorld,
) -> None:
    """Within the hour."""
    workspace_id = await world.workspace()
    payment = await world.checkout(workspace_id)
    world.pay(payment)
    world.pass_time(minutes=2)
    assert await world.desk.work() == 1
    assert await world.credits(workspace_id) == [1_000]
    assert await world.desk.work() == 0


async def test_who_comes_back_from_the_page_is_looked_at_at_once(world: PaymentWorld) -> None:
    """The return page knows the provider's id of the page only."""
    workspace_id = await world.workspace()
    payment = await world.checkout(workspace_id)
    world.pay(payment)
    assert await world.desk.work() == 0
    async with world.database.rpc.transaction("system") as tx:
        await store.look_soon(tx, payment.session_id)
        await tx.commit()
    assert await world.desk.work() == 1
    assert await world.credits(workspace_id) == [1_000]


async def test_case_21_a_crash_between_the_page_and_our_row_loses_nothing(
    world: PaymentWorld,
) -> None:
    """The page exists, we do not know it; paid or not, it is found by its metadata."""
    workspace_id = await world.workspace()
    world.simulator.fault("drop_after_commit", path="/v1/checkout/sessions", count=1)
    with pytest.raises(PaymentUnknown):
        await world.checkout(workspace_id, key="request-1")
    (session,) = world.simulator.objects("checkout.session")
    world.simulator.order(f"checkout/{session['id']}/pay")
    await world.hear()
    assert await world.credits(workspace_id) == [1_000]


async def test_a_page_whose_call_was_cut_off_is_had_by_the_same_call(world: PaymentWorld) -> None:
    """The same request id, the same key, the same page."""
    workspace_id = await world.workspace()
    world.simulator.fault("drop_after_commit", path="/v1/checkout/sessions", count=1)
    with pytest.raises(PaymentUnknown):
        await world.checkout(workspace_id, key="request-1")
    again = await world.checkout(workspace_id, key="request-1")
    assert len(world.simulator.objects("checkout.session")) == 1
    assert again.session_id == world.simulator.objects("checkout.session")[0]["id"]
    assert await world.checkout(workspace_id, key="request-1") == again


async def test_case_28_a_bank_debit_gives_credit_when_it_is_through(world: PaymentWorld) -> None:
    """Completed and unpaid is not paid."""
    workspace_id = await world.workspace()
    payment = await world.checkout(workspace_id)
    world.pay(payment, **{"async": True})
    await world.hear()
    assert (await world.payment(payment)).state is PaymentState.PENDING
    assert await world.credits(workspace_id) == []
    world.simulator.order(f"async_payments/{payment.session_id}/succeed")
    await world.hear()
    assert await world.credits(workspace_id) == [1_000]


async def test_case_28_a_bank_debit_that_fails_gives_none(world: PaymentWorld) -> None:
    """And says so."""
    workspace_id = await world.workspace()
    payment = await world.checkout(workspace_id)
    world.pay(payment, **{"async": True})
    await world.hear()
    world.simulator.order(f"async_payments/{payment.session_id}/fail")
    await world.hear()
    failed = await world.payment(payment)
    assert failed.state is PaymentState.FAILED
    assert failed.failure
    assert await world.credits(workspace_id) == []


async def test_a_page_that_is_left_unused_expires(world: PaymentWorld) -> None:
    """After the provider's day."""
    workspace_id = await world.workspace()
    payment = await world.checkout(workspace_id)
    world.pass_time(hours=25)
    await world.hear()
    assert (await world.payment(payment)).state is PaymentState.EXPIRED


async def test_case_27_a_customer_that_was_deleted_is_replaced(world: PaymentWorld) -> None:
    """The call fails cleanly; the next one makes another customer."""
    workspace_id = await world.workspace()
    await world.bought(workspace_id)
    customer = (await world.account(workspace_id)).customer_id
    async with world.simulator.client() as client:
        await client.v1.customers.delete_async(customer)
    with pytest.raises(StripeRefused):
        await world.checkout(workspace_id)
    assert await world.credits(workspace_id) == [1_000]
    await world.bought(workspace_id, 2_000)
    assert (await world.account(workspace_id)).customer_id not in {"", customer}
    assert await world.credits(workspace_id) == [1_000, 2_000]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"amount": 900}, "amount_mismatch"),
        ({"currency": "eur"}, "currency_mismatch"),
        ({"currency": "jpy"}, "currency_mismatch"),
    ],
)
async def test_case_29_case_30_what_is_not_as_asked_for_is_quarantined(
    world: PaymentWorld, changes: dict[str, object], why: str
) -> None:
    """Money that came by another intent which names our payment: kept apart, with an alarm."""
    workspace_id = await world.workspace()
    payment = await world.checkout(workspace_id)
    await world.pay_aside(payment, **changes)
    await world.hear()
    quarantined = await world.payment(payment)
    assert (quarantined.state, quarantined.failure) == (PaymentState.QUARANTINED, why)
    assert await world.credits(workspace_id) == []
    assert await world.alarms() == ["payment_quarantined"]
    await world.hear()
    assert await world.alarms() == ["payment_quarantined"]


async def test_a_payment_that_is_paid_twice_raises_an_alarm(world: PaymentWorld) -> None:
    """The credit is given once; people see to the rest."""
    workspace_id = await world.workspace()
    payment = await world.bought(workspace_id)
    await world.pay_aside(payment)
    await world.hear()
    assert await world.credits(workspace_id) == [1_000]
    assert "payment_paid_twice" in await world.alarms()


@pytest.mark.parametrize(
    ("nanos", "error"),
    [
        (99 * NANOS_PER_CENT, AmountOutOfRange),
        (1_000_001 * NANOS_PER_CENT, AmountOutOfRange),
        (-1_000 * NANOS_PER_CENT, AmountOutOfRange),
        (1_000 * NANOS_PER_CENT + 1, InvalidArgument),
    ],
)
async def test_an_amount_that_we_do_not_sell_is_refused(
    world: PaymentWorld, nanos: int, error: type[Exception]
) -> None:
    """Before anything is written down."""
    workspace_id = await world.workspace()
    wanted = Wanted(workspace_id, "request-1", PaymentKind.CHECKOUT, nanos)
    with pytest.raises(error):
        await world.desk.buy(world.act(), wanted)
    assert await world.payments(workspace_id) == []


async def test_a_request_id_means_one_payment(world: PaymentWorld) -> None:
    """With other content it is refused."""
    workspace_id = await world.workspace()
    first = await world.checkout(workspace_id, key="request-1")
    assert (await world.checkout(workspace_id, key="request-1")).payment_id == first.payment_id
    with pytest.raises(RequestIdReused):
        await world.checkout(workspace_id, 2_000, key="request-1")


async def _hide(world: PaymentWorld, payment_id: bytes) -> None:
    """Let a payment's row not be there yet."""
    await _swap(world, payment_id, _other(payment_id))


async def _show(world: PaymentWorld, payment_id: bytes) -> None:
    await _swap(world, _other(payment_id), payment_id)


def _other(payment_id: bytes) -> bytes:
    return payment_id[:-1] + bytes([payment_id[-1] ^ 1])


async def _swap(world: PaymentWorld, before: bytes, after: bytes) -> None:
    async with world.database.rpc.transaction("system") as tx:
        await tx.run(
            "UPDATE payment SET id = :after WHERE id = :before",
            before=to_uuid(before),
            after=to_uuid(after),
        )
        await tx.commit()
