"""What a workspace owes: paid by whatever credit it has, forgiven, or found not to be owed.

A debt comes from charges beyond all credit, and from bought credit that was spent and then taken
back at the payment provider. While there is one, nothing is leased.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from core.db.database import Transaction
from core.ledger import lineage_store, store
from core.ledger.burn import Part, burn, total
from core.ledger.entries import relief_entries, repayment_entries
from core.ledger.model import EXP_BAD_DEBT, RECEIVABLE, Entry, GrantKind, Wallet
from core.ledger.posting import Posted, movement, post, posted_before
from core.ledger.wallets import lock_wallet
from kit.reasons import AmountOutOfRange

REPAYMENT: Final = "debt_repayment"
WRITE_OFF: Final = "debt_write_off"
ACTOR: Final = "core.debt"


async def repay(tx: Transaction, wallet: Wallet, now: datetime) -> Wallet:
    """Let free credit of a locked wallet pay its debt, bought credit first; return the wallet."""
    if wallet.receivable == 0 or wallet.available == 0:
        return wallet
    grants = await store.burnable_grants(tx, wallet.workspace_id, now)
    grants.sort(key=lambda grant: grant.kind is not GrantKind.PAID)
    parts = burn(grants, wallet.receivable)
    if not parts:
        return wallet
    await store.move_remaining(tx, [(part.grant_id, -part.amount) for part in parts])
    posting = movement(
        wallet,
        REPAYMENT,
        f"debt:{wallet.workspace_id.hex()}:{wallet.sequence + 1}",
        repayment_entries(wallet.workspace_id, parts),
        actor=ACTOR,
        now=now,
    )
    return (await post(tx, posting, wallet)).wallet or wallet


async def write_off(
    tx: Transaction, *, workspace_id: bytes, amount: int, request_id: str, actor: str, now: datetime
) -> Posted:
    """Give up a part of what a workspace owes, in nano-dollars, once for each request id.

    Raises:
        NotFound: the workspace has no wallet.
        AmountOutOfRange: not above zero, or more than is owed.
        RequestIdReused: the request id was used for another one.
    """
    key = f"writeoff:{request_id}"
    content = (("workspace", workspace_id), ("amount", amount))
    wallet = await lock_wallet(tx, workspace_id)
    before = await posted_before(tx, key, content)
    if before is not None:
        return Posted(before.txn_id, created=False, wallet=wallet)
    if not 0 < amount <= wallet.receivable:
        raise AmountOutOfRange(debt_nanos=wallet.receivable)
    entries = (Entry(RECEIVABLE, amount, workspace_id), Entry(EXP_BAD_DEBT, -amount))
    return await post(
        tx,
        movement(wallet, WRITE_OFF, key, entries, actor=actor, now=now, content=content),
        wallet,
    )


async def relief(
    tx: Transaction, wallet: Wallet, owed: int
) -> tuple[tuple[Entry, ...], list[Part]]:
    """Return the entries that take back a recorded debt, and what goes back to which grants.

    What is still owed is owed no more; what grants have paid since goes back to them, the last that
    paid first; what is left then had been written off. The caller moves what the grants have.
    """
    repaid: list[Part] = []
    left = owed - min(owed, wallet.receivable)
    if left:
        paid = await lineage_store.repaid_by_grants(tx, wallet.workspace_id)
        for part in paid:
            share = min(part.amount, left - total(repaid))
            if share > 0:
                repaid.append(Part(part.grant_id, part.account, share))
    written_off = left - total(repaid)
    entries = relief_entries(wallet.workspace_id, owed=owed, repaid=repaid, written_off=written_off)
    return entries, repaid
