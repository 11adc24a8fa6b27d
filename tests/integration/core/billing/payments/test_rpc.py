"""PaymentService behind a real server: who may call what, what is refused, what comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from core.billing.payments.rpc import ALLOWED, PaymentParts, payment_service
from kit.ids import format_id
from kit.reasons import (
    CallerNotAllowed,
    DomainError,
    InvalidArgument,
    InvalidState,
    NotFound,
    Unavailable,
)
from kit.rpc.status import domain_error_of
from oneapi.billing.v1 import payment_pb2
from oneapi.billing.v1 import payment_service_pb2 as pb
from oneapi.billing.v1.payment_service_pb2_grpc import PaymentServiceStub
from oneapi.common.v1.money_pb2 import Money
from tests.support.core_server import calling, serving
from tests.support.payment_world import PaymentWorld

DOLLAR = 1_000_000_000
NOBODY = f"ws_{0:032x}"


def usd(nanos: int) -> Money:
    """An amount."""
    return Money(amount_nanos=nanos, currency_code="USD")


@asynccontextmanager
async def payments(world: PaymentWorld, caller: str = "operator") -> AsyncIterator[Any]:
    """Serve payments and give a caller's stub."""
    parts = PaymentParts(
        world.database.rpc, world.clock, world.ids, world.desk, world.inbox, world.movements
    )
    async with serving([payment_service(parts)]) as port, calling(port, caller) as channel:
        yield PaymentServiceStub(channel)


async def refusal(call: Any) -> DomainError:
    """Return what a call was refused with."""
    with pytest.raises(grpc.RpcError) as error:
        await call
    return domain_error_of(error.value)


async def test_a_purchase_from_page_to_list(world: PaymentWorld) -> None:
    """The page is shown while it waits for somebody, the credit once it is paid."""
    workspace_id = await world.workspace()
    name = format_id("ws", workspace_id)
    async with payments(world) as stub:
        asked = pb.CreateCheckoutRequest(
            request_id="request-1", workspace_id=name, amount=usd(10 * DOLLAR), saves_card=True
        )
        opened = (await stub.CreateCheckout(asked)).payment
        assert opened.checkout_url
        again = (await stub.CreateCheckout(asked)).payment
        assert again == opened
        stored = (await world.payments(workspace_id))[0]
        world.pay(stored)
        await world.hear()
        found = (await stub.GetPayment(pb.GetPaymentRequest(payment_id=opened.payment_id))).payment
        assert found.state == payment_pb2.Payment.STATE_SUCCEEDED
        assert (found.checkout_url, found.net.amount_nanos) == ("", 10 * DOLLAR)
        assert found.grant_id.startswith("grant_")
        charged = await stub.ChargeSavedCard(
            pb.ChargeSavedCardRequest(
                request_id="request-2", workspace_id=name, amount=usd(5 * DOLLAR)
            )
        )
        first = await stub.ListPayments(pb.ListPaymentsRequest(workspace_id=name, page_size=1))
        assert [one.payment_id for one in first.payments] == [charged.payment.payment_id]
        rest = await stub.ListPayments(
            pb.ListPaymentsRequest(workspace_id=name, page_token=first.next_page_token)
        )
        assert [one.payment_id for one in rest.payments] == [opened.payment_id]
        refused = await refusal(stub.Reconcile(pb.ReconcileRequest()))
        assert isinstance(refused, CallerNotAllowed)
    async with payments(world, "finance") as stub:
        compared = await stub.Reconcile(pb.ReconcileRequest())
        assert compared.difference.amount_nanos == 0
        assert compared.balance.amount_nanos > 0


async def test_the_account_is_read_and_changed(world: PaymentWorld) -> None:
    """Whom receipts name, the card, automatic top-up."""
    workspace_id = await world.with_card()
    name = format_id("ws", workspace_id)
    async with payments(world, "finance") as stub:
        changed = await stub.UpdateBillingAccount(
            pb.UpdateBillingAccountRequest(
                workspace_id=name, name="Ärzte & Co", email="a@example.org", country="AT"
            )
        )
        assert changed.billing_account.name == "Ärzte & Co"
        (customer,) = world.simulator.objects("customer")
        assert (customer["name"], customer["email"]) == ("Ärzte & Co", "a@example.org")
        await stub.SetAutoTopUp(
            pb.SetAutoTopUpRequest(
                workspace_id=name, enabled=True, threshold=usd(DOLLAR), amount=usd(20 * DOLLAR)
            )
        )
        asked = pb.GetBillingAccountRequest(workspace_id=name)
        account = (await stub.GetBillingAccount(asked)).billing_account
        assert account.auto_top_up.state == payment_pb2.AutoTopUp.STATE_ON
        assert account.auto_top_up.amount.amount_nanos == 20 * DOLLAR
        assert (account.has_card, account.card_last4) == (True, "4242")
        removed = await stub.RemoveCard(pb.RemoveCardRequest(workspace_id=name))
        assert not removed.billing_account.has_card
        assert removed.billing_account.auto_top_up.state == payment_pb2.AutoTopUp.STATE_OFF
        erased = await stub.UpdateBillingAccount(pb.UpdateBillingAccountRequest(workspace_id=name))
        assert (erased.billing_account.name, erased.billing_account.email) == ("", "")
        (customer,) = world.simulator.objects("customer")
        assert not customer["name"]
        assert not customer["email"]


async def test_a_new_workspace_has_an_empty_account_and_nobody_none(world: PaymentWorld) -> None:
    """Reading makes nothing."""
    workspace_id = await world.money.workspace()
    async with payments(world) as stub:
        asked = pb.GetBillingAccountRequest(workspace_id=format_id("ws", workspace_id))
        account = (await stub.GetBillingAccount(asked)).billing_account
        assert account.auto_top_up.state == payment_pb2.AutoTopUp.STATE_OFF
        nobody = pb.GetBillingAccountRequest(workspace_id=NOBODY)
        assert isinstance(await refusal(stub.GetBillingAccount(nobody)), NotFound)
        nobody_buys = pb.CreateCheckoutRequest(
            request_id="request-1", workspace_id=NOBODY, amount=usd(10 * DOLLAR)
        )
        assert isinstance(await refusal(stub.CreateCheckout(nobody_buys)), NotFound)
        profile = pb.UpdateBillingAccountRequest(workspace_id=NOBODY, name="x")
        assert isinstance(await refusal(stub.UpdateBillingAccount(profile)), NotFound)
    assert await world.rows("SELECT 1 FROM billing_account") == []


async def test_case_29_another_currency_is_refused_when_it_is_asked_for(
    world: PaymentWorld,
) -> None:
    """Before anything is written down."""
    workspace_id = await world.workspace()
    async with payments(world) as stub:
        for currency in ("EUR", "JPY", "usd", ""):
            asked = pb.CreateCheckoutRequest(
                request_id="request-1",
                workspace_id=format_id("ws", workspace_id),
                amount=Money(amount_nanos=10 * DOLLAR, currency_code=currency),
            )
            assert isinstance(await refusal(stub.CreateCheckout(asked)), InvalidArgument)
    assert await world.payments(workspace_id) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"email": "two words@example.org"},
        {"email": "a@b@c"},
        {"country": "Germany"},
        {"name": "x" * 201},
    ],
)
async def test_a_profile_that_is_none_is_refused(
    world: PaymentWorld, fields: dict[str, str]
) -> None:
    """By the rules of the contract."""
    async with payments(world) as stub:
        asked = pb.UpdateBillingAccountRequest(workspace_id=NOBODY, **fields)
        assert isinstance(await refusal(stub.UpdateBillingAccount(asked)), InvalidArgument)


async def test_settings_that_make_no_sense_are_refused(world: PaymentWorld) -> None:
    """On without amounts, and on without a card."""
    name = format_id("ws", await world.workspace())
    async with payments(world) as stub:
        asked = pb.SetAutoTopUpRequest(workspace_id=name, enabled=True)
        assert isinstance(await refusal(stub.SetAutoTopUp(asked)), InvalidArgument)
        asked = pb.SetAutoTopUpRequest(
            workspace_id=name, enabled=True, threshold=usd(DOLLAR), amount=usd(20 * DOLLAR)
        )
        assert isinstance(await refusal(stub.SetAutoTopUp(asked)), InvalidState)
        asked.monthly_cap.CopyFrom(usd(-1))
        assert isinstance(await refusal(stub.SetAutoTopUp(asked)), InvalidArgument)


async def test_a_provider_that_is_away_is_unavailable(world: PaymentWorld) -> None:
    """The same call may be repeated, and nothing is made twice."""
    name = format_id("ws", await world.workspace())
    async with payments(world) as stub:
        # The channel repeats what is unavailable three times, with our key.
        world.simulator.fault("status_429", path="/v1/checkout/sessions", count=3)
        asked = pb.CreateCheckoutRequest(
            request_id="request-1", workspace_id=name, amount=usd(10 * DOLLAR)
        )
        assert isinstance(await refusal(stub.CreateCheckout(asked)), Unavailable)
        assert (await stub.CreateCheckout(asked)).payment.checkout_url
    assert len(world.simulator.objects("checkout.session")) == 1


@pytest.mark.parametrize("method", sorted(ALLOWED))
async def test_each_caller_gets_what_is_its_own(world: PaymentWorld, method: str) -> None:
    """Edges hand over and nothing else; nobody else hands over."""
    edges = {"ReceiveStripeEvent", "NoteCheckoutReturn"}
    others = {"archiver", "core", "operator" if method in edges else "edge"}
    for caller in others:
        async with payments(world, caller) as stub:
            request = getattr(pb, f"{method}Request")()
            assert isinstance(await refusal(getattr(stub, method)(request)), CallerNotAllowed)
