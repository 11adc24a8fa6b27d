"""A statement leads from receipts to usage, and the ledger can be read by another program."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import grpc
import psycopg
import pytest

from core.billing.statements.model import Section, Statement
from core.billing.statements.rpc import statement_service
from core.billing.statements.statement import statement_of
from core.cli.beancount import HOUSE, WORKSPACE, AccountUnknown, account_of, beancount_lines
from core.ledger import listing, model, refunds
from core.ledger.messages import transaction_message
from kit.ids import format_id
from kit.money import NANOS_PER_CENT
from kit.reasons import NotFound
from oneapi.billing.v1 import statement_service_pb2 as pb
from oneapi.billing.v1 import statement_service_pb2_grpc
from tests.support import beancount
from tests.support.core_server import calling, serving
from tests.support.metering_world import MeteringWorld
from tests.support.money_world import DOLLAR
from tests.support.paid_world import PaidWorld
from tests.support.postgres import PostgresServer

NOVEMBER, DECEMBER = date(2026, 11, 1), date(2026, 12, 1)


async def _statement(world: PaidWorld, workspace: bytes, month: date, **more: int) -> Statement:
    async with world.money.database.rpc.transaction("system", snapshot=True) as tx:
        return await statement_of(tx, workspace, month, **more)


async def _refund(world: PaidWorld, workspace: bytes, payment: bytes, cents: int) -> str:
    """Reserve and send a refund, with its credit note; return the note's number."""
    refund_id = await world.refund(payment, cents)
    async with world.money.database.rpc.transaction("system") as tx:
        row = await tx.one(
            "SELECT grant_id FROM payment WHERE id = CAST(:id AS uuid)", id=payment.hex()
        )
        assert row is not None
        what = {
            "workspace_id": workspace,
            "grant_id": row.grant_id.bytes,
            "refund_id": refund_id,
            "net": cents * NANOS_PER_CENT,
            "tax": 0,
            "actor": "finance",
            "now": world.money.now,
        }
        await refunds.reserve(tx, **what)
        await refunds.sent(tx, stripe_id=f"re_{refund_id.hex()}", **what)
        await tx.commit()
    return (await world.refund_note(refund_id)).name


async def _live(world: PaidWorld, metering: MeteringWorld) -> tuple[bytes, str, str, int]:
    """Two months of a workspace; return it, its receipt, its credit note, and what it used."""
    workspace = await world.money.workspace(1)
    payment = await world.payment(workspace, 1_000)
    receipt = (await world.receipt(payment)).name
    await world.money.acquire(workspace, 1, DOLLAR)
    records = [metering.record(workspace, input_tokens=1_000 + place) for place in range(5)]
    await metering.report(records)
    world.money.now += timedelta(days=2)
    more = [metering.record(workspace)]
    await metering.report(more)
    note = await _refund(world, workspace, payment, 300)
    world.money.now = datetime(2026, 12, 3, tzinfo=UTC)
    await metering.report([metering.record(workspace)])
    return workspace, receipt, note, sum(each.charge_nanos for each in (*records, *more))


async def test_a_month_leads_from_its_receipts_to_its_usage(
    world: PaidWorld, metering: MeteringWorld
) -> None:
    """And the next month begins where it ended, to the link of the chain."""
    workspace, receipt, note, used = await _live(world, metering)
    month = await _statement(world, workspace, NOVEMBER)
    sums = {each.section: each.amount for each in month.sums}
    assert sums == {
        Section.PURCHASES: 10 * DOLLAR,
        Section.GRANTS: DOLLAR,
        Section.USAGE: -used,
        Section.REFUNDS: -3 * DOLLAR,
    }
    assert month.adds_up
    assert month.opening.net == 0
    assert month.closing.net == 8 * DOLLAR - used
    documents = [(each.kind, each.document) for each in month.lines if each.document]
    assert documents == [("paid_grant", receipt), ("refund_sent", note)]
    days = {each.day: (each.model, each.requests) for each in month.usage}
    assert days == {
        date(2026, 11, 20): ("test/model", 5),
        date(2026, 11, 22): ("test/model", 1),
    }
    after = await _statement(world, workspace, DECEMBER)
    assert after.opening == month.closing
    assert after.adds_up
    assert [each.section for each in after.sums] == [Section.USAGE]


async def test_a_month_without_movements_is_empty(world: PaidWorld) -> None:
    """Before the workspace was, and after; a workspace that never was has none."""
    workspace = await world.money.workspace(1)
    before = await _statement(world, workspace, date(2026, 1, 1))
    assert (before.opening, before.sums, before.adds_up) == (before.closing, (), True)
    after = await _statement(world, workspace, date(2027, 6, 1))
    assert after.opening.total == after.closing.total == DOLLAR
    with pytest.raises(NotFound):
        await _statement(world, world.money.ids.new(), NOVEMBER)


async def test_what_is_too_much_to_tell_is_counted(world: PaidWorld) -> None:
    """Sums are of all movements, whatever is listed."""
    workspace = await world.money.workspace()
    for _ in range(3):
        await world.money.grant(workspace, DOLLAR)
    found = await _statement(world, workspace, NOVEMBER, lines_max=1)
    assert (len(found.lines), found.omitted_lines, found.adds_up) == (1, 2, True)
    assert found.sums[0].amount == 3 * DOLLAR


async def test_a_statement_that_does_not_add_up_says_so(
    world: PaidWorld,
    metering: MeteringWorld,
    postgres_server: PostgresServer,
    database_url: str,
) -> None:
    """A charge that was changed behind our back is not what the entries say."""
    workspace, *_ = await _live(world, metering)
    with psycopg.connect(postgres_server.superuser_url_of(database_url)) as connection:
        connection.execute("UPDATE usage_record SET charge_nanos = charge_nanos + 1")
    assert not (await _statement(world, workspace, NOVEMBER)).adds_up


@pytest.fixture
async def port(world: PaidWorld) -> AsyncIterator[int]:
    """A server of the service."""
    async with serving([statement_service(world.money.database.rpc)]) as served:
        yield served


async def test_statements_and_exports_over_grpc(
    world: PaidWorld, metering: MeteringWorld, port: int
) -> None:
    """Finance reads both; an edge neither; a month that is none is refused."""
    workspace, *_ = await _live(world, metering)
    name = format_id("ws", workspace)
    async with calling(port, "finance") as channel:
        stub = statement_service_pb2_grpc.StatementServiceStub(channel)
        asked = pb.GetStatementRequest(workspace_id=name, month="2026-11")
        found = (await stub.GetStatement(asked)).statement
        assert found.adds_up
        assert found.closing.total.amount_nanos == sum(
            each.amount.amount_nanos for each in found.sums
        )
        request = pb.ExportTransactionsRequest(workspace_id=name)
        request.posted_before.FromDatetime(datetime(2026, 12, 1, tzinfo=UTC))
        answers = [answer async for answer in stub.ExportTransactions(request)]
        kinds = [each.kind for answer in answers for each in answer.transactions]
        assert kinds[:2] == ["promo_grant", "paid_grant"]
        assert kinds.count("settle") >= 2
        for month in ("2026-13", "0000-01"):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.GetStatement(pb.GetStatementRequest(workspace_id=name, month=month))
            assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    async with calling(port, "edge") as channel:
        stub = statement_service_pb2_grpc.StatementServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetStatement(asked)
        assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED


async def test_the_ledger_is_exported_as_beancount_reads_it(
    world: PaidWorld, metering: MeteringWorld
) -> None:
    """Every account holds what it holds in the ledger, with the sign turned."""
    await _live(world, metering)
    async with world.money.database.rpc.transaction("system") as tx:
        found = await listing.export_transactions(
            tx, None, after=bytes(16), end=b"\xff" * 16, limit=1_000
        )
        sums = await listing.trial_balance(tx)
    held = beancount.checked(beancount_lines(map(transaction_message, found)))
    for account, total in sums.items():
        name = HOUSE.get(account) or WORKSPACE[account]
        there = sum(amount for each, amount in held.items() if each.startswith(name))
        assert there == -Decimal(total) / DOLLAR
    assert next(iter(beancount_lines([]))).startswith("option")


def test_every_account_of_the_ledger_has_a_name_there() -> None:
    """A new one is found here, not by finance."""
    words = {
        value for name, value in vars(model).items() if name.isupper() and isinstance(value, str)
    }
    accounts = {word for word in words if "." in word} | model.WORKSPACE_ACCOUNTS
    accounts |= {model.TAX_PAYABLE}
    assert accounts == HOUSE.keys() | WORKSPACE.keys()
    with pytest.raises(AccountUnknown):
        account_of("psp.other")
