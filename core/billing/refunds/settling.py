"""Moves a refund and the ledger to what the provider's refund has become, in one transaction."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from core.audit import Act
from core.billing.accounts.model import AutoStop
from core.billing.accounts.service import stop_auto
from core.billing.accounts.store import lock as lock_account
from core.billing.alarms import raise_alarm
from core.billing.disputes.store import lost_of
from core.billing.documents.issue import Documents
from core.billing.paid import PaidPayment, find_paid, is_surplus
from core.billing.payments.leftovers import DEAD, follow_refund
from core.billing.refunds import postings, store
from core.billing.refunds.model import (
    ASKED_AT_PROVIDER,
    PREFIX,
    Effect,
    Refund,
    RefundOrigin,
    RefundReason,
    RefundState,
    Sight,
    settle,
)
from core.billing.refunds.service import grant_of
from core.billing.shares import NOTHING, share_of_gross, total
from core.billing.stripe.gateway import StripeRefund
from core.db.database import Transaction
from core.ledger.wallets import lock_wallet
from kit.ids import InvalidIdError, format_id, parse_id

MISMATCH: Final = "refund_mismatch"
_REQUEST_ID_MAX: Final = 64


async def apply(
    tx: Transaction, act: Act, seen: StripeRefund, documents: Documents
) -> Refund | None:
    """Bring our refund to what was seen; None if it cannot be ours and an alarm says so,
    or if it gives money back that gave no credit.

    It may run twice, late, and beside another: postings have the provider's ids in their keys, and
    final states win.

    Raises:
        NotKnownYet: no credited payment of ours is what it refunds.
    """
    if await is_surplus(tx, intent_id=seen.intent_id, charge_id=seen.charge_id):
        await follow_refund(tx, act, seen)
        return None
    payment = await find_paid(tx, intent_id=seen.intent_id, charge_id=seen.charge_id)
    await lock_account(tx, payment.workspace_id, act.now)
    await lock_wallet(tx, payment.workspace_id)
    refund = await _ours(tx, payment, seen)
    if refund is None:
        refund = await _made_there(tx, act, payment, seen)
        await stop_auto(tx, act, payment.workspace_id, AutoStop.REFUNDED)
    if refund is None:
        return None
    state, effects = settle(refund.state, sight_of(seen))
    after = replace(refund, state=state, stripe_id=seen.id, checked_at=act.now)
    if state is not refund.state:
        why = seen.failure if state is RefundState.FAILED else ""
        after = replace(after, failure=why, updated_at=act.now)
    await store.update(tx, after)
    for effect in effects:
        await postings.post(tx, act, after, grant_of(payment), effect)
        await _document(tx, act, after, documents, effect)
    return after


async def _document(
    tx: Transaction, act: Act, refund: Refund, documents: Documents, effect: Effect
) -> None:
    if effect is Effect.SENT:
        await documents.issue_refund_note(tx, refund_id=refund.refund_id, now=act.now)
    elif effect is Effect.RETURNED:
        await documents.issue_reversal(tx, refund_id=refund.refund_id, now=act.now)


def sight_of(seen: StripeRefund) -> Sight:
    """Return what counts of the provider's refund."""
    return Sight(
        has_left=seen.balance_transaction is not None,
        has_returned=seen.failure_balance_transaction is not None,
        is_done=seen.status == "succeeded",
        is_dead=seen.status in DEAD,
    )


def waits_for(refund: Refund, payment: PaidPayment, seen: StripeRefund) -> bool:
    """Say whether a refund of ours waits for this very object of the provider."""
    waits = refund.state is RefundState.APPROVED and not refund.stripe_id
    same = (refund.payment_id, refund.share.gross) == (payment.payment_id, seen.amount)
    return waits and same and seen.refund_id == format_id(PREFIX, refund.refund_id)


async def _ours(tx: Transaction, payment: PaidPayment, seen: StripeRefund) -> Refund | None:
    """Find our refund: by its object, else by the id that we gave along.

    Metadata is only a hint that anybody at the provider may write: it counts for a refund of the
    same payment and amount that waits for its object.
    """
    known = await store.of_stripe(tx, seen.id)
    if known is not None or not seen.refund_id:
        return known
    try:
        hinted = await store.find(tx, parse_id(PREFIX, seen.refund_id))
    except InvalidIdError:
        return None
    return hinted if hinted is not None and waits_for(hinted, payment, seen) else None


async def _made_there(
    tx: Transaction, act: Act, payment: PaidPayment, seen: StripeRefund
) -> Refund | None:
    """Write the row of a refund that was made without us."""
    parts = await store.parts_of(tx, payment.payment_id)
    lost = await lost_of(tx, payment.payment_id)
    taken = total((*(part.share for part in parts), lost))
    if seen.amount > payment.whole.without(taken).gross:
        # What we only mean to refund gives way to what has been refunded: the provider will refuse.
        taken = total((*(part.share for part in parts if part.is_sent), lost))
    if sight_of(seen).is_dead:
        # It takes nothing in the end, so what others took is no bound.
        taken = NOTHING
    if seen.currency != payment.currency or not (
        0 < seen.amount <= payment.whole.without(taken).gross
    ):
        await raise_alarm(
            tx,
            act,
            MISMATCH,
            seen.id,
            expected=payment.whole.without(taken).gross,
            found=seen.amount,
        )
        return None
    refund = Refund(
        refund_id=act.ids.new(),
        workspace_id=payment.workspace_id,
        payment_id=payment.payment_id,
        request_id=f"stripe:{seen.id}"[:_REQUEST_ID_MAX],
        origin=RefundOrigin.PROVIDER,
        state=RefundState.PENDING,
        share=share_of_gross(payment.whole, taken, seen.amount),
        reason=RefundReason.UNSPECIFIED,
        wanted_net=None,
        attempt=1,
        last_sent_at=None,
        stripe_id=seen.id,
        asked_by=ASKED_AT_PROVIDER,
        decided_by="",
        failure="",
        created_at=act.now,
        updated_at=act.now,
        checked_at=act.now,
        decided_at=None,
    )
    await store.insert(tx, refund)
    return refund
