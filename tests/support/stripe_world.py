"""Payments at the Stripe simulator, and our refunds and disputes about them."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import stripe

from core.audit import Act
from core.billing.disputes import store as dispute_store
from core.billing.disputes.desk import DisputeDesk
from core.billing.disputes.model import Dispute
from core.billing.documents.issue import Documents
from core.billing.documents.model import document_name
from core.billing.paid import PaidPayment, credit_of, read_payment
from core.billing.parking import NotKnownYet
from core.billing.payments.model import PREFIX
from core.billing.refunds import store as refund_store
from core.billing.refunds.desk import RefundDesk, RefundTerms
from core.billing.refunds.model import Refund, RefundReason, Wanted
from core.billing.shares import MINOR_NANOS
from core.billing.stripe.client import StripeAdapter
from core.billing.stripe.gateway import Intent
from core.db.values import to_uuid
from core.ledger import house
from core.ledger.credits import GrantRequest, grant_with_balance
from core.ledger.model import GrantKind
from core.ledger.proofs.finding import Finding, Tally
from core.ledger.proofs.verify import verify
from core.metering.proofs import UsageProofs
from kit.ids import format_id
from kit.log import EventLog
from tests.support.metering_world import MeteringWorld, WorldClock
from tests.support.money_world import MoneyWorld
from tests.support.paid_world import SELLER
from tests.support.stripe import API_KEY, WEBHOOK_SECRET, StripeSimulator


@dataclass(slots=True)
class StripeWorld:
    """A simulated account, and the desks that work with it; each call is an act of an operator."""

    money: MoneyWorld
    simulator: StripeSimulator
    gateway: StripeAdapter
    client: stripe.StripeClient
    metering: MeteringWorld | None = None
    documents: Documents = field(init=False)
    refunds: RefundDesk = field(init=False)
    disputes: DisputeDesk = field(init=False)
    _heard: int = 0
    _requests: int = 0

    def __post_init__(self) -> None:
        """Put the desks together."""
        log = EventLog("core", stream=io.StringIO())
        pool, clock, ids = self.money.database.rpc, WorldClock(self.money), self.money.ids
        self.documents = Documents(SELLER, ids)
        self.refunds = RefundDesk(
            pool, self.gateway, clock, ids, log, self.documents, RefundTerms(days=365)
        )
        self.disputes = DisputeDesk(
            pool, self.gateway, clock, ids, log, self.documents, self.refunds
        )

    def act(self, actor: str = "operator") -> Act:
        """Return an act of now."""
        return Act(actor, self.money.now, self.money.ids)

    async def charge(self, net: int, tax: int = 0, *, card: str = "pm_card_visa") -> Intent:
        """Take money at the provider; our side knows nothing of it yet."""
        made = await self.client.v1.payment_intents.create_async(
            {
                "amount": net + tax,
                "currency": "usd",
                "payment_method": card,
                "confirm": True,
                "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            }
        )
        return await self.gateway.get_intent(made.id)

    async def credit(
        self, workspace_id: bytes, intent: Intent, *, tax: int = 0, days: int | None = None
    ) -> PaidPayment:
        """Write a succeeded payment, its credit, its receipt and the provider's fee."""
        money, payment_id = self.money, self.money.ids.new()
        assert intent.charge is not None
        assert intent.charge.balance_transaction is not None
        async with money.database.rpc.transaction("system") as tx:
            request = GrantRequest(
                workspace_id=workspace_id,
                kind=GrantKind.PAID,
                amount=(intent.amount - tax) * MINOR_NANOS,
                expires_at=None if days is None else money.now + timedelta(days=days),
                business_key=f"stripe:{intent.id}:credit",
                actor="core",
                now=money.now,
                tax=tax * MINOR_NANOS,
            )
            granted = await grant_with_balance(tx, request)
            await tx.run(
                "INSERT INTO payment (id, workspace_id, request_id, kind, state, currency,"
                " net_minor, tax_minor, tax_mode, intent_id, charge_id, card_brand, card_last4,"
                " grant_id, created_at, updated_at, checked_at, paid_at) VALUES (:id, :workspace,"
                " :request, 1, 4, 'usd', :net, :tax, 1, :intent, :charge, 'visa', '4242', :grant,"
                " :now, :now, :now, :now)",
                id=to_uuid(payment_id),
                workspace=to_uuid(workspace_id),
                request=payment_id.hex(),
                net=intent.amount - tax,
                tax=tax,
                intent=intent.id,
                charge=intent.charge.id,
                grant=to_uuid(granted.grant.grant_id),
                now=money.now,
            )
            moved = intent.charge.balance_transaction
            await house.fee(tx, moved.id, moved.fee * MINOR_NANOS, actor="core", now=money.now)
            await self.documents.issue_receipt(tx, payment_id=payment_id, now=money.now)
            payment = await read_payment(tx, payment_id)
            await tx.commit()
        return payment

    async def pay(
        self, workspace_id: bytes, net: int, tax: int = 0, *, card: str = "pm_card_visa"
    ) -> PaidPayment:
        """Let a workspace buy credit; amounts in cents."""
        return await self.credit(workspace_id, await self.charge(net, tax, card=card), tax=tax)

    async def ask(
        self, payment: PaidPayment, net: int | None = None, *, request_id: str | None = None
    ) -> Refund:
        """Ask for a refund of so many cents of credit, or of all that can go back."""
        self._requests += 1
        name = request_id or f"refund-request-{self._requests}"
        wanted = Wanted(name, payment.payment_id, net, RefundReason.REQUESTED_BY_CUSTOMER)
        return await self.refunds.ask(self.act(), wanted)

    async def approve(self, refund: Refund) -> Refund:
        """Approve a refund."""
        return await self.refunds.approve(self.act("finance"), refund.refund_id)

    async def refund(self, refund: Refund) -> Refund:
        """Read a refund as it stands."""
        async with self.money.database.rpc.transaction("system") as tx:
            return await refund_store.get(tx, refund.refund_id)

    async def all_refunds(self) -> list[Refund]:
        """Read all refunds, oldest first."""
        async with self.money.database.rpc.transaction("system") as tx:
            rows = await refund_store.list_refunds(tx, None, 0, before=b"\xff" * 16, limit=100)
        return rows[::-1]

    async def dispute(self, stripe_id: str) -> Dispute:
        """Read a dispute by the provider's id."""
        async with self.money.database.rpc.transaction("system") as tx:
            found = await dispute_store.of_stripe(tx, stripe_id)
        assert found is not None
        return found

    def events(self) -> list[dict[str, Any]]:
        """Return the provider's events that were not heard yet, oldest first."""
        return self.simulator.objects("event")[self._heard :]

    async def hear(self, events: Sequence[dict[str, Any]] | None = None) -> list[str]:
        """Converge what events are about, in their order; return the ids of what is parked."""
        told = self.events() if events is None else list(events)
        self._heard = len(self.simulator.objects("event"))
        parked = []
        for event in told:
            kind, stripe_id = event["type"], event["data"]["object"]["id"]
            try:
                if kind.startswith(("refund.", "charge.refund.")):
                    await self.refunds.converge(stripe_id)
                elif kind.startswith("charge.dispute."):
                    await self.disputes.converge(stripe_id)
                elif kind.startswith("radar.early_fraud_warning."):
                    await self.disputes.converge_warning(stripe_id)
            except NotKnownYet:
                parked.append(event["id"])
        return parked

    async def spend(self, workspace_id: bytes, cents: int) -> None:
        """Let the edge use credit: of its lease if it has one, else what is free."""
        if self.metering is None:
            self.metering = await MeteringWorld.start(self.money)
        await self.metering.spend(workspace_id, cents * MINOR_NANOS)

    async def free(self, payment: PaidPayment) -> int:
        """Return what is free of a payment's credit, in cents."""
        assert payment.grant_id is not None
        async with self.money.database.rpc.transaction("system") as tx:
            return (await credit_of(tx, payment.grant_id, self.money.now)).free // MINOR_NANOS

    async def debt(self, payment: PaidPayment) -> int:
        """Return what a payment's workspace owes, in cents."""
        return (await self.money.balance(payment.workspace_id)).debt // MINOR_NANOS

    async def account(self, name: str) -> int:
        """Return the sum of an account's entries, in cents."""
        ((total,),) = await self.rows(
            "SELECT CAST(coalesce(sum(amount), 0) AS bigint) FROM ledger_entry"
            " WHERE account = :name",
            name=name,
        )
        assert isinstance(total, int)
        return total // MINOR_NANOS

    async def rows(self, sql: str, **parameters: object) -> list[tuple[object, ...]]:
        """Read rows over all tenants."""
        async with self.money.database.rpc.transaction("system") as tx:
            return [tuple(row) for row in await tx.all(sql, **parameters)]

    async def alarms(self) -> list[object]:
        """Return the kinds of all alarms, in order."""
        return [kind for (kind,) in await self.rows("SELECT kind FROM alarm ORDER BY id")]

    async def notes(self) -> list[str]:
        """Return the names of all documents, in the order of issue."""
        rows = await self.rows("SELECT series, number FROM billing_document ORDER BY issued_at, id")
        return [document_name(str(series), int(str(number))) for series, number in rows]

    async def stripe_balance(self) -> int:
        """Return our balance at the provider, in cents."""
        return (await self.gateway.balance()).get("usd", 0)

    async def check_books(self) -> None:
        """Check every proof of the ledger, and that the clearing account is the provider's."""
        assert await self.findings() == []
        assert await self.account("psp.stripe_clearing") == -await self.stripe_balance()

    async def findings(self) -> list[Finding]:
        """Return what the ledger's proofs find."""
        async with self.money.database.jobs.transaction("system", snapshot=True) as tx:
            return [found async for found in verify(tx, None, UsageProofs(), Tally())]


@asynccontextmanager
async def stripe_world(money: MoneyWorld, simulator: StripeSimulator) -> AsyncIterator[StripeWorld]:
    """Make a world on a simulator that has just been started or reset."""
    gateway = StripeAdapter(API_KEY, [WEBHOOK_SECRET], base_url=simulator.origin, retries=0)
    await money.edge()
    async with simulator.client() as client:
        world = StripeWorld(money, simulator, gateway, client)
        try:
            yield world
        finally:
            await gateway.close()
            if world.metering is not None:
                await world.metering.stop()


def payment_name(payment: PaidPayment) -> str:
    """Return the outside form of a payment's id."""
    return format_id(PREFIX, payment.payment_id)
