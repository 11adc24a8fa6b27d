"""All SQL of receipts and credit notes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row

from core.billing.documents.model import Amounts, Document, DocumentKind, Party, Sale, TaxMode
from core.db.database import Transaction
from core.db.values import to_uuid
from core.ledger.store import optional_uuid

_COLUMNS: Final = (
    "id, series, number, kind, workspace_id, payment_id, refund_id, dispute_id, refers_to,"
    " snapshot, snapshot_hash, issued_at"
)
# The debt is what the transaction that gave the credit paid of it.
_SALE: Final = """
SELECT p.id, p.workspace_id, p.currency, p.net_minor, p.tax_minor, p.tax_mode, p.tax_rate_ppm,
       p.paid_at, p.card_brand, p.card_last4, coalesce(p.charge_id, p.intent_id, '') AS reference,
       coalesce(a.name, '') AS name, coalesce(a.address, '') AS address,
       coalesce(a.country, '') AS country, coalesce(a.tax_id, '') AS tax_id,
       coalesce(a.email, '') AS email, w.posted, w.receivable,
       (SELECT CAST(coalesce(sum(e.amount), 0) AS bigint) FROM ledger_entry AS e
         WHERE e.txn_id = p.grant_id AND e.account = 'receivable') AS repaid
  FROM payment AS p
  JOIN wallet AS w ON w.workspace_id = p.workspace_id
  LEFT JOIN billing_account AS a ON a.workspace_id = p.workspace_id
 WHERE p.id = :id AND p.grant_id IS NOT NULL
"""
_FIND: Final = f"""
SELECT {_COLUMNS} FROM billing_document
 WHERE kind = :kind AND payment_id = :payment
   AND refund_id IS NOT DISTINCT FROM CAST(:refund AS uuid)
   AND dispute_id IS NOT DISTINCT FROM CAST(:dispute AS uuid)
"""  # noqa: S608 - constants
_NEXT_NUMBER: Final = """
INSERT INTO document_counter VALUES (:series, 1)
ON CONFLICT (series) DO UPDATE SET last = document_counter.last + 1
RETURNING last
"""
_INSERT: Final = f"""
INSERT INTO billing_document ({_COLUMNS})
VALUES (:id, :series, :number, :kind, :workspace, :payment, :refund, :dispute, :refers_to,
        :snapshot, :hash, :issued_at)
"""  # noqa: S608 - constants


async def read_sale(tx: Transaction, payment_id: bytes) -> Sale | None:
    """Read a payment that gave credit, with the customer and the wallet as they are now."""
    row = await tx.one(_SALE, id=to_uuid(payment_id))
    if row is None:
        return None
    return Sale(
        payment_id=payment_id,
        workspace_id=row.workspace_id.bytes,
        customer=Party(row.name, row.address, row.country, row.tax_id, row.email),
        amounts=Amounts(
            currency=row.currency,
            net=row.net_minor,
            tax=row.tax_minor,
            tax_mode=TaxMode(row.tax_mode),
            tax_rate_ppm=row.tax_rate_ppm,
        ),
        paid_at=row.paid_at,
        card_brand=row.card_brand,
        card_last4=row.card_last4,
        reference=row.reference,
        debt_repaid=row.repaid,
        balance_after=row.posted,
        debt_after=row.receivable,
    )


async def read_refund(tx: Transaction, refund_id: bytes) -> tuple[bytes, int, int] | None:
    """Read a refund's payment, its net amount and its tax (minor units)."""
    row = await tx.one(
        "SELECT payment_id, net_minor, tax_minor FROM refund WHERE id = :id", id=to_uuid(refund_id)
    )
    return None if row is None else (row.payment_id.bytes, row.net_minor, row.tax_minor)


async def read_dispute(tx: Transaction, dispute_id: bytes) -> bytes | None:
    """Read a dispute's payment."""
    row = await tx.one("SELECT payment_id FROM dispute WHERE id = :id", id=to_uuid(dispute_id))
    return None if row is None else bytes(row.payment_id.bytes)


async def find(
    tx: Transaction,
    kind: DocumentKind,
    payment_id: bytes,
    *,
    refund_id: bytes | None = None,
    dispute_id: bytes | None = None,
) -> Document | None:
    """Find the one document of a kind about a payment, refund or dispute."""
    row = await tx.one(
        _FIND,
        kind=int(kind),
        payment=to_uuid(payment_id),
        refund=optional_uuid(refund_id),
        dispute=optional_uuid(dispute_id),
    )
    return None if row is None else document_of(row)


async def next_number(tx: Transaction, series: str) -> tuple[int, datetime | None]:
    """Take the next number of a series and return it, and when the one before was issued.

    The counter's row stays locked until the transaction ends: with it the number is taken or given
    back, so that there is no gap, which a sequence of PostgreSQL would leave.
    """
    taken = await tx.one(_NEXT_NUMBER, series=series)
    if taken is None:
        raise LookupError(series)
    before = await tx.one(
        "SELECT issued_at FROM billing_document WHERE series = :series AND number = :number",
        series=series,
        number=taken.last - 1,
    )
    return taken.last, None if before is None else before.issued_at


async def insert(tx: Transaction, document: Document) -> None:
    """Write a document."""
    await tx.run(
        _INSERT,
        id=to_uuid(document.document_id),
        series=document.series,
        number=document.number,
        kind=int(document.kind),
        workspace=to_uuid(document.workspace_id),
        payment=to_uuid(document.payment_id),
        refund=optional_uuid(document.refund_id),
        dispute=optional_uuid(document.dispute_id),
        refers_to=optional_uuid(document.refers_to),
        snapshot=document.snapshot,
        hash=document.snapshot_hash,
        issued_at=document.issued_at,
    )


async def read(tx: Transaction, document_id: bytes) -> Document | None:
    """Read one document by its id."""
    row = await tx.one(
        f"SELECT {_COLUMNS} FROM billing_document WHERE id = :id",  # noqa: S608 - constant
        id=to_uuid(document_id),
    )
    return None if row is None else document_of(row)


async def list_documents(
    tx: Transaction, workspace_id: bytes, *, before: bytes, limit: int
) -> list[Document]:
    """Read documents of a workspace, newest first, older than `before`."""
    rows = await tx.all(
        f"SELECT {_COLUMNS} FROM billing_document WHERE workspace_id = :workspace"  # noqa: S608 - constant
        " AND id < :before ORDER BY id DESC LIMIT :limit",
        workspace=to_uuid(workspace_id),
        before=to_uuid(before),
        limit=limit,
    )
    return [document_of(row) for row in rows]


def document_of(row: Row[Any]) -> Document:
    """Return a row as a value."""
    return Document(
        document_id=row.id.bytes,
        series=row.series,
        number=row.number,
        kind=DocumentKind(row.kind),
        workspace_id=row.workspace_id.bytes,
        payment_id=row.payment_id.bytes,
        refund_id=None if row.refund_id is None else row.refund_id.bytes,
        dispute_id=None if row.dispute_id is None else row.dispute_id.bytes,
        refers_to=None if row.refers_to is None else row.refers_to.bytes,
        snapshot=row.snapshot,
        snapshot_hash=row.snapshot_hash,
        issued_at=row.issued_at,
    )
