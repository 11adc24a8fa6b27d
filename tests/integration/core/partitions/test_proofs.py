"""`1api audit verify` over archived months: told from the chain and what was signed."""

from __future__ import annotations

import psycopg

from core.ledger.proofs.finding import Finding, Tally
from core.ledger.proofs.verify import verify
from core.metering.proofs import UsageProofs
from core.partitions.proofs import ArchiveProofs
from core.proofs.together import Together
from tests.integration.core.partitions.conftest import JULY, World


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
