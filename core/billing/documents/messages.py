"""Between documents, signed roots and their messages, nothing else."""

from __future__ import annotations

import json

from core.billing.documents.model import Document
from core.proofs.root_store import SignedRoot
from core.timestamps import to_timestamp
from kit.ids import PAYMENT_PREFIX, format_id
from oneapi.billing.v1 import document_pb2


def document_message(document: Document) -> document_pb2.BillingDocument:
    """Render a document without its content."""
    said = json.loads(document.snapshot)
    before = document.refers_to
    return document_pb2.BillingDocument(
        document_id=format_id("doc", document.document_id),
        number=document.name,
        kind=document_pb2.BillingDocument.Kind.ValueType(document.kind),
        workspace_id=format_id("ws", document.workspace_id),
        payment_id=format_id(PAYMENT_PREFIX, document.payment_id),
        refers_to="" if before is None else format_id("doc", before),
        issued_at=to_timestamp(document.issued_at),
        total=said["total"],
        currency_code=said["currency"],
        snapshot_hash=document.snapshot_hash,
    )


def root_message(signed: SignedRoot) -> document_pb2.SignedRoot:
    """Render a signed root."""
    return document_pb2.SignedRoot(
        day=signed.day.isoformat(),
        root=signed.root,
        wallets=signed.wallets,
        key_id=signed.key_id,
        signature=signed.signature,
        created_at=to_timestamp(signed.created_at),
    )
