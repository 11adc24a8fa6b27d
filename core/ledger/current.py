"""A wallet as it really stands: what has expired is gone, and debts are paid.

Both are posted by whoever locks a wallet to lease, give or take back credit; no job is needed.
"""

from __future__ import annotations

from datetime import datetime

from core.db.database import Transaction
from core.ledger.debt import repay
from core.ledger.expiry import expire_one
from core.ledger.model import Wallet
from core.ledger.wallets import lock_wallet


async def lock_current(tx: Transaction, workspace_id: bytes, now: datetime) -> Wallet:
    """Lock a wallet until the transaction ends, bring it up to date and return it.

    Raises:
        NotFound: the workspace has none.
    """
    return await bring_up_to_date(tx, await lock_wallet(tx, workspace_id), now)


async def bring_up_to_date(tx: Transaction, wallet: Wallet, now: datetime) -> Wallet:
    """Post what has expired of a locked wallet, then let free credit pay what is owed."""
    return await repay(tx, await expire_one(tx, wallet, now), now)
