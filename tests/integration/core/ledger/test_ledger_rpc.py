"""CreditService and LedgerService over real gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from core.ledger.model import GrantKind
from core.ledger.rpc import credit_service, ledger_service
from core.metering.proofs import UsageProofs
from kit.ids import IdSource, format_id
from kit.rpc.status import domain_error_of
from oneapi.billing.v1 import (
    credit_service_pb2,
    credit_service_pb2_grpc,
    ledger_pb2,
    ledger_service_pb2_grpc,
)
from oneapi.billing.v1 import ledger_service_pb2 as ledger_pb
from oneapi.common.v1.money_pb2 import Money
from tests.support.core_server import calling, serving
from tests.support.metering_world import MeteringWorld, WorldClock
from tests.support.money_world import DOLLAR, MoneyWorld

PROMOTIONAL = ledger_pb2.CreditGrant.KIND_PROMOTIONAL
GOODWILL = ledger_pb2.CreditGrant.KIND_GOODWILL


@pytest.fixture
async def port(world: MoneyWorld) -> AsyncIterator[int]:
    """A server of both services."""
    database = world.database
    credit = credit_service(database.rpc, WorldClock(world), IdSource(), 25 * DOLLAR)
    ledger = ledger_service(database.rpc, database.jobs, UsageProofs())
    async with serving([credit, ledger]) as served:
        yield served


@pytest.fixture
async def credit(port: int) -> AsyncIterator[credit_service_pb2_grpc.CreditServiceAsyncStub]:
    """CreditService as an operator calls it."""
    async with calling(port) as channel:
        yield credit_service_pb2_grpc.CreditServiceStub(channel)


@pytest.fixture
async def ledger(port: int) -> AsyncIterator[ledger_service_pb2_grpc.LedgerServiceAsyncStub]:
    """LedgerService as finance calls it."""
    async with calling(port, "finance") as channel:
        yield ledger_service_pb2_grpc.LedgerServiceStub(channel)


def _grant(
    workspace: bytes, nanos: int = DOLLAR, **fields: object
) -> credit_service_pb2.GrantCreditRequest:
    values = {
        "request_id": "request-0001",
        "workspace_id": format_id("ws", workspace),
        "kind": PROMOTIONAL,
        "amount": Money(amount_nanos=nanos, currency_code="USD"),
    }
    return credit_service_pb2.GrantCreditRequest(**(values | fields))  # type: ignore[arg-type]


async def _reason(call: object) -> str:
    with pytest.raises(grpc.RpcError) as refused:
        await call  # type: ignore[misc]
    return type(domain_error_of(refused.value)).__name__


async def test_a_grant_raises_the_balance_once_for_its_request_id(
    world: MoneyWorld, credit: credit_service_pb2_grpc.CreditServiceAsyncStub
) -> None:
    """A retry replays the answer and leaves one audit row."""
    workspace = await world.workspace()
    first = await credit.GrantCredit(_grant(workspace))
    again = await credit.GrantCredit(_grant(workspace))
    assert again == first
    assert first.balance.available.amount_nanos == DOLLAR
    listed = await credit.ListCreditGrants(
        credit_service_pb2.ListCreditGrantsRequest(workspace_id=format_id("ws", workspace))
    )
    assert list(listed.grants) == [first.grant]
    async with world.database.rpc.transaction("system") as tx:
        rows = await tx.all("SELECT action FROM audit_log")
    assert [row.action for row in rows] == ["billing.GrantCredit"]


async def test_a_request_id_with_other_content_is_refused(
    world: MoneyWorld, credit: credit_service_pb2_grpc.CreditServiceAsyncStub
) -> None:
    """Neither amount nor expiry may change behind an id."""
    workspace = await world.workspace()
    await credit.GrantCredit(_grant(workspace))
    assert await _reason(credit.GrantCredit(_grant(workspace, 2 * DOLLAR))) == "RequestIdReused"
    later = Timestamp(seconds=2_000_000_000)
    assert (
        await _reason(credit.GrantCredit(_grant(workspace, expires_at=later))) == "RequestIdReused"
    )


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"kind": ledger_pb2.CreditGrant.KIND_PAID}, "InvalidArgument"),
        ({"kind": ledger_pb2.CreditGrant.KIND_UNSPECIFIED}, "InvalidArgument"),
        ({"nanos": 0}, "AmountOutOfRange"),
        ({"nanos": -1}, "AmountOutOfRange"),
        ({"expires_at": Timestamp(seconds=1)}, "InvalidArgument"),
        ({"amount": Money(amount_nanos=1, currency_code="EUR")}, "InvalidArgument"),
    ],
)
async def test_credit_that_cannot_be_given_is_refused(
    world: MoneyWorld,
    credit: credit_service_pb2_grpc.CreditServiceAsyncStub,
    fields: dict[str, object],
    reason: str,
) -> None:
    """Bought credit comes by payments; amounts are above zero; expiry is in the future."""
    workspace = await world.workspace()
    assert await _reason(credit.GrantCredit(_grant(workspace, **fields))) == reason  # type: ignore[arg-type]
    assert (await world.balance(workspace)).total == 0


async def test_the_ledgers_range_cannot_be_left(
    world: MoneyWorld, credit: credit_service_pb2_grpc.CreditServiceAsyncStub
) -> None:
    """No wrap-around near 2^63."""
    workspace = await world.workspace(1)
    assert await _reason(credit.GrantCredit(_grant(workspace, 2**63 - 1))) == "AmountOutOfRange"


async def test_an_unknown_workspace_is_not_found(
    world: MoneyWorld, credit: credit_service_pb2_grpc.CreditServiceAsyncStub
) -> None:
    """Neither for reading nor for giving."""
    unknown = world.ids.new()
    request = credit_service_pb2.GetBalanceRequest(workspace_id=format_id("ws", unknown))
    assert await _reason(credit.GetBalance(request)) == "NotFound"
    assert await _reason(credit.GrantCredit(_grant(unknown))) == "NotFound"


async def test_an_edge_reads_balances_and_nothing_else(world: MoneyWorld, port: int) -> None:
    """It asks for the workspace of a key that it has authenticated; it gives no credit."""
    workspace = await world.workspace(1)
    request = credit_service_pb2.GetBalanceRequest(workspace_id=format_id("ws", workspace))
    listing = credit_service_pb2.ListCreditGrantsRequest(workspace_id=format_id("ws", workspace))
    async with calling(port, "edge") as channel:
        stub = credit_service_pb2_grpc.CreditServiceStub(channel)
        assert (await stub.GetBalance(request)).balance.total.amount_nanos == DOLLAR
        assert await _reason(stub.ListCreditGrants(listing)) == "CallerNotAllowed"
        assert await _reason(stub.GrantCredit(_grant(workspace))) == "CallerNotAllowed"


async def test_transactions_are_listed_newest_first_in_pages(
    world: MoneyWorld, ledger: ledger_service_pb2_grpc.LedgerServiceAsyncStub
) -> None:
    """Each with its entries; the next page goes on where the last one ended."""
    await world.edge()
    workspace, _other = await world.workspace(10), await world.workspace(1)
    world.pass_time(1)
    await world.acquire(workspace, 1, DOLLAR)
    scope = format_id("ws", workspace)
    first = await ledger.ListTransactions(
        ledger_pb.ListTransactionsRequest(workspace_id=scope, page_size=1)
    )
    second = await ledger.ListTransactions(
        ledger_pb.ListTransactionsRequest(
            workspace_id=scope, page_size=1, page_token=first.next_page_token
        )
    )
    assert [each.kind for each in (*first.transactions, *second.transactions)] == [
        "lease_grant",
        "promo_grant",
    ]
    assert second.next_page_token == ""
    entries = first.transactions[0].entries
    assert [(entry.account, entry.amount.amount_nanos) for entry in entries] == [
        (f"{scope}.promo", -DOLLAR),
        (f"{scope}.held", DOLLAR),
    ]
    one = await ledger.GetTransaction(
        ledger_pb.GetTransactionRequest(transaction_id=first.transactions[0].transaction_id)
    )
    assert one.transaction == first.transactions[0]


async def test_an_unknown_transaction_is_not_found(
    world: MoneyWorld, ledger: ledger_service_pb2_grpc.LedgerServiceAsyncStub
) -> None:
    """An id that nobody minted."""
    request = ledger_pb.GetTransactionRequest(transaction_id=format_id("txn", world.ids.new()))
    assert await _reason(ledger.GetTransaction(request)) == "NotFound"


async def test_the_trial_balance_is_zero(
    world: MoneyWorld, ledger: ledger_service_pb2_grpc.LedgerServiceAsyncStub
) -> None:
    """Every account's sum, and all of them together."""
    await world.workspace(3)
    answer = await ledger.GetTrialBalance(ledger_pb.GetTrialBalanceRequest())
    sums = {each.account: each.amount.amount_nanos for each in answer.sums}
    assert sums == {"exp.promo": -3 * DOLLAR, "promo": 3 * DOLLAR}
    assert answer.total.amount_nanos == 0


async def test_verification_streams_findings_and_a_summary(
    world: MoneyWorld, ledger: ledger_service_pb2_grpc.LedgerServiceAsyncStub
) -> None:
    """Findings first, what was looked at last."""
    workspace = await world.workspace(3)
    async with world.database.rpc.transaction("system") as tx:
        await tx.run("UPDATE credit_grant SET remaining = remaining - 1")
        await tx.commit()
    request = ledger_pb.VerifyLedgerRequest(workspace_id=format_id("ws", workspace))
    answers = [answer async for answer in ledger.VerifyLedger(request)]
    assert {answer.finding.check for answer in answers[:-1]} == {"grant_sums"}
    summary = answers[-1].summary
    assert (summary.wallets, summary.transactions, summary.entries) == (1, 1, 2)
    assert summary.findings == len(answers) - 1 == 2


@pytest.fixture
async def support(port: int) -> AsyncIterator[credit_service_pb2_grpc.CreditServiceAsyncStub]:
    """CreditService as support calls it."""
    async with calling(port, "support") as channel:
        yield credit_service_pb2_grpc.CreditServiceStub(channel)


async def test_support_gives_goodwill_up_to_its_limit(
    world: MoneyWorld, support: credit_service_pb2_grpc.CreditServiceAsyncStub
) -> None:
    """For each workspace and any 30 days; what finance gives does not count."""
    workspace, other = await world.workspace(), await world.workspace()
    await world.grant(workspace, 100 * DOLLAR, GrantKind.GOODWILL)

    def wish(number: int, dollars: int, whose: bytes = workspace) -> Any:
        request = f"goodwill-{number}"
        return _grant(whose, dollars * DOLLAR, request_id=request, kind=GOODWILL)

    await support.GrantCredit(wish(1, 20))
    assert await _reason(support.GrantCredit(wish(2, 6))) == "RateLimited"
    await support.GrantCredit(wish(3, 5))
    await support.GrantCredit(wish(3, 5))
    await support.GrantCredit(wish(4, 25, other))
    world.pass_time(30 * 86_400 - 1)
    assert await _reason(support.GrantCredit(wish(5, 1))) == "RateLimited"
    world.pass_time(1)
    await support.GrantCredit(wish(5, 25))
    assert (await world.balance(workspace)).total == 150 * DOLLAR


async def test_support_may_do_nothing_else(
    world: MoneyWorld, support: credit_service_pb2_grpc.CreditServiceAsyncStub
) -> None:
    """No promotions, no corrections."""
    workspace = await world.workspace()
    assert await _reason(support.GrantCredit(_grant(workspace))) == "CallerNotAllowed"
    request = credit_service_pb2.CorrectChargeRequest()
    assert await _reason(support.CorrectCharge(request)) == "CallerNotAllowed"


async def test_a_charge_is_given_back_once_and_audited(
    world: MoneyWorld,
    metering: MeteringWorld,
    credit: credit_service_pb2_grpc.CreditServiceAsyncStub,
) -> None:
    """By the request's own id."""
    workspace = await world.workspace(10)
    record = await metering.spend(workspace, 4 * DOLLAR)
    request = credit_service_pb2.CorrectChargeRequest(
        request_id="fix-00001",
        charged_request_id=format_id("req", record),
        amount=Money(amount_nanos=DOLLAR, currency_code="USD"),
        reason=credit_service_pb2.CorrectChargeRequest.REASON_SERVICE_FAULT,
    )
    first = await credit.CorrectCharge(request)
    assert await credit.CorrectCharge(request) == first
    assert first.balance.available.amount_nanos == 7 * DOLLAR
    request.ClearField("reason")
    assert await _reason(credit.CorrectCharge(request)) == "InvalidArgument"
    async with world.database.rpc.transaction("system") as tx:
        rows = await tx.all("SELECT action, object_id FROM audit_log")
    assert [tuple(row) for row in rows] == [("billing.CorrectCharge", format_id("req", record))]
