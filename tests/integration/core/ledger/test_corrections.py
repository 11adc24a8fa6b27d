"""A charge that is given back goes where it came from, as it was recorded."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from core.ledger import corrections, debt
from core.ledger.corrections import CorrectionReason, RecordArchived
from core.ledger.model import Balance, GrantKind
from core.metering.model import month_of
from core.metering.partitions import partition_name
from core.partitions.month_store import act_as_owner
from kit.reasons import AmountOutOfRange, NotFound, RequestIdReused
from tests.support.metering_world import MeteringWorld
from tests.support.money_world import DOLLAR, MoneyWorld
from tests.support.postgres import PostgresServer

PAID = GrantKind.PAID


async def correct(
    world: MoneyWorld, record: bytes, dollars: int, request: str = "fix-0001"
) -> bool:
    """Give so much of a record's charge back; say whether that was new."""
    posted = await world.run(
        corrections.correct,
        request_id=request,
        record_id=record,
        amount=dollars * DOLLAR,
        reason=CorrectionReason.WRONG_CHARGE,
    )
    return posted.created


async def test_a_charge_goes_back_to_its_grant_once(
    world: MoneyWorld, metering: MeteringWorld
) -> None:
    """A repetition gives nothing more; other words under the same request id are refused."""
    workspace = await world.workspace()
    grant = await world.grant(workspace, 10 * DOLLAR, PAID)
    record = await metering.spend(workspace, 4 * DOLLAR)
    assert await correct(world, record, 3)
    assert not await correct(world, record, 3)
    with pytest.raises(RequestIdReused):
        await correct(world, record, 1)
    assert await world.remaining(grant) == 9 * DOLLAR
    assert await world.account("rev.corrections") == -3 * DOLLAR
    assert await world.account("rev.usage") == 4 * DOLLAR
    assert await world.findings() == []


async def test_no_more_is_given_back_than_was_charged(
    world: MoneyWorld, metering: MeteringWorld
) -> None:
    """All corrections of a record together; records that are not there have none."""
    workspace = await world.workspace(10)
    record = await metering.spend(workspace, 4 * DOLLAR)
    await correct(world, record, 3)
    for dollars in (2, 0, -1):
        with pytest.raises(AmountOutOfRange) as refused:
            await correct(world, record, dollars, "fix-0002")
        assert refused.value.metadata["correctable_nanos"] == str(DOLLAR)
    assert await correct(world, record, 1, "fix-0003")
    with pytest.raises(NotFound):
        await correct(world, workspace, 1, "fix-0004")
    assert await world.findings() == []


async def test_a_record_in_the_archive_is_not_corrected_any_more(
    world: MoneyWorld, metering: MeteringWorld
) -> None:
    """The refusal says why; what was answered before the month left is answered again."""
    workspace = await world.workspace(10)
    record = await metering.spend(workspace, 4 * DOLLAR)
    other = await metering.spend(workspace, DOLLAR)
    assert await correct(world, record, 3)
    async with world.database.jobs.transaction("system") as tx:
        await tx.run(
            "INSERT INTO archive_month (month, frozen_at, published_at)"
            " VALUES (CAST(:month AS date), :now, :now)",
            month=month_of(record),
            now=world.now,
        )
        await tx.commit()
    async with world.database.jobs.transaction("partitions") as tx:
        await act_as_owner(tx)
        name = partition_name(month_of(record))
        await tx.run(f"ALTER TABLE usage_record DETACH PARTITION {name}")
        await tx.commit()
    assert not await correct(world, record, 3)
    with pytest.raises(RequestIdReused):
        await correct(world, other, 1)
    with pytest.raises(RecordArchived):
        await correct(world, record, 1, "fix-0002")
    with pytest.raises(RecordArchived):
        await correct(world, other, 1, "fix-0003")
    assert await world.account("rev.corrections") == -3 * DOLLAR


async def test_case_62_the_recorded_order_is_unwound_in_reverse(
    world: MoneyWorld, metering: MeteringWorld
) -> None:
    """Debt first, then free credit, then what the lease held, whatever today's order would be."""
    workspace = await world.workspace()
    soon = world.now + timedelta(days=2)
    first = await world.grant(workspace, 2 * DOLLAR, expires_at=soon)
    second = await world.grant(workspace, 2 * DOLLAR)
    third = await world.grant(workspace, 2 * DOLLAR, PAID)
    await world.acquire(workspace, 1, 3 * DOLLAR)
    record = await metering.spend(workspace, 8 * DOLLAR)
    assert (await world.balance(workspace)).debt == 2 * DOLLAR
    # Credit that would be burnt before all of these comes too late to be a source.
    sooner = await world.grant(workspace, 3 * DOLLAR, expires_at=world.now + timedelta(days=1))
    assert await world.remaining(sooner) == DOLLAR

    async def left() -> list[int]:
        grants = (sooner, first, second, third)
        return [await world.remaining(grant) // DOLLAR for grant in grants]

    steps = [
        (1, [2, 0, 0, 0]),  # the debt: the grant that has paid it gets it back
        (2, [3, 0, 0, 1]),
        (2, [3, 0, 1, 2]),
        (3, [3, 2, 2, 2]),
    ]
    for number, (dollars, expected) in enumerate(steps):
        await correct(world, record, dollars, f"fix-000{number}")
        assert await left() == expected
    assert await world.findings() == []


async def test_a_settlement_of_many_records_is_unwound_by_each_in_turn(
    world: MoneyWorld, metering: MeteringWorld
) -> None:
    """Whichever record comes first takes what was burnt last."""
    workspace = await world.workspace()
    given = await world.grant(workspace, 3 * DOLLAR)
    bought = await world.grant(workspace, 3 * DOLLAR, PAID)
    records = [metering.record(workspace, input_tokens=0, output_tokens=300_000) for _ in range(2)]
    await metering.report(records)
    await correct(world, records[0].request_id, 2, "fix-0001")
    assert (await world.remaining(given), await world.remaining(bought)) == (0, 2 * DOLLAR)
    await correct(world, records[1].request_id, 2, "fix-0002")
    assert (await world.remaining(given), await world.remaining(bought)) == (DOLLAR, 3 * DOLLAR)
    assert await world.findings() == []


async def test_what_was_owed_is_owed_no_more_and_a_loss_is_none(
    world: MoneyWorld, metering: MeteringWorld
) -> None:
    """A debt that still stands shrinks; a part that was written off is no expense any more."""
    workspace = await world.workspace()
    record = await metering.spend(workspace, 4 * DOLLAR)
    await world.run(debt.write_off, workspace_id=workspace, amount=DOLLAR, request_id="off-0001")
    await correct(world, record, 4)
    assert await world.balance(workspace) == Balance(0, 0, 0, 0, 0)
    assert await world.account("exp.bad_debt") == 0
    assert await world.findings() == []


async def test_credit_that_has_expired_since_expires_again(
    world: MoneyWorld, metering: MeteringWorld
) -> None:
    """It comes back to its grant, and that is over."""
    workspace = await world.workspace()
    await world.grant(workspace, 4 * DOLLAR, expires_at=world.now + timedelta(hours=1))
    record = await metering.spend(workspace, 4 * DOLLAR)
    world.pass_time(7_200)
    await correct(world, record, 4)
    assert await world.balance(workspace) == Balance(0, 0, 0, 0, 0)
    assert await world.account("exp.promo") == 0
    assert await world.findings() == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE charge_correction SET amount = amount - 1",
        "UPDATE charge_correction SET record_id = settlement_id",
        "UPDATE charge_correction SET request_id = request_id || 'x'",
        "DELETE FROM charge_correction",
        "UPDATE usage_record SET charge_nanos = 1",
    ],
)
async def test_a_correction_that_was_tampered_with_is_found(
    world: MoneyWorld,
    metering: MeteringWorld,
    postgres_server: PostgresServer,
    database_url: str,
    statement: str,
) -> None:
    """The table says what the transaction says."""
    workspace = await world.workspace(10)
    await correct(world, await metering.spend(workspace, 4 * DOLLAR), 4)
    dsn = postgres_server.superuser_url_of(database_url)
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(statement)
    assert "corrections" in {finding.check for finding in await world.findings()}
