"""Later revisions of a published month: records that came late, and a key's id erased."""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta
from typing import Any

import grpc

from oneapi.partitions.v1 import partition_pb2 as months
from oneapi.partitions.v1 import partition_service_pb2 as pb
from tests.integration.core.partitions.conftest import IN_JULY, JULY, World
from tests.integration.core.partitions.test_months import listed, refused
from tests.support.archive_world import by_workspace, manifest_file, totals_of, usage_file

LATE = months.REVISION_REASON_LATE
ERASURE = months.REVISION_REASON_ERASURE
FAILED = grpc.StatusCode.FAILED_PRECONDITION


async def test_late_records_become_a_revision(world: World) -> None:
    """They are hot until they are in a file, then there; their rows go, and never come again."""
    archiver, metering = world.archiver, world.metering
    workspace = await world.requests(2)
    await archiver.lead()
    await archiver.freeze(JULY)
    july = await archiver.export(JULY)
    await archiver.archive(JULY)
    record, again = (metering.record(workspace, moment=IN_JULY) for _ in range(2))
    assert not (await metering.report([record, again])).rejected
    assert (await archiver.month(JULY)).late_records == 2
    assert len(await listed(world, workspace)) == 2
    late = await archiver.export_late(JULY)
    assert [row["id"] for row in late] == sorted([record.request_id, again.request_id])
    assert [row["charge_nanos"] for row in late] == [0, 0]
    (counted,) = await archiver.totals(JULY, late=True)
    assert counted.records == 2
    assert [(each.sequence, each.record_count) for each in counted.settlements] == [(0, 2)]
    # The second one turns out to be in the archive already.
    added = [row for row in late if row["id"] == record.request_id]
    ids = [record.request_id]
    totals = totals_of(workspace, [*july, *added])
    short = totals_of(workspace, july)
    words: dict[str, Any] = {"revision": 2, "reason": LATE}
    assert await refused(archiver.sign(JULY, short, late_ids=ids, **words)) == FAILED
    assert await refused(archiver.sign(JULY, totals, late_ids=[bytes(16)], **words)) == FAILED
    await archiver.sign(JULY, totals, late_ids=ids, **words)
    first = archiver.published[JULY][0]
    part = usage_file(JULY, totals_of(workspace, added), part=2, revision=2)
    files = [first, part, manifest_file(JULY, totals, revision=2)]
    assert await refused(archiver.publish(JULY, files, late_ids=[], **words)) == FAILED
    duplicates = [again.request_id]
    published = await archiver.publish(JULY, files, late_ids=ids, duplicate_ids=duplicates, **words)
    assert (published.revision, published.late_records) == (2, 0)
    assert await listed(world, workspace) == []
    newest = await archiver.files(newest_only=True)
    assert {entry.file.name for entry in newest} == {file.name for file in files}
    every = [entry.file for entry in await archiver.files(month=JULY)]
    assert len(every) == 4
    await archiver.detach(JULY)
    metering.money.pass_time(24 * 3_600)
    archiver.published[JULY] = every
    await archiver.drop(JULY)
    assert await metering.rows("SELECT count(*) FROM usage_late") == [(0,)]
    assert not (await metering.report([record, again])).rejected
    assert await metering.rows("SELECT count(*) FROM usage_late") == [(0,)]
    assert await metering.money.findings() == []


async def test_what_was_signed_and_never_published_is_no_base(world: World) -> None:
    """An archiver died behind its signature, and another revision took the number."""
    archiver, metering = world.archiver, world.metering
    mine, other = await world.requests(2), await world.requests(1)
    await archiver.lead()
    await archiver.freeze(JULY)
    july = by_workspace(await archiver.export(JULY))
    await archiver.archive(JULY)
    record = metering.record(mine, moment=IN_JULY)
    await metering.report([record])
    late = await archiver.export_late(JULY)
    totals = totals_of(mine, [*july[mine], *late])
    ids = [record.request_id]
    await archiver.sign(JULY, totals, late_ids=ids, revision=2, reason=LATE)
    same = totals_of(other, july[other])
    await archiver.sign(JULY, same, revision=2, reason=ERASURE)
    erased = [usage_file(JULY, same, revision=2), manifest_file(JULY, same, revision=2)]
    await archiver.publish(JULY, erased, revision=2, reason=ERASURE)
    await archiver.sign(JULY, totals, late_ids=ids, revision=3, reason=LATE)
    (first,) = [
        file
        for file in archiver.published[JULY]
        if file.kind == file.KIND_USAGE_PARQUET and file.workspace_id == totals.workspace_id
    ]
    part = usage_file(JULY, totals_of(mine, late), part=2, revision=3)
    older = manifest_file(JULY, totals, revision=2)
    words: dict[str, Any] = {"late_ids": ids, "revision": 3, "reason": LATE}
    assert await refused(archiver.publish(JULY, [first, part, older], **words)) == FAILED
    files = [first, part, manifest_file(JULY, totals, revision=3)]
    assert (await archiver.publish(JULY, files, **words)).revision == 3


async def test_late_records_of_a_dropped_month_leave_the_hot_store_too(world: World) -> None:
    """A day after their revision; core says from when on, and nothing once they are gone."""
    archiver, metering = world.archiver, world.metering
    workspace = await world.requests(2)
    await archiver.lead()
    await archiver.freeze(JULY)
    july = await archiver.export(JULY)
    await archiver.archive(JULY)
    await archiver.detach(JULY)
    metering.money.pass_time(24 * 3_600)
    await archiver.drop(JULY)
    record = metering.record(workspace, moment=IN_JULY)
    assert not (await metering.report([record])).rejected
    assert not (await archiver.month(JULY)).HasField("late_removable_at")
    late = await archiver.export_late(JULY)
    totals = totals_of(workspace, [*july, *late])
    ids = [record.request_id]
    words: dict[str, Any] = {"revision": 2, "reason": LATE}
    await archiver.sign(JULY, totals, late_ids=ids, **words)
    part = usage_file(JULY, totals_of(workspace, late), part=2, revision=2)
    files = [archiver.published[JULY][0], part, manifest_file(JULY, totals, revision=2)]
    published = await archiver.publish(JULY, files, late_ids=ids, **words)
    day_later = metering.money.now + timedelta(days=1)
    assert published.late_removable_at.ToDatetime(tzinfo=UTC) == day_later
    archiver.published[JULY] = [entry.file for entry in await archiver.files(month=JULY)]
    metering.money.pass_time(24 * 3_600 - 1)
    await archiver.drop(JULY)
    assert await metering.rows("SELECT count(*) FROM usage_late") == [(1,)]
    metering.money.pass_time(1)
    await archiver.drop(JULY)
    assert await metering.rows("SELECT count(*) FROM usage_late") == [(0,)]
    assert not (await archiver.month(JULY)).HasField("late_removable_at")
    assert await metering.money.findings() == []


async def test_a_workspace_sees_no_other_s_archive(world: World) -> None:
    """Row-level security, also where a query forgets to ask for the workspace."""
    archiver, metering = world.archiver, world.metering
    mine, other = await world.requests(1), await world.requests(1)
    await archiver.archive(JULY)
    async with metering.money.database.rpc.transaction("system") as tx:
        await tx.run(
            "INSERT INTO usage_late_archived SELECT id, workspace_id, '2026-07-01', 1, false,"
            " '2026-11-20Z' FROM usage_record"
        )
        await tx.commit()
    for table in ("archive_file", "usage_late_archived"):
        everybody = await metering.rows(f"SELECT DISTINCT workspace_id FROM {table}")
        assert {row[0].bytes for row in everybody} == {mine, other}  # type: ignore[attr-defined]
        async with metering.money.database.rpc.transaction("app", mine) as tx:
            rows = await tx.all(f"SELECT workspace_id FROM {table}")
        assert {row.workspace_id.bytes for row in rows} == {mine}


async def test_records_that_come_during_the_freeze_are_in_time_or_late(world: World) -> None:
    """Writers go on all the while: each record is kept once, and the totals are those in time."""
    archiver, metering = world.archiver, world.metering
    workspaces = [await metering.money.workspace(10) for _ in range(4)]
    records = [metering.record(workspaces[n % 4], moment=IN_JULY) for n in range(120)]
    await archiver.lead()
    reports = [asyncio.create_task(metering.report([record])) for record in records[:60]]
    freezing = asyncio.create_task(_freeze(world))
    for record in records[60:]:
        reports.append(asyncio.create_task(metering.report([record])))
        await asyncio.sleep(0.005)
    await freezing
    assert not any(answer.rejected for answer in await asyncio.gather(*reports))
    exported = {row["id"] for row in await archiver.export(JULY)}
    kept = {row[0].bytes for row in await metering.rows("SELECT id FROM usage_late")}  # type: ignore[attr-defined]
    assert not exported & kept
    assert exported | kept == {record.request_id for record in records}
    counted = await archiver.totals(JULY)
    assert sum(each.records for each in counted) == len(exported)
    assert all(each.charges == each.ledger_charges for each in counted)
    assert await metering.money.findings() == []


async def _freeze(world: World) -> None:
    """Freeze as an archiver does: writers in the way mean another try."""
    while True:
        try:
            await world.archiver.freeze(JULY)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
        else:
            return


async def test_an_erasure_changes_no_sum_and_frees_the_old_files(world: World) -> None:
    """Only what no manifest names any more may be told as deleted."""
    archiver = world.archiver
    workspace = await world.requests(2)
    await archiver.archive(JULY)
    totals = totals_of(workspace, await archiver.export(JULY))
    words: dict[str, Any] = {"revision": 2, "reason": ERASURE}
    short = months.WorkspaceTotals()
    short.CopyFrom(totals)
    short.records -= 1
    assert await refused(archiver.sign(JULY, short, **words)) == FAILED
    await archiver.sign(JULY, totals, **words)
    files = [usage_file(JULY, totals, revision=2), manifest_file(JULY, totals, revision=2)]
    await archiver.publish(JULY, files, **words)
    old = archiver.published[JULY][0].name
    for names, allowed in (([files[0].name], False), ([old, "nothing"], False), ([old], True)):
        request = pb.RecordDeletionRequest(
            fence=archiver.fence,
            month=JULY,
            reason=pb.RecordDeletionRequest.REASON_ERASURE,
            names=names,
        )
        if allowed:
            assert (await archiver.stub.RecordDeletion(request)).month.revision == 2
        else:
            assert await refused(archiver.stub.RecordDeletion(request)) == FAILED
    deleted = [e.file.name for e in await archiver.files() if e.file.HasField("deleted_at")]
    assert deleted == [old]
