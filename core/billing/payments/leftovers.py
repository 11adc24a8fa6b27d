"""What is left to be done at the provider, until it is done: money that gave no credit goes back,
and cards that were removed are detached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from core.audit import Act
from core.billing.alarms import raise_alarm
from core.billing.payments.model import CURRENCY, Payment
from core.billing.stripe.gateway import Intent, StripeRefund
from core.db.database import Transaction
from core.db.values import to_uuid
from core.ledger import house
from kit.money import NANOS_PER_CENT

DEAD: Final = frozenset({"failed", "canceled"})
"""A refund that stands so gives nobody anything."""
NOT_RETURNED: Final = "payment_not_returned"
_KEEP_SURPLUS: Final = """
INSERT INTO payment_surplus (intent_id, charge_id, payment_id, workspace_id, currency, amount_minor,
    created_at, not_before)
VALUES (:intent, :charge, :payment, :workspace, :currency, :amount, :now, :now)
ON CONFLICT DO NOTHING
"""
# A quarter of an hour between two tries: a refund of all of a charge is made once at most.
_TAKE_SURPLUS: Final = """
UPDATE payment_surplus SET not_before = CAST(:now AS timestamptz) + CAST('15 minutes' AS interval)
 WHERE intent_id IN (SELECT intent_id FROM payment_surplus
                      WHERE done_at IS NULL AND not_before <= :now
                      ORDER BY not_before LIMIT :limit FOR UPDATE SKIP LOCKED)
RETURNING intent_id, amount_minor
"""
_END_SURPLUS: Final = """
UPDATE payment_surplus SET done_at = :now, refund_id = nullif(:refund, ''), failure = :failure
 WHERE intent_id = :intent AND done_at IS NULL
"""
# Of ours only: what somebody made by hand says nothing of what we still have to give back.
_COMES_BACK: Final = """
UPDATE payment_surplus SET failure = :failure,
       done_at = coalesce(done_at, CAST(:now AS timestamptz))
 WHERE intent_id = :intent AND refund_id = :refund AND failure = ''
"""
_KEEP_CARD: Final = """
INSERT INTO card_detach (method_id, created_at, not_before) VALUES (:method, :now, :now)
ON CONFLICT DO NOTHING
"""
_TAKE_CARDS: Final = """
UPDATE card_detach SET not_before = CAST(:now AS timestamptz) + CAST('15 minutes' AS interval)
 WHERE method_id IN (SELECT method_id FROM card_detach WHERE not_before <= :now
                      ORDER BY not_before LIMIT :limit FOR UPDATE SKIP LOCKED)
RETURNING method_id
"""
_END_CARD: Final = "DELETE FROM card_detach WHERE method_id = :method"


@dataclass(frozen=True, slots=True)
class Surplus:
    """Money, in minor units, that came and gave no credit."""

    intent_id: str
    amount: int

    @property
    def key(self) -> str:
        """Return the idempotency key of its refund."""
        return f"surplus:{self.intent_id}"


async def keep_surplus(tx: Transaction, act: Act, payment: Payment, intent: Intent) -> None:
    """Write down that a paid intent gave no credit: it goes back to who paid it.

    The ledger knows it as owed until then. Another currency is not in the clearing account.
    """
    charge = intent.charge
    if charge is None or not charge.paid:
        return
    if charge.currency == CURRENCY:
        nanos = charge.amount * NANOS_PER_CENT
        await house.surplus_came(tx, intent.id, nanos, actor=act.actor, now=act.now)
    await tx.run(
        _KEEP_SURPLUS,
        intent=intent.id,
        charge=charge.id,
        payment=to_uuid(payment.payment_id),
        workspace=to_uuid(payment.workspace_id),
        currency=charge.currency,
        amount=charge.amount,
        now=act.now,
    )


async def take_surplus(tx: Transaction, now: datetime, limit: int) -> list[Surplus]:
    """Take what is to go back; others leave it alone for a while."""
    rows = await tx.all(_TAKE_SURPLUS, now=now, limit=limit)
    return [Surplus(row.intent_id, row.amount_minor) for row in rows]


async def surplus_went_back(tx: Transaction, surplus: Surplus, refund_id: str, act: Act) -> None:
    """Write that the provider has made the refund."""
    await tx.run(_END_SURPLUS, intent=surplus.intent_id, refund=refund_id, failure="", now=act.now)


async def surplus_stays(tx: Transaction, surplus: Surplus, failure: str, act: Act) -> None:
    """Write that the provider refused to give it back; somebody has to look."""
    await tx.run(_END_SURPLUS, intent=surplus.intent_id, refund="", failure=failure, now=act.now)
    await raise_alarm(tx, act, NOT_RETURNED, surplus.intent_id[:96], expected=surplus.amount)


async def follow_refund(tx: Transaction, act: Act, seen: StripeRefund) -> None:
    """Book what a refund of money that gave no credit has moved; may run again and again.

    What comes back is ours again and nothing is tried anew: somebody has to look, at each refund
    that came back, whether we made it or somebody by hand.
    """
    nanos = seen.amount * NANOS_PER_CENT
    if seen.currency == CURRENCY and seen.balance_transaction is not None:
        await house.surplus_sent(tx, seen.id, nanos, actor=act.actor, now=act.now)
    if seen.currency == CURRENCY and seen.failure_balance_transaction is not None:
        await house.surplus_returned(tx, seen.id, nanos, actor=act.actor, now=act.now)
    if seen.status not in DEAD:
        return
    await tx.run(
        _COMES_BACK,
        intent=seen.intent_id,
        refund=seen.id,
        failure=seen.failure or seen.status,
        now=act.now,
    )
    await raise_alarm(tx, act, NOT_RETURNED, seen.id[:96], found=seen.amount)


async def keep_card(tx: Transaction, method_id: str, now: datetime) -> None:
    """Write down that a card is to be detached."""
    await tx.run(_KEEP_CARD, method=method_id, now=now)


async def take_cards(tx: Transaction, now: datetime, limit: int) -> Sequence[str]:
    """Take cards that are to be detached; others leave them alone for a while."""
    return [row.method_id for row in await tx.all(_TAKE_CARDS, now=now, limit=limit)]


async def card_is_detached(tx: Transaction, method_id: str) -> None:
    """Forget a card that is detached."""
    await tx.run(_END_CARD, method=method_id)
