"""Credit leases: credit moves from the wallet into a lease before an edge may use it.

Leases are opened and grown (`acquire`), kept alive (`renew`), given back, recalled and closed. All
of it is decided under the wallet's row lock; silent leases are closed when they are looked at, so
that no job is needed for correctness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from core.db.database import Transaction
from core.ledger import lease_store, store
from core.ledger.burn import burn
from core.ledger.burn import give_back as give_back_slices
from core.ledger.current import bring_up_to_date
from core.ledger.debt import repay
from core.ledger.entries import lease_grant_entries, lease_return_entries
from core.ledger.expiry import expire
from core.ledger.model import (
    LEASE_GRACE_SECONDS,
    CreditGrant,
    Entry,
    Lease,
    LeaseState,
    Posting,
    Wallet,
    lease_size,
)
from core.ledger.posting import new_txn_id, post
from core.ledger.wallets import check_open, lock_wallet
from kit.reasons import CreditInUse, InsufficientCredits

ACTOR: Final = "core.leases"
EXPIRED_PER_ROUND_MAX: Final = 500
DEFAULT_LIFETIME_SECONDS: Final = 600
DEFAULT_REQUEST_MAX_SECONDS: Final = 3_600


async def acquire(  # noqa: PLR0913 - the fields of the call
    tx: Transaction,
    *,
    edge_id: int,
    epoch: int,
    workspace_id: bytes,
    acquire_number: int,
    needed: int,
    spend_rate: int,
    lifetime_s: int,
    edges: int,
    now: datetime,
    request_max_s: int = DEFAULT_REQUEST_MAX_SECONDS,
    returned: tuple[bytes, int] | None = None,
) -> LeaseState:
    """Open a lease or make it larger by at least `needed` nano-dollars.

    A repeated `acquire_number` returns the lease as it stands. `spend_rate` is nano-dollars a
    second. `returned` is the edge's lease and all that it ever gave back on it: it comes first, so
    that two edges that lack a part of a hold each cannot keep the rest from one another. On refusal
    that return and the recall of other leases are committed before the error is raised: they must
    survive it; nothing else has been written by then.

    Raises:
        NotFound: the workspace has no wallet.
        WorkspaceNotActive: it is closed.
        InsufficientCredits: available credit and all other leases together are less than what is
            needed and owed.
        CreditInUse: other leases hold what is needed; their free parts have been asked back.
    """
    wallet = await lock_wallet(tx, workspace_id)
    silence = timedelta(seconds=lifetime_s + request_max_s + LEASE_GRACE_SECONDS)
    wallet, _ = await _close_silent(tx, wallet, now - silence, now)
    wallet = await bring_up_to_date(tx, wallet, now)
    mine = await lease_store.latest(tx, edge_id, epoch, workspace_id)
    if mine is not None and mine.acquire_number >= acquire_number:
        return LeaseState.of(mine, wallet)
    if mine is None or mine.closed_at is not None:
        mine = _new_lease(edge_id, epoch, wallet, now)
    if returned is not None and returned[0] == mine.lease_id:
        mine, wallet = await _return(tx, mine, wallet, returned[1], now)
        wallet = await repay(tx, wallet, now)
    await check_open(tx, workspace_id)
    grants = await store.burnable_grants(tx, workspace_id, now)
    available = sum(grant.remaining for grant in grants)
    # While something is owed nothing is free: it has paid for the debt.
    if available < needed:
        await _refuse(tx, mine, wallet, available=available, needed=needed, now=now)
    amount = lease_size(
        needed=needed,
        spend_rate=spend_rate,
        lifetime_seconds=lifetime_s,
        available=available,
        edges=edges,
    )
    grown = replace(
        mine,
        acquire_number=acquire_number,
        granted_total=mine.granted_total + amount,
        renewed_at=now,
    )
    return await _grow(tx, mine, grown, wallet, grants)


async def renew(
    tx: Transaction,
    *,
    edge_id: int,
    epoch: int,
    renewals: Sequence[tuple[bytes, int]],
    now: datetime,
) -> list[LeaseState]:
    """Keep leases (id, all that was ever returned on it) alive and take free parts back.

    Answers with the leases as they stand; one that is closed, unknown or of another edge process
    is missing from the answer.
    """
    returned = dict(renewals)
    known = await lease_store.of_ids(tx, list(returned))
    wallets = await store.lock_wallets(tx, [lease.workspace_id for lease in known])
    mine = [
        lease
        for lease in await lease_store.of_ids(tx, list(returned))
        if (lease.edge_id, lease.epoch) == (edge_id, epoch) and lease.closed_at is None
    ]
    await lease_store.keep_alive(tx, [lease.lease_id for lease in mine], now)
    kept = []
    for lease in mine:
        alive = replace(lease, renewed_at=max(lease.renewed_at, now), recalled_at=None)
        wallet = wallets[lease.workspace_id]
        after, wallet = await _return(tx, alive, wallet, returned[lease.lease_id], now)
        wallets[lease.workspace_id] = wallet
        kept.append(after)
    wallets = await expire(tx, wallets, now)
    wallets = {each: await repay(tx, wallet, now) for each, wallet in wallets.items()}
    return [LeaseState.of(lease, wallets[lease.workspace_id]) for lease in kept]


async def give_back(
    tx: Transaction, lease_id: bytes, returned_total: int, now: datetime
) -> LeaseState | None:
    """Take back what an edge returned on a lease, all in all; None if there is no such lease."""
    found = await lease_store.of_ids(tx, [lease_id])
    if not found:
        return None
    wallet = await lock_wallet(tx, found[0].workspace_id)
    (lease,) = await lease_store.of_ids(tx, [lease_id])
    if lease.closed_at is None:
        lease, wallet = await _return(tx, lease, wallet, returned_total, now)
        wallet = await repay(tx, wallet, now)
    return LeaseState.of(lease, wallet)


async def recall(
    tx: Transaction, workspace_id: bytes, except_lease: bytes | None, now: datetime
) -> int:
    """Ask the free parts of a workspace's leases back; return how many leases were not asked yet.

    The mark is no money: it needs no wallet lock, and a renewal clears it.
    """
    return await lease_store.recall(tx, workspace_id, except_lease, now)


async def close_epoch(tx: Transaction, edge_id: int, epoch: int, now: datetime) -> int:
    """Close all leases of an edge process; return the nano-dollars that went back to wallets."""
    known = await lease_store.open_of_epoch(tx, edge_id, epoch)
    wallets = await store.lock_wallets(tx, [lease.workspace_id for lease in known])
    released = 0
    for lease in await lease_store.open_of_epoch(tx, edge_id, epoch):
        # A lease opened since the first look has no locked wallet: an older epoch gets none.
        if lease.workspace_id in wallets:
            wallets[lease.workspace_id] = await _close(tx, lease, wallets[lease.workspace_id], now)
            released += lease.held
    for wallet in wallets.values():
        await repay(tx, wallet, now)
    return released


async def close_expired(
    tx: Transaction,
    workspace_id: bytes | None,
    now: datetime,
    *,
    lifetime_s: int = DEFAULT_LIFETIME_SECONDS,
    request_max_s: int = DEFAULT_REQUEST_MAX_SECONDS,
) -> int:
    """Close leases, of one workspace or of any, that were silent for too long.

    Returns the nano-dollars that went back; at most 500 workspaces a call.
    """
    before = now - timedelta(seconds=lifetime_s + request_max_s + LEASE_GRACE_SECONDS)
    workspaces = [workspace_id] if workspace_id is not None else []
    if workspace_id is None:
        workspaces = await lease_store.workspaces_with_silent(tx, before, EXPIRED_PER_ROUND_MAX)
    wallets = await store.lock_wallets(tx, workspaces)
    released = 0
    for wallet in wallets.values():
        after, freed = await _close_silent(tx, wallet, before, now)
        await repay(tx, after, now)
        released += freed
    return released


async def _close_silent(
    tx: Transaction, wallet: Wallet, before: datetime, now: datetime
) -> tuple[Wallet, int]:
    freed = 0
    for lease in await lease_store.open_of_workspace(tx, wallet.workspace_id):
        if lease.renewed_at < before:
            wallet = await _close(tx, lease, wallet, now)
            freed += lease.held
    return wallet, freed


async def _refuse(
    tx: Transaction, mine: Lease, wallet: Wallet, *, available: int, needed: int, now: datetime
) -> None:
    elsewhere = wallet.held - mine.held
    numbers = {
        "needed_nanos": needed,
        "available_nanos": available,
        "held_nanos": wallet.held,
        "held_elsewhere_nanos": elsewhere,
        "debt_nanos": wallet.receivable,
    }
    if available + elsewhere < needed + wallet.receivable:
        await tx.commit()
        raise InsufficientCredits(**numbers)
    await lease_store.recall(tx, wallet.workspace_id, mine.lease_id, now)
    await tx.commit()
    raise CreditInUse(**numbers)


async def _grow(
    tx: Transaction, before: Lease, grown: Lease, wallet: Wallet, grants: Sequence[CreditGrant]
) -> LeaseState:
    if before.granted_total == 0:
        await lease_store.insert(tx, grown)
    else:
        await lease_store.update(tx, grown)
    parts = burn(grants, grown.granted_total - before.granted_total)
    await store.move_remaining(tx, [(part.grant_id, -part.amount) for part in parts])
    await lease_store.add_slices(tx, grown.lease_id, parts)
    posting = _posting(
        grown,
        wallet,
        ("lease_grant", f"acquire:{grown.acquire_number}"),
        grown.renewed_at,
        lease_grant_entries(wallet.workspace_id, parts),
    )
    posted = await post(tx, posting, wallet)
    return LeaseState.of(grown, posted.wallet or wallet)


async def _return(
    tx: Transaction, lease: Lease, wallet: Wallet, returned_total: int, now: datetime
) -> tuple[Lease, Wallet]:
    """Take back up to what the lease holds: charges beyond a hold may have used it up."""
    amount = min(returned_total - lease.returned_total, lease.held)
    if amount <= 0:
        return lease, wallet
    after = replace(lease, returned_total=lease.returned_total + amount)
    word = ("lease_return", f"return:{after.returned_total}")
    return after, await _release(tx, after, wallet, amount, word, now)


async def _close(tx: Transaction, lease: Lease, wallet: Wallet, now: datetime) -> Wallet:
    after = replace(lease, returned_total=lease.returned_total + lease.held, closed_at=now)
    return await _release(tx, after, wallet, lease.held, ("lease_close", "close"), now)


async def _release(
    tx: Transaction,
    after: Lease,
    wallet: Wallet,
    amount: int,
    word: tuple[str, str],
    now: datetime,
) -> Wallet:
    await lease_store.update(tx, after)
    if amount == 0:
        return wallet
    pieces = [piece for _, piece in await lease_store.slices(tx, [after.lease_id])]
    changed, parts = give_back_slices(pieces, amount)
    await lease_store.update_slices(tx, after.lease_id, changed)
    await store.move_remaining(tx, [(part.grant_id, part.amount) for part in parts])
    entries = lease_return_entries(wallet.workspace_id, parts)
    posted = await post(tx, _posting(after, wallet, word, now, entries), wallet)
    return posted.wallet or wallet


def _new_lease(edge_id: int, epoch: int, wallet: Wallet, now: datetime) -> Lease:
    return Lease(
        lease_id=new_txn_id(now, wallet),
        workspace_id=wallet.workspace_id,
        edge_id=edge_id,
        epoch=epoch,
        acquire_number=0,
        opened_at=now,
        renewed_at=now,
    )


def _posting(
    lease: Lease, wallet: Wallet, word: tuple[str, str], now: datetime, entries: tuple[Entry, ...]
) -> Posting:
    kind, suffix = word
    return Posting(
        txn_id=new_txn_id(now, wallet),
        workspace_id=lease.workspace_id,
        kind=kind,
        business_key=f"lease:{lease.lease_id.hex()}:{suffix}",
        entries=entries,
        effective_at=now,
        created_at=now,
        actor=ACTOR,
    )
