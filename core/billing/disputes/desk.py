"""Disputes with the provider: what it says is fetched, what it did is booked, evidence is given.

No transaction is open while the provider is called.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from core.audit import Act
from core.billing.accounts.model import AutoStop
from core.billing.accounts.service import stop_auto
from core.billing.alarms import raise_alarm
from core.billing.disputes import evidence, settling, store
from core.billing.disputes.evidence import Evidence
from core.billing.disputes.model import PREFIX, Dispute, FraudWarning
from core.billing.documents.issue import Documents
from core.billing.faults import Faults
from core.billing.paid import PaidPayment, find_paid, read_payment
from core.billing.payments.model import PREFIX as PAYMENT_PREFIX
from core.billing.refunds.desk import RefundDesk
from core.billing.stripe.gateway import StripeGateway
from core.db.database import Pool
from core.ledger import debt, leases
from core.ledger.model import Balance
from core.ledger.wallets import balance, lock_wallet
from kit.clock import Clock, now
from kit.ids import IdSource, format_id
from kit.log import EventLog
from kit.reasons import InvalidState

ACTOR: Final = "core.disputes"
PER_ROUND_MAX: Final = 100
SUBMIT: Final = "billing.SubmitEvidence"
WRITE_OFF: Final = "billing.WriteOffDebt"
WARNING: Final = "fraud_warning"


class DisputeDesk:
    """Follows disputes and warnings, and gives evidence."""

    def __init__(
        self,
        pool: Pool,
        gateway: StripeGateway,
        clock: Clock,
        ids: IdSource,
        log: EventLog,
        documents: Documents,
        refunds: RefundDesk,
    ) -> None:
        """Work on the pool's database and with the provider; propose refunds to `refunds`."""
        self._pool = pool
        self._gateway = gateway
        self._clock = clock
        self._ids = ids
        self._documents = documents
        self._refunds = refunds
        self._faults = Faults(pool, clock, ids, log, ACTOR)

    async def converge(self, stripe_id: str) -> None:
        """Move our dispute to what the provider's has become.

        Refunds come first: one that failed before the dispute was opened is a part of what is
        disputed, whether its event has come or not.

        Raises:
            PaymentUnknown: the provider does not answer.
            NotKnownYet: its payment is not known or credited yet; to be repeated.
        """
        seen = await self._gateway.get_dispute(stripe_id)
        if seen.intent_id:
            await self._refunds.converge_payment(seen.intent_id)
        async with self._pool.transaction("system") as tx:
            await settling.apply(tx, self._act(), seen, self._documents)
            await tx.commit()

    async def converge_warning(self, stripe_id: str) -> None:
        """Keep an early fraud warning; a new one recalls leases and proposes a refund.

        Raises what `converge` raises.
        """
        seen = await self._gateway.get_warning(stripe_id)
        act = self._act()
        async with self._pool.transaction("system") as tx:
            payment = await find_paid(tx, intent_id="", charge_id=seen.charge_id)
            if seen.actionable:
                await stop_auto(tx, act, payment.workspace_id, AutoStop.DISPUTED)
            await lock_wallet(tx, payment.workspace_id)
            warning = FraudWarning(
                warning_id=act.ids.new(),
                stripe_id=seen.id,
                workspace_id=payment.workspace_id,
                payment_id=payment.payment_id,
                kind=seen.kind,
                actionable=seen.actionable,
                created_at=seen.created_at,
            )
            if await store.keep_warning(tx, warning, act.now):
                await leases.recall(tx, payment.workspace_id, None, act.now)
                await raise_alarm(tx, act, WARNING, _name_of(payment))
            await tx.commit()
        # Proposed once for each warning: a repetition, after a crash too, asks with the same id.
        if seen.actionable:
            await self._refunds.propose(act, payment, seen.id)

    async def evidence(self, dispute_id: bytes) -> Evidence:
        """Put together what speaks for us.

        Raises:
            NotFound: no such dispute.
        """
        async with self._pool.transaction("system", snapshot=True) as tx:
            dispute = await store.get(tx, dispute_id)
            payment = await read_payment(tx, dispute.payment_id)
            return await evidence.gather(tx, dispute, payment)

    async def submit(self, act: Act, dispute_id: bytes) -> Dispute:
        """Give the evidence to the bank, which is final; a repetition gives nothing twice.

        Raises:
            NotFound: no such dispute.
            InvalidState: it asks for no evidence (any more).
            PaymentUnknown: the provider does not answer; may be repeated.
            StripeRefused: the provider takes no evidence.
        """
        async with self._pool.transaction("system") as tx:
            dispute = await store.get(tx, dispute_id)
        if dispute.evidence_sent_at is not None:
            return dispute
        if dispute.state.is_final:
            raise InvalidState(cause="dispute_closed")
        seen = await self._gateway.get_dispute(dispute.stripe_id)
        if seen.submissions == 0:
            bundle = await self.evidence(dispute_id)
            words = evidence.texts(bundle, format_id(PAYMENT_PREFIX, dispute.payment_id))
            seen = await self._gateway.send_evidence(dispute.stripe_id, words, submit=True)
        async with self._pool.transaction("system") as tx:
            await settling.apply(tx, act, seen, self._documents)
            stands = await store.get(tx, dispute_id)
            sent = replace(stands, evidence_sent_at=act.now, updated_at=act.now)
            await store.update(tx, sent)
            await act.audit(tx, SUBMIT, format_id(PREFIX, dispute_id), dispute.workspace_id)
            await tx.commit()
        return sent

    async def write_off(
        self, act: Act, workspace_id: bytes, amount: int, request_id: str
    ) -> Balance:
        """Give up a debt of a workspace, in nano-dollars, once for each request id.

        Raises:
            NotFound: the workspace has no wallet.
            AmountOutOfRange: not above zero, or more than is owed.
            RequestIdReused: the request id was used for another one.
        """
        async with self._pool.transaction("system") as tx:
            posted = await debt.write_off(
                tx,
                workspace_id=workspace_id,
                amount=amount,
                request_id=request_id,
                actor=act.actor,
                now=act.now,
            )
            if posted.created:
                name = format_id("txn", posted.txn_id)
                await act.audit(tx, WRITE_OFF, name, workspace_id)
            after = await balance(tx, workspace_id, act.now)
            await tx.commit()
        return after

    async def work(self) -> int:
        """Freeze what came back from leases, look again at what is open; return how much was done.

        One dispute that fails hinders no other.
        """
        async with self._pool.transaction("system") as tx:
            thirsty = await store.thirsty(tx, PER_ROUND_MAX)
            due = await store.due(tx, now(self._clock), PER_ROUND_MAX)
        for dispute_id in thirsty:
            await self._faults.guard(format_id(PREFIX, dispute_id), self._freeze_more(dispute_id))
        for dispute in due:
            name = format_id(PREFIX, dispute.dispute_id)
            await self._faults.guard(name, self._look_again(dispute))
        return len(thirsty) + len(due)

    async def _freeze_more(self, dispute_id: bytes) -> None:
        async with self._pool.transaction("system") as tx:
            await settling.freeze_more(tx, self._act(), dispute_id)
            await tx.commit()

    async def _look_again(self, dispute: Dispute) -> None:
        async with self._pool.transaction("system") as tx:
            await store.touch(tx, dispute.dispute_id, now(self._clock))
            await tx.commit()
        await self.converge(dispute.stripe_id)

    def _act(self) -> Act:
        return Act(ACTOR, now(self._clock), self._ids)


def _name_of(payment: PaidPayment) -> str:
    return format_id(PAYMENT_PREFIX, payment.payment_id)
