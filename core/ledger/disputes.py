"""Bought credit whose payment is disputed: frozen, then given back or lost.

Exactly what is disputed is frozen, as far as the grant still has it: what leases hold is asked back
and frozen when it comes. A loss takes what is frozen and what is free of the grant; the rest is
owed. The money itself moves with the provider's withdrawals (`house.py`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from core.db.database import Transaction
from core.ledger import lease_store, lineage_store, store
from core.ledger.current import bring_up_to_date
from core.ledger.entries import without_zeros
from core.ledger.expiry import expire_one
from core.ledger.model import (
    FROZEN,
    PAID,
    RECEIVABLE,
    STRIPE_DISPUTED,
    TAX_PAYABLE,
    Entry,
)
from core.ledger.posting import movement, post, posted_before
from core.ledger.refunds import bought_grant, check_amounts
from core.ledger.wallets import lock_wallet

FREEZE: Final = "dispute_freeze"
THAW: Final = "dispute_thaw"
LOST: Final = "dispute_lost"


async def freeze(
    tx: Transaction,
    *,
    workspace_id: bytes,
    grant_id: bytes,
    stripe_id: str,
    up_to: int,
    actor: str,
    now: datetime,
) -> int:
    """Freeze what is free of a grant until a dispute has `up_to` nano-dollars; return what it has.

    Called again when leases have come back: they are asked to while something is lacking. What it
    has beyond that, because less is disputed now, goes back to the grant.

    Raises:
        NotFound: no such wallet, or no such bought credit in it.
    """
    wallet = await expire_one(tx, await lock_wallet(tx, workspace_id), now)
    grant = await bought_grant(tx, wallet, grant_id)
    frozen = await frozen_by(tx, grant_id, stripe_id)
    # Below zero where it has too much.
    amount = min(grant.remaining, up_to - frozen)
    if amount:
        await store.move_remaining(tx, [(grant_id, -amount)])
        entries = (
            Entry(PAID, -amount, workspace_id, grant_id),
            Entry(FROZEN, amount, workspace_id, grant_id),
        )
        # Each step has a key of its own: the wallet's next place tells steps of a total apart.
        key = f"stripe:{stripe_id}:freeze:{frozen + amount}:{wallet.sequence + 1}"
        kind = FREEZE if amount > 0 else THAW
        posted = await post(tx, movement(wallet, kind, key, entries, actor=actor, now=now), wallet)
        if amount < 0:
            await bring_up_to_date(tx, posted.wallet or wallet, now)
    if frozen + amount < up_to:
        await lease_store.recall(tx, workspace_id, None, now)
    return frozen + amount


async def thaw(
    tx: Transaction,
    *,
    workspace_id: bytes,
    grant_id: bytes,
    stripe_id: str,
    actor: str,
    now: datetime,
    suffix: str = "won",
) -> int:
    """Give what a dispute has frozen back to its grant; return how much came back.

    `suffix` tells why in the business key: a dispute may be thawed once for each. Credit whose time
    is over has expired then; a debt is paid first.

    Raises:
        NotFound: no such wallet, or no such bought credit in it.
        RequestIdReused: it was thawed for another grant.
    """
    key = f"stripe:{stripe_id}:{suffix}"
    content = (("workspace", workspace_id), ("grant", grant_id))
    wallet = await lock_wallet(tx, workspace_id)
    before = await posted_before(tx, key, content)
    if before is not None:
        return before.sum_of(PAID)
    await bought_grant(tx, wallet, grant_id)
    frozen = await frozen_by(tx, grant_id, stripe_id)
    if frozen == 0:
        return 0
    await store.move_remaining(tx, [(grant_id, frozen)])
    entries = (
        Entry(FROZEN, -frozen, workspace_id, grant_id),
        Entry(PAID, frozen, workspace_id, grant_id),
    )
    posting = movement(wallet, THAW, key, entries, actor=actor, now=now, content=content)
    posted = await post(tx, posting, wallet)
    await bring_up_to_date(tx, posted.wallet or wallet, now)
    return frozen


async def lose(
    tx: Transaction,
    *,
    workspace_id: bytes,
    grant_id: bytes,
    stripe_id: str,
    net: int,
    tax: int,
    actor: str,
    now: datetime,
) -> int:
    """Take the credit of a lost dispute, frozen first, then free; return what is owed for the rest.

    What was frozen beyond it goes back to the grant. Leases are asked back where something is owed.

    Raises:
        NotFound: no such wallet, or no such bought credit in it.
        AmountOutOfRange: nothing was lost, or a debt beyond the ledger's range.
        RequestIdReused: it was lost with other amounts.
    """
    key = f"stripe:{stripe_id}:lost"
    content = (("workspace", workspace_id), ("grant", grant_id), ("net", net), ("tax", tax))
    wallet = await lock_wallet(tx, workspace_id)
    before = await posted_before(tx, key, content)
    if before is not None:
        return -before.sum_of(RECEIVABLE)
    wallet = await expire_one(tx, wallet, now)
    grant = await bought_grant(tx, wallet, grant_id)
    check_amounts(net, tax)
    frozen = await frozen_by(tx, grant_id, stripe_id)
    # Below zero where more was frozen than is lost: that goes back.
    free = min(grant.remaining, net - frozen)
    owed = net - frozen - free
    await store.move_remaining(tx, [(grant_id, -free)])
    entries = without_zeros(
        Entry(STRIPE_DISPUTED, net + tax),
        Entry(TAX_PAYABLE, -tax),
        Entry(FROZEN, -frozen, workspace_id, grant_id),
        Entry(PAID, -free, workspace_id, grant_id),
        Entry(RECEIVABLE, -owed, workspace_id),
    )
    posting = movement(wallet, LOST, key, entries, actor=actor, now=now, content=content)
    await post(tx, posting, wallet)
    if owed:
        await lease_store.recall(tx, workspace_id, None, now)
    return owed


async def frozen_by(tx: Transaction, grant_id: bytes, stripe_id: str) -> int:
    """Return what a dispute has frozen of a grant now, in nano-dollars."""
    return await lineage_store.account_of_object(tx, FROZEN, grant_id, f"stripe:{stripe_id}:")
