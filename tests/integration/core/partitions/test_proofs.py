"""`1api audit verify` over archived months: told from the chain and what was signed."""

from __future__ import annotations

import psycopg
import pytest

from core.ledger.proofs.finding import Finding, Tally
from core.ledger.proofs.verify import verify
from core.metering.proofs import UsageProofs
from core.partitions.proofs import ArchiveProofs
from core.proofs.together import Together
from oneapi.partitions.v1.partition_pb2 import REVISION_REASON_LATE
from tests.integration.core.partitions.conftest import IN_JULY, JULY, World
from tests.support.archive_world import manifest_file, totals_of, usage_file


async def proven(world: World) -> tuple[list[str], Tally]:
    """The checks that found something, and what was looked at."""
    tally = Tally()
    proofs = Together(UsageProofs(), ArchiveProofs(world.key.public_keys))
    found: list[Finding] = []
    async with world.metering.money.database.jobs.transaction("system", snapshot=True) as tx:
        async for finding in verify(tx, None, proofs, tally):
            found.append(finding)  # noqa: PERF401 - the transaction is open meanwhile
    return [each.check for each in found], tally


def tamper(world: World, statement: str) -> None:
    """Change what nobody may, as the owner of the tables."""
    with psycopg.connect(world.dsn) as connection:
        connection.execute("SET ROLE oneapi_owner")
        connection.execute(statement)


async def test_what_is_archived_is_told_apart(world: World) -> None:
    """Hot and frozen records are looked at; of dropped ones only the chain and the signed sums."""
    await world.requests(3)
    await world.requests(2)
    recent = await world.metering.money.workspace(10)
    await world.metering.report([world.metering.record(recent)])
    await world.archiver.archive(JULY)
    findings, tally = await proven(world)
    assert (findings, tally.records, tally.archived_records) == ([], 6, 0)
    await world.archiver.detach(JULY)
    world.metering.money.pass_time(24 * 3_600)
    await world.archiver.drop(JULY)
    findings, tally = await proven(world)
    assert (findings, tally.records, tally.archived_records) == ([], 1, 5)
    assert tally.archived_settlements == 2


async def test_records_that_vanish_from_a_frozen_month_are_found(world: World) -> None:
    """Frozen is not archived: all of it has to be there."""
    await world.requests(2)
    await world.archiver.lead()
    await world.archiver.freeze(JULY)
    with psycopg.connect(world.dsn) as connection:
        connection.execute("SET ROLE oneapi_partitions")
        connection.execute("ALTER TABLE usage_record_y2026m07 DISABLE TRIGGER ALL")
        connection.execute("DELETE FROM usage_record_y2026m07")
    findings, _ = await proven(world)
    assert "records_root" in findings


async def test_signed_totals_that_were_changed_are_found(world: World) -> None:
    """They are held against the ledger, and each signature is checked."""
    await world.requests(2)
    await world.archiver.archive(JULY)
    tamper(world, "UPDATE archive_totals SET charges_nanos = charges_nanos - 1")
    assert (await proven(world))[0] == ["archive_totals"]
    tamper(world, "UPDATE archive_totals SET charges_nanos = charges_nanos + 1")
    tamper(world, "UPDATE archive_totals SET manifest_sha256 = sha256('other')")
    assert (await proven(world))[0] == ["archive_signature"]
    tamper(world, "DELETE FROM archive_totals")
    assert (await proven(world))[0] == ["archive_totals"]


async def archive_with_late_records(world: World) -> None:
    """July with a record that came late and is in a file, and one that waits."""
    archiver, metering = world.archiver, world.metering
    workspace = await world.requests(2)
    await archiver.lead()
    await archiver.freeze(JULY)
    july = await archiver.export(JULY)
    await archiver.archive(JULY)
    archived, waiting = (metering.record(workspace, moment=IN_JULY) for _ in range(2))
    await metering.report([archived])
    late = await archiver.export_late(JULY)
    totals, ids = totals_of(workspace, [*july, *late]), [archived.request_id]
    await archiver.sign(JULY, totals, revision=2, reason=REVISION_REASON_LATE, late_ids=ids)
    part = usage_file(JULY, totals_of(workspace, late), part=2, revision=2)
    files = [archiver.published[JULY][0], part, manifest_file(JULY, totals, revision=2)]
    await archiver.publish(JULY, files, revision=2, reason=REVISION_REASON_LATE, late_ids=ids)
    await archiver.detach(JULY)
    metering.money.pass_time(24 * 3_600)
    archiver.published[JULY] = [entry.file for entry in await archiver.files(month=JULY)]
    await archiver.drop(JULY)
    await metering.report([waiting])


@pytest.mark.parametrize(
    ("loss", "found"),
    [
        ("DELETE FROM usage_late", 1),
        ("DELETE FROM usage_late_archived", 2),
        ("UPDATE usage_late_archived SET duplicate = true", 1),
        ("DELETE FROM archive_totals WHERE revision = 2", 1),
        ("DELETE FROM archive_file WHERE revision = 2", 1),
    ],
)
async def test_late_records_of_a_published_month_that_are_lost_are_found(
    world: World, loss: str, found: int
) -> None:
    """Whether they wait or are in a file: the chain says how many came."""
    await archive_with_late_records(world)
    assert (await proven(world))[0] == []
    tamper(world, loss)
    assert (await proven(world))[0] == ["archive_late"] * found
