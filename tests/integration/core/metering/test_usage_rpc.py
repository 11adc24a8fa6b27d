"""UsageService and MeteringService over real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from core.metering.rpc import metering_service
from core.metering.usage_rpc import usage_service
from kit.ids import format_id
from kit.rpc.status import domain_error_of
from oneapi.metering.v1 import (
    metering_service_pb2_grpc,
    usage_record_pb2,
    usage_service_pb2_grpc,
)
from oneapi.metering.v1 import usage_service_pb2 as pb
from oneapi.metering.v1.metering_service_pb2 import RecordUsageResponse
from tests.support.core_server import calling, serving
from tests.support.metering_world import KEY, MeteringWorld, WorldClock, batch

ONE_CHARGE = 3_500_000


@pytest.fixture
async def port(world: MeteringWorld) -> AsyncIterator[int]:
    """A server of both services."""
    usage = usage_service(world.money.database.rpc, WorldClock(world.money))
    async with serving([usage, metering_service(world.intake)]) as served:
        yield served


@pytest.fixture
async def usage(port: int) -> AsyncIterator[usage_service_pb2_grpc.UsageServiceAsyncStub]:
    """UsageService as an operator calls it."""
    async with calling(port) as channel:
        yield usage_service_pb2_grpc.UsageServiceStub(channel)


async def test_an_edge_reports_over_its_stream_and_an_operator_reads_the_record(
    world: MeteringWorld, port: int, usage: usage_service_pb2_grpc.UsageServiceAsyncStub
) -> None:
    """Every field of the record comes back, with names for numbers."""
    workspace = await world.money.workspace(10)
    record = world.record(workspace, attempts_omitted=2, delivered_events=7, data_policy=2)
    async with calling(port, "edge") as channel:
        call = metering_service_pb2_grpc.MeteringServiceStub(channel).RecordUsage()
        await call.write(batch([record], first=1, through=1))
        answer = await call.read()
        await call.done_writing()
    assert isinstance(answer, RecordUsageResponse)
    assert answer.through_sequence == 1
    request_id = format_id("req", record.request_id)
    found = (await usage.GetUsage(pb.GetUsageRequest(request_id=request_id))).usage
    assert (found.model, found.upstream) == ("test/model", "demo")
    assert found.key_id == format_id("key", KEY)
    assert found.charge.amount_nanos == ONE_CHARGE
    assert found.quantities == record.quantities
    assert list(found.attempts) == list(record.attempts)
    same = (
        *("outcome", "total_ms", "finish_reason"),
        *("delivered_events", "attempts_omitted", "data_policy"),
    )
    assert [getattr(found, name) for name in same] == [getattr(record, name) for name in same]
    assert found.settlement_id.startswith("txn_")


async def test_an_operator_may_not_report_usage(world: MeteringWorld, port: int) -> None:
    """Only edges meter."""
    async with calling(port, "operator") as channel:
        call = metering_service_pb2_grpc.MeteringServiceStub(channel).RecordUsage()
        await call.done_writing()
        with pytest.raises(grpc.RpcError) as refused:
            await call.read()
    assert type(domain_error_of(refused.value)).__name__ == "CallerNotAllowed"


async def test_usage_is_listed_newest_first_by_workspace_key_and_time(
    world: MeteringWorld, usage: usage_service_pb2_grpc.UsageServiceAsyncStub
) -> None:
    """A range by the time in the ids; pages without overlap or gap."""
    workspace, other = await world.money.workspace(10), await world.money.workspace(10)
    moments = [world.money.now - timedelta(hours=hours) for hours in range(6)]
    records = [world.record(workspace, moment=moment) for moment in moments]
    await world.report([*records, world.record(other)])
    wanted = pb.ListUsageRequest(
        workspace_id=format_id("ws", workspace),
        key_id=format_id("key", KEY),
        started_from=_timestamp(moments[4]),
        started_before=_timestamp(moments[0]),
        page_size=3,
    )
    first = await usage.ListUsage(wanted)
    wanted.page_token = first.next_page_token
    second = await usage.ListUsage(wanted)
    found = [each.request_id for each in (*first.usages, *second.usages)]
    assert found == [format_id("req", record.request_id) for record in records[1:5]]
    assert second.next_page_token == ""


async def test_sums_of_whole_hours_and_of_any_other_range_agree(
    world: MeteringWorld, usage: usage_service_pb2_grpc.UsageServiceAsyncStub
) -> None:
    """The rollup answers like the records themselves."""
    workspace = await world.money.workspace(10)
    failed = usage_record_pb2.OUTCOME_FAILED
    await world.report([world.record(workspace), world.record(workspace, outcome=failed)])
    await world.report([world.record(workspace)])
    scope = format_id("ws", workspace)
    hourly = await usage.SumUsage(pb.SumUsageRequest(workspace_id=scope))
    exact = await usage.SumUsage(
        pb.SumUsageRequest(workspace_id=scope, started_from=Timestamp(seconds=1))
    )
    assert hourly == exact
    assert (hourly.total.requests, hourly.total.failed_requests) == (3, 1)
    assert hourly.total.charge.amount_nanos == 3 * ONE_CHARGE
    assert hourly.total.quantities.input_tokens == 3_000
    assert [each.model for each in hourly.sums] == ["test/model"]


async def test_late_records_are_summed_too(
    world: MeteringWorld, usage: usage_service_pb2_grpc.UsageServiceAsyncStub
) -> None:
    """What they used, at no charge, in either way of summing."""
    workspace = await world.money.workspace(10)
    await world.report([world.record(workspace)])
    late = world.record(workspace, moment=world.money.now.replace(month=7))
    async with world.money.database.jobs.transaction("partitions") as tx:
        await tx.run("RESET ROLE")
        await tx.run("SET LOCAL ROLE oneapi_owner")
        await tx.run("UPDATE archive_watermark SET month = '2026-09-01'")
        await tx.commit()
    await world.report([late])
    scope = format_id("ws", workspace)
    for start in (None, Timestamp(seconds=1)):
        asked = pb.SumUsageRequest(workspace_id=scope, started_from=start)
        total = (await usage.SumUsage(asked)).total
        assert (total.requests, total.charge.amount_nanos) == (2, ONE_CHARGE)
        assert (total.waived.amount_nanos, total.quantities.input_tokens) == (ONE_CHARGE, 2_000)
    after = Timestamp(seconds=int(world.money.now.timestamp()) - 3_600)
    asked = pb.SumUsageRequest(workspace_id=scope, started_from=after)
    assert (await usage.SumUsage(asked)).total.requests == 1


async def test_sums_of_nothing_are_zero(
    world: MeteringWorld, usage: usage_service_pb2_grpc.UsageServiceAsyncStub
) -> None:
    """A range before everything."""
    answer = await usage.SumUsage(pb.SumUsageRequest(started_before=Timestamp(seconds=3_600)))
    assert answer.total.charge.amount_nanos == 0
    assert not answer.sums


async def test_the_tail_shows_each_new_record_once(
    world: MeteringWorld, usage: usage_service_pb2_grpc.UsageServiceAsyncStub
) -> None:
    """Also one whose id is older than its settlement, as after a long request; none before."""
    workspace = await world.money.workspace(10)
    await world.report([world.record(workspace)])
    call = usage.TailUsage(pb.TailUsageRequest(workspace_id=format_id("ws", workspace)))
    reading = asyncio.create_task(_read(call, 2))
    await call.initial_metadata()
    old = world.record(workspace, moment=world.money.now - timedelta(minutes=30))
    new = world.record(workspace)
    await world.report([old])
    await world.report([new])
    found = await reading
    call.cancel()
    assert found == [format_id("req", each.request_id) for each in (old, new)]


async def _read(call: AsyncIterable[pb.TailUsageResponse], count: int) -> list[str]:
    found: list[str] = []
    async for answer in call:
        found.append(answer.usage.request_id)
        if len(found) == count:
            break
    return found


def _timestamp(moment: datetime) -> Timestamp:
    found = Timestamp()
    found.FromDatetime(moment.astimezone(UTC))
    return found
