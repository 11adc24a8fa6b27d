"""Wallets: opened with their workspace, locked before any money moves."""

from __future__ import annotations

from datetime import datetime

from core.db.database import Transaction
from core.ledger import store
from core.ledger.model import Balance, Wallet, balance_of
from kit.ids import format_id
from kit.reasons import NotFound, WorkspaceNotActive


async def open_wallet(tx: Transaction, workspace_id: bytes) -> Wallet:
    """Give a workspace its empty wallet; a second call changes nothing."""
    wallet = Wallet(workspace_id)
    await store.insert_wallet(tx, wallet)
    return wallet


async def lock_wallet(tx: Transaction, workspace_id: bytes) -> Wallet:
    """Lock one wallet until the transaction ends and return it.

    Raises:
        NotFound: the workspace has none.
    """
    found = await store.lock_wallets(tx, [workspace_id])
    if workspace_id not in found:
        raise NotFound(workspace=format_id("ws", workspace_id))
    return found[workspace_id]


async def check_open(tx: Transaction, workspace_id: bytes) -> None:
    """Refuse new credit and new leases to a workspace that is closed.

    Its wallet still takes what ends something: releases, settlements, refunds, and money that came.

    Raises:
        WorkspaceNotActive
    """
    if await store.is_closed(tx, workspace_id):
        raise WorkspaceNotActive


async def balance(tx: Transaction, workspace_id: bytes, now: datetime) -> Balance:
    """Read what a workspace has: total = held + available + frozen, and its debt.

    Credit that has expired is not there, whether that is posted or not.

    Raises:
        NotFound: the workspace has no wallet.
    """
    found = await store.read_balance(tx, workspace_id, now)
    if found is None:
        raise NotFound(workspace=format_id("ws", workspace_id))
    return balance_of(*found)
