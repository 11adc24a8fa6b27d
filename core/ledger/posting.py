"""Writes transactions: the one way by which money moves."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from core.db.database import Transaction
from core.ledger import store
from core.ledger.model import OUTSIDE_KINDS, Entry, Posting, Wallet
from core.ledger.store import StoredPosting
from kit.canonical import Canonical, content_hash
from kit.clock import to_micros
from kit.ids import uuid7_bytes
from kit.money import MAX_NANOS
from kit.reasons import AmountOutOfRange, RequestIdReused

_COUNTER_MASK = 0xFFF


@dataclass(frozen=True, slots=True)
class Posted:
    """A transaction in the ledger; `created` is False if it was there before."""

    txn_id: bytes
    created: bool
    wallet: Wallet | None


def new_txn_id(now: datetime, wallet: Wallet | None = None) -> bytes:
    """Return the id of a new transaction; those of a wallet rise with its log."""
    counter = 0 if wallet is None else (wallet.sequence + 1) & _COUNTER_MASK
    return uuid7_bytes(to_micros(now) // 1_000, counter, secrets.token_bytes(8))


async def post(tx: Transaction, posting: Posting, wallet: Wallet | None) -> Posted:
    """Write a transaction, its entries, the wallet's new balances and its log.

    The wallet must be locked by this transaction. A business key that is taken by the same content
    changes nothing and returns the stored transaction.

    Raises:
        RequestIdReused: the business key is taken by other content.
        AmountOutOfRange: a balance would leave the ledger's range.
    """
    _check(posting, wallet)
    digest = posting.content_hash
    if not await store.insert_txn(tx, posting, digest):
        return await replayed(tx, posting.business_key, digest, wallet)
    await store.insert_entries(tx, posting.txn_id, posting.entries)
    if wallet is None:
        return Posted(posting.txn_id, created=True, wallet=None)
    after = wallet.after(posting, digest)
    _check_range(after)
    await store.advance_wallet(tx, wallet, after, posting.txn_id)
    return Posted(posting.txn_id, created=True, wallet=after)


def movement(
    wallet: Wallet,
    kind: str,
    business_key: str,
    entries: tuple[Entry, ...],
    *,
    actor: str,
    now: datetime,
    content: tuple[tuple[str, Canonical], ...] = (),
) -> Posting:
    """Return a movement of a locked wallet that takes effect when it is written."""
    return Posting(
        txn_id=new_txn_id(now, wallet),
        workspace_id=wallet.workspace_id,
        kind=kind,
        business_key=business_key,
        entries=entries,
        effective_at=now,
        created_at=now,
        actor=actor,
        content=content,
    )


async def posted_before(
    tx: Transaction, business_key: str, content: tuple[tuple[str, Canonical], ...]
) -> StoredPosting | None:
    """Return what was posted under a business key by the same words, if anything was.

    Raises:
        RequestIdReused: by other words.
    """
    stored = await store.read_posting(tx, business_key)
    if stored is not None and stored.content_hash != content_hash(dict(content)):
        raise RequestIdReused(transaction=stored.txn_id.hex())
    return stored


async def replayed(
    tx: Transaction, business_key: str, digest: bytes, wallet: Wallet | None
) -> Posted:
    """Return the stored transaction of a business key.

    Raises:
        RequestIdReused: it has other content.
        LookupError: there is none.
    """
    stored = await store.find_txn(tx, business_key)
    if stored is None:
        raise LookupError(business_key)
    if stored.content_hash != digest:
        raise RequestIdReused(transaction=stored.txn_id.hex())
    return Posted(stored.txn_id, created=False, wallet=wallet)


def _check(posting: Posting, wallet: Wallet | None) -> None:
    """Check what the database checks again: a fault of ours must stop before it is written."""
    if posting.total != 0:
        raise ValueError("entries do not sum to zero")
    if (wallet is None) != (posting.kind in OUTSIDE_KINDS):
        raise ValueError("a transaction belongs to a wallet unless its kind stands outside")
    workspaces = {entry.workspace_id for entry in posting.entries} - {None}
    if wallet is not None and (workspaces - {wallet.workspace_id}):
        raise ValueError("entries of another wallet")


def _check_range(wallet: Wallet) -> None:
    if wallet.available < 0 or min(wallet.balances) < 0:
        raise ValueError("a balance would be negative")
    if max(wallet.balances) > MAX_NANOS:
        raise AmountOutOfRange
