"""Credit that has expired: it is gone the moment it does, and is posted when somebody looks.

Reads leave it out by their own clock. Whoever holds the wallet's lock for a lease or a grant posts
it, and a loop posts the rest. Under that lock all that is free of an expired grant is taken, so it
is posted once. What was in a lease then may still be used there; what comes back of it has expired.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from core.db.database import Transaction
from core.ledger import store
from core.ledger.entries import expiry_entries
from core.ledger.model import CreditGrant, Posting, Wallet
from core.ledger.posting import new_txn_id, post

KIND: Final = "grant_expiry"
ACTOR: Final = "core.expiry"
WALLETS_PER_ROUND_MAX: Final = 500


async def expire(
    tx: Transaction, wallets: Mapping[bytes, Wallet], now: datetime
) -> dict[bytes, Wallet]:
    """Post what has expired of locked wallets; return the wallets as they stand then."""
    due = await store.expired_grants(tx, list(wallets), now)
    by_wallet: dict[bytes, list[CreditGrant]] = defaultdict(list)
    for grant in due:
        by_wallet[grant.workspace_id].append(grant)
    after = dict(wallets)
    for workspace_id, grants in by_wallet.items():
        for grant in grants:
            after[workspace_id] = await _post(tx, after[workspace_id], grant, now)
    return after


async def expire_one(tx: Transaction, wallet: Wallet, now: datetime) -> Wallet:
    """Post what has expired of a locked wallet; return it as it stands then."""
    return (await expire(tx, {wallet.workspace_id: wallet}, now))[wallet.workspace_id]


async def expire_due(tx: Transaction, now: datetime) -> int:
    """Post what has expired of at most 500 wallets; return of how many."""
    workspaces = await store.workspaces_with_expired(tx, now, WALLETS_PER_ROUND_MAX)
    if workspaces:
        await expire(tx, await store.lock_wallets(tx, workspaces), now)
    return len(workspaces)


async def _post(tx: Transaction, wallet: Wallet, grant: CreditGrant, now: datetime) -> Wallet:
    await store.move_remaining(tx, [(grant.grant_id, -grant.remaining)])
    # Leases may give back to an expired grant several times: the wallet's next place tells apart.
    posting = Posting(
        txn_id=new_txn_id(now, wallet),
        workspace_id=wallet.workspace_id,
        kind=KIND,
        business_key=f"grant:{grant.grant_id.hex()}:expire:{wallet.sequence + 1}",
        entries=expiry_entries(grant),
        effective_at=now if grant.expires_at is None else grant.expires_at,
        created_at=now,
        actor=ACTOR,
    )
    posted = await post(tx, posting, wallet)
    return posted.wallet or wallet
