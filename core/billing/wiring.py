"""The parts of billing, put together: services for the server, loops for the process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from core.billing.disputes.desk import DisputeDesk
from core.billing.disputes.rpc import dispute_service
from core.billing.documents.issue import Documents
from core.billing.documents.model import TaxMode
from core.billing.events import store as event_store
from core.billing.events.inbox import Converge, Inbox
from core.billing.events.metrics import write_metrics
from core.billing.events.movements import Comparison, Movements
from core.billing.events.sweep import Sweep
from core.billing.loops import every
from core.billing.payments.desk import PaymentDesk, PaymentTerms
from core.billing.payments.rpc import PaymentParts, payment_service
from core.billing.refunds.desk import RefundDesk, RefundTerms
from core.billing.refunds.rpc import refund_service
from core.billing.settings import BillingSettings
from core.billing.stripe.gateway import Page, StripeEvent, StripeGateway
from core.db.database import Database, Pool
from core.mail import outbox
from core.mail.mailer import Mailer
from core.mail.post import post_of
from kit.clock import Clock, now
from kit.ids import IdSource
from kit.log import EventLog
from kit.rpc.server import Service

EVENTS: Final = "events"
SOON_SECONDS: Final = 1.0
TOP_UP_SECONDS: Final = 2.0
SWEEP_SECONDS: Final = 10.0
TIDY_SECONDS: Final = 3_600.0
_TAX_MODES: Final = {
    "none": TaxMode.NONE,
    "stripe": TaxMode.STRIPE,
    "static_rate": TaxMode.STATIC_RATE,
}


class Billing:
    """Payments, refunds, disputes and mail of one core process.

    Calls and loops have connections of their own, so that neither waits for the other.
    """

    def __init__(
        self,
        settings: BillingSettings,
        gateway: StripeGateway,
        database: Database,
        clock: Clock,
        ids: IdSource,
        log: EventLog,
        documents: Documents,
    ) -> None:
        """Put the parts together; nothing runs yet."""
        self._settings = settings
        self._gateway = gateway
        self._database = database
        self._clock = clock
        self._ids = ids
        self._log = log
        self._documents = documents

    def services(self) -> list[Service]:
        """Return the services for the server."""
        pool = self._database.rpc
        parts = PaymentParts(
            pool=pool,
            clock=self._clock,
            ids=self._ids,
            desk=self._payments(pool),
            inbox=self._inbox(pool),
            movements=self._movements(pool),
        )
        return [
            payment_service(parts),
            refund_service(pool, self._refunds(pool), self._clock, self._ids),
            dispute_service(pool, self._disputes(pool), self._clock, self._ids),
        ]

    def reconcile(self) -> Callable[[], Awaitable[Comparison]] | None:
        """Return what compares the provider's balance with the ledger; None without a provider."""
        if not self._settings.takes_payments:
            return None
        return self._movements(self._database.jobs).reconcile

    def loops(self) -> list[Coroutine[Any, Any, None]]:
        """Return what runs all the time; with no provider set, only the mail."""
        pool, settings = self._database.jobs, self._settings
        mailer = Mailer(pool, self._clock, self._log, post_of(settings), settings.mail_from)
        always = [
            every(SOON_SECONDS, "mail", mailer.work, self._log),
            every(TIDY_SECONDS, "tidy", self._tidy, self._log),
        ]
        return [*always, *self._with_provider(pool)] if settings.takes_payments else always

    def _with_provider(self, pool: Pool) -> list[Coroutine[Any, Any, None]]:
        payments, inbox, movements = self._payments(pool), self._inbox(pool), self._movements(pool)
        sweep = Sweep(EVENTS, pool, self._clock, self._events, lambda page: inbox.keep([*page]))
        refunds, disputes, log = self._refunds(pool), self._disputes(pool), self._log
        return [
            every(SOON_SECONDS, "inbox", inbox.work, log),
            every(SOON_SECONDS, "payments", payments.work, log),
            every(SOON_SECONDS, "refunds", refunds.work, log),
            every(SOON_SECONDS, "disputes", disputes.work, log),
            every(TOP_UP_SECONDS, "top_up", payments.top_up_all, log),
            every(SWEEP_SECONDS, "event_sweep", sweep.work, log),
            every(SWEEP_SECONDS, "movements", movements.work, log),
        ]

    def _payments(self, pool: Pool) -> PaymentDesk:
        settings = self._settings
        terms = PaymentTerms(
            public_url=settings.public_url,
            tax_mode=_TAX_MODES[settings.tax_mode],
            tax_rate_ppm=settings.tax_rate_ppm,
        )
        return PaymentDesk(
            pool, self._gateway, self._clock, self._ids, self._log, self._documents, terms
        )

    def _refunds(self, pool: Pool) -> RefundDesk:
        terms = RefundTerms(days=self._settings.refund_days)
        return RefundDesk(
            pool, self._gateway, self._clock, self._ids, self._log, self._documents, terms
        )

    def _disputes(self, pool: Pool) -> DisputeDesk:
        return DisputeDesk(
            pool,
            self._gateway,
            self._clock,
            self._ids,
            self._log,
            self._documents,
            self._refunds(pool),
        )

    def _inbox(self, pool: Pool) -> Inbox:
        return Inbox(pool, self._gateway, self._clock, self._ids, self._log, self._convergers(pool))

    def _convergers(self, pool: Pool) -> dict[str, Converge]:
        """Return who looks into what, by the beginning of an event's type."""
        payments, refunds = self._payments(pool), self._refunds(pool)
        disputes = self._disputes(pool)
        return {
            "refund": refunds.converge,
            "charge.refund": refunds.converge,
            "charge.dispute": disputes.converge,
            "radar.early_fraud_warning": disputes.converge_warning,
            "payment_intent": payments.converge_intent,
            "checkout.session": payments.converge_checkout,
            "customer.deleted": payments.converge_customer,
            "payment_method.detached": payments.converge_method,
        }

    def _movements(self, pool: Pool) -> Movements:
        folder = self._settings.data_dir / "metrics"

        def tell(found: Comparison) -> None:
            # A full disk is no reason to stop comparing.
            with suppress(OSError):
                write_metrics(folder, found)

        return Movements(pool, self._gateway, self._clock, self._ids, self._log, tell)

    async def _events(self, since: datetime, after: str) -> Page[StripeEvent]:
        return await self._gateway.list_events(since=since, after=after)

    async def _tidy(self) -> None:
        moment = now(self._clock)
        async with self._database.jobs.transaction("system") as tx:
            await event_store.sweep(tx, moment)
            await outbox.sweep(tx, moment)
            await tx.commit()
