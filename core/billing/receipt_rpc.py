"""ReceiptService: parse, call, render."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Any, Final

from core.audit import Act
from core.billing.documents import store
from core.billing.documents.html import render_html
from core.billing.documents.messages import document_message, root_message
from core.billing.documents.model import Document, snapshot_hash
from core.db.database import Pool
from core.db.paging import id_token, page_size, parse_id_token, split_page
from core.platform_key import PlatformKey
from core.proofs import root_store
from core.proofs.charge_receipt import charge_receipt
from core.proofs.roots import head_proof, sign_today
from kit.clock import Clock
from kit.ids import IdSource, parse_id, parse_optional_id
from kit.reasons import InvalidArgument, NotFound
from kit.rpc.identity import current_caller
from kit.rpc.server import Service
from oneapi.billing.v1 import receipt_service_pb2 as pb
from oneapi.billing.v1 import receipt_service_pb2_grpc

NAME = "oneapi.billing.v1.ReceiptService"
_STAFF: Final = frozenset({"operator", "finance"})
_READERS: Final = _STAFF | {"support"}
_EVERYBODY: Final = _READERS | {"edge"}
ALLOWED = {
    "ListDocuments": _READERS,
    "GetDocument": _READERS,
    "GetChargeReceipt": _EVERYBODY,
    "ListSignedRoots": _READERS,
    "SignRoot": _STAFF,
    "GetHeadProof": _READERS,
    "GetPlatformKeys": _EVERYBODY | {"archiver"},
}
_Format = pb.GetDocumentRequest
_FILES: Final = {
    _Format.FORMAT_UNSPECIFIED: ("application/json", "json"),
    _Format.FORMAT_JSON: ("application/json", "json"),
    _Format.FORMAT_HTML: ("text/html; charset=utf-8", "html"),
    _Format.FORMAT_PDF: ("application/pdf", "pdf"),
}


class ReceiptServicer(receipt_service_pb2_grpc.ReceiptServiceServicer):
    """Documents of workspaces, receipts of charges, signed roots and the keys they need."""

    def __init__(self, pool: Pool, clock: Clock, ids: IdSource, key: PlatformKey) -> None:
        """Read through the pool and sign with the key."""
        self._pool = pool
        self._clock = clock
        self._ids = ids
        self._key = key

    async def ListDocuments(
        self, request: pb.ListDocumentsRequest, context: Any
    ) -> pb.ListDocumentsResponse:
        """List documents, newest first."""
        workspace_id = parse_id("ws", request.workspace_id)
        size, before = page_size(request.page_size), parse_id_token(request.page_token)
        async with self._pool.transaction("app", workspace_id) as tx:
            rows = await store.list_documents(tx, workspace_id, before=before, limit=size + 1)
        page, token = split_page(rows, size, lambda document: id_token(document.document_id))
        return pb.ListDocumentsResponse(
            documents=map(document_message, page), next_page_token=token
        )

    async def GetDocument(
        self, request: pb.GetDocumentRequest, context: Any
    ) -> pb.GetDocumentResponse:
        """Read a document in one of its formats."""
        document_id = parse_id("doc", request.document_id)
        workspace_id = parse_optional_id("ws", request.workspace_id)
        async with self._pool.transaction("system") as tx:
            document = await store.read(tx, document_id)
        if document is None or workspace_id not in {None, document.workspace_id}:
            raise NotFound(document=request.document_id)
        media_type, ending = _FILES[request.format]
        return pb.GetDocumentResponse(
            document=document_message(document),
            # A page takes a while to make: other calls go on meanwhile.
            content=await asyncio.to_thread(_content, document, ending),
            media_type=media_type,
            file_name=f"{document.name}.{ending}",
        )

    async def GetChargeReceipt(
        self, request: pb.GetChargeReceiptRequest, context: Any
    ) -> pb.GetChargeReceiptResponse:
        """Make the signed receipt of a charge."""
        workspace_id = parse_optional_id("ws", request.workspace_id)
        if workspace_id is None and current_caller().name == "edge":
            raise InvalidArgument(fields="workspace_id")
        request_id = parse_id("req", request.request_id)
        async with self._pool.transaction("system", snapshot=True) as tx:
            content = await charge_receipt(tx, self._key, request_id, workspace_id)
        return pb.GetChargeReceiptResponse(content=content)

    async def ListSignedRoots(
        self, request: pb.ListSignedRootsRequest, context: Any
    ) -> pb.ListSignedRootsResponse:
        """List signed roots, newest first."""
        size, before = page_size(request.page_size), _optional_day(request.page_token, "page_token")
        async with self._pool.transaction("system") as tx:
            rows = await root_store.list_roots(tx, before, size + 1)
        page, token = split_page(rows, size, lambda signed: signed.day.isoformat())
        return pb.ListSignedRootsResponse(roots=map(root_message, page), next_page_token=token)

    async def SignRoot(self, request: pb.SignRootRequest, context: Any) -> pb.SignRootResponse:
        """Sign the root of today, unless that was done."""
        signed = await sign_today(self._pool, self._key, Act.of_call(self._clock, self._ids))
        return pb.SignRootResponse(root=root_message(signed))

    async def GetHeadProof(
        self, request: pb.GetHeadProofRequest, context: Any
    ) -> pb.GetHeadProofResponse:
        """Prove that a wallet's head is in a signed root."""
        day = _optional_day(request.day, "day")
        async with self._pool.transaction("system") as tx:
            content = await head_proof(tx, parse_id("ws", request.workspace_id), day)
        return pb.GetHeadProofResponse(content=content)

    async def GetPlatformKeys(
        self, request: pb.GetPlatformKeysRequest, context: Any
    ) -> pb.GetPlatformKeysResponse:
        """Read the public keys."""
        return pb.GetPlatformKeysResponse(content=self._key.public_keys.to_json())


def receipt_service(pool: Pool, clock: Clock, ids: IdSource, key: PlatformKey) -> Service:
    """Return the service for the server."""
    add = receipt_service_pb2_grpc.add_ReceiptServiceServicer_to_server
    return Service(NAME, add, ReceiptServicer(pool, clock, ids, key), ALLOWED)


def _content(document: Document, ending: str) -> bytes:
    if snapshot_hash(document.snapshot) != document.snapshot_hash:
        # Changed behind our back: the proofs tell what, and nobody gets it as a receipt.
        raise ValueError("a document is not what was issued")
    if ending == "html":
        return render_html(document.snapshot)
    if ending == "pdf":
        # Not needed to start: its libraries take a third of core's time to import.
        from core.billing.documents.pdf import render_pdf  # noqa: PLC0415

        return render_pdf(document.snapshot)
    return document.snapshot


def _optional_day(text: str, field: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise InvalidArgument(fields=field) from None
