"""Payments of workspaces against a simulated account: the desk, the inbox and what they change."""

from __future__ import annotations

import asyncio
import io
import json
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import stripe

from core.audit import Act
from core.billing.accounts import service as accounts
from core.billing.accounts import store as account_store
from core.billing.accounts.model import AutoState, AutoTopUp, BillingAccount, Profile
from core.billing.documents.issue import Documents
from core.billing.documents.model import TaxMode
from core.billing.events.inbox import Inbox
from core.billing.events.movements import Movements
from core.billing.payments import store
from core.billing.payments.buying import Wanted
from core.billing.payments.desk import PaymentDesk, PaymentTerms
from core.billing.payments.model import Payment, PaymentKind
from core.billing.stripe.client import StripeAdapter
from core.db.database import Database
from core.db.values import to_uuid
from core.ledger.model import Balance
from kit.clock import now
from kit.ids import IdSource
from kit.log import EventLog
from kit.money import NANOS_PER_CENT
from tests.support.money_world import MoneyWorld
from tests.support.paid_world import SELLER
from tests.support.stripe import WEBHOOK_SECRET, StripeSimulator

RETURN_URL = "http://127.0.0.1:8080"


class MovedClock:
    """The machine's clock, moved by a test; the simulated account moves with it."""

    def __init__(self) -> None:
        self.offset_ns = 0

    def now_ns(self) -> int:
        """Return nanoseconds since 1970 (UTC)."""
        return time.time_ns() + self.offset_ns

    def monotonic(self) -> float:
        """Return seconds, moved as well."""
        return time.monotonic() + self.offset_ns / 1e9


@dataclass
class PaymentWorld:
    """What a core process has to do with payments, step by step."""

    database: Database
    simulator: StripeSimulator
    tax_mode: TaxMode = TaxMode.NONE
    tax_rate_ppm: int = 0
    clock: MovedClock = field(default_factory=MovedClock)

    def __post_init__(self) -> None:
        """Put the parts together."""
        self.ids = IdSource(now_ns=self.clock.now_ns)
        self.money = MoneyWorld(self.database, now(self.clock), self.ids)
        self.gateway = StripeAdapter(
            self.simulator.api_key, [WEBHOOK_SECRET], base_url=self.simulator.origin, retries=0
        )
        self.log = EventLog("core", stream=io.StringIO())
        self.documents = Documents(SELLER, self.ids)
        self.desk = self.another_desk()
        self.movements = Movements(self.database.jobs, self.gateway, self.clock, self.ids, self.log)
        self.inbox = Inbox(
            self.database.jobs,
            self.gateway,
            self.clock,
            self.ids,
            self.log,
            {
                "payment_intent": self.desk.converge_intent,
                "checkout.session": self.desk.converge_checkout,
                "customer.deleted": self.desk.converge_customer,
                "payment_method.detached": self.desk.converge_method,
            },
        )

    def another_desk(self) -> PaymentDesk:
        """Return the desk of another core process."""
        terms = PaymentTerms(RETURN_URL, self.tax_mode, self.tax_rate_ppm)
        pool = self.database.rpc
        return PaymentDesk(
            pool, self.gateway, self.clock, self.ids, self.log, self.documents, terms
        )

    def act(self) -> Act:
        """Return an act of now."""
        return Act("operator", now(self.clock), self.ids)

    def pass_time(self, **interval: float) -> None:
        """Let time go by, here and there."""
        step = timedelta(**interval)
        self.clock.offset_ns += step // timedelta(microseconds=1) * 1_000
        self.money.now = now(self.clock)
        self.simulator.order("clock", seconds=int(step.total_seconds()))

    # What customers do

    async def workspace(
        self, *, email: str = "owner@example.org", profile: Profile | None = None
    ) -> bytes:
        """Make a workspace whose billing account has a name and an address."""
        workspace_id = await self.money.workspace()
        async with self.database.rpc.transaction("system") as tx:
            profile = profile or Profile("Example Ltd", email, "Road 1", "DE")
            await accounts.update_profile(tx, self.act(), workspace_id, profile)
            await tx.commit()
        return workspace_id

    async def checkout(
        self, workspace_id: bytes, cents: int = 1_000, *, saves_card: bool = False, key: str = ""
    ) -> Payment:
        """Open the provider's page."""
        wanted = self._wanted(workspace_id, PaymentKind.CHECKOUT, cents, key)
        return await self.desk.buy(self.act(), Wanted(*wanted, saves_card=saves_card))

    async def charge(self, workspace_id: bytes, cents: int = 1_000, *, key: str = "") -> Payment:
        """Buy with the saved card."""
        wanted = self._wanted(workspace_id, PaymentKind.SAVED_CARD, cents, key)
        return await self.desk.buy(self.act(), Wanted(*wanted))

    def pay(self, payment: Payment, **how: Any) -> dict[str, Any]:
        """Pay on the provider's page."""
        session: dict[str, Any] = self.simulator.order(f"checkout/{payment.session_id}/pay", **how)
        return session

    async def bought(
        self, workspace_id: bytes, cents: int = 1_000, *, saves_card: bool = False, **how: Any
    ) -> Payment:
        """Buy on the provider's page, to the end."""
        payment = await self.checkout(workspace_id, cents, saves_card=saves_card)
        self.pay(payment, **how)
        await self.hear()
        return await self.payment(payment)

    async def with_card(
        self, token: str = "pm_card_visa", *, profile: Profile | None = None
    ) -> bytes:
        """Make a workspace whose saved card is one of the provider's test cards."""
        workspace_id = await self.workspace(profile=profile)
        country = {"country": profile.country} if profile else {}
        await self.bought(workspace_id, 100, saves_card=True, **country)
        await self.save_card(workspace_id, token)
        return workspace_id

    async def save_card(self, workspace_id: bytes, token: str) -> None:
        """Put one of the provider's test cards in place of the saved card."""
        account = await self.account(workspace_id)
        async with self.simulator.client() as client:
            method = await client.v1.payment_methods.attach_async(
                token, {"customer": account.customer_id}
            )
        async with self.database.rpc.transaction("system") as tx:
            await account_store.set_card(
                tx,
                workspace_id,
                method_id=method.id,
                brand="visa",
                last4="4242",
                now=now(self.clock),
            )
            await tx.commit()

    async def pay_aside(self, payment: Payment, **changes: Any) -> None:
        """Let another intent be paid that names a payment of ours."""
        account = await self.account(payment.workspace_id)
        wanted: Any = {
            "amount": payment.total,
            "currency": "usd",
            "confirm": True,
            "payment_method": "pm_card_visa",
            "customer": account.customer_id,
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            "metadata": {"oneapi_payment": payment.name},
            **changes,
        }
        async with self.simulator.client() as client:
            await client.v1.payment_intents.create_async(wanted)

    async def auto(
        self, workspace_id: bytes, *, below: int = 500, buys: int = 1_000, cap: int = 0
    ) -> None:
        """Switch automatic top-up on; amounts in cents."""
        async with self.database.rpc.transaction("system") as tx:
            wanted = AutoTopUp(
                state=AutoState.ON,
                threshold_nanos=below * NANOS_PER_CENT,
                amount_minor=buys,
                monthly_cap_minor=cap,
            )
            await accounts.set_auto(tx, self.act(), workspace_id, wanted)
            await tx.commit()

    # What the provider tells

    def events(self) -> list[dict[str, Any]]:
        """Return all events of the account, oldest first."""
        return self.simulator.objects("event")

    async def tell(self, *events: dict[str, Any]) -> None:
        """Send events to our webhook, signed."""
        for event in events:
            body = json.dumps(event).encode()
            await self.inbox.receive(body, self.signature(body))

    def signature(self, body: bytes, secret: str = WEBHOOK_SECRET) -> str:
        """Sign a body as the provider would now."""
        seconds = self.clock.now_ns() // 1_000_000_000
        header: str = stripe.WebhookSignature.generate_signature_header(
            body.decode(), secret, seconds
        )
        return header

    async def hear(self) -> None:
        """Be told everything that happened, and look into it."""
        await self.tell(*self.events())
        await self.inbox.work()

    async def hear_at_once(self, times: int) -> None:
        """Be told everything several times in parallel, and look into it in several processes."""
        events = self.events()
        await asyncio.gather(*(self.tell(*events) for _ in range(times)))
        await asyncio.gather(*(self.inbox.work() for _ in range(times)))

    # What became of it

    async def payment(self, payment: Payment) -> Payment:
        """Read a payment."""
        async with self.database.rpc.transaction("system") as tx:
            return await store.get(tx, payment.payment_id)

    async def payments(self, workspace_id: bytes) -> list[Payment]:
        """Read the payments of a workspace, oldest first."""
        async with self.database.rpc.transaction("system") as tx:
            found = await store.list_payments(tx, workspace_id, before=b"\xff" * 16, limit=1_000)
        return found[::-1]

    async def account(self, workspace_id: bytes) -> BillingAccount:
        """Read a billing account."""
        async with self.database.rpc.transaction("system") as tx:
            return await account_store.read(tx, workspace_id)

    async def balance(self, workspace_id: bytes) -> Balance:
        """Read what a workspace has."""
        self.money.now = now(self.clock)
        return await self.money.balance(workspace_id)

    async def credits(self, workspace_id: bytes) -> list[int]:
        """Return what paid grants gave, in cents."""
        rows = await self.rows(
            "SELECT amount FROM credit_grant WHERE workspace_id = :id AND kind = 1 ORDER BY id",
            id=to_uuid(workspace_id),
        )
        return [row.amount // NANOS_PER_CENT for row in rows]

    async def alarms(self) -> list[str]:
        """Return the kinds of all alarms."""
        rows = await self.rows("SELECT kind FROM alarm ORDER BY id")
        return [row.kind for row in rows]

    async def rows(self, sql: str, **parameters: object) -> list[Any]:
        """Read rows as the system."""
        async with self.database.rpc.transaction("system") as tx:
            return list(await tx.all(sql, **parameters))

    async def close(self) -> None:
        """Close the connections."""
        await self.gateway.close()
        await self.database.close()

    def _wanted(
        self, workspace_id: bytes, kind: PaymentKind, cents: int, key: str
    ) -> tuple[bytes, str, PaymentKind, int]:
        return workspace_id, key or self.ids.new().hex(), kind, cents * NANOS_PER_CENT
