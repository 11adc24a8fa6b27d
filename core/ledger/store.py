"""All SQL of the ledger: transactions, entries, wallets and grants. Leases: `lease_store.py`.

Every writer holds the wallet's row lock (`lock_wallets`), which is the only money lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row

from core.db.database import Transaction
from core.db.values import to_uuid
from core.ledger.model import CreditGrant, Entry, GrantKind, Posting, Wallet
from kit.money import MAX_NANOS

_WALLET: Final = "workspace_id, posted, held, frozen, receivable, sequence, head_hash"
_GRANT: Final = "id, workspace_id, kind, amount, remaining, created_at, expires_at"
WORKSPACE_CLOSED: Final = 3
"""`core.accounts.model.WorkspaceState.CLOSED`: accounts stand above the ledger."""
BURN_ORDER: Final = "priority, expires_at NULLS LAST, id"

_LOCK_WALLETS: Final = f"""
SELECT {_WALLET} FROM wallet WHERE workspace_id = ANY(CAST(:ids AS uuid[]))
 ORDER BY workspace_id FOR NO KEY UPDATE
"""  # noqa: S608 - constant
_INSERT_TXN: Final = """
INSERT INTO ledger_txn (id, workspace_id, kind, business_key, content_hash, effective_at,
                        created_at, actor, usage_month, records_root, record_count)
VALUES (:id, :workspace_id, :kind, :business_key, :content_hash, :effective_at,
        :created_at, :actor, :usage_month, :records_root, :record_count)
ON CONFLICT (business_key) DO NOTHING
"""
_INSERT_ENTRIES: Final = """
INSERT INTO ledger_entry (txn_id, position, account, workspace_id, grant_id, amount)
SELECT :txn_id, * FROM unnest(CAST(:positions AS smallint[]), CAST(:accounts AS text[]),
    CAST(:workspaces AS uuid[]), CAST(:grants AS uuid[]), CAST(:amounts AS bigint[]))
"""
_POSTING: Final = """
SELECT t.id, t.kind, t.content_hash, e.account, e.amount, e.workspace_id, e.grant_id
  FROM ledger_txn AS t LEFT JOIN ledger_entry AS e ON e.txn_id = t.id
 WHERE t.business_key = :key ORDER BY e.position
"""
_UPDATE_WALLET: Final = """
UPDATE wallet SET posted = :posted, held = :held, frozen = :frozen, receivable = :receivable,
       sequence = :sequence, head_hash = :head_hash
 WHERE workspace_id = :workspace_id AND sequence = :sequence - 1
"""
_INSERT_LOG: Final = """
INSERT INTO wallet_log (workspace_id, sequence, txn_id, posted_after, held_after, frozen_after,
                        receivable_after, previous_hash, hash)
VALUES (:workspace_id, :sequence, :txn_id, :posted, :held, :frozen, :receivable,
        :previous_hash, :head_hash)
"""
_INSERT_GRANT: Final = """
INSERT INTO credit_grant (id, workspace_id, kind, priority, amount, remaining, expires_at,
                          created_at)
VALUES (:id, :workspace_id, :kind, :priority, :amount, :remaining, :expires_at, :created_at)
"""
_MOVE_REMAINING: Final = """
UPDATE credit_grant AS g SET remaining = g.remaining + part.amount
  FROM unnest(CAST(:ids AS uuid[]), CAST(:amounts AS bigint[])) AS part (id, amount)
 WHERE g.id = part.id
"""


@dataclass(frozen=True, slots=True)
class StoredTxn:
    """A transaction that was written before under the same business key."""

    txn_id: bytes
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class StoredPosting:
    """A transaction with its entries, as it was written."""

    txn_id: bytes
    kind: str
    content_hash: bytes
    entries: tuple[Entry, ...]

    def sum_of(self, account: str) -> int:
        """Return what the transaction added to an account."""
        return sum(entry.amount for entry in self.entries if entry.account == account)


def optional_uuid(identifier: bytes | None) -> Any:
    """Return an id as a uuid parameter, or NULL."""
    return None if identifier is None else to_uuid(identifier)


def optional_bytes(identifier: Any) -> bytes | None:
    """Return a uuid column as an id, or None."""
    return None if identifier is None else bytes(identifier.bytes)


async def insert_wallet(tx: Transaction, wallet: Wallet) -> bool:
    """Write an empty wallet; False if the workspace has one."""
    count = await tx.run(
        f"INSERT INTO wallet ({_WALLET}) VALUES (:id, 0, 0, 0, 0, 0, :head)"  # noqa: S608 - constant
        " ON CONFLICT (workspace_id) DO NOTHING",
        id=to_uuid(wallet.workspace_id),
        head=wallet.head_hash,
    )
    return count == 1


async def lock_wallets(tx: Transaction, workspace_ids: Iterable[bytes]) -> dict[bytes, Wallet]:
    """Lock wallets in the order of their ids, in a statement of its own, and read them."""
    ids = [to_uuid(workspace_id) for workspace_id in sorted(set(workspace_ids))]
    rows = await tx.all(_LOCK_WALLETS, ids=ids)
    return {row.workspace_id.bytes: wallet_of(row) for row in rows}


async def read_balance(
    tx: Transaction, workspace_id: bytes, now: datetime
) -> tuple[Wallet, int] | None:
    """Read a wallet without a lock, and what of its free credit has expired and is not posted."""
    row = await tx.one(
        f"SELECT {_WALLET}, (SELECT CAST(coalesce(sum(g.remaining), 0) AS bigint)"  # noqa: S608 - constant
        " FROM credit_grant AS g WHERE g.workspace_id = wallet.workspace_id"
        " AND g.remaining > 0 AND g.expires_at <= :now) AS expired"
        " FROM wallet WHERE workspace_id = :id",
        id=to_uuid(workspace_id),
        now=now,
    )
    return None if row is None else (wallet_of(row), row.expired)


async def read_wallet(tx: Transaction, workspace_id: bytes) -> Wallet | None:
    """Read a wallet without a lock."""
    row = await tx.one(
        f"SELECT {_WALLET} FROM wallet WHERE workspace_id = :id",  # noqa: S608 - constant
        id=to_uuid(workspace_id),
    )
    return None if row is None else wallet_of(row)


async def read_available(tx: Transaction, workspace_ids: Iterable[bytes]) -> dict[bytes, int]:
    """Read what wallets have available, without a lock."""
    rows = await tx.all(
        "SELECT workspace_id, posted - held - frozen AS available FROM wallet"
        " WHERE workspace_id = ANY(CAST(:ids AS uuid[]))",
        ids=[to_uuid(workspace_id) for workspace_id in workspace_ids],
    )
    return {row.workspace_id.bytes: row.available for row in rows}


async def is_closed(tx: Transaction, workspace_id: bytes) -> bool:
    """Say whether a workspace is closed for good."""
    row = await tx.one(
        "SELECT 1 FROM workspace WHERE id = :id AND state = :closed",
        id=to_uuid(workspace_id),
        closed=WORKSPACE_CLOSED,
    )
    return row is not None


async def find_txn(tx: Transaction, business_key: str) -> StoredTxn | None:
    """Find a transaction by its business key."""
    row = await tx.one(
        "SELECT id, content_hash FROM ledger_txn WHERE business_key = :key", key=business_key
    )
    return None if row is None else StoredTxn(row.id.bytes, row.content_hash)


async def read_posting(tx: Transaction, business_key: str) -> StoredPosting | None:
    """Read a transaction with its entries by its business key."""
    rows = await tx.all(_POSTING, key=business_key)
    if not rows:
        return None
    entries = tuple(
        Entry(
            row.account, row.amount, optional_bytes(row.workspace_id), optional_bytes(row.grant_id)
        )
        for row in rows
        if row.account is not None
    )
    return StoredPosting(rows[0].id.bytes, rows[0].kind, bytes(rows[0].content_hash), entries)


async def insert_txn(tx: Transaction, posting: Posting, content_hash: bytes) -> bool:
    """Write a transaction without its entries; False if the business key is taken."""
    count = await tx.run(
        _INSERT_TXN,
        id=to_uuid(posting.txn_id),
        workspace_id=optional_uuid(posting.workspace_id),
        kind=posting.kind,
        business_key=posting.business_key,
        content_hash=content_hash,
        effective_at=posting.effective_at,
        created_at=posting.created_at,
        actor=posting.actor,
        usage_month=posting.usage_month,
        records_root=posting.records_root,
        record_count=posting.record_count,
    )
    return count == 1


async def insert_entries(tx: Transaction, txn_id: bytes, entries: Sequence[Entry]) -> None:
    """Write all entries of a transaction at once; the trigger checks that they sum to zero."""
    if not entries:
        return
    await tx.run(
        _INSERT_ENTRIES,
        txn_id=to_uuid(txn_id),
        positions=list(range(len(entries))),
        accounts=[entry.account for entry in entries],
        workspaces=[optional_uuid(entry.workspace_id) for entry in entries],
        grants=[optional_uuid(entry.grant_id) for entry in entries],
        amounts=[entry.amount for entry in entries],
    )


async def advance_wallet(tx: Transaction, before: Wallet, after: Wallet, txn_id: bytes) -> None:
    """Write a locked wallet's new balances and the row of its log."""
    values = {
        "workspace_id": to_uuid(after.workspace_id),
        "posted": after.posted,
        "held": after.held,
        "frozen": after.frozen,
        "receivable": after.receivable,
        "sequence": after.sequence,
        "head_hash": after.head_hash,
    }
    count = await tx.run(_UPDATE_WALLET, **values)
    if count != 1:
        raise RuntimeError("a wallet was written without its lock")
    await tx.run(_INSERT_LOG, txn_id=to_uuid(txn_id), previous_hash=before.head_hash, **values)


async def insert_grant(tx: Transaction, grant: CreditGrant) -> None:
    """Write a new credit grant."""
    await tx.run(
        _INSERT_GRANT,
        id=to_uuid(grant.grant_id),
        workspace_id=to_uuid(grant.workspace_id),
        kind=int(grant.kind),
        priority=grant.kind.priority,
        amount=grant.amount,
        remaining=grant.remaining,
        expires_at=grant.expires_at,
        created_at=grant.created_at,
    )


async def read_grant(tx: Transaction, grant_id: bytes) -> CreditGrant | None:
    """Read a credit grant."""
    row = await tx.one(
        f"SELECT {_GRANT} FROM credit_grant WHERE id = :id",  # noqa: S608 - constant
        id=to_uuid(grant_id),
    )
    return None if row is None else grant_of(row)


async def goodwill_given(tx: Transaction, workspace_id: bytes, actor: str, since: datetime) -> int:
    """Sum up what an actor gave a workspace as goodwill since a moment."""
    row = await tx.one(
        "SELECT CAST(coalesce(sum(g.amount), 0) AS bigint) AS total"
        "  FROM credit_grant AS g JOIN ledger_txn AS t ON t.id = g.id"
        " WHERE g.workspace_id = :id AND g.kind = :goodwill AND g.created_at > :since"
        "   AND t.actor = :actor",
        id=to_uuid(workspace_id),
        goodwill=int(GrantKind.GOODWILL),
        since=since,
        actor=actor,
    )
    return 0 if row is None else int(row.total)


async def burnable_grants(tx: Transaction, workspace_id: bytes, now: datetime) -> list[CreditGrant]:
    """Read the grants that have free, unexpired credit, in burn order."""
    rows = await tx.all(
        f"SELECT {_GRANT} FROM credit_grant WHERE workspace_id = :id AND remaining > 0"  # noqa: S608 - constants
        f" AND (expires_at IS NULL OR expires_at > :now) ORDER BY {BURN_ORDER}",
        id=to_uuid(workspace_id),
        now=now,
    )
    return [grant_of(row) for row in rows]


async def expired_grants(
    tx: Transaction, workspace_ids: Sequence[bytes], now: datetime
) -> list[CreditGrant]:
    """Read the grants of wallets that have free credit and have expired."""
    rows = await tx.all(
        f"SELECT {_GRANT} FROM credit_grant WHERE workspace_id = ANY(CAST(:ids AS uuid[]))"  # noqa: S608 - constants
        " AND remaining > 0 AND expires_at <= :now ORDER BY workspace_id, id",
        ids=[to_uuid(workspace_id) for workspace_id in workspace_ids],
        now=now,
    )
    return [grant_of(row) for row in rows]


async def workspaces_with_expired(tx: Transaction, now: datetime, limit: int) -> list[bytes]:
    """Find workspaces that have free credit which has expired."""
    rows = await tx.all(
        "SELECT DISTINCT workspace_id FROM credit_grant WHERE expires_at <= :now"
        " AND remaining > 0 ORDER BY workspace_id LIMIT :limit",
        now=now,
        limit=limit,
    )
    return [row.workspace_id.bytes for row in rows]


async def list_grants(
    tx: Transaction, workspace_id: bytes, *, before: bytes, limit: int
) -> list[CreditGrant]:
    """Read grants of a workspace, newest first, older than `before`."""
    rows = await tx.all(
        f"SELECT {_GRANT} FROM credit_grant WHERE workspace_id = :workspace"  # noqa: S608 - constant
        " AND id < :before"
        " ORDER BY id DESC LIMIT :limit",
        workspace=to_uuid(workspace_id),
        before=to_uuid(before),
        limit=limit,
    )
    return [grant_of(row) for row in rows]


async def move_remaining(tx: Transaction, amounts: Sequence[tuple[bytes, int]]) -> None:
    """Add signed amounts to what grants have left."""
    if amounts:
        await tx.run(
            _MOVE_REMAINING,
            ids=[to_uuid(grant_id) for grant_id, _ in amounts],
            amounts=[amount for _, amount in amounts],
        )


def wallet_of(row: Row[Any]) -> Wallet:
    """Return a wallet row as a value; a balance beyond the ledger's range is a fault."""
    if row.posted > MAX_NANOS:
        raise OverflowError
    return Wallet(
        workspace_id=row.workspace_id.bytes,
        posted=row.posted,
        held=row.held,
        frozen=row.frozen,
        receivable=row.receivable,
        sequence=row.sequence,
        head_hash=row.head_hash,
    )


def grant_of(row: Row[Any]) -> CreditGrant:
    """Return a grant row as a value."""
    return CreditGrant(
        grant_id=row.id.bytes,
        workspace_id=row.workspace_id.bytes,
        kind=GrantKind(row.kind),
        amount=row.amount,
        remaining=row.remaining,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
