"""SQL that follows credit by its grants through the entries; callers hold the wallet's lock."""

from __future__ import annotations

from typing import Final

from core.db.database import Transaction
from core.db.values import to_uuid
from core.ledger.burn import Part
from core.ledger.model import GrantKind

# By the index `ledger_entry_lineage`, which has these accounts only.
_OF_GRANT: Final = """
SELECT CAST(coalesce(sum(amount), 0) AS bigint) AS total FROM ledger_entry
 WHERE grant_id = :grant_id AND account = :account
   AND account IN ('frozen', 'refund_pending', 'receivable')
"""
_OF_OBJECT: Final = """
SELECT CAST(coalesce(sum(e.amount), 0) AS bigint) AS total
  FROM ledger_entry AS e JOIN ledger_txn AS t ON t.id = e.txn_id
 WHERE e.grant_id = :grant_id AND e.account = :account
   AND e.account IN ('frozen', 'refund_pending', 'receivable')
   AND starts_with(t.business_key, :prefix)
"""
_REPAID: Final = """
SELECT e.grant_id, g.kind, CAST(sum(e.amount) AS bigint) AS total
  FROM ledger_entry AS e JOIN credit_grant AS g ON g.id = e.grant_id
 WHERE e.workspace_id = :workspace_id AND e.account = 'receivable'
 GROUP BY e.grant_id, g.kind HAVING sum(e.amount) > 0
 ORDER BY max(CAST(e.txn_id AS text)) FILTER (WHERE e.amount > 0) DESC
"""


async def account_of_grant(tx: Transaction, account: str, grant_id: bytes) -> int:
    """Sum up what an account (frozen, refund_pending, receivable) has of a grant."""
    row = await tx.one(_OF_GRANT, account=account, grant_id=to_uuid(grant_id))
    return 0 if row is None else int(row.total)


async def account_of_object(tx: Transaction, account: str, grant_id: bytes, prefix: str) -> int:
    """Sum up what transactions whose business key begins so made of an account and a grant."""
    row = await tx.one(_OF_OBJECT, account=account, grant_id=to_uuid(grant_id), prefix=prefix)
    return 0 if row is None else int(row.total)


async def repaid_by_grants(tx: Transaction, workspace_id: bytes) -> list[Part]:
    """Read what of a workspace's debts its grants have paid, the last that paid first."""
    rows = await tx.all(_REPAID, workspace_id=to_uuid(workspace_id))
    return [Part(row.grant_id.bytes, GrantKind(row.kind).account, int(row.total)) for row in rows]
