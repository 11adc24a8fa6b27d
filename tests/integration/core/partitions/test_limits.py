"""What bounds months and those who read them: time, tenants, one moment, the calendar."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import psycopg
import pytest

from core.audit import Act
from core.db.database import open_pool
from core.partitions.messages import file_of_message
from core.partitions.model import State, parse_month
from core.partitions.months import drop
from kit.ids import IdSource, format_id
from kit.reasons import InvalidArgument
from oneapi.metering.v1 import usage_service_pb2, usage_service_pb2_grpc
from oneapi.partitions.v1 import partition_service_pb2 as pb
from tests.integration.core.partitions.conftest import JULY, World
from tests.integration.core.partitions.test_months import refused
from tests.support.core_server import calling
from tests.support.postgres import LOCK_WAITS

INVALID = grpc.StatusCode.INVALID_ARGUMENT


async def test_a_large_month_has_the_time_to_be_dropped(world: World) -> None:
    """Longer than other work of the pool: its hours are many."""
    archiver, money = world.archiver, world.metering.money
    await world.requests(1)
    await archiver.archive(JULY)
    await archiver.detach(JULY)
    money.pass_time(24 * 3_600)
    with psycopg.connect(world.dsn) as connection:
        connection.execute("SET ROLE oneapi_owner")
        connection.execute(
            "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_sleep(1); RETURN OLD; END'"
        )
        connection.execute(
            "CREATE TRIGGER slowly BEFORE DELETE ON usage_hourly"
            " FOR EACH ROW EXECUTE FUNCTION slowly()"
        )
    files = [file_of_message(file) for file in archiver.published[JULY]]
    act = Act("archiver", money.now, IdSource())
    impatient = open_pool(world.dsn, size=1, statement_timeout_ms=500)
    try:
        facts = await drop(impatient, act, archiver.fence, parse_month(JULY), files)
    finally:
        await impatient.close()
    assert facts.state(act.now) is State.DROPPED


async def test_a_month_that_no_calendar_has_is_refused(world: World) -> None:
    """By the contract, and by what reads it."""
    request = pb.ListFilesRequest(month="0000-01")
    assert await refused(world.archiver.stub.ListFiles(request)) is INVALID
    with pytest.raises(InvalidArgument):
        parse_month("0000-01")


async def test_files_of_a_workspace_are_read_as_that_workspace(world: World) -> None:
    """Row-level security decides too: what it hides is not listed, whatever was asked for."""
    mine, _ = await world.requests(1), await world.requests(1)
    await world.archiver.archive(JULY)
    workspace_id = format_id("ws", mine)
    assert len(await world.archiver.files(workspace_id=workspace_id)) == 2
    with psycopg.connect(world.dsn) as connection:
        connection.execute("SET ROLE oneapi_owner")
        connection.execute("ALTER POLICY one_tenant ON archive_file USING (false)")
    assert await world.archiver.files(workspace_id=workspace_id) == []
    assert len(await world.archiver.files()) == 4


async def test_a_record_is_never_shown_hot_and_called_archived(world: World) -> None:
    """A month that is published while records are read was not, for that answer."""
    workspace = await world.requests(1)
    request = usage_service_pb2.ListUsageRequest(workspace_id=format_id("ws", workspace))
    with psycopg.connect(world.dsn) as holding, psycopg.connect(world.dsn) as publishing:
        holding.execute("SET ROLE oneapi_owner")
        holding.execute("LOCK TABLE model IN ACCESS EXCLUSIVE MODE")
        async with calling(world.port) as channel:
            stub = usage_service_pb2_grpc.UsageServiceStub(channel)
            reading = asyncio.create_task(_answered(stub.ListUsage(request)))
            while not await world.metering.rows(LOCK_WAITS):  # noqa: ASYNC110 - PostgreSQL sets no event of ours
                await asyncio.sleep(0.02)
            publishing.execute("SET ROLE oneapi_system")
            publishing.execute(
                "INSERT INTO archive_month (month, frozen_at, published_at)"
                " VALUES ('2026-07-01', '2026-11-01Z', '2026-11-01Z')"
            )
            publishing.commit()
            holding.rollback()
            answer = await reading
            assert (len(answer.usages), answer.HasField("archived_before")) == (1, False)
            answer = await stub.ListUsage(request)
            assert (len(answer.usages), answer.HasField("archived_before")) == (0, True)


async def _answered(call: Any) -> Any:
    return await call
