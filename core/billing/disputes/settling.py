"""Moves a dispute and the ledger to what the provider's dispute has become, in one transaction."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from core.audit import Act
from core.billing.accounts.model import AutoStop
from core.billing.accounts.service import stop_auto
from core.billing.alarms import raise_alarm
from core.billing.disputes import store
from core.billing.disputes.model import (
    PREFIX,
    Dispute,
    DisputeState,
    Step,
    disputed_share,
    moved_of,
    newer_state,
    state_of,
    step_of,
)
from core.billing.documents.issue import Documents
from core.billing.paid import PaidPayment, find_paid, is_surplus, read_payment
from core.billing.payments.model import CURRENCY
from core.billing.refunds.service import grant_of
from core.billing.refunds.store import parts_of
from core.billing.shares import MINOR_NANOS, NOTHING, Share, total
from core.billing.stripe.gateway import StripeDispute
from core.db.database import Transaction
from core.ledger import disputes as ledger
from core.ledger import house
from core.ledger.model import EXP_PSP_FEES, STRIPE_DISPUTED, Entry
from core.ledger.wallets import lock_wallet
from kit.ids import format_id

MISMATCH: Final = "dispute_mismatch"
OPENED: Final = "dispute_opened"
LOST: Final = "dispute_lost"
UNKNOWN_STATUS: Final = "dispute_unknown_status"
CHANGED: Final = "dispute_changed_after_close"
_HARMLESS: Final = frozenset(
    {DisputeState.WON, DisputeState.INQUIRY_CLOSED, DisputeState.PREVENTED}
)
"""Whoever switched automatic top-up on again while it was open keeps it."""
_THAW_WORDS: Final = {
    DisputeState.WON: "won",
    DisputeState.LOST: "nothing_lost",
    DisputeState.INQUIRY_CLOSED: "inquiry_closed",
    DisputeState.PREVENTED: "prevented",
}


async def apply(
    tx: Transaction, act: Act, seen: StripeDispute, documents: Documents
) -> Dispute | None:
    """Bring our dispute to what was seen; None if it cannot be ours and an alarm says so.

    It may run twice, late, and beside another: postings have the provider's ids in their keys, what
    is final stays final, and a look that knows of less money than we do is older.

    Raises:
        NotKnownYet: no credited payment of ours is what it disputes.
    """
    if await is_surplus(tx, intent_id=seen.intent_id, charge_id=seen.charge_id):
        # It gave no credit that could be frozen. What it took stays in what is disputed until
        # people say whose it is.
        if _is_in(seen, CURRENCY):
            await _book_movements(tx, act, seen)
        await raise_alarm(tx, act, MISMATCH, seen.id, found=seen.amount)
        return None
    payment = await find_paid(tx, intent_id=seen.intent_id, charge_id=seen.charge_id)
    state = state_of(seen.status)
    if state not in _HARMLESS:
        await stop_auto(tx, act, payment.workspace_id, AutoStop.DISPUTED)
    await lock_wallet(tx, payment.workspace_id)
    known = await store.of_stripe(tx, seen.id)
    if not _is_in(seen, payment.currency):
        await raise_alarm(tx, act, MISMATCH, seen.id, expected=payment.whole.gross)
        return None
    if known is None:
        known = _new(act, payment, seen)
        await store.insert(tx, known)
    if known.closed_at is not None:
        return await _after_close(tx, act, known, seen)
    if state is None:
        # The safe reading: what is disputed stays frozen until somebody has looked.
        await raise_alarm(tx, act, UNKNOWN_STATUS, format_id(PREFIX, known.dispute_id))
        state = DisputeState.OPEN
    out, back = moved_of(each.amount for each in seen.balance_transactions)
    if out < known.withdrawn or back < known.reinstated:
        return known
    await _book_movements(tx, act, seen)
    dispute = replace(
        known,
        state=newer_state(known.state, state),
        reason=seen.reason,
        amount=seen.amount,
        withdrawn=out,
        reinstated=back,
        evidence_due_at=seen.due_at,
        updated_at=act.now,
        checked_at=act.now,
    )
    after, lost = await _take_step(tx, act, dispute, payment)
    await store.update(tx, after)
    if lost.net > 0:
        await documents.issue_dispute_note(
            tx, dispute_id=after.dispute_id, net=lost.net, tax=lost.tax, now=act.now
        )
    return after


async def freeze_more(tx: Transaction, act: Act, dispute_id: bytes) -> Dispute:
    """Freeze what has come back from leases since, and ask for the rest."""
    dispute = await store.get(tx, dispute_id)
    await lock_wallet(tx, dispute.workspace_id)
    dispute = await store.get(tx, dispute_id)
    if dispute.closed_at is not None or dispute.frozen_nanos >= dispute.up_to_nanos:
        return dispute
    frozen = await _freeze(tx, act, dispute, await read_payment(tx, dispute.payment_id))
    if frozen == dispute.frozen_nanos:
        return dispute
    after = replace(dispute, frozen_nanos=frozen, updated_at=act.now)
    await store.update(tx, after)
    return after


async def _take_step(
    tx: Transaction, act: Act, dispute: Dispute, payment: PaidPayment
) -> tuple[Dispute, Share]:
    """Return the dispute after it, and what was lost."""
    gone = await _gone(tx, dispute, payment)
    step = step_of(dispute.state, dispute.withdrawn, dispute.reinstated)
    if step is Step.FREEZE:
        share = disputed_share(payment.whole, gone, dispute.amount, dispute.withdrawn)
        disputed = replace(dispute, up_to_nanos=share.net_nanos)
        return await _hold_on(tx, act, disputed, payment), NOTHING
    if step is Step.LOSE:
        share = disputed_share(payment.whole, gone, dispute.amount, dispute.moved)
        return await _lose(tx, act, dispute, payment, share), share
    if step is Step.THAW:
        return await _thaw(tx, act, dispute, payment), NOTHING
    return dispute, NOTHING


async def _gone(tx: Transaction, dispute: Dispute, payment: PaidPayment) -> Share:
    """Return what refunds and other disputes have taken of the payment."""
    # What we only mean to refund, the provider will refuse now.
    parts = await parts_of(tx, payment.payment_id)
    refunded = (part.share for part in parts if part.is_sent)
    lost = await store.lost_of(tx, payment.payment_id, besides=dispute.dispute_id)
    return total((*refunded, lost))


async def _hold_on(tx: Transaction, act: Act, dispute: Dispute, payment: PaidPayment) -> Dispute:
    name = format_id(PREFIX, dispute.dispute_id)
    before = await store.get(tx, dispute.dispute_id)
    if before.state is DisputeState.INQUIRY and before.withdrawn == 0:
        await raise_alarm(tx, act, OPENED, name, expected=dispute.amount)
    return replace(dispute, frozen_nanos=await _freeze(tx, act, dispute, payment))


async def _freeze(tx: Transaction, act: Act, dispute: Dispute, payment: PaidPayment) -> int:
    return await ledger.freeze(
        tx,
        workspace_id=dispute.workspace_id,
        grant_id=grant_of(payment),
        stripe_id=dispute.stripe_id,
        up_to=dispute.up_to_nanos,
        actor=act.actor,
        now=act.now,
    )


async def _lose(
    tx: Transaction, act: Act, dispute: Dispute, payment: PaidPayment, share: Share
) -> Dispute:
    owed = 0
    if share.net > 0:
        owed = await ledger.lose(
            tx,
            workspace_id=dispute.workspace_id,
            grant_id=grant_of(payment),
            stripe_id=dispute.stripe_id,
            net=share.net_nanos,
            tax=share.tax_nanos,
            actor=act.actor,
            now=act.now,
        )
    lost = share.gross if share.net > 0 else 0
    await _book_difference(tx, act, dispute, dispute.moved - lost)
    name = format_id(PREFIX, dispute.dispute_id)
    await raise_alarm(tx, act, LOST, name, expected=share.net_nanos, found=owed)
    return replace(dispute, lost=share, frozen_nanos=0, owed_nanos=owed, closed_at=act.now)


async def _thaw(tx: Transaction, act: Act, dispute: Dispute, payment: PaidPayment) -> Dispute:
    await ledger.thaw(
        tx,
        workspace_id=dispute.workspace_id,
        grant_id=grant_of(payment),
        stripe_id=dispute.stripe_id,
        suffix=_THAW_WORDS[dispute.state],
        actor=act.actor,
        now=act.now,
    )
    await _book_difference(tx, act, dispute, dispute.moved)
    return replace(dispute, frozen_nanos=0, closed_at=act.now)


async def _after_close(tx: Transaction, act: Act, dispute: Dispute, seen: StripeDispute) -> Dispute:
    """Book money that still moves after all was settled; who gets it is for people to say."""
    out, back = moved_of(each.amount for each in seen.balance_transactions)
    if out + back <= dispute.withdrawn + dispute.reinstated:
        return dispute
    await _book_movements(tx, act, seen)
    name = format_id(PREFIX, dispute.dispute_id)
    await raise_alarm(tx, act, CHANGED, name, expected=dispute.moved, found=out - back)
    after = replace(dispute, withdrawn=out, reinstated=back, updated_at=act.now)
    await store.update(tx, after)
    return after


async def _book_movements(tx: Transaction, act: Act, seen: StripeDispute) -> None:
    for each in seen.balance_transactions:
        book = house.withdrawal if each.amount < 0 else house.reinstatement
        await book(
            tx,
            each.id,
            abs(each.amount) * MINOR_NANOS,
            fee=each.fee * MINOR_NANOS,
            actor=act.actor,
            now=act.now,
        )


async def _book_difference(tx: Transaction, act: Act, dispute: Dispute, minor: int) -> None:
    """Book what the provider's exchange made of a dispute: it is no customer's."""
    if minor == 0:
        return
    nanos = minor * MINOR_NANOS
    await house.post(
        tx,
        kind=house.ADJUSTMENT,
        business_key=f"stripe:{dispute.stripe_id}:difference",
        entries=(Entry(EXP_PSP_FEES, -nanos), Entry(STRIPE_DISPUTED, nanos)),
        actor=act.actor,
        now=act.now,
    )


def _is_in(seen: StripeDispute, currency: str) -> bool:
    found = {seen.currency, *(each.currency for each in seen.balance_transactions)}
    return found == {currency}


def _new(act: Act, payment: PaidPayment, seen: StripeDispute) -> Dispute:
    return Dispute(
        dispute_id=act.ids.new(),
        workspace_id=payment.workspace_id,
        payment_id=payment.payment_id,
        stripe_id=seen.id,
        state=DisputeState.INQUIRY,
        reason=seen.reason,
        currency=seen.currency,
        amount=seen.amount,
        withdrawn=0,
        reinstated=0,
        up_to_nanos=0,
        frozen_nanos=0,
        owed_nanos=0,
        lost=NOTHING,
        evidence_due_at=seen.due_at,
        evidence_sent_at=None,
        created_at=seen.created_at,
        updated_at=act.now,
        checked_at=act.now,
        closed_at=None,
    )
