"""All SQL of statements. A month is a stretch of the wallet's chain.

Which link is a month's last is decided by the ids of transactions, whose first bits are the time of
posting; in between the chain's order counts, so that clocks of two cores that differ by a little
put no movement into two months or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

from core.billing.documents.model import document_name
from core.billing.statements.model import (
    LEASES,
    DayUsage,
    KindSum,
    Line,
    Standing,
    section_of,
)
from core.db.database import Transaction
from core.db.values import to_uuid
from core.ledger.model import RECEIVABLE, REV_USAGE, WALLET_ACCOUNTS
from core.metering.partitions import read_watermark
from kit.canonical import CHAIN_START
from kit.clock import to_micros
from kit.ids import uuid7_floor

NEAR: Final = 1_000
"""So many of the last transactions before a moment are looked at for the chain's highest link."""
_STANDING: Final = """
SELECT l.sequence, l.posted_after, l.receivable_after, l.hash
  FROM (SELECT id FROM ledger_txn WHERE workspace_id = :workspace AND id < :before
         ORDER BY id DESC LIMIT :near) AS t
  JOIN wallet_log AS l ON l.txn_id = t.id
 ORDER BY l.sequence DESC LIMIT 1
"""
_MONTH: Final = """
  FROM wallet_log AS l JOIN ledger_txn AS t ON t.id = l.txn_id
 WHERE l.workspace_id = :workspace AND l.sequence > :first AND l.sequence <= :last
"""
# A repayment names the grant that paid; both sides are the workspace's.
_AMOUNT: Final = """
(SELECT CAST(coalesce(sum(e.amount), 0) AS bigint) FROM ledger_entry AS e
  WHERE e.txn_id = t.id AND e.workspace_id = :workspace AND e.account = ANY(:accounts))
"""
_KINDS: Final = f"""
SELECT kind, count(*) AS movements, CAST(sum(amount) AS bigint) AS amount
  FROM (SELECT t.kind, {_AMOUNT} AS amount {_MONTH}) AS each
 GROUP BY kind
"""  # noqa: S608 - constants
_LINES: Final = f"""
SELECT t.id, t.kind, t.business_key, t.created_at, {_AMOUNT} AS amount {_MONTH}
   AND t.kind <> ALL(:without)
 ORDER BY l.sequence LIMIT :limit
"""
_CHARGED: Final = f"""
SELECT CAST(t.created_at AS date) AS day, CAST(sum(e.amount) AS bigint) AS charge
  FROM (SELECT t.id, t.created_at {_MONTH} AND t.records_root IS NOT NULL) AS t
  JOIN ledger_entry AS e ON e.txn_id = t.id AND e.account = :revenue
 GROUP BY 1
"""  # noqa: S608 - constants
_USAGE: Final = f"""
SELECT CAST(t.created_at AS date) AS day, coalesce(m.public_id, '') AS model,
       count(*) AS requests, CAST(sum(r.charge_nanos) AS bigint) AS charge
  FROM (SELECT t.id, t.created_at {_MONTH} AND t.records_root IS NOT NULL
           AND t.usage_month >= :watermark) AS t
  JOIN usage_record AS r ON r.settlement_id = t.id
  LEFT JOIN model AS m ON m.number = r.model_number
 GROUP BY 1, 2
"""  # noqa: S608 - constants
_DOCUMENTS: Final = """
SELECT d.series, d.number, d.kind, p.grant_id, r.stripe_id AS refund, x.stripe_id AS dispute
  FROM billing_document AS d
  JOIN payment AS p ON p.id = d.payment_id
  LEFT JOIN refund AS r ON r.id = d.refund_id
  LEFT JOIN dispute AS x ON x.id = d.dispute_id
 WHERE d.workspace_id = :workspace AND d.issued_at >= :start
"""


async def read_standing(tx: Transaction, workspace_id: bytes, before: datetime) -> Standing:
    """Read where the wallet stood when a moment came: the last link that was posted before."""
    row = await tx.one(
        _STANDING,
        workspace=to_uuid(workspace_id),
        before=to_uuid(uuid7_floor(to_micros(before) // 1_000)),
        near=NEAR,
    )
    if row is None:
        return Standing(0, 0, 0, CHAIN_START)
    return Standing(row.posted_after, row.receivable_after, row.sequence, row.hash)


class Stretch:
    """The links of one wallet's chain from behind one to another."""

    def __init__(
        self, tx: Transaction, workspace_id: bytes, opening: Standing, closing: Standing
    ) -> None:
        """Read within the transaction."""
        self._tx = tx
        self._workspace = to_uuid(workspace_id)
        self._scope = {
            "workspace": self._workspace,
            "first": opening.sequence,
            "last": closing.sequence,
        }
        self._amounts = self._scope | {"accounts": [*sorted(WALLET_ACCOUNTS), RECEIVABLE]}

    async def kinds(self) -> list[KindSum]:
        """Sum the movements of each kind."""
        rows = await self._tx.all(_KINDS, **self._amounts)
        return [KindSum(row.kind, row.movements, row.amount) for row in rows]

    async def lines(self, limit: int, start: datetime) -> list[Line]:
        """Read movements one by one, oldest first, but for leases and usage."""
        rows = await self._tx.all(
            _LINES, **self._amounts, without=[*sorted(LEASES), "settle"], limit=limit
        )
        documents = await self._documents(start)
        return [
            Line(
                posted_at=row.created_at,
                section=section_of(row.kind),
                kind=row.kind,
                txn_id=row.id.bytes,
                amount=row.amount,
                document=documents.get(_subject_of(row.kind, row.id.bytes, row.business_key), ""),
            )
            for row in rows
        ]

    async def charged(self) -> dict[date, int]:
        """Read what the entries say was charged, by day."""
        rows = await self._tx.all(_CHARGED, **self._scope, revenue=REV_USAGE)
        return {row.day: row.charge for row in rows}

    async def usage(self) -> Sequence[DayUsage]:
        """Sum the hot records by day and model."""
        watermark = await read_watermark(self._tx)
        rows = await self._tx.all(_USAGE, **self._scope, watermark=watermark)
        return [DayUsage(row.day, row.model, row.requests, row.charge) for row in rows]

    async def _documents(self, start: datetime) -> dict[tuple[str, str], str]:
        """Return the numbers of documents by what the movements say that they are about."""
        rows = await self._tx.all(_DOCUMENTS, workspace=self._workspace, start=start)
        found: dict[tuple[str, str], str] = {}
        for row in rows:
            name = document_name(row.series, row.number)
            if row.kind == 1:
                found["receipt", row.grant_id.bytes.hex()] = name
                continue
            word = "note" if row.kind == 2 else "reversal"
            for key in (row.refund, row.dispute):
                if key is not None:
                    found[word, key] = name
        return found


def _subject_of(kind: str, txn_id: bytes, business_key: str) -> tuple[str, str]:
    """Return what a movement is about: its grant, or the refund or dispute that its key names."""
    if kind == "paid_grant":
        return "receipt", txn_id.hex()
    word = _WORDS.get(kind, "")
    parts = business_key.split(":")
    return word, parts[1] if len(parts) > 1 else ""


_WORDS: Final = {
    "refund_sent": "note",
    "refund_clawback": "note",
    "dispute_lost": "note",
    "refund_returned": "reversal",
    "refund_clawback_returned": "reversal",
}
