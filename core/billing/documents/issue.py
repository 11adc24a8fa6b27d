"""Issues receipts and credit notes, in the transaction that posts the money they are about."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from core.billing.documents import store
from core.billing.documents.model import (
    Amounts,
    Document,
    DocumentKind,
    Party,
    Sale,
    document_name,
    series_of,
    snapshot_hash,
    snapshot_of,
)
from core.db.database import Transaction
from kit.ids import PAYMENT_PREFIX, IdSource, format_id
from kit.reasons import NotFound


@dataclass(frozen=True, slots=True)
class _Subject:
    """What a document is about: a payment, and the refund or dispute of it."""

    payment_id: bytes
    refund_id: bytes | None = None
    dispute_id: bytes | None = None


class Documents:
    """Issues documents in the seller's name. Each is issued once, however often it is asked for.

    The caller's transaction holds the wallet's lock and has posted already: a document tells the
    balance after. Whoever issues two in one transaction issues the receipt first, so that the
    counters are always locked in the same order.
    """

    def __init__(self, seller: Party, ids: IdSource) -> None:
        """Name the seller; ids of documents come from `ids`."""
        self._seller = seller
        self._ids = ids

    async def issue_receipt(self, tx: Transaction, *, payment_id: bytes, now: datetime) -> Document:
        """Issue the receipt of a succeeded payment, whose row names its grant already.

        Raises:
            NotFound: no such payment, or it gave no credit.
        """
        sale = await _sale(tx, payment_id)
        subject = _Subject(payment_id)
        return await self._issue(tx, DocumentKind.RECEIPT, subject, sale, sale.amounts, now)

    async def issue_refund_note(
        self, tx: Transaction, *, refund_id: bytes, now: datetime
    ) -> Document:
        """Issue the credit note of a refund, by its row's net amount and tax.

        Raises:
            NotFound: no such refund, or its payment has no receipt.
        """
        found = await store.read_refund(tx, refund_id)
        if found is None:
            raise NotFound(refund=format_id("refund", refund_id))
        payment_id, net, tax = found
        return await self._credit(tx, _Subject(payment_id, refund_id=refund_id), net, tax, now)

    async def issue_dispute_note(
        self, tx: Transaction, *, dispute_id: bytes, net: int, tax: int, now: datetime
    ) -> Document:
        """Issue the credit note of a lost dispute: `net` and `tax` (minor units) went back.

        Raises:
            NotFound: no such dispute, or its payment has no receipt.
        """
        payment_id = await store.read_dispute(tx, dispute_id)
        if payment_id is None:
            raise NotFound(dispute=format_id("dsp", dispute_id))
        return await self._credit(tx, _Subject(payment_id, dispute_id=dispute_id), net, tax, now)

    async def issue_reversal(self, tx: Transaction, *, refund_id: bytes, now: datetime) -> Document:
        """Issue what voids a refund's credit note: Stripe failed the refund after it was noted.

        Raises:
            NotFound: no such refund, or it has no credit note.
        """
        found = await store.read_refund(tx, refund_id)
        if found is None:
            raise NotFound(refund=format_id("refund", refund_id))
        payment_id, net, tax = found
        subject = _Subject(payment_id, refund_id=refund_id)
        note = await _first(tx, DocumentKind.CREDIT_NOTE, subject)
        sale = await _sale(tx, payment_id)
        amounts = replace(sale.amounts, net=net, tax=tax)
        return await self._issue(tx, DocumentKind.REVERSAL, subject, sale, amounts, now, note)

    async def _credit(
        self, tx: Transaction, subject: _Subject, net: int, tax: int, now: datetime
    ) -> Document:
        receipt = await _first(tx, DocumentKind.RECEIPT, _Subject(subject.payment_id))
        sale = await _sale(tx, subject.payment_id)
        amounts = replace(sale.amounts, net=net, tax=tax)
        return await self._issue(tx, DocumentKind.CREDIT_NOTE, subject, sale, amounts, now, receipt)

    async def _issue(
        self,
        tx: Transaction,
        kind: DocumentKind,
        subject: _Subject,
        sale: Sale,
        amounts: Amounts,
        now: datetime,
        refers_to: Document | None = None,
    ) -> Document:
        issued = await _find(tx, kind, subject)
        if issued is not None:
            return issued
        series = series_of(kind, now)
        number, before = await store.next_number(tx, series)
        # The order of numbers is the order of issue, whichever of two cores' clocks is ahead.
        issued_at = max(now, before) if before is not None else now
        snapshot = snapshot_of(
            kind,
            document_name(series, number),
            issued_at,
            seller=self._seller,
            sale=sale,
            amounts=amounts,
            refers_to=refers_to,
        )
        document = Document(
            document_id=self._ids.new(),
            series=series,
            number=number,
            kind=kind,
            workspace_id=sale.workspace_id,
            payment_id=subject.payment_id,
            refund_id=subject.refund_id,
            dispute_id=subject.dispute_id,
            refers_to=None if refers_to is None else refers_to.document_id,
            snapshot=snapshot,
            snapshot_hash=snapshot_hash(snapshot),
            issued_at=issued_at,
        )
        await store.insert(tx, document)
        return document


async def _sale(tx: Transaction, payment_id: bytes) -> Sale:
    sale = await store.read_sale(tx, payment_id)
    if sale is None:
        raise NotFound(payment=format_id(PAYMENT_PREFIX, payment_id))
    return sale


async def _first(tx: Transaction, kind: DocumentKind, subject: _Subject) -> Document:
    """Return the document that another one refers to."""
    found = await _find(tx, kind, subject)
    if found is None:
        raise NotFound(
            document_of=format_id(PAYMENT_PREFIX, subject.payment_id), kind=kind.name.lower()
        )
    return found


async def _find(tx: Transaction, kind: DocumentKind, subject: _Subject) -> Document | None:
    return await store.find(
        tx,
        kind,
        subject.payment_id,
        refund_id=subject.refund_id,
        dispute_id=subject.dispute_id,
    )
