"""The daily proof: all books, on one moment, kept as a report."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import psycopg
import pytest

from core.audit import Act
from core.billing.documents.proofs import DocumentProofs
from core.db.database import Transaction
from core.ledger.proofs.finding import Finding, Tally
from core.metering.proofs import UsageProofs
from core.platform_key import PlatformKey
from core.proofs.daily import keep_proving
from core.proofs.metrics import write_metrics
from core.proofs.report import Prover
from core.proofs.report_store import Report
from core.proofs.roots import RootProofs
from core.proofs.rpc import proof_service
from core.proofs.together import Together
from kit.charge import Price, PriceTier, charge_nanos, quantities
from kit.log import EventLog
from kit.reasons import Unavailable
from oneapi.billing.v1 import proof_service_pb2 as pb
from oneapi.billing.v1 import proof_service_pb2_grpc
from oneapi.metering.v1 import usage_record_pb2
from tests.support.core_server import calling, serving
from tests.support.metering_world import MeteringWorld
from tests.support.money_world import DOLLAR
from tests.support.paid_world import PaidWorld
from tests.support.postgres import PostgresServer

HALVES: Final = Price(
    2,
    1,
    2,
    0,
    (PriceTier(0, (500_000, *(0,) * 11)), PriceTier(100, (1_500_000, *(0,) * 11))),
)
"""Half a nano-dollar a token, one and a half above 100: every odd number is a tie."""


@dataclass
class Sides:
    """What both sides say, call by call; an error is raised."""

    answers: list[Any]
    unexplained: tuple[str, ...] = ()
    clearing: int = 0
    balance: int = 0

    async def reconcile(self) -> Sides:
        """Give the next answer."""
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        self.clearing, self.balance = answer
        return self


def _prover(
    world: MeteringWorld,
    key: PlatformKey,
    sides: Sides | None = None,
    on_done: Callable[[Report], None] = lambda _: None,
) -> Prover:
    database = world.money.database
    return Prover(
        database.rpc,
        database.jobs,
        Together(UsageProofs(), DocumentProofs(), RootProofs(key.public_keys)),
        None if sides is None else sides.reconcile,
        lambda: Act("core", world.money.now, world.money.ids),
        on_done=on_done,
        pause_seconds=0,
    )


async def _publish_halves(world: MeteringWorld) -> None:
    """Write a price version of half nano-dollars, with a tier."""
    async with world.money.database.jobs.transaction("system") as tx:
        await tx.run(
            "INSERT INTO price_version (model_number, lane, effective_from, created_at)"
            " VALUES (1, 2, :now, :now)",
            now=world.money.now,
        )
        for tier in HALVES.tiers:
            await tx.run(
                "INSERT INTO price_tier VALUES (2, :above, CAST(:rates AS bigint[]))",
                above=tier.above_context_tokens,
                rates=list(tier.rates),
            )
        await tx.commit()


async def _live(world: MeteringWorld) -> PaidWorld:
    """Some of everything."""
    paid = PaidWorld(world.money)
    workspace = await world.money.workspace(10)
    payment = await paid.payment(workspace)
    await paid.receipt(payment)
    await paid.receipt(await paid.payment(workspace, 500))
    await paid.refund_note(await paid.refund(payment, 100))
    await world.money.acquire(workspace, 1, DOLLAR)
    await _publish_halves(world)
    halves = [
        world.record(
            workspace,
            input_tokens=each,
            output_tokens=0,
            price_version=2,
            charge_nanos=charge_nanos(quantities(input=each), HALVES),
        )
        for each in (1, 3, 5, 7, 100, 101, 103)
    ]
    crash = world.record(
        workspace,
        outcome=usage_record_pb2.OUTCOME_EDGE_CRASH,
        waive_reason=usage_record_pb2.WAIVE_REASON_EDGE_CRASH,
        charge_nanos=0,
    )
    await world.report([*halves, world.record(workspace), crash])
    return paid


async def test_honest_books_are_proved(
    world: MeteringWorld, key: PlatformKey, tmp_path: Path
) -> None:
    """Everything was looked at; the report and the metric say so."""
    await _live(world)
    path = tmp_path / "metrics" / "proof.prom"
    prover = _prover(world, key, on_done=lambda report: write_metrics(path, report))
    report = await prover.prove()
    said = json.loads(report.content)
    assert (report.findings, said["findings"], said["details"]) == (0, {}, [])
    assert (said["records"], said["wallets"], said["stripe"]) == ("9", "1", None)
    found = {price["price_version"]: price for price in said["prices"]}
    assert {version: price["records"] for version, price in found.items()} == {"1": "2", "2": "7"}
    assert sum(int(price["charged_nanos"]) for price in found.values()) == int(
        said["charges_nanos"]
    )
    # 0.5 1.5 2.5 3.5 50 151.5 154.5, each to the even side.
    assert found["2"]["charged_nanos"] == str(0 + 2 + 2 + 4 + 50 + 152 + 154)
    assert await world.rows("SELECT count(*) FROM alarm") == [(0,)]
    lines = path.read_text().splitlines()
    assert "oneapi_proof_findings 0.0" in lines


@pytest.mark.parametrize(
    ("statement", "check"),
    [
        ("UPDATE price_tier SET rates[1] = rates[1] + 1000000", "price_total"),
        (
            "UPDATE price_tier SET above_context_tokens = 200 WHERE above_context_tokens = 100",
            "price_total",
        ),
        ("UPDATE usage_hourly SET charge_nanos = charge_nanos + 1", "usage_total"),
        ("UPDATE ledger_entry SET amount = amount + 1 WHERE account = 'paid'", "entries_sum"),
        ("UPDATE billing_document SET snapshot = snapshot || ' '", "document"),
        (
            "UPDATE billing_document SET issued_at = issued_at - interval '1 day' WHERE number = 2",
            "document",
        ),
        ("DELETE FROM billing_document WHERE kind = 2", "document"),
        ("DELETE FROM billing_document WHERE series LIKE 'R%' AND number = 2", "document"),
        ("UPDATE document_counter SET last = last + 1", "document"),
        ("UPDATE payment SET net_minor = net_minor + 1", "document"),
    ],
)
async def test_what_was_changed_is_found_and_alarmed(
    world: MeteringWorld,
    key: PlatformKey,
    postgres_server: PostgresServer,
    database_url: str,
    statement: str,
    check: str,
) -> None:
    """By somebody with all rights; case 67."""
    await _live(world)
    with psycopg.connect(postgres_server.superuser_url_of(database_url)) as connection:
        connection.execute(statement)
    report = await _prover(world, key).prove()
    said = json.loads(report.content)
    assert check in said["findings"]
    assert report.findings == len(said["details"])
    assert await world.rows("SELECT kind, expected, found FROM alarm") == [
        ("proof_failed", 0, report.findings)
    ]


@pytest.mark.parametrize(
    ("answers", "findings"),
    [
        ([(5, 5)], 0),
        ([(5, 6), (6, 6)], 0),
        ([Unavailable(), (6, 6)], 0),
        ([(5, 6), (5, 6), (5, 6)], 1),
        ([Unavailable(), Unavailable(), Unavailable()], 1),
        ([Unavailable(), (1, 2), Unavailable()], 1),
    ],
)
async def test_the_providers_balance_is_compared(
    world: MeteringWorld, key: PlatformKey, answers: list[Any], findings: int
) -> None:
    """What is under way may differ for a moment; what stays is found, as silence is."""
    report = await _prover(world, key, Sides(answers)).prove()
    said = json.loads(report.content)
    assert report.findings == findings
    assert said["findings"] == ({"stripe_balance": "1"} if findings else {})
    assert said["stripe"]["answered"] == (said["stripe"].get("balance_nanos") is not None)


class Stumbling:
    """Checks that a fault ends, as damaged rows may make one."""

    async def check(
        self, tx: Transaction, workspace_id: bytes | None, tally: Tally
    ) -> AsyncIterator[Finding]:
        """Find something, then divide by nothing in the database."""
        yield Finding("first", "one", "1", "2")
        await tx.all("SELECT 1 / 0")


async def test_a_check_that_ends_with_a_fault_is_a_finding(world: MeteringWorld) -> None:
    """The report is kept and alarmed, with the fault's type and none of its words."""
    database = world.money.database
    prover = Prover(
        database.rpc,
        database.jobs,
        Stumbling(),
        Sides([ZeroDivisionError("hush")]).reconcile,
        lambda: Act("core", world.money.now, world.money.ids),
        pause_seconds=0,
    )
    report = await prover.prove()
    said = json.loads(report.content)
    assert said["findings"] == {"first": "1", "proof_error": "2", "stripe_balance": "1"}
    assert [each["object_id"] for each in said["details"][1:3]] == [
        "DataError",
        "ZeroDivisionError",
    ]
    assert b"hush" not in report.content
    assert await world.rows("SELECT kind FROM alarm") == [("proof_failed",)]


async def test_a_proof_that_fails_ends_no_core(world: MeteringWorld) -> None:
    """It is logged by its type, and tried again."""
    log, failed = io.StringIO(), asyncio.Event()

    class Failing(Prover):
        async def prove_today(self) -> Report | None:
            failed.set()
            raise ZeroDivisionError("hush")

    database = world.money.database
    prover = Failing(
        database.rpc,
        database.jobs,
        Stumbling(),
        None,
        lambda: Act("core", world.money.now, world.money.ids),
    )
    proving = asyncio.create_task(
        keep_proving(prover, EventLog("core", stream=log), round_seconds=0.01)
    )
    await failed.wait()
    failed.clear()
    await failed.wait()
    assert not proving.done()
    proving.cancel()
    assert "proof_not_done" in log.getvalue()
    assert "hush" not in log.getvalue()


async def test_a_payment_in_another_currency_stops_no_proof(
    world: MeteringWorld, key: PlatformKey, postgres_server: PostgresServer, database_url: str
) -> None:
    """Its receipt does not say what was paid: that is found, and all else is looked at."""
    await _live(world)
    with psycopg.connect(postgres_server.superuser_url_of(database_url)) as connection:
        connection.execute("UPDATE payment SET currency = 'jpy' WHERE net_minor = 500")
    said = json.loads((await _prover(world, key).prove()).content)
    assert said["findings"] == {"document": "1"}


async def test_a_day_is_proved_once(world: MeteringWorld, key: PlatformKey) -> None:
    """Unless somebody asks; the reports are listed newest first, to who may see them."""
    prover = _prover(world, key)
    assert await prover.prove_today() is not None
    assert await prover.prove_today() is None
    world.money.pass_time(86_400)
    newest = await prover.prove_today()
    assert newest is not None
    service = proof_service(world.money.database.rpc, prover)
    async with serving([service]) as port:
        async with calling(port, "finance") as channel:
            stub = proof_service_pb2_grpc.ProofServiceStub(channel)
            asked = pb.GetProofReportsRequest(page_size=1)
            page = await stub.GetProofReports(asked)
            assert page.reports[0].content == newest.content
            asked.page_token = page.next_page_token
            assert len((await stub.GetProofReports(asked)).reports) == 1
            ran = (await stub.RunProof(pb.RunProofRequest())).report
            assert (ran.findings, (await stub.GetProofReports(asked)).reports[0].findings) == (0, 0)
        async with calling(port, "edge") as channel:
            stub = proof_service_pb2_grpc.ProofServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.RunProof(pb.RunProofRequest())
            assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
