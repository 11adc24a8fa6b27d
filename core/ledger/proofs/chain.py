"""Replays each wallet's chain: every transaction with its entries, in the order of the log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any, Final

from core.db.database import Transaction
from core.ledger.model import OUTSIDE_KINDS, Entry, Posting, Wallet
from core.ledger.proofs.finding import Finding, Tally, differing, stream
from core.ledger.store import optional_uuid
from kit.ids import format_id

_TXN: Final = """
       t.id AS txn_id, t.workspace_id AS txn_workspace, t.kind, t.business_key, t.content_hash,
       t.effective_at, t.created_at, t.actor, t.usage_month, t.records_root, t.record_count,
       e.positions, e.accounts, e.workspaces, e.grants, e.amounts
"""
_ENTRIES: Final = """
  LEFT JOIN LATERAL (
       SELECT array_agg(position ORDER BY position) AS positions,
              array_agg(account ORDER BY position) AS accounts,
              array_agg(workspace_id ORDER BY position) AS workspaces,
              array_agg(grant_id ORDER BY position) AS grants,
              array_agg(amount ORDER BY position) AS amounts
         FROM ledger_entry WHERE txn_id = t.id) AS e ON true
"""
_CHAINS: Final = f"""
SELECT w.workspace_id, w.posted, w.held, w.frozen, w.receivable, w.sequence AS head_sequence,
       w.head_hash, l.sequence, l.posted_after, l.held_after, l.frozen_after,
       l.receivable_after, l.previous_hash, l.hash, {_TXN}
  FROM wallet AS w
  LEFT JOIN wallet_log AS l ON l.workspace_id = w.workspace_id
  LEFT JOIN ledger_txn AS t ON t.id = l.txn_id
  {_ENTRIES}
 WHERE %(workspace)s::uuid IS NULL OR w.workspace_id = %(workspace)s::uuid
 ORDER BY w.workspace_id, l.sequence
"""  # noqa: S608 - constants
_OUTSIDE: Final = f"""
SELECT {_TXN} FROM ledger_txn AS t {_ENTRIES}
 WHERE NOT EXISTS (SELECT 1 FROM wallet_log AS l WHERE l.txn_id = t.id)
   AND (%(workspace)s::uuid IS NULL OR t.workspace_id = %(workspace)s::uuid)
"""  # noqa: S608 - constants


async def check_chains(
    tx: Transaction, workspace_id: bytes | None, tally: Tally
) -> AsyncIterator[Finding]:
    """Replay all chains and compare each wallet's row with what its entries make of it."""
    wallet: Wallet | None = None
    head: Mapping[str, Any] = {}
    scope = {"workspace": optional_uuid(workspace_id)}
    async for row in stream(tx, "chains", _CHAINS, scope):
        if wallet is None or row["workspace_id"].bytes != wallet.workspace_id:
            for finding in _check_head(wallet, head):
                yield finding
            wallet, head = Wallet(row["workspace_id"].bytes), row
            tally.wallets += 1
        if row["sequence"] is not None:
            wallet, findings = _replay(wallet, row, tally)
            for finding in findings:
                yield finding
    for finding in _check_head(wallet, head):
        yield finding


async def check_outside(
    tx: Transaction, workspace_id: bytes | None, tally: Tally
) -> AsyncIterator[Finding]:
    """Check the transactions outside of all chains: each is covered by its own hash."""
    scope = {"workspace": optional_uuid(workspace_id)}
    async for row in stream(tx, "outside", _OUTSIDE, scope):
        posting = _posting_of(row)
        name = format_id("txn", posting.txn_id)
        findings = [
            *differing("wallet_chain", name, True, posting.kind in OUTSIDE_KINDS),  # noqa: FBT003
            *differing("wallet_chain", name, posting.content_hash, row["content_hash"]),
            *_check_entries(row, posting, tally),
        ]
        for finding in findings:
            yield finding


def _replay(wallet: Wallet, row: Mapping[str, Any], tally: Tally) -> tuple[Wallet, list[Finding]]:
    """Apply one transaction; go on from the stored hash, so that one change is one finding."""
    posting = _posting_of(row)
    after = wallet.after(posting, row["content_hash"])
    name = f"{format_id('ws', wallet.workspace_id)}:{row['sequence']}"
    stored = tuple(
        row[f"{balance}_after"] for balance in ("posted", "held", "frozen", "receivable")
    )
    findings = [
        *differing("wallet_chain", name, after.sequence, row["sequence"]),
        *differing("wallet_chain", name, wallet.head_hash, row["previous_hash"]),
        *differing("wallet_chain", name, after.head_hash, row["hash"]),
        *differing("wallet_chain", name, after.balances, stored),
        *_check_entries(row, posting, tally),
    ]
    return replace(after, sequence=row["sequence"], head_hash=row["hash"]), findings


def _check_head(wallet: Wallet | None, row: Mapping[str, Any]) -> list[Finding]:
    """Compare a wallet's row with its replayed chain: a truncated chain is found here."""
    if wallet is None:
        return []
    name = format_id("ws", wallet.workspace_id)
    stored = tuple(row[balance] for balance in ("posted", "held", "frozen", "receivable"))
    return [
        *differing("wallet_sums", name, wallet.balances, stored),
        *differing("wallet_chain", name, wallet.sequence, row["head_sequence"]),
        *differing("wallet_chain", name, wallet.head_hash, row["head_hash"]),
    ]


def _check_entries(row: Mapping[str, Any], posting: Posting, tally: Tally) -> list[Finding]:
    tally.transactions += 1
    tally.entries += len(posting.entries)
    name = format_id("txn", posting.txn_id)
    places = list(range(len(posting.entries)))
    return [
        *differing("entries_sum", name, 0, posting.total),
        *differing("wallet_chain", name, places, row["positions"] or []),
    ]


def _posting_of(row: Mapping[str, Any]) -> Posting:
    columns = (row["accounts"], row["amounts"], row["workspaces"], row["grants"])
    entries = tuple(
        Entry(account, amount, _bytes(workspace), _bytes(grant))
        for account, amount, workspace, grant in zip(*(each or [] for each in columns), strict=True)
    )
    return Posting(
        txn_id=row["txn_id"].bytes,
        workspace_id=_bytes(row["txn_workspace"]),
        kind=row["kind"],
        business_key=row["business_key"],
        entries=entries,
        effective_at=row["effective_at"],
        created_at=row["created_at"],
        actor=row["actor"],
        usage_month=row["usage_month"],
        records_root=row["records_root"],
        record_count=row["record_count"],
    )


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value.bytes)
