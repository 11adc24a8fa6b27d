"""Reads transactions and sums of accounts, for readers and auditors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row

from core.db.database import Transaction
from core.db.values import to_uuid
from core.ledger.model import Entry, Wallet
from core.ledger.store import optional_uuid

_COLUMNS: Final = (
    "id, kind, business_key, effective_at, created_at, actor, records_root, record_count"
)
_LIST: Final = f"""
SELECT {_COLUMNS} FROM ledger_txn
 WHERE id < :before
   AND (CAST(:workspace AS uuid) IS NULL OR workspace_id = CAST(:workspace AS uuid))
 ORDER BY id DESC LIMIT :limit
"""  # noqa: S608 - constant
_EXPORT: Final = f"""
SELECT {_COLUMNS} FROM ledger_txn
 WHERE id > :after AND id < :end
   AND (CAST(:workspace AS uuid) IS NULL OR workspace_id = CAST(:workspace AS uuid))
 ORDER BY id LIMIT :limit
"""  # noqa: S608 - constant
_GET: Final = f"SELECT {_COLUMNS} FROM ledger_txn WHERE id = :id"  # noqa: S608 - constant
_ENTRIES: Final = """
SELECT txn_id, account, workspace_id, grant_id, amount FROM ledger_entry
 WHERE txn_id = ANY(CAST(:ids AS uuid[])) ORDER BY txn_id, position
"""
_TRIAL: Final = """
SELECT account, CAST(sum(amount) AS text) AS total FROM ledger_entry GROUP BY account
 ORDER BY account
"""

_STEP: Final = """
SELECT a.workspace_id, a.sequence, a.previous_hash, a.hash,
       a.posted_after AS posted, a.held_after AS held, a.frozen_after AS frozen,
       a.receivable_after AS receivable,
       coalesce(b.posted_after, 0) AS posted_before, coalesce(b.held_after, 0) AS held_before,
       coalesce(b.frozen_after, 0) AS frozen_before,
       coalesce(b.receivable_after, 0) AS receivable_before
  FROM wallet_log AS a
  LEFT JOIN wallet_log AS b ON b.workspace_id = a.workspace_id AND b.sequence = a.sequence - 1
 WHERE a.txn_id = :id
"""


@dataclass(frozen=True, slots=True)
class WalletStep:
    """A link of a wallet's chain, and the wallet before it."""

    before: Wallet
    after: Wallet
    previous_hash: bytes


@dataclass(frozen=True, slots=True)
class StoredTransaction:
    """A transaction as it stands in the ledger."""

    txn_id: bytes
    kind: str
    business_key: str
    effective_at: datetime
    created_at: datetime
    actor: str
    records_root: bytes
    record_count: int
    entries: tuple[Entry, ...]


async def list_transactions(
    tx: Transaction, workspace_id: bytes | None, *, before: bytes, limit: int
) -> list[StoredTransaction]:
    """Read transactions, newest first, older than `before`."""
    rows = await tx.all(
        _LIST, workspace=optional_uuid(workspace_id), before=to_uuid(before), limit=limit
    )
    return await _with_entries(tx, rows)


async def export_transactions(
    tx: Transaction, workspace_id: bytes | None, *, after: bytes, end: bytes, limit: int
) -> list[StoredTransaction]:
    """Read transactions with ids between two bounds, oldest first."""
    rows = await tx.all(
        _EXPORT,
        workspace=optional_uuid(workspace_id),
        after=to_uuid(after),
        end=to_uuid(end),
        limit=limit,
    )
    return await _with_entries(tx, rows)


async def get_transaction(tx: Transaction, txn_id: bytes) -> StoredTransaction | None:
    """Read one transaction."""
    found = await _with_entries(tx, await tx.all(_GET, id=to_uuid(txn_id)))
    return found[0] if found else None


async def wallet_step(tx: Transaction, txn_id: bytes) -> WalletStep | None:
    """Read what a transaction made of its wallet; None if it touched none."""
    row = await tx.one(_STEP, id=to_uuid(txn_id))
    if row is None:
        return None
    owner = row.workspace_id.bytes
    before = Wallet(
        owner, row.posted_before, row.held_before, row.frozen_before, row.receivable_before
    )
    after = Wallet(owner, row.posted, row.held, row.frozen, row.receivable, row.sequence, row.hash)
    return WalletStep(before, after, row.previous_hash)


async def trial_balance(tx: Transaction) -> dict[str, int]:
    """Sum every account over all workspaces; together they are zero."""
    return {row.account: int(row.total) for row in await tx.all(_TRIAL)}


async def _with_entries(tx: Transaction, rows: Sequence[Row[Any]]) -> list[StoredTransaction]:
    entries: dict[bytes, list[Entry]] = {row.id.bytes: [] for row in rows}
    for row in await tx.all(_ENTRIES, ids=[row.id for row in rows]):
        entries[row.txn_id.bytes].append(
            Entry(row.account, row.amount, _bytes(row.workspace_id), _bytes(row.grant_id))
        )
    return [_stored(row, entries[row.id.bytes]) for row in rows]


def _stored(row: Row[Any], entries: Sequence[Entry]) -> StoredTransaction:
    return StoredTransaction(
        txn_id=row.id.bytes,
        kind=row.kind,
        business_key=row.business_key,
        effective_at=row.effective_at,
        created_at=row.created_at,
        actor=row.actor,
        records_root=row.records_root or b"",
        record_count=row.record_count or 0,
        entries=tuple(entries),
    )


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value.bytes)
