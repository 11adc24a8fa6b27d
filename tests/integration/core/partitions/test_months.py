"""A month's way out of the hot store, over real gRPC on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import psycopg
import pytest

from core.db.database import Transaction
from core.metering.messages import record_of
from core.metering.partitions import partition_name
from core.metering.settle import Reported, settle_group
from core.partitions.model import parse_month
from kit.archive_manifest import manifest_message
from kit.ids import IdSource, format_id
from oneapi.common.v1 import quantities_pb2
from oneapi.metering.v1 import usage_service_pb2, usage_service_pb2_grpc
from oneapi.partitions.v1 import partition_pb2 as months
from oneapi.partitions.v1 import partition_service_pb2 as pb
from tests.integration.core.partitions.conftest import IN_JULY, JULY, World
from tests.support.archive_world import (
    Archiver,
    by_workspace,
    dollars,
    manifest_file,
    manifest_hash,
    totals_of,
    usage_file,
)
from tests.support.core_server import calling

Month = months.Month


async def listed(world: World, workspace_id: bytes) -> list[str]:
    """The ids that a customer sees in the hot store."""
    async with calling(world.port) as channel:
        stub = usage_service_pb2_grpc.UsageServiceStub(channel)
        request = usage_service_pb2.ListUsageRequest(workspace_id=format_id("ws", workspace_id))
        return [each.request_id for each in (await stub.ListUsage(request)).usages]


async def refused(call: object) -> grpc.StatusCode:
    """The status of a call that has to fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return caught.value.code()


async def test_a_detach_that_nobody_was_told_of_is_asked_for_again(world: World) -> None:
    """Core died behind it: the rows are out, the month is not stuck, and is dropped in time."""
    await world.requests(3)
    await world.archiver.archive(JULY)
    with psycopg.connect(world.dsn, autocommit=True) as connection:
        connection.execute("SET ROLE oneapi_partitions")
        connection.execute("ALTER TABLE usage_record DETACH PARTITION usage_record_y2026m07")
    assert (await world.archiver.month(JULY)).state == Month.STATE_PUBLISHED
    assert (await world.archiver.detach(JULY)).state == Month.STATE_DETACHED
    world.metering.money.pass_time(24 * 3_600)
    assert (await world.archiver.drop(JULY)).state == Month.STATE_DROPPED


async def test_what_comes_for_an_expired_month_is_not_kept(world: World) -> None:
    """It is waived like all that is late, and goes; told again it changes nothing."""
    metering, archiver = world.metering, world.archiver
    workspace = await world.requests(1)
    await archiver.archive(JULY)
    await archiver.detach(JULY)
    metering.money.pass_time(24 * 3_600)
    await archiver.drop(JULY)
    early = metering.record(workspace, moment=IN_JULY)
    await metering.report([early])
    metering.money.now = datetime(2028, 12, 1, tzinfo=UTC)
    gone = pb.RecordDeletionRequest(
        fence=archiver.fence,
        month=JULY,
        reason=pb.RecordDeletionRequest.REASON_EXPIRED,
        names=[file.name for file in archiver.published[JULY]],
    )
    assert (await archiver.stub.RecordDeletion(gone)).month.late_records == 0
    late = metering.record(workspace, moment=IN_JULY)
    await metering.report([late])
    assert (await archiver.month(JULY)).late_records == 1
    gone.ClearField("names")
    for _ in range(2):
        month = (await archiver.stub.RecordDeletion(gone)).month
        assert (month.state, month.late_records) == (Month.STATE_EXPIRED, 0)
        assert await metering.rows("SELECT count(*) FROM usage_late") == [(0,)]
        await metering.report([early, late])
    assert await metering.rows("SELECT count(*) FROM usage_late") == [(0,)]
    assert await metering.money.findings() == []


async def test_late_records_do_not_leave_while_one_of_them_is_told_again(world: World) -> None:
    """Who writes late records holds them; without it the record would be new a second time."""
    metering, archiver = world.metering, world.archiver
    workspace = await world.requests(1)
    await archiver.archive(JULY)
    await archiver.detach(JULY)
    metering.money.pass_time(24 * 3_600)
    await archiver.drop(JULY)
    metering.money.now = datetime(2028, 12, 1, tzinfo=UTC)
    names = [file.name for file in archiver.published[JULY]]
    record = record_of(metering.record(workspace, moment=IN_JULY))
    reported = Reported(record, 1, 1, 0, edge_figure=0, figure=0)
    gone = pb.RecordDeletionRequest(
        fence=archiver.fence,
        month=JULY,
        reason=pb.RecordDeletionRequest.REASON_EXPIRED,
        names=names,
    )

    async def tell(tx: Transaction) -> None:
        verdict = await settle_group(
            tx,
            workspace,
            parse_month(JULY),
            [reported],
            ids=IdSource(),
            now=metering.money.now,
        )
        assert not verdict.refused

    jobs = metering.money.database.jobs
    async with jobs.transaction("system") as tx:
        await tell(tx)
        deleting = asyncio.ensure_future(archiver.stub.RecordDeletion(gone))
        await asyncio.sleep(0.3)
        assert not deleting.done()
        await tx.commit()
    await deleting
    async with jobs.transaction("system") as tx:
        await tell(tx)
        await tx.commit()
    assert await metering.rows("SELECT count(*) FROM usage_late") == [(0,)]
    waivers = "SELECT count(*) FROM ledger_txn WHERE kind = 'late_waiver'"
    assert await metering.rows(waivers) == [(1,)]


async def test_a_month_goes_from_hot_to_gone(world: World) -> None:
    """Each step with its state; each record is readable hot until published, and never after."""
    archiver, money = world.archiver, world.metering.money
    first, second = await world.requests(3), await world.requests(2)
    assert (await archiver.month(JULY)).state == Month.STATE_ELIGIBLE
    assert (await archiver.month("2026-08")).state == Month.STATE_HOT
    await archiver.lead()
    assert (await archiver.freeze(JULY)).state == Month.STATE_FROZEN
    assert len(await listed(world, first)) == 3
    assert (await archiver.archive(JULY)).state == Month.STATE_PUBLISHED
    assert (await listed(world, first), await listed(world, second)) == ([], [])
    assert (await archiver.detach(JULY)).state == Month.STATE_DETACHED
    assert await refused(archiver.drop(JULY)) == grpc.StatusCode.FAILED_PRECONDITION
    money.pass_time(24 * 3_600)
    assert (await archiver.drop(JULY)).state == Month.STATE_DROPPED
    assert not await table_exists(world)
    assert await money.findings() == []
    money.now = datetime(2028, 11, 20, 11, tzinfo=UTC)
    names = [file.name for file in archiver.published[JULY]]
    gone = pb.RecordDeletionRequest(
        fence=archiver.fence,
        month=JULY,
        reason=pb.RecordDeletionRequest.REASON_EXPIRED,
        names=names,
    )
    assert await refused(archiver.stub.RecordDeletion(gone)) == grpc.StatusCode.FAILED_PRECONDITION
    assert (await archiver.month(JULY)).state == Month.STATE_DROPPED
    money.pass_time(3_600)
    expiring = await archiver.month(JULY)
    assert expiring.state == Month.STATE_EXPIRING
    assert expiring.expires_at.ToDatetime(tzinfo=UTC) == money.now
    assert await refused(archiver.export_late(JULY)) == grpc.StatusCode.FAILED_PRECONDITION
    expired = (await archiver.stub.RecordDeletion(gone)).month
    assert expired.state == Month.STATE_EXPIRED
    assert all(entry.file.HasField("deleted_at") for entry in await archiver.files())
    assert await archiver.files(newest_only=True) == []


async def test_no_file_is_told_as_expired_while_rows_are_here(world: World) -> None:
    """However old: the rows would be the last copy."""
    archiver, money = world.archiver, world.metering.money
    await world.requests(1)
    await archiver.archive(JULY)
    await archiver.detach(JULY)
    money.now = datetime(2029, 1, 1, tzinfo=UTC)
    assert (await archiver.month(JULY)).state == Month.STATE_DETACHED
    gone = pb.RecordDeletionRequest(
        fence=archiver.fence,
        month=JULY,
        reason=pb.RecordDeletionRequest.REASON_EXPIRED,
        names=[file.name for file in archiver.published[JULY]],
    )
    assert await refused(archiver.stub.RecordDeletion(gone)) == grpc.StatusCode.FAILED_PRECONDITION


async def test_every_step_may_be_repeated(world: World) -> None:
    """An archiver that died after a step does it again; nothing happens twice."""
    archiver = world.archiver
    await world.requests(2)
    once = await archiver.archive(JULY)
    assert await archiver.archive(JULY) == once
    detached = await archiver.detach(JULY)
    assert await archiver.detach(JULY) == detached
    world.metering.money.pass_time(24 * 3_600)
    dropped = await archiver.drop(JULY)
    world.metering.money.pass_time(60)
    assert await archiver.drop(JULY) == dropped
    assert await archiver.detach(JULY) == dropped
    counted = await world.metering.rows(
        "SELECT action, count(*) FROM audit_log WHERE action LIKE 'partitions.%' GROUP BY 1"
    )
    assert set(counted) == {
        (f"partitions.{step}Month", 1) for step in ("Freeze", "Publish", "Detach", "Drop")
    }


async def test_a_frozen_month_stands_as_it_is(world: World) -> None:
    """Nothing is added, changed, deleted or truncated; it is read as before, and writers know."""
    archiver = world.archiver
    workspace = await world.requests(2)
    await archiver.lead()
    await archiver.freeze(JULY)
    watermark = await world.metering.rows("SELECT month FROM archive_watermark")
    assert watermark == [(parse_month("2026-08"),)]
    name = partition_name(parse_month(JULY))
    for statement in (
        f"INSERT INTO usage_record SELECT * FROM {name} LIMIT 1",
        "UPDATE usage_record SET total_ms = 1",
        "DELETE FROM usage_record",
        f"DELETE FROM {name}",
        f"TRUNCATE {name}",
        "TRUNCATE usage_record",
    ):
        is_new = statement.startswith("INSERT")
        refusal = psycopg.errors.CheckViolation if is_new else psycopg.errors.DatabaseError
        with psycopg.connect(world.dsn) as connection:
            connection.execute("SET ROLE oneapi_partitions")
            with pytest.raises(refusal):
                connection.execute(statement)
    assert len(await listed(world, workspace)) == 2


async def test_a_month_is_vacuumed_when_it_is_frozen(world: World) -> None:
    """So that its ids are read from the index, and not looked for in the table."""
    await world.requests(2)
    await world.archiver.lead()
    await world.archiver.freeze(JULY)
    with psycopg.connect(world.dsn) as connection:
        done = connection.execute(
            "SELECT vacuum_count, analyze_count FROM pg_stat_all_tables WHERE relname = %s",
            [partition_name(parse_month(JULY))],
        ).fetchone()
    assert done == (1, 1)


async def test_what_comes_after_the_freeze_is_late(world: World) -> None:
    """Also if its writer had read the watermark before: it tries again, and is late."""
    archiver, metering = world.archiver, world.metering
    workspace = await world.requests(1)
    await archiver.lead()
    with psycopg.connect(world.dsn) as connection:
        # Freezes the rows but not yet the watermark: what a writer sees that was a moment slow.
        connection.execute("SET ROLE oneapi_partitions")
        connection.execute(
            f"ALTER TABLE {partition_name(parse_month(JULY))}"
            " ADD CONSTRAINT usage_frozen CHECK (false) NOT VALID"
        )
        connection.commit()
        record = metering.record(workspace, moment=IN_JULY)
        writing = asyncio.create_task(metering.report([record]))
        await asyncio.sleep(0.3)
        assert not writing.done()
        connection.execute("SET ROLE oneapi_system")
        connection.execute("UPDATE archive_watermark SET month = '2026-08-01'")
        connection.commit()
    assert not (await writing).rejected
    kept = await metering.rows("SELECT id, charge_nanos FROM usage_late")
    assert [(row[0].bytes, row[1]) for row in kept] == [(record.request_id, 0)]  # type: ignore[attr-defined]


async def test_months_go_in_their_order_and_in_time(world: World) -> None:
    """A young month is not frozen, nor one whose elder is hot."""
    archiver, money = world.archiver, world.metering.money
    await archiver.lead()
    assert await refused(archiver.freeze("2026-08")) == grpc.StatusCode.FAILED_PRECONDITION
    money.now = datetime(2026, 11, 29, 23, 59, 59, tzinfo=UTC)
    assert (await archiver.month("2026-08")).state == Month.STATE_HOT
    money.now = datetime(2026, 11, 30, tzinfo=UTC)
    assert (await archiver.month("2026-08")).state == Month.STATE_ELIGIBLE
    assert await refused(archiver.freeze("2026-08")) == grpc.StatusCode.FAILED_PRECONDITION
    await archiver.freeze(JULY)
    await archiver.freeze("2026-08")
    assert await refused(archiver.publish("2026-08", [])) == grpc.StatusCode.FAILED_PRECONDITION
    await archiver.archive(JULY)
    assert (await archiver.publish("2026-08", [])).state == Month.STATE_PUBLISHED
    assert await refused(archiver.freeze("2020-01")) == grpc.StatusCode.NOT_FOUND


async def test_a_month_is_empty_until_something_happens_in_it(world: World) -> None:
    """Usage, or credit alone: cost files tell of it too."""
    archiver, money = world.archiver, world.metering.money
    names = ("2026-07", "2026-08", "2026-09")
    assert [(await archiver.month(name)).empty for name in names] == [True, True, True]
    present, money.now = money.now, datetime(2026, 8, 9, tzinfo=UTC)
    await money.workspace(3)
    money.now = present
    await world.requests(1)
    assert [(await archiver.month(name)).empty for name in names] == [False, False, True]
    await archiver.lead()
    await archiver.freeze(JULY)
    assert not (await archiver.month(JULY)).empty


async def test_of_two_archivers_one_works(world: World) -> None:
    """The second waits for the lease; the first, once replaced, can change nothing."""
    archiver, money = world.archiver, world.metering.money
    await world.requests(1)
    first = await archiver.lead()
    other = Archiver(archiver.channel)
    assert await other.lead("b" * 32) == 0
    money.pass_time(59)
    assert await archiver.lead() == first
    money.pass_time(60)
    assert await other.lead("b" * 32) == first + 1
    assert await refused(archiver.freeze(JULY)) == grpc.StatusCode.FAILED_PRECONDITION
    assert await refused(archiver.export(JULY)) == grpc.StatusCode.FAILED_PRECONDITION
    assert await archiver.lead() == 0
    assert (await other.freeze(JULY)).state == Month.STATE_FROZEN


async def test_only_what_adds_up_is_signed(world: World) -> None:
    """Each figure that is off by one is named; the signature of the right one can be checked."""
    archiver = world.archiver
    workspace = await world.requests(3)
    await archiver.lead()
    await archiver.freeze(JULY)
    right = totals_of(workspace, await archiver.export(JULY))
    (counted,) = await archiver.totals(JULY)
    assert counted.ledger_charges == right.charges
    assert sum(each.record_count for each in counted.settlements) == 3
    off_by_one: list[dict[str, Any]] = [
        {"records": 2},
        {"charges": dollars(1)},
        {"waived": dollars(1)},
        {"ids_hash": bytes(32)},
        {"first_id": bytes(16)},
        {"last_id": bytes(16)},
        {"quantities": quantities_pb2.Quantities(input_tokens=3_000, output_tokens=301)},
    ]
    wrong = [changed(right, **fields) for fields in off_by_one]
    for totals in wrong:
        assert await refused(archiver.sign(JULY, totals)) == grpc.StatusCode.FAILED_PRECONDITION
    assert (
        await world.metering.rows("SELECT count(*) FROM alarm WHERE kind = 'archive_mismatch'")
    ) == [(len(wrong),)]
    signed = await archiver.sign(JULY, right)
    message = manifest_message(right.workspace_id, JULY, 1, manifest_hash(right, 1))
    assert world.key.public_keys.verifies(signed.key_id, signed.signature, message)
    assert await archiver.sign(JULY, right) == signed


async def test_only_what_the_ledger_settled_is_signed(world: World) -> None:
    """A record that was lost, or whose charge was changed, is found before it is archived."""
    archiver = world.archiver
    workspace = await world.requests(3)
    with psycopg.connect(world.dsn) as connection:
        connection.execute("SET ROLE oneapi_partitions")
        connection.execute(
            "DELETE FROM usage_record WHERE id = (SELECT id FROM usage_record LIMIT 1)"
        )
    await archiver.lead()
    await archiver.freeze(JULY)
    totals = totals_of(workspace, await archiver.export(JULY))
    assert await refused(archiver.sign(JULY, totals)) == grpc.StatusCode.FAILED_PRECONDITION


async def test_only_what_is_whole_is_published(world: World) -> None:
    """Not without a workspace, a manifest, a row, a signature."""
    archiver = world.archiver
    await world.requests(2)
    await world.requests(1)
    await archiver.lead()
    await archiver.freeze(JULY)
    every = [
        totals_of(workspace, rows)
        for workspace, rows in by_workspace(await archiver.export(JULY)).items()
    ]
    files = [make(JULY, totals) for totals in every for make in (usage_file, manifest_file)]
    assert await refused(archiver.publish(JULY, files)) == grpc.StatusCode.FAILED_PRECONDITION
    await archiver.sign(JULY, every[0])
    assert await refused(archiver.publish(JULY, files[:2])) == grpc.StatusCode.FAILED_PRECONDITION
    await archiver.sign(JULY, every[1])
    for broken in (files[:2], files[1:], files[:3], [*files, files[1]]):
        assert await refused(archiver.publish(JULY, broken)) == grpc.StatusCode.FAILED_PRECONDITION
    short = months.ArchiveFile()
    short.CopyFrom(files[0])
    short.rows -= 1
    lost = archiver.publish(JULY, [short, *files[1:]])
    assert await refused(lost) == grpc.StatusCode.FAILED_PRECONDITION
    assert (await archiver.month(JULY)).state == Month.STATE_FROZEN
    assert (await archiver.publish(JULY, files)).state == Month.STATE_PUBLISHED
    assert {entry.file.name for entry in await archiver.files()} == {file.name for file in files}


async def test_rows_stay_until_a_second_look_found_every_file(world: World) -> None:
    """A lost or changed file keeps the month from being dropped."""
    archiver = world.archiver
    await world.requests(1)
    await archiver.archive(JULY)
    await archiver.detach(JULY)
    world.metering.money.pass_time(24 * 3_600)
    whole = archiver.published[JULY]
    other = months.ArchiveFile()
    other.CopyFrom(whole[0])
    other.sha256 = bytes(32)
    for found in (whole[:1], [other, whole[1]], []):
        archiver.published[JULY] = found
        assert await refused(archiver.drop(JULY)) == grpc.StatusCode.FAILED_PRECONDITION
        assert await table_exists(world)
    archiver.published[JULY] = whole
    assert (await archiver.drop(JULY)).state == Month.STATE_DROPPED


async def test_hours_of_a_dropped_month_become_one_sum(world: World) -> None:
    """What spend limits add up stays the same."""
    archiver, metering = world.archiver, world.metering
    workspace = await metering.money.workspace(10)
    moments = [IN_JULY.replace(day=1, hour=0), IN_JULY, IN_JULY + timedelta(hours=3)]
    await metering.report([metering.record(workspace, moment=moment) for moment in moments])
    await metering.report([metering.record(workspace)])
    sums = (
        "SELECT count(*), CAST(sum(requests) AS bigint), CAST(sum(charge_nanos) AS bigint),"
        " CAST(sum(quantities[1]) AS bigint) FROM usage_hourly"
    )
    ((hours, *before),) = await metering.rows(sums)
    await archiver.archive(JULY)
    await archiver.detach(JULY)
    metering.money.pass_time(24 * 3_600)
    await archiver.drop(JULY)
    ((collapsed, *after),) = await metering.rows(sums)
    assert (hours, collapsed) == (4, 2)
    assert before == after
    assert await metering.money.findings() == []


def changed(totals: months.WorkspaceTotals, **fields: Any) -> months.WorkspaceTotals:
    """The same totals but for some fields."""
    copied = {field.name: value for field, value in totals.ListFields()}
    return months.WorkspaceTotals(**(copied | fields))


async def table_exists(world: World) -> bool:
    """Whether July's rows are on disk, attached or not."""
    ((found,),) = await world.metering.rows(
        "SELECT to_regclass(:name) IS NOT NULL", name=partition_name(parse_month(JULY))
    )
    return bool(found)
