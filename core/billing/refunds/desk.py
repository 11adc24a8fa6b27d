"""Refunds with the provider: rows first, then its calls, then what became of them.

No transaction is open while the provider is called. Whatever was cut off on the way is taken up by
`work`, which the core process runs every second.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from core.audit import Act
from core.billing.accounts.model import AutoStop
from core.billing.accounts.service import stop_auto
from core.billing.documents.issue import Documents
from core.billing.faults import Faults
from core.billing.paid import PaidPayment, credit_of, read_payment
from core.billing.refunds import service, settling, store
from core.billing.refunds.model import (
    PREFIX,
    Refund,
    RefundReason,
    RefundState,
    Wanted,
)
from core.billing.stripe.gateway import StripeGateway, StripeRefund, StripeRefused
from core.db.database import Pool, Transaction
from core.ledger import leases
from kit.clock import Clock, now
from kit.ids import IdSource, format_id
from kit.log import EventLog
from kit.reasons import CreditInUse, InsufficientCredits, InvalidState

ACTOR: Final = "core.refunds"
PER_ROUND_MAX: Final = 100
LEASES_WAIT_SECONDS: Final = 2.0
"""How long a request for all that can go back waits for leases to return what they do not use."""
_LOOK_SECONDS: Final = 0.1
_WORD: Final = re.compile(r"[a-z0-9_]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RefundTerms:
    """For how many days after a purchase its unused credit goes back."""

    days: int = 365


class RefundDesk:
    """Asks, decides, sends and settles refunds."""

    def __init__(
        self,
        pool: Pool,
        gateway: StripeGateway,
        clock: Clock,
        ids: IdSource,
        log: EventLog,
        documents: Documents,
        terms: RefundTerms,
    ) -> None:
        """Work on the pool's database and with the provider; issue credit notes."""
        self._pool = pool
        self._gateway = gateway
        self._clock = clock
        self._ids = ids
        self._documents = documents
        self._terms = terms
        self._faults = Faults(pool, clock, ids, log, ACTOR)

    async def ask(self, act: Act, wanted: Wanted) -> Refund:
        """Ask for a refund; without an amount, leases are asked first for what they do not use.

        Raises what `service.ask` raises.
        """
        if wanted.net_minor is None:
            await self._gather(wanted.payment_id)
        async with self._pool.transaction("system") as tx:
            refund = await service.ask(tx, act, wanted, self._terms.days)
            await tx.commit()
        return refund

    async def approve(self, act: Act, refund_id: bytes) -> Refund:
        """Set the credit aside and send the refund, as far as that can be done now.

        Raises:
            NotFound: no such refund.
            InvalidState: rejected, or the payment is disputed.
            InsufficientCredits: the credit has been used since it was asked for.
        """
        try:
            refund = await self._reserve(act, refund_id)
        except CreditInUse:
            async with self._pool.transaction("system") as tx:
                await _stop_top_up(tx, act, refund_id)
                refund = await service.await_leases(tx, act, refund_id)
                await tx.commit()
        if refund.state is RefundState.APPROVED:
            step = self._send_or_search(refund)
            refund = await self._faults.guard(_name_of(refund), step) or refund
        return refund

    async def reject(self, act: Act, refund_id: bytes) -> Refund:
        """Refuse a refund.

        Raises what `service.reject` raises.
        """
        async with self._pool.transaction("system") as tx:
            refund = await service.reject(tx, act, refund_id)
            await tx.commit()
        return refund

    async def converge(self, stripe_id: str) -> None:
        """Move our refund to what the provider's has become, its payment's other refunds first.

        Raises:
            PaymentUnknown: the provider does not answer.
            NotKnownYet: its payment is not known or credited yet; to be repeated.
        """
        seen = await self._gateway.get_refund(stripe_id)
        if seen.intent_id:
            await self.converge_payment(seen.intent_id)
        await self._apply(seen)

    async def converge_payment(self, intent_id: str) -> None:
        """Move all our refunds of a payment to what the provider's have become.

        Raises what `converge` raises.
        """
        found = await self._gateway.list_refunds(intent_id)
        # What came back makes room for what was refunded instead.
        for seen in sorted(found, key=lambda each: not settling.sight_of(each).is_dead):
            await self._apply(seen)

    async def propose(self, act: Act, payment: PaidPayment, warning_id: str) -> Refund | None:
        """Ask for all that can go back of a payment of which a card network warned.

        None if nothing can: all is used, or it is disputed already.
        """
        wanted = Wanted(f"efw-{warning_id}"[:64], payment.payment_id, None, RefundReason.FRAUDULENT)
        try:
            return await self.ask(act, wanted)
        except (InsufficientCredits, InvalidState):
            return None

    async def work(self) -> int:
        """Take up what waits for us; return how much did. One that fails hinders no other."""
        async with self._pool.transaction("system") as tx:
            waiting = await store.claim_due(tx, now(self._clock), PER_ROUND_MAX)
            await tx.commit()
        for refund in waiting:
            await self._faults.guard(_name_of(refund), self._take_up(refund))
        return len(waiting)

    async def _take_up(self, refund: Refund) -> Refund | None:
        if refund.state is RefundState.RECALLING:
            return await self._reserve_late(refund)
        if refund.state is RefundState.PENDING:
            return await self._apply(await self._gateway.get_refund(refund.stripe_id))
        return await self._send_or_search(refund)

    async def _reserve_late(self, refund: Refund) -> Refund:
        act = self._act()
        try:
            reserved = await self._reserve(act, refund.refund_id)
        except CreditInUse:
            if not service.recall_is_over(refund, act):
                return refund
            return await self._undo_approval(act, refund, "credit_in_use")
        except InsufficientCredits:
            return await self._undo_approval(act, refund, "insufficient_credits")
        except InvalidState:
            return await self._undo_approval(act, refund, "charge_disputed")
        if reserved.state is RefundState.APPROVED:
            return await self._send_or_search(reserved)
        return reserved

    async def _send_or_search(self, refund: Refund) -> Refund:
        """Send an approved refund; one that was sent before only if the provider has none."""
        payment = await self._payment_of(refund)
        if refund.last_sent_at is None:
            return await self._send(refund, payment, searched_at=None)
        searched_at = now(self._clock)
        for found in await self._gateway.list_refunds(payment.intent_id):
            if settling.waits_for(refund, payment, found):
                return await self._apply(found) or refund
        return await self._send(refund, payment, searched_at=searched_at)

    async def _send(
        self, refund: Refund, payment: PaidPayment, *, searched_at: datetime | None
    ) -> Refund:
        async with self._pool.transaction("system") as tx:
            refund, may_call = await service.begin_call(
                tx, self._act(), refund, searched_at=searched_at
            )
            await tx.commit()
        if not may_call:
            return refund
        try:
            made = await self._gateway.make_refund(
                refund=format_id(PREFIX, refund.refund_id),
                intent_id=payment.intent_id,
                amount=refund.share.gross,
                key=refund.idempotency_key,
            )
        except StripeRefused as refusal:
            async with self._pool.transaction("system") as tx:
                refused = await service.refuse(
                    tx, self._act(), refund.refund_id, refund.attempt, _word(refusal.code)
                )
                await tx.commit()
            return refused
        return await self._apply(made) or refund

    async def _apply(self, seen: StripeRefund) -> Refund | None:
        async with self._pool.transaction("system") as tx:
            refund = await settling.apply(tx, self._act(), seen, self._documents)
            await tx.commit()
        return refund

    async def _reserve(self, act: Act, refund_id: bytes) -> Refund:
        async with self._pool.transaction("system") as tx:
            await _stop_top_up(tx, act, refund_id)
            refund = await service.reserve(tx, act, refund_id)
            await tx.commit()
        return refund

    async def _undo_approval(self, act: Act, refund: Refund, why: str) -> Refund:
        async with self._pool.transaction("system") as tx:
            undone = await service.undo_approval(tx, act, refund.refund_id, why)
            await tx.commit()
        return undone

    async def _gather(self, payment_id: bytes) -> None:
        """Ask leases back and wait a little: what they do not use comes within a second."""
        for _ in range(int(LEASES_WAIT_SECONDS / _LOOK_SECONDS)):
            async with self._pool.transaction("system") as tx:
                payment = await read_payment(tx, payment_id)
                if payment.grant_id is None:
                    return
                moment = now(self._clock)
                if (await credit_of(tx, payment.grant_id, moment)).leased == 0:
                    return
                await leases.recall(tx, payment.workspace_id, None, moment)
                await tx.commit()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _payment_of(self, refund: Refund) -> PaidPayment:
        async with self._pool.transaction("system") as tx:
            return await read_payment(tx, refund.payment_id)

    def _act(self) -> Act:
        return Act(ACTOR, now(self._clock), self._ids)


async def _stop_top_up(tx: Transaction, act: Act, refund_id: bytes) -> None:
    """Buy nothing by itself any more for whom money goes back to, once that is approved."""
    refund = await store.get(tx, refund_id)
    if refund.state is RefundState.REQUESTED:
        await stop_auto(tx, act, refund.workspace_id, AutoStop.REFUNDED)


def _name_of(refund: Refund) -> str:
    return format_id(PREFIX, refund.refund_id)


def _word(code: str) -> str:
    """Return a refusal's code as it may be kept: a word."""
    return code if _WORD.fullmatch(code) else "refused"
