"""IncidentService over real gRPC: whatever is known of a request, and where it stands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import grpc
import pytest

from core.admission import idempotency
from core.admission.idempotency import ClientKey
from core.db.values import to_uuid
from core.ledger.rpc import ledger_service
from core.metering.incident_rpc import incident_service
from core.metering.proofs import UsageProofs
from kit.ids import IdSource, format_id
from kit.rpc.status import domain_error_of
from oneapi.billing.v1 import ledger_service_pb2, ledger_service_pb2_grpc
from oneapi.metering.v1 import incident_service_pb2 as pb
from oneapi.metering.v1 import incident_service_pb2_grpc
from tests.support.core_server import calling, serving
from tests.support.metering_world import MeteringWorld, WorldClock, batch

ONE_CHARGE = 3_500_000
Standing = pb.Standing


@pytest.fixture
async def port(world: MeteringWorld) -> AsyncIterator[int]:
    """A server of the services that `1api incident` asks."""
    database = world.money.database
    incidents = incident_service(database.rpc, WorldClock(world.money), IdSource())
    ledger = ledger_service(database.rpc, database.jobs, UsageProofs())
    async with serving([incidents, ledger]) as served:
        yield served


async def told(port: int, request_id: bytes) -> pb.Incident:
    """Ask as an operator."""
    async with calling(port) as channel:
        stub = incident_service_pb2_grpc.IncidentServiceStub(channel)
        asked = pb.GetIncidentRequest(request_id=format_id("req", request_id))
        return (await stub.GetIncident(asked)).incident


async def test_a_recorded_request_is_told_to_the_last_unit(world: MeteringWorld, port: int) -> None:
    """Record, spool, process, and the settlement with the wallet before and after."""
    workspace = await world.money.workspace(10)
    record = world.record(workspace)
    assert [one.upstream_number for one in record.attempts] == [1]
    await world.send(batch([record], first=1, through=1))
    found = await told(port, record.request_id)
    assert found.standing == Standing.STANDING_RECORDED
    assert (found.usage.charge.amount_nanos, found.sequence) == (ONE_CHARGE, 1)
    assert list(found.attempt_upstreams) == ["demo"]
    assert (found.process.edge_id, found.process.acked_sequence) == (1, 1)
    assert list(found.alarms) == []
    async with calling(port) as channel:
        ledger = ledger_service_pb2_grpc.LedgerServiceStub(channel)
        asked = ledger_service_pb2.GetTransactionRequest(transaction_id=found.usage.settlement_id)
        step = (await ledger.GetTransaction(asked)).step
    before, after = step.before.total.amount_nanos, step.after.total.amount_nanos
    assert (before, before - after) == (10_000_000_000, ONE_CHARGE)
    assert step.sequence == 2
    assert step.previous_hash != step.hash


async def test_a_conflict_shows_beside_the_record_that_counts(
    world: MeteringWorld, port: int
) -> None:
    """The cause is found by the request's id alone."""
    workspace = await world.money.workspace(10)
    record = world.record(workspace)
    other = world.record(workspace, request_id=record.request_id, http_status=500)
    await world.report([record, other])
    found = await told(port, record.request_id)
    assert found.standing == Standing.STANDING_RECORDED
    assert [(one.kind, one.of_spool) for one in found.alarms] == [("record_conflict", False)]


async def test_a_refused_record_is_told_with_its_edge(world: MeteringWorld, port: int) -> None:
    """There is no record, and the alarm says why and where its frame is."""
    workspace = await world.money.workspace(10)
    record = world.record(workspace, price_version=99)
    await world.report([record])
    found = await told(port, record.request_id)
    assert found.standing == Standing.STANDING_REFUSED
    assert [one.kind for one in found.alarms] == ["record_invalid"]
    assert found.process.edge_id == 1
    assert not found.HasField("usage")


async def test_a_gap_in_its_spool_shows_too(world: MeteringWorld, port: int) -> None:
    """What is missing around it may explain it."""
    workspace = await world.money.workspace(10)
    record = world.record(workspace)
    await world.send(batch([record], first=1, through=9, position=1, lost=3))
    alarms = (await told(port, record.request_id)).alarms
    assert [(one.kind, one.of_spool) for one in alarms] == [("spool_gap", True)]


async def test_a_late_record_is_told_as_such(world: MeteringWorld, port: int) -> None:
    """Its charge was waived, and the alarm is there."""
    workspace = await world.money.workspace(10)
    record = world.record(workspace, moment=world.money.now - timedelta(days=60))
    async with world.money.database.jobs.transaction("partitions") as tx:
        await tx.run("RESET ROLE")
        await tx.run("SET LOCAL ROLE oneapi_owner")
        await tx.run("UPDATE archive_watermark SET month = '2026-11-01'")
        await tx.run(
            "INSERT INTO archive_month (month, frozen_at, published_at, revision)"
            " VALUES ('2026-10-01', :now, :now, 1)",
            now=world.money.now,
        )
        await tx.commit()
    await world.report([record])
    found = await told(port, record.request_id)
    assert found.standing == Standing.STANDING_LATE
    assert [one.kind for one in found.alarms] == ["record_late"]
    older = world.request_id(world.money.now - timedelta(days=60))
    assert (await told(port, older)).standing == Standing.STANDING_ARCHIVED


async def test_a_claim_without_a_record_is_told(world: MeteringWorld, port: int) -> None:
    """A running request, or one whose edge died."""
    workspace, request_id = await world.money.workspace(10), world.request_id()
    async with world.money.database.rpc.transaction("system") as tx:
        key = ClientKey(workspace, b"h" * 32, request_id)
        await idempotency.claim(tx, key, edge_id=1, epoch=1, now=world.money.now)
        await tx.commit()
    found = await told(port, request_id)
    assert found.standing == Standing.STANDING_CLAIMED
    assert found.claim.workspace_id == format_id("ws", workspace)
    assert found.process.epoch == 1


async def test_what_nobody_heard_of_is_said_to_be_so(world: MeteringWorld, port: int) -> None:
    """And so is an id of a time that has not come."""
    assert (await told(port, world.request_id())).standing == Standing.STANDING_UNHEARD
    ahead = world.request_id(world.money.now + timedelta(minutes=6))
    assert (await told(port, ahead)).standing == Standing.STANDING_FUTURE


async def test_a_look_at_a_customers_request_is_audited(world: MeteringWorld, port: int) -> None:
    """Who looked at which request, of whose workspace."""
    workspace = await world.money.workspace(10)
    record = world.record(workspace)
    await world.report([record])
    await told(port, record.request_id)
    rows = await world.rows(
        "SELECT actor, object_id, workspace_id FROM audit_log WHERE action = 'metering.GetIncident'"
    )
    assert rows == [("operator", format_id("req", record.request_id), to_uuid(workspace))]


async def test_an_edge_may_not_ask(world: MeteringWorld, port: int) -> None:
    """It is for operators and support."""
    async with calling(port, "edge") as channel:
        stub = incident_service_pb2_grpc.IncidentServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refusal:
            await stub.GetIncident(pb.GetIncidentRequest(request_id=f"req_{'0' * 32}"))
    assert type(domain_error_of(refusal.value)).__name__ == "CallerNotAllowed"
