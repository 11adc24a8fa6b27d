"""Use cases of refunds, each inside one transaction: ask, approve, reject, refuse."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from core.audit import Act
from core.billing.disputes.store import bars_refunds
from core.billing.paid import PaidPayment, credit_of, read_payment
from core.billing.refunds import postings, store
from core.billing.refunds.model import (
    PREFIX,
    RECALL_FOR,
    NextCall,
    Refund,
    RefundOrigin,
    RefundState,
    Wanted,
    check_may_be_asked,
    next_call,
)
from core.billing.shares import MINOR_NANOS, refundable_minor, share_of_net, total
from core.db.database import Transaction
from core.ledger.wallets import lock_wallet
from kit.ids import format_id
from kit.reasons import InsufficientCredits, InvalidState, RequestIdReused

ASK: Final = "billing.RequestRefund"
APPROVE: Final = "billing.ApproveRefund"
REJECT: Final = "billing.RejectRefund"


async def ask(tx: Transaction, act: Act, wanted: Wanted, days: int) -> Refund:
    """Ask for a refund of unused credit; nothing moves. A repeated request id changes nothing.

    With an amount, what leases hold counts as unused: approval recalls it. Without one, what is
    free now is asked for.

    Raises:
        NotFound: no such payment.
        InvalidState: not paid, too long ago, or disputed; `cause` says which.
        InsufficientCredits: less can go back; `refundable_nanos` says how much.
        RequestIdReused: the request id asked for something else.
    """
    payment = await read_payment(tx, wanted.payment_id)
    await lock_wallet(tx, payment.workspace_id)
    # Refunds are kept for ever, so a call may be repeated for ever.
    known = await store.of_request(tx, payment.workspace_id, wanted.request_id)
    if known is not None:
        if not known.answers(wanted):
            raise RequestIdReused
        return known
    check_may_be_asked(payment.paid_at, act.now, days)
    await _check_not_disputed(tx, payment)
    refund = await _asked(tx, act, payment, wanted)
    if not await store.insert(tx, refund):
        raise RequestIdReused
    await act.audit(tx, ASK, format_id(PREFIX, refund.refund_id), payment.workspace_id)
    return refund


async def reserve(tx: Transaction, act: Act, refund_id: bytes) -> Refund:
    """Approve a refund and set its credit aside; a repetition returns it as it stands.

    Raises:
        NotFound: no such refund.
        InvalidState: it was rejected, or the payment is disputed now.
        InsufficientCredits: the credit has been used since.
        CreditInUse: leases hold it; they have been asked to give it back. Nothing was written.
    """
    refund = await locked(tx, refund_id)
    if refund.state is RefundState.REJECTED:
        raise InvalidState(cause="refund_rejected")
    if refund.state not in (RefundState.REQUESTED, RefundState.RECALLING):
        return refund
    payment = await read_payment(tx, refund.payment_id)
    await _check_not_disputed(tx, payment)
    await postings.reserve(tx, act, refund, grant_of(payment))
    if refund.state is RefundState.REQUESTED:
        refund = await _decide(tx, act, refund, APPROVE)
    approved = replace(
        refund, state=RefundState.APPROVED, failure="", updated_at=act.now, checked_at=act.now
    )
    await store.update(tx, approved)
    return approved


async def await_leases(tx: Transaction, act: Act, refund_id: bytes) -> Refund:
    """Note that a refund is approved and waits until leases have given its credit back."""
    refund = await locked(tx, refund_id)
    if refund.state is not RefundState.REQUESTED:
        return refund
    decided = await _decide(tx, act, refund, APPROVE)
    waiting = replace(decided, state=RefundState.RECALLING, failure="")
    await store.update(tx, waiting)
    return waiting


async def undo_approval(tx: Transaction, act: Act, refund_id: bytes, why: str) -> Refund:
    """Take an approval back whose credit could not be had: somebody decides again."""
    refund = await locked(tx, refund_id)
    if refund.state is not RefundState.RECALLING:
        return refund
    undone = replace(
        refund,
        state=RefundState.REQUESTED,
        decided_by="",
        decided_at=None,
        failure=why,
        updated_at=act.now,
        checked_at=act.now,
    )
    await store.update(tx, undone)
    return undone


async def reject(tx: Transaction, act: Act, refund_id: bytes) -> Refund:
    """Refuse a refund for which nothing has moved yet; a repetition returns it as it stands.

    Raises:
        NotFound: no such refund.
        InvalidState: its credit is set aside already, or more.
    """
    refund = await locked(tx, refund_id)
    if refund.state is RefundState.REJECTED:
        return refund
    if refund.state not in (RefundState.REQUESTED, RefundState.RECALLING):
        raise InvalidState(cause="refund_decided")
    decided = await _decide(tx, act, refund, REJECT)
    rejected = replace(decided, state=RefundState.REJECTED)
    await store.update(tx, rejected)
    return rejected


async def refuse(tx: Transaction, act: Act, refund_id: bytes, attempt: int, why: str) -> Refund:
    """Give the credit of an approved refund back that the provider refused to make."""
    refund = await locked(tx, refund_id)
    if (refund.state, refund.attempt) != (RefundState.APPROVED, attempt):
        return refund
    payment = await read_payment(tx, refund.payment_id)
    await postings.release(tx, act, refund, grant_of(payment))
    failed = replace(
        refund,
        state=RefundState.FAILED,
        failure=why,
        updated_at=act.now,
        checked_at=act.now,
    )
    await store.update(tx, failed)
    return failed


async def begin_call(
    tx: Transaction, act: Act, refund: Refund, *, searched_at: datetime | None
) -> tuple[Refund, bool]:
    """Note that the provider is about to be called; return the refund, and whether to call.

    Not if it stands otherwise than it was read: somebody else has called meanwhile. `searched_at`
    is when the provider was asked, in vain, for what earlier calls made.
    """
    stands = await locked(tx, refund.refund_id)
    seen = (RefundState.APPROVED, refund.attempt, refund.last_sent_at)
    if (stands.state, stands.attempt, stands.last_sent_at) != seen:
        return stands, False
    call = next_call(stands, act.now, searched_at=searched_at)
    if call is NextCall.NONE:
        return stands, False
    if call is NextCall.NEXT_KEY:
        stands = replace(stands, attempt=stands.attempt + 1, updated_at=act.now)
    called = replace(stands, last_sent_at=act.now, checked_at=act.now)
    await store.update(tx, called)
    return called, True


async def locked(tx: Transaction, refund_id: bytes) -> Refund:
    """Lock the wallet of a refund and read the refund as it stands then.

    Raises:
        NotFound: no such refund.
    """
    refund = await store.get(tx, refund_id)
    await lock_wallet(tx, refund.workspace_id)
    return await store.get(tx, refund_id)


def grant_of(payment: PaidPayment) -> bytes:
    """Return the credit that a payment bought.

    Raises:
        InvalidState: it has not bought any yet.
    """
    if payment.grant_id is None:
        raise InvalidState(cause="payment_not_paid")
    return payment.grant_id


def recall_is_over(refund: Refund, act: Act) -> bool:
    """Say whether an approved refund has waited for leases for long enough."""
    return refund.decided_at is None or act.now - refund.decided_at > RECALL_FOR


async def _check_not_disputed(tx: Transaction, payment: PaidPayment) -> None:
    if await bars_refunds(tx, payment.payment_id):
        raise InvalidState(cause="charge_disputed")


async def _asked(tx: Transaction, act: Act, payment: PaidPayment, wanted: Wanted) -> Refund:
    parts = await store.parts_of(tx, payment.payment_id)
    credit = await credit_of(tx, grant_of(payment), act.now)
    unused = credit.free + (credit.leased if wanted.net_minor is not None else 0)
    asked = total(part.share for part in parts if part.is_asked)
    taken = total(part.share for part in parts)
    most = refundable_minor(free_nanos=unused - asked.net_nanos, whole=payment.whole, taken=taken)
    net = most if wanted.net_minor is None else wanted.net_minor
    if not 0 < net <= most:
        raise InsufficientCredits(refundable_nanos=most * MINOR_NANOS)
    return Refund(
        refund_id=act.ids.new(),
        workspace_id=payment.workspace_id,
        payment_id=payment.payment_id,
        request_id=wanted.request_id,
        origin=RefundOrigin.ASKED,
        state=RefundState.REQUESTED,
        share=share_of_net(payment.whole, taken, net),
        reason=wanted.reason,
        wanted_net=wanted.net_minor,
        attempt=1,
        last_sent_at=None,
        stripe_id="",
        asked_by=act.actor,
        decided_by="",
        failure="",
        created_at=act.now,
        updated_at=act.now,
        checked_at=act.now,
        decided_at=None,
    )


async def _decide(tx: Transaction, act: Act, refund: Refund, action: str) -> Refund:
    """Return a refund with the decision of now, which the audit log has as well."""
    await act.audit(tx, action, format_id(PREFIX, refund.refund_id), refund.workspace_id)
    return replace(
        refund,
        decided_by=act.actor,
        decided_at=act.now,
        updated_at=act.now,
        checked_at=act.now,
    )
