"""ReceiptService over real gRPC."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import psycopg
import pytest

from core.billing.receipt_rpc import receipt_service
from core.db.database import Database
from core.platform_key import load_or_make_platform_key
from kit.ids import IdSource, format_id
from kit.platform_keys import parse_keys
from oneapi.billing.v1 import document_pb2, receipt_service_pb2_grpc
from oneapi.billing.v1 import receipt_service_pb2 as pb
from tests.support.core_server import calling, serving
from tests.support.metering_world import WorldClock
from tests.support.money_world import MoneyWorld
from tests.support.paid_world import PaidWorld
from tests.support.postgres import PostgresServer

if TYPE_CHECKING:
    from oneapi.billing.v1.receipt_service_pb2_grpc import ReceiptServiceAsyncStub as Stub


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[PaidWorld]:
    """Give a test a world on a database of its own."""
    database = Database.connect(database_url)
    yield PaidWorld(MoneyWorld(database))
    await database.close()


@pytest.fixture
async def port(world: PaidWorld, tmp_path: Path) -> AsyncIterator[int]:
    """A server of the service."""
    key = load_or_make_platform_key(tmp_path / "keys" / "platform.json")
    clock = WorldClock(world.money)
    service = receipt_service(world.money.database.rpc, clock, IdSource(), key)
    async with serving([service]) as served:
        yield served


@pytest.fixture
async def finance(port: int) -> AsyncIterator[Stub]:
    """The service as finance calls it."""
    async with calling(port, "finance") as channel:
        yield receipt_service_pb2_grpc.ReceiptServiceStub(channel)


async def test_documents_are_listed_and_read_in_every_format(
    world: PaidWorld, finance: Stub
) -> None:
    """Newest first, by pages; the same bytes each time."""
    workspace = await world.money.workspace()
    payments = [await world.payment(workspace, 1_000 + each) for each in range(3)]
    for payment in payments:
        await world.receipt(payment)
    note = await world.refund_note(await world.refund(payments[0], 500))
    asked = pb.ListDocumentsRequest(workspace_id=format_id("ws", workspace), page_size=3)
    first = await finance.ListDocuments(asked)
    asked.page_token = first.next_page_token
    second = await finance.ListDocuments(asked)
    found = [*first.documents, *second.documents]
    assert [each.number for each in found] == [
        "C-2026-000001",
        *(f"R-2026-00000{number}" for number in (3, 2, 1)),
    ]
    assert found[0].kind == document_pb2.BillingDocument.KIND_CREDIT_NOTE
    assert (found[0].refers_to, found[0].total) == (found[3].document_id, "5.00")
    for wanted, ending, start in (
        (pb.GetDocumentRequest.FORMAT_JSON, "json", b"{"),
        (pb.GetDocumentRequest.FORMAT_HTML, "html", b"<!DOCTYPE html>"),
        (pb.GetDocumentRequest.FORMAT_PDF, "pdf", b"%PDF-"),
    ):
        request = pb.GetDocumentRequest(document_id=found[0].document_id, format=wanted)
        answers = [await finance.GetDocument(request) for _ in range(2)]
        assert answers[0] == answers[1]
        assert answers[0].content.startswith(start)
        assert answers[0].file_name == f"C-2026-000001.{ending}"
        assert answers[0].document.snapshot_hash == note.snapshot_hash


async def test_another_workspaces_document_is_not_there(world: PaidWorld, finance: Stub) -> None:
    """Nor is one that never was."""
    receipt = await world.receipt(await world.payment(await world.money.workspace()))
    other = format_id("ws", await world.money.workspace())
    for request in (
        pb.GetDocumentRequest(
            document_id=format_id("doc", receipt.document_id), workspace_id=other
        ),
        pb.GetDocumentRequest(document_id="doc_" + "0" * 32),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await finance.GetDocument(request)
        assert refused.value.code() == grpc.StatusCode.NOT_FOUND


async def test_a_document_that_was_changed_is_nobodys_receipt(
    world: PaidWorld, finance: Stub, postgres_server: PostgresServer, database_url: str
) -> None:
    """It is a fault of ours to look into."""
    receipt = await world.receipt(await world.payment(await world.money.workspace()))
    with psycopg.connect(postgres_server.superuser_url_of(database_url)) as connection:
        connection.execute(
            "UPDATE billing_document SET snapshot = replace(encode(snapshot, 'escape'),"
            " '10.00', '99.00')::bytea"
        )
    request = pb.GetDocumentRequest(document_id=format_id("doc", receipt.document_id))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await finance.GetDocument(request)
    assert refused.value.code() == grpc.StatusCode.INTERNAL


async def test_an_edge_asks_for_one_workspace_only(port: int) -> None:
    """And for no documents; the archiver for nothing."""
    async with calling(port, "edge") as channel:
        edge = receipt_service_pb2_grpc.ReceiptServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await edge.GetChargeReceipt(pb.GetChargeReceiptRequest(request_id="req_" + "0" * 32))
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await edge.ListDocuments(pb.ListDocumentsRequest(workspace_id="ws_" + "0" * 32))
        assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
        assert parse_keys((await edge.GetPlatformKeys(pb.GetPlatformKeysRequest())).content).by_id
    async with calling(port, "archiver") as channel:
        archiver = receipt_service_pb2_grpc.ReceiptServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await archiver.SignRoot(pb.SignRootRequest())
        assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED


async def test_roots_are_signed_once_listed_and_proved(world: PaidWorld, finance: Stub) -> None:
    """By day, newest first; an impossible day is refused."""
    workspace = await world.money.workspace(1)
    first = (await finance.SignRoot(pb.SignRootRequest())).root
    assert (await finance.SignRoot(pb.SignRootRequest())).root == first
    world.money.pass_time(86_400)
    second = (await finance.SignRoot(pb.SignRootRequest())).root
    page = await finance.ListSignedRoots(pb.ListSignedRootsRequest(page_size=1))
    rest = await finance.ListSignedRoots(
        pb.ListSignedRootsRequest(page_size=1, page_token=page.next_page_token)
    )
    assert ([*page.roots], [*rest.roots], rest.next_page_token) == ([second], [first], "")
    asked = pb.GetHeadProofRequest(workspace_id=format_id("ws", workspace), day=first.day)
    proof = json.loads((await finance.GetHeadProof(asked)).content)
    assert proof["root"]["root"] == first.root.hex()
    asked.day = "2026-13-40"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await finance.GetHeadProof(asked)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    async with world.money.database.rpc.transaction("system") as tx:
        rows = await tx.all("SELECT actor FROM audit_log WHERE action = 'billing.SignRoot'")
    assert [row.actor for row in rows] == ["finance", "finance"]
