"""A refund's movements in the ledger: which of its functions, with which of the refund's values."""

from __future__ import annotations

from core.audit import Act
from core.billing.refunds.model import Effect, Refund, RefundOrigin
from core.db.database import Transaction
from core.ledger import refunds as ledger


async def reserve(tx: Transaction, act: Act, refund: Refund, grant_id: bytes) -> None:
    """Set the credit of an approved refund aside. Raises what the ledger's `reserve` raises."""
    await ledger.reserve(
        tx,
        workspace_id=refund.workspace_id,
        grant_id=grant_id,
        refund_id=refund.refund_id,
        net=refund.share.net_nanos,
        tax=refund.share.tax_nanos,
        actor=act.actor,
        now=act.now,
    )


async def release(tx: Transaction, act: Act, refund: Refund, grant_id: bytes) -> None:
    """Give the credit of a refund back that never left."""
    await ledger.release(
        tx,
        workspace_id=refund.workspace_id,
        grant_id=grant_id,
        refund_id=refund.refund_id,
        net=refund.share.net_nanos,
        tax=refund.share.tax_nanos,
        actor=act.actor,
        now=act.now,
    )


async def post(tx: Transaction, act: Act, refund: Refund, grant_id: bytes, effect: Effect) -> None:
    """Post what the provider's refund did; one that was made without us takes and gives back."""
    if refund.origin is RefundOrigin.ASKED:
        steps = {Effect.SENT: _sent, Effect.RETURNED: _returned, Effect.RELEASED: release}
        await steps[effect](tx, act, refund, grant_id)
    elif effect is Effect.SENT:
        await _take(tx, act, refund, grant_id)
    elif effect is Effect.RETURNED:
        await ledger.clawback_returned(
            tx,
            workspace_id=refund.workspace_id,
            grant_id=grant_id,
            stripe_id=refund.stripe_id,
            actor=act.actor,
            now=act.now,
        )


async def _sent(tx: Transaction, act: Act, refund: Refund, grant_id: bytes) -> None:
    await ledger.sent(
        tx,
        workspace_id=refund.workspace_id,
        grant_id=grant_id,
        refund_id=refund.refund_id,
        stripe_id=refund.stripe_id,
        net=refund.share.net_nanos,
        tax=refund.share.tax_nanos,
        actor=act.actor,
        now=act.now,
    )


async def _returned(tx: Transaction, act: Act, refund: Refund, grant_id: bytes) -> None:
    await ledger.returned(
        tx,
        workspace_id=refund.workspace_id,
        grant_id=grant_id,
        stripe_id=refund.stripe_id,
        net=refund.share.net_nanos,
        tax=refund.share.tax_nanos,
        actor=act.actor,
        now=act.now,
    )


async def _take(tx: Transaction, act: Act, refund: Refund, grant_id: bytes) -> None:
    await ledger.clawback(
        tx,
        workspace_id=refund.workspace_id,
        grant_id=grant_id,
        stripe_id=refund.stripe_id,
        net=refund.share.net_nanos,
        tax=refund.share.tax_nanos,
        actor=act.actor,
        now=act.now,
    )
