"""The payment provider's side of the world: a simulated account and the desks that work with it."""

from __future__ import annotations

import inspect
import io
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, cast

import stripe

from core.audit import Act
from core.billing.accounts import service as accounts
from core.billing.accounts import store as account_store
from core.billing.accounts.model import AutoState, AutoTopUp
from core.billing.disputes.desk import DisputeDesk
from core.billing.documents.issue import Documents
from core.billing.events.inbox import Inbox
from core.billing.events.movements import Movements
from core.billing.events.sweep import Sweep
from core.billing.payments.buying import Wanted
from core.billing.payments.desk import PaymentDesk, PaymentTerms
from core.billing.payments.model import Payment, PaymentKind
from core.billing.refunds.desk import RefundDesk, RefundTerms
from core.billing.refunds.model import Refund, RefundReason
from core.billing.refunds.model import Wanted as WantedRefund
from core.billing.stripe.client import StripeAdapter
from core.billing.stripe.gateway import StripeGateway
from kit.clock import Clock
from kit.log import EventLog
from kit.money import NANOS_PER_CENT
from tests.simulation.crashes import CrashPlan
from tests.support.metering_world import WorldClock
from tests.support.money_world import MoneyWorld
from tests.support.paid_world import SELLER
from tests.support.stripe import WEBHOOK_SECRET, OrderRefusedError, StripeSimulator

AT_ONCE: Final = timedelta(0)
CALLS_SECONDS: Final = 5.0


class CrashingGateway:
    """The provider's adapter, with a process around it that may die before or after each call."""

    def __init__(self, inner: StripeAdapter, plan: CrashPlan) -> None:
        """Stand before the adapter."""
        self._inner = inner
        self._plan = plan

    def __getattr__(self, name: str) -> Any:
        """Return the adapter's own, with a chance to die around what is awaited."""
        found = getattr(self._inner, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def call(*words: Any, **fields: Any) -> Any:
            return await self._plan.around(lambda: found(*words, **fields))

        return call


@dataclass(slots=True)
class Provider:
    """What core does with the provider, and what customers, banks and the provider do."""

    money: MoneyWorld
    simulator: StripeSimulator
    adapter: StripeAdapter
    plan: CrashPlan
    payments: PaymentDesk = field(init=False)
    refunds: RefundDesk = field(init=False)
    disputes: DisputeDesk = field(init=False)
    inbox: Inbox = field(init=False)
    movements: Movements = field(init=False)
    sweep: Sweep[Any] = field(init=False)

    def __post_init__(self) -> None:
        """Begin with an empty account."""
        self.simulator.order("reset")
        self.start_core()

    @classmethod
    def start(cls, money: MoneyWorld, simulator: StripeSimulator, plan: CrashPlan) -> Provider:
        """Work with a simulated account."""
        adapter = StripeAdapter(
            simulator.api_key, [WEBHOOK_SECRET], base_url=simulator.origin, retries=0
        )
        return cls(money, simulator, adapter, plan)

    def start_core(self) -> None:
        """Put the desks of a new core process together: nothing is left of the last one's."""
        database, ids = self.money.database, self.money.ids
        clock: Clock = WorldClock(self.money)
        gateway = cast("StripeGateway", CrashingGateway(self.adapter, self.plan))
        log, documents = EventLog("core", stream=io.StringIO()), Documents(SELLER, ids)
        parts = (database.rpc, gateway, clock, ids, log)
        self.payments = PaymentDesk(*parts, documents, PaymentTerms("http://127.0.0.1:8080"))
        self.refunds = RefundDesk(*parts, documents, RefundTerms(days=365))
        self.disputes = DisputeDesk(*parts, documents, self.refunds)
        self.movements = Movements(*parts)
        convergers: dict[str, Callable[[str], Awaitable[object]]] = {
            "payment_intent": self.payments.converge_intent,
            "checkout.session": self.payments.converge_checkout,
            "customer.deleted": self.payments.converge_customer,
            "payment_method.detached": self.payments.converge_method,
            "refund": self.refunds.converge,
            "charge.refund": self.refunds.converge,
            "charge.dispute": self.disputes.converge,
            "radar.early_fraud_warning": self.disputes.converge_warning,
        }
        # One thing after another: a seed repeats what it did.
        self.inbox = Inbox(*parts, convergers, lanes=1)
        inbox = self.inbox
        self.sweep = Sweep(
            "events",
            database.jobs,
            clock,
            lambda since, after: gateway.list_events(since=since, after=after),
            lambda page: inbox.keep([*page]),
        )

    async def stop(self) -> None:
        """Close the connections."""
        await self.adapter.close()

    def pass_time(self, seconds: int) -> None:
        """Let time go by at the provider's."""
        self.simulator.order("clock", seconds=seconds)

    # What customers and their banks do

    async def buy(
        self, workspace_id: bytes, key: str, kind: PaymentKind, cents: int, *, saves_card: bool
    ) -> Payment:
        """Buy credit: open the provider's page, or charge the saved card."""
        wanted = Wanted(workspace_id, key, kind, cents * NANOS_PER_CENT, saves_card)
        return await self.payments.buy(self._act(), wanted)

    async def save_card(self, workspace_id: bytes, token: str) -> None:
        """Save one of the provider's test cards for a workspace that has bought before."""
        async with self.money.database.rpc.transaction("system") as tx:
            account = await account_store.read(tx, workspace_id)
        if not account.customer_id:
            return
        transport = stripe.HTTPXClient(allow_sync_methods=True)
        client = stripe.StripeClient(
            self.simulator.api_key,
            base_addresses={"api": self.simulator.origin},
            http_client=transport,
        )
        try:
            method = await client.v1.payment_methods.attach_async(
                token, {"customer": account.customer_id}
            )
        except stripe.StripeError:
            return  # the bank refuses the card, or the provider is ill just now
        finally:
            await transport.close_async()  # type: ignore[no-untyped-call]
        async with self.money.database.rpc.transaction("system") as tx:
            await account_store.set_card(
                tx,
                workspace_id,
                method_id=method.id,
                brand="visa",
                last4="4242",
                now=self.money.now,
            )
            await tx.commit()

    async def auto(self, workspace_id: bytes, below_cents: int, cents: int) -> None:
        """Switch automatic top-up on."""
        wanted = AutoTopUp(
            state=AutoState.ON,
            threshold_nanos=below_cents * NANOS_PER_CENT,
            amount_minor=cents,
            monthly_cap_minor=0,
        )
        async with self.money.database.rpc.transaction("system") as tx:
            await accounts.set_auto(tx, self._act(), workspace_id, wanted)
            await tx.commit()

    async def ask_refund(self, payment_id: bytes, key: str, cents: int | None) -> Refund:
        """Ask for money back."""
        wanted = WantedRefund(key, payment_id, cents, RefundReason.REQUESTED_BY_CUSTOMER)
        return await self.refunds.ask(self._act(), wanted)

    async def decide_refund(self, refund_id: bytes, *, approved: bool) -> Refund:
        """Approve or reject a refund."""
        decide = self.refunds.approve if approved else self.refunds.reject
        return await decide(self._act(), refund_id)

    def order(self, path: str, **fields: Any) -> bool:
        """Let something happen at the provider's; False if it cannot happen there now."""
        try:
            self.simulator.order(path, **fields)
        except OrderRefusedError:
            return False
        return True

    def some(self, kind: str, place: int, **having: Any) -> dict[str, Any] | None:
        """Return one of the account's objects that have these values; None if there is none."""
        found = [
            each
            for each in self.simulator.objects(kind)
            if all(each.get(name) == value for name, value in having.items())
        ]
        return found[place % len(found)] if found else None

    # What the provider tells, and core finds out

    async def tell(self, places: Sequence[int]) -> None:
        """Tell core of events by their places: any, in any order, as often as they are named."""
        events = self.simulator.objects("event")
        for place in places:
            if events:
                body = json.dumps(events[place % len(events)]).encode()
                await self.inbox.receive(body, self._signature(body))

    async def find_out(self) -> None:
        """Do what the janitors do, each once."""
        await self.payments.work()
        await self.refunds.work()
        await self.disputes.work()

    async def converge(self) -> None:
        """Do everything until nothing is left to do: what the next day would bring.

        A page whose call the provider failed once fails with its key for a day, and is given up.
        """
        for seconds in (4_000, 4_000, 4_000, 80_000, 4_000):
            self.money.pass_time(seconds)
            self.pass_time(seconds)
            await self.sweep.work(AT_ONCE)
            for _ in range(10):
                if not await self.inbox.work():
                    break
            await self.find_out()
        await self.movements.reconcile()

    def _signature(self, body: bytes) -> str:
        seconds = WorldClock(self.money).now_ns() // 1_000_000_000
        header: str = stripe.WebhookSignature.generate_signature_header(
            body.decode(), WEBHOOK_SECRET, seconds
        )
        return header

    def _act(self) -> Act:
        return Act("operator", self.money.now, self.money.ids)
