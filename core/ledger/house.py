"""Money between the payment provider and the house: fees, withdrawals, payouts.

No workspace is touched, so these transactions stand outside of the wallets' chains, as late waivers
do; each is covered by its own content hash and posted once for each of the provider's balance
transactions. Amounts are nano-dollars.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from core.db.database import Transaction
from core.ledger import posting, store
from core.ledger.entries import without_zeros
from core.ledger.model import (
    EXP_PSP_FEES,
    HOUSE_KINDS,
    PSP_BANK,
    PSP_SURPLUS,
    STRIPE_CLEARING,
    STRIPE_DISPUTED,
    WORKSPACE_ACCOUNTS,
    Entry,
    Posting,
)
from core.ledger.posting import Posted, new_txn_id
from kit.reasons import RequestIdReused

FEE: Final = "psp_fee"
PAYOUT: Final = "psp_payout"
WITHDRAWAL: Final = "psp_withdrawal"
REINSTATEMENT: Final = "psp_reinstatement"
ADJUSTMENT: Final = "psp_adjustment"


async def post(
    tx: Transaction,
    *,
    kind: str,
    business_key: str,
    entries: tuple[Entry, ...],
    actor: str,
    now: datetime,
    effective_at: datetime | None = None,
) -> Posted:
    """Write a transaction of house accounts only, once for each business key.

    Raises:
        ValueError: another kind, an account of a workspace, or entries that do not sum to zero.
        RequestIdReused: the business key was used for other entries.
    """
    if kind not in HOUSE_KINDS or not all(map(_is_of_the_house, entries)):
        raise ValueError("not a movement of the house")
    before = await _posted_before(tx, kind, business_key, entries)
    if before is not None:
        return before
    movement = Posting(
        txn_id=new_txn_id(now),
        kind=kind,
        business_key=business_key,
        entries=entries,
        effective_at=effective_at or now,
        created_at=now,
        actor=actor,
    )
    try:
        return await posting.post(tx, movement, None)
    except RequestIdReused:
        # No lock keeps two apart: the other one was first, perhaps with the same words.
        before = await _posted_before(tx, kind, business_key, entries)
        if before is None:
            raise
        return before


async def fee(
    tx: Transaction, balance_txn_id: str, nanos: int, *, actor: str, now: datetime
) -> Posted | None:
    """Book what the provider kept for a balance transaction; below zero where it gave it back."""
    return await _move(
        tx, FEE, f"stripe:{balance_txn_id}:fee", (EXP_PSP_FEES, STRIPE_CLEARING), nanos, actor, now
    )


async def payout(
    tx: Transaction, balance_txn_id: str, nanos: int, *, actor: str, now: datetime
) -> Posted | None:
    """Book what the provider sent to our bank; below zero where it came back."""
    key = f"stripe:{balance_txn_id}:payout"
    return await _move(tx, PAYOUT, key, (PSP_BANK, STRIPE_CLEARING), nanos, actor, now)


async def surplus_came(
    tx: Transaction, intent_id: str, nanos: int, *, actor: str, now: datetime
) -> Posted | None:
    """Book money that gave no credit: it is owed to who paid it."""
    key = f"stripe:{intent_id}:surplus"
    return await _move(tx, ADJUSTMENT, key, (STRIPE_CLEARING, PSP_SURPLUS), nanos, actor, now)


async def surplus_sent(
    tx: Transaction, refund_id: str, nanos: int, *, actor: str, now: datetime
) -> Posted | None:
    """Book that such money has left to who paid it."""
    key = f"stripe:{refund_id}:surplus_sent"
    return await _move(tx, ADJUSTMENT, key, (PSP_SURPLUS, STRIPE_CLEARING), nanos, actor, now)


async def surplus_returned(
    tx: Transaction, refund_id: str, nanos: int, *, actor: str, now: datetime
) -> Posted | None:
    """Book that such money did not arrive and is back."""
    key = f"stripe:{refund_id}:surplus_returned"
    return await _move(tx, ADJUSTMENT, key, (STRIPE_CLEARING, PSP_SURPLUS), nanos, actor, now)


async def withdrawal(
    tx: Transaction, balance_txn_id: str, nanos: int, *, fee: int = 0, actor: str, now: datetime
) -> Posted | None:
    """Book what a dispute took from our account there, and its fee."""
    return await _disputed(tx, WITHDRAWAL, balance_txn_id, nanos, fee, actor, now)


async def reinstatement(
    tx: Transaction, balance_txn_id: str, nanos: int, *, fee: int = 0, actor: str, now: datetime
) -> Posted | None:
    """Book what a dispute gave back to our account there; `fee` is below zero if it came back."""
    return await _disputed(tx, REINSTATEMENT, balance_txn_id, -nanos, fee, actor, now)


async def _disputed(
    tx: Transaction,
    kind: str,
    balance_txn_id: str,
    away: int,
    fee_nanos: int,
    actor: str,
    now: datetime,
) -> Posted | None:
    entries = without_zeros(
        Entry(STRIPE_DISPUTED, -away),
        Entry(EXP_PSP_FEES, -fee_nanos),
        Entry(STRIPE_CLEARING, away + fee_nanos),
    )
    if not entries:
        return None
    key = f"stripe:{balance_txn_id}:{kind.removeprefix('psp_')}"
    return await post(tx, kind=kind, business_key=key, entries=entries, actor=actor, now=now)


async def _move(
    tx: Transaction,
    kind: str,
    key: str,
    accounts: tuple[str, str],
    nanos: int,
    actor: str,
    now: datetime,
) -> Posted | None:
    """Move an amount from the first account (a debit there) to the second; nothing if it is 0."""
    if nanos == 0:
        return None
    entries = (Entry(accounts[0], -nanos), Entry(accounts[1], nanos))
    return await post(tx, kind=kind, business_key=key, entries=entries, actor=actor, now=now)


def _is_of_the_house(entry: Entry) -> bool:
    return entry.workspace_id is None and entry.account not in WORKSPACE_ACCOUNTS


async def _posted_before(
    tx: Transaction, kind: str, business_key: str, entries: tuple[Entry, ...]
) -> Posted | None:
    stored = await store.read_posting(tx, business_key)
    if stored is None:
        return None
    if (stored.kind, stored.entries) != (kind, entries):
        raise RequestIdReused(transaction=stored.txn_id.hex())
    return Posted(stored.txn_id, created=False, wallet=None)
