"""Checks all documents: no gap, nothing changed, a receipt for each payment."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from core.billing.documents.model import CURRENCIES, document_name, minor_text, snapshot_hash
from core.db.database import Transaction
from core.ledger.proofs.finding import Finding, Tally, differing, stream
from core.ledger.store import optional_uuid
from kit.ids import PAYMENT_PREFIX, format_id

CHECK: Final = "document"
_DOCUMENTS: Final = """
SELECT d.id, d.series, d.number, d.kind, d.snapshot, d.snapshot_hash, d.issued_at,
       p.currency, p.net_minor + p.tax_minor AS paid,
       r.net_minor + r.tax_minor AS refunded,
       row_number() OVER (PARTITION BY d.series ORDER BY d.number) AS place,
       lag(d.issued_at) OVER (PARTITION BY d.series ORDER BY d.number) AS issued_before,
       d.workspace_id
  FROM billing_document AS d
  JOIN payment AS p ON p.id = d.payment_id
  LEFT JOIN refund AS r ON r.id = d.refund_id
 ORDER BY d.series, d.number
"""
_COUNTERS: Final = """
SELECT c.series, CAST(c.last AS bigint) AS last,
       (SELECT count(*) FROM billing_document AS d WHERE d.series = c.series) AS issued
  FROM document_counter AS c
"""
_WITHOUT_RECEIPT: Final = """
SELECT p.id FROM payment AS p
 WHERE p.grant_id IS NOT NULL
   AND (%(workspace)s::uuid IS NULL OR p.workspace_id = %(workspace)s::uuid)
   AND NOT EXISTS (SELECT 1 FROM billing_document AS d WHERE d.payment_id = p.id AND d.kind = 1)
"""


class DocumentProofs:
    """Checks documents against their counters, payments and refunds."""

    async def check(
        self,
        tx: Transaction,
        workspace_id: bytes | None,
        tally: Tally,  # noqa: ARG002 - the port's signature
    ) -> AsyncIterator[Finding]:
        """Yield what does not add up; gaps are seen over all workspaces only."""
        async for row in stream(tx, "documents", _DOCUMENTS, {}):
            if workspace_id in {None, row["workspace_id"].bytes}:
                for finding in _check_document(row):
                    yield finding
        if workspace_id is None:
            async for row in stream(tx, "counters", _COUNTERS, {}):
                for finding in differing(CHECK, row["series"], row["last"], row["issued"]):
                    yield finding
        scope = {"workspace": optional_uuid(workspace_id)}
        async for row in stream(tx, "receipts", _WITHOUT_RECEIPT, scope):
            yield Finding(CHECK, format_id(PAYMENT_PREFIX, row["id"].bytes), "receipt", "none")


def _check_document(row: Mapping[str, Any]) -> list[Finding]:
    name = document_name(row["series"], row["number"])
    said = _content(row["snapshot"])
    in_order = row["issued_before"] is None or row["issued_before"] <= row["issued_at"]
    amount = row["paid"] if row["kind"] == 1 else row["refunded"]
    return [
        *differing(CHECK, name, snapshot_hash(row["snapshot"]), row["snapshot_hash"]),
        *differing(CHECK, name, row["number"], row["place"]),
        *differing(CHECK, name, "in order", "in order" if in_order else "out of order"),
        *differing(CHECK, name, name, said.get("number")),
        # The amount of a lost dispute is the bank's; the ledger's proofs have it.
        *(
            differing(CHECK, name, _amount(amount, row["currency"]), said.get("total"))
            if amount is not None
            else ()
        ),
    ]


def _amount(minor: int, currency: str) -> str:
    """Return what a document has to say; of another currency there is none that is right."""
    return minor_text(minor, currency) if currency in CURRENCIES else f"{minor} of {currency}"


def _content(snapshot: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(snapshot)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
