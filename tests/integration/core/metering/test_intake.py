"""The intake on a real database: every record once, whatever happens to its batch."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from core.ledger.store import lock_wallets
from kit.reasons import InvalidArgument, Unavailable
from oneapi.common.v1 import error_reason_pb2 as reasons
from oneapi.common.v1.quantities_pb2 import Quantities
from oneapi.metering.v1 import usage_record_pb2
from tests.support.metering_world import MeteringWorld, batch
from tests.support.money_world import DOLLAR
from tests.support.postgres import PostgresServer

ONE_CHARGE = 3_500_000
"""1,000 input and 100 output tokens at the test price: 0.0025 + 0.001 dollars."""


async def test_a_record_is_charged_once_to_its_lease(world: MeteringWorld) -> None:
    """Held credit becomes revenue; what the workspace has left falls by the charge."""
    workspace = await world.money.workspace(10)
    await world.money.acquire(workspace, 1, DOLLAR)
    answer = await world.report([world.record(workspace)])
    balance = await world.money.balance(workspace)
    assert not answer.rejected
    assert balance.total == 10 * DOLLAR - ONE_CHARGE
    assert balance.held == DOLLAR - ONE_CHARGE
    assert await world.account("rev.usage") == ONE_CHARGE


async def test_a_resend_changes_nothing_however_the_batch_is_cut(world: MeteringWorld) -> None:
    """Duplicates, reordering and other cuts give the same ledger as one clean delivery."""
    workspaces = [await world.money.workspace(10) for _ in range(3)]
    records = [world.record(workspaces[place % 3], input_tokens=place) for place in range(60)]
    chance = random.Random(7)
    for size in (60, 7, 1, 13):
        chance.shuffle(records)
        cuts = [records[start : start + size] for start in range(0, 60, size)]
        answers = await world.send(*(batch(cut) for cut in cuts), batch(records[:9]))
        assert not any(answer.rejected for answer in answers)
    expected = sum(record.charge_nanos for record in records)
    assert await world.account("rev.usage") == expected
    assert await world.rows("SELECT count(*) FROM usage_record") == [(60,)]
    ((hourly,),) = await world.rows("SELECT CAST(sum(charge_nanos) AS bigint) FROM usage_hourly")
    assert hourly == expected
    left = [(await world.money.balance(workspace)).total for workspace in workspaces]
    assert sum(left) == 30 * DOLLAR - expected


async def test_edges_that_send_the_same_records_at_once_charge_them_once(
    world: MeteringWorld,
) -> None:
    """An adopter and the returned owner may ship the same spool."""
    workspaces = [await world.money.workspace(10) for _ in range(5)]
    records = [world.record(workspaces[place % 5]) for place in range(100)]

    async def ship(seed: int) -> None:
        mine = records.copy()
        random.Random(seed).shuffle(mine)
        await world.send(*(batch(mine[start : start + 20]) for start in range(0, 100, 20)))

    await asyncio.gather(*(ship(seed) for seed in range(4)))
    assert await world.account("rev.usage") == 100 * ONE_CHARGE


async def test_the_same_id_with_other_content_is_refused_and_alarmed(
    world: MeteringWorld,
) -> None:
    """The first stays; nothing is overwritten."""
    workspace = await world.money.workspace(10)
    record = world.record(workspace)
    other = world.record(workspace, request_id=record.request_id, total_ms=901)
    await world.report([record])
    answer = await world.report([other, world.record(workspace)])
    (refused,) = answer.rejected
    assert refused.request_id == record.request_id
    assert refused.reason == reasons.ERROR_REASON_RECORD_CONFLICT
    assert await world.account("rev.usage") == 2 * ONE_CHARGE
    assert await world.rows("SELECT kind FROM alarm") == [("record_conflict",)]


async def test_a_batch_that_overtook_another_ends_the_stream(world: MeteringWorld) -> None:
    """Its acknowledgement would cover the one that is missing, and the edge would forget that."""
    workspace = await world.money.workspace(10)
    first, second = (
        batch([world.record(workspace)], first=place, through=place, position=place)
        for place in (1, 2)
    )
    for broken in ([second, first], [second]):
        with pytest.raises(Unavailable):
            await world.send(*broken)
    assert await world.rows("SELECT count(*) FROM usage_record") == [(0,)]
    assert await world.rows("SELECT kind FROM alarm") == []
    answers = await world.send(first, first, second, first)
    assert [answer.through_sequence for answer in answers] == [1, 1, 2, 1]
    assert await world.account("rev.usage") == 2 * ONE_CHARGE


async def test_two_contents_of_one_id_in_one_batch_are_a_conflict(world: MeteringWorld) -> None:
    """The first one counts, the second goes to the quarantine."""
    workspace = await world.money.workspace(10)
    record = world.record(workspace)
    other = world.record(workspace, request_id=record.request_id, http_status=500)
    answer = await world.report([record, other])
    assert [refused.sequence for refused in answer.rejected] == [1]
    assert await world.rows("SELECT http_status FROM usage_record") == [(200,)]


async def test_an_id_from_the_future_is_refused(world: MeteringWorld) -> None:
    """Five minutes are tolerated, not more."""
    workspace = await world.money.workspace(10)
    soon = world.record(workspace, moment=world.money.now + timedelta(minutes=5))
    late = world.record(workspace, moment=world.money.now + timedelta(minutes=5, seconds=1))
    answer = await world.report([soon, late])
    assert [(each.request_id, each.reason) for each in answer.rejected] == [
        (late.request_id, reasons.ERROR_REASON_RECORD_IN_THE_FUTURE)
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"price_version": 99},
        {"model_number": 2},
        {"workspace_id": bytes(16)},
        {"workspace_id": b"short"},
        {"request_id": bytes(16)},
        {"outcome": 0},
        {"endpoint": 77},
        {"total_ms": 2**31},
        {"quantities": Quantities(input_tokens=-1)},
        {"quantities": Quantities(input_tokens=2**32)},
        {"waive_reason": usage_record_pb2.WAIVE_REASON_LATE},
        {"data_policy": 77},
        {"attempts": [usage_record_pb2.Attempt()] * 9},
    ],
)
async def test_a_poison_record_is_refused_and_holds_nobody_up(
    world: MeteringWorld, fields: dict[str, object]
) -> None:
    """It goes to the edge's quarantine with an alarm; its neighbours are charged."""
    workspace = await world.money.workspace(10)
    poison = world.record(**({"workspace_id": workspace} | fields))  # type: ignore[arg-type]
    good = [world.record(workspace), world.record(workspace)]
    answer = await world.report([good[0], poison, good[1]])
    assert [(each.sequence, each.reason) for each in answer.rejected] == [
        (1, reasons.ERROR_REASON_RECORD_INVALID)
    ]
    assert await world.account("rev.usage") == 2 * ONE_CHARGE
    assert await world.rows("SELECT kind FROM alarm") == [("record_invalid",)]


async def test_a_record_that_the_database_refuses_is_found_among_its_neighbours(
    world: MeteringWorld,
) -> None:
    """Whatever nobody foresaw: the group is halved until the one to blame stands alone."""
    async with world.money.database.jobs.transaction("partitions") as tx:
        await tx.run("ALTER TABLE usage_record ADD CHECK (total_ms <> 666)")
        await tx.commit()
    workspace = await world.money.workspace(10)
    records = [world.record(workspace) for _ in range(9)]
    records[4].total_ms = 666
    answer = await world.report(records)
    assert [each.sequence for each in answer.rejected] == [4]
    assert await world.account("rev.usage") == 8 * ONE_CHARGE
    assert await world.rows("SELECT kind FROM alarm") == [("record_invalid",)]


async def test_a_lost_connection_is_tried_again_with_the_same_data(
    world: MeteringWorld, postgres_server: PostgresServer, database_url: str
) -> None:
    """A settlement that dies waiting for its wallet is written once, by the second attempt."""
    workspace = await world.money.workspace(10)
    superuser = postgres_server.superuser_url_of(database_url)
    async with world.money.database.rpc.transaction("system") as tx:
        await lock_wallets(tx, [workspace])
        sending = asyncio.create_task(world.report([world.record(workspace)]))
        async with await psycopg.AsyncConnection.connect(superuser, autocommit=True) as admin:
            while not await _terminated_waiting(admin):  # noqa: ASYNC110 - state of a server
                await asyncio.sleep(0.01)
    assert not (await sending).rejected
    assert await world.account("rev.usage") == ONE_CHARGE
    assert "settlement_retried" in world.log.getvalue()


async def test_case_66_a_deadlock_on_a_batch_repeats_all_of_it(
    world: MeteringWorld, postgres_server: PostgresServer, database_url: str
) -> None:
    """Somebody holds the rollup and wants the wallet: the settlement gives way and comes again."""
    workspace = await world.money.workspace(10)
    await world.report([world.record(workspace)])
    superuser = postgres_server.superuser_url_of(database_url)
    async with (
        world.money.database.rpc.transaction("system") as tx,
        await psycopg.AsyncConnection.connect(superuser, autocommit=True) as admin,
    ):
        await tx.run("SELECT 1 FROM usage_hourly FOR UPDATE")
        records = [world.record(workspace) for _ in range(3)]
        sending = asyncio.create_task(world.report(records))
        while not await _waits(admin):  # noqa: ASYNC110 - state of a server
            await asyncio.sleep(0.01)
        # The settlement waits for longer than this, so the server ends it and not this one.
        await lock_wallets(tx, [workspace])
    assert not (await sending).rejected
    assert await world.account("rev.usage") == 4 * ONE_CHARGE
    assert await world.rows("SELECT count(*) FROM usage_record") == [(4,)]
    assert "settlement_retried" in world.log.getvalue()
    assert await world.money.findings() == []


async def test_case_49_a_price_that_changes_while_a_request_runs_is_not_its_price(
    world: MeteringWorld,
) -> None:
    """The version that admission pinned is on the record, and core charges by it."""
    workspace = await world.money.workspace(10)
    async with world.money.database.jobs.transaction("system") as tx:
        await tx.run(
            "INSERT INTO price_version (model_number, lane, effective_from, created_at)"
            " VALUES (1, 1, :now, :now)",
            now=world.money.now + timedelta(seconds=1),
        )
        await tx.run("INSERT INTO price_tier SELECT 2, 0, array_fill(9000000000, ARRAY[12])")
        await tx.commit()
    record = world.record(workspace)
    world.money.pass_time(60)
    await world.report([record])
    assert await world.account("rev.usage") == ONE_CHARGE
    assert await world.rows("SELECT price_version FROM usage_record") == [(1,)]
    assert await world.money.findings() == []


async def test_the_charge_is_cores_own_and_a_difference_is_alarmed(world: MeteringWorld) -> None:
    """An edge cannot make a request cheaper or dearer."""
    workspace = await world.money.workspace(10)
    record = world.record(workspace, charge_nanos=1)
    await world.report([record])
    assert await world.account("rev.usage") == ONE_CHARGE
    assert await world.rows("SELECT kind, expected, found FROM alarm") == [
        ("charge_mismatch", ONE_CHARGE, 1)
    ]


async def test_charges_beyond_the_lease_take_free_credit_and_then_become_debt(
    world: MeteringWorld,
) -> None:
    """Usage is real: nothing is refused, nothing gets negative."""
    workspace = await world.money.workspace()
    await world.money.grant(workspace, 2 * ONE_CHARGE)
    await world.money.acquire(workspace, 1, ONE_CHARGE)
    await world.report([world.record(workspace) for _ in range(3)])
    balance = await world.money.balance(workspace)
    assert (balance.total, balance.held, balance.available) == (0, 0, 0)
    assert balance.debt == ONE_CHARGE
    await world.money.grant(workspace, DOLLAR)
    balance = await world.money.balance(workspace)
    assert (balance.total, balance.debt) == (DOLLAR - ONE_CHARGE, 0)


async def test_a_charge_that_comes_after_its_lease_was_closed_is_taken_once(
    world: MeteringWorld,
) -> None:
    """The credit went back to the wallet, so the wallet pays."""
    workspace = await world.money.workspace(1)
    await world.money.acquire(workspace, 1, DOLLAR)
    await world.money.close_epoch()
    record = world.record(workspace)
    await world.report([record])
    await world.report([record])
    balance = await world.money.balance(workspace)
    assert (balance.available, balance.held) == (DOLLAR - ONE_CHARGE, 0)


async def test_a_charge_of_an_expired_lease_leaves_its_successor_alone(
    world: MeteringWorld,
) -> None:
    """The edge counts on all of the new lease; the old request is paid from free credit."""
    workspace = await world.money.workspace(10)
    await world.money.acquire(workspace, 1, DOLLAR)
    old = world.record(workspace)
    world.money.pass_time(5_000)
    await world.money.acquire(workspace, 2, DOLLAR)
    await world.report([old, world.record(workspace)])
    assert (await world.money.balance(workspace)).held == DOLLAR - ONE_CHARGE


async def test_waived_usage_is_recorded_and_not_charged(world: MeteringWorld) -> None:
    """A crash without proof is our expense; no output and an error is simply free."""
    workspace = await world.money.workspace(10)
    crash = world.record(
        workspace,
        outcome=usage_record_pb2.OUTCOME_EDGE_CRASH,
        waive_reason=usage_record_pb2.WAIVE_REASON_EDGE_CRASH,
        charge_nanos=0,
    )
    empty = world.record(
        workspace,
        outcome=usage_record_pb2.OUTCOME_FAILED,
        waive_reason=usage_record_pb2.WAIVE_REASON_NO_OUTPUT,
        charge_nanos=0,
    )
    await world.report([crash, empty])
    assert (await world.money.balance(workspace)).total == 10 * DOLLAR
    assert await world.rows("SELECT DISTINCT charge_nanos, waived_nanos FROM usage_record") == [
        (0, ONE_CHARGE)
    ]
    assert await world.account("rev.usage") == 0
    assert await world.account("rev.waived") == ONE_CHARGE
    assert await world.account("exp.unbillable") == -ONE_CHARGE
    assert await world.rows("SELECT failed_requests FROM usage_hourly") == [(2,)]


async def test_free_records_are_settled_without_entries(world: MeteringWorld) -> None:
    """They are leaves of a root like all others, in the wallet's chain."""
    workspace = await world.money.workspace(10)
    await world.report([world.record(workspace, input_tokens=0, output_tokens=0)])
    assert await world.rows(
        "SELECT record_count, sequence FROM ledger_txn JOIN wallet_log ON txn_id = id"
        " WHERE kind = 'settle'"
    ) == [(1, 2)]
    assert await world.rows("SELECT count(*) FROM ledger_entry WHERE account = 'held'") == [(0,)]


async def test_a_month_has_its_own_settlement_and_partition(world: MeteringWorld) -> None:
    """A record's month is that of its id, also where the partition must first be made."""
    workspace = await world.money.workspace(10)
    moments = (world.money.now, world.money.now - timedelta(days=31), world.money.now.replace(2025))
    await world.report([world.record(workspace, moment=moment) for moment in moments])
    months = await world.rows(
        "SELECT usage_month FROM ledger_txn WHERE kind = 'settle' ORDER BY usage_month"
    )
    assert [str(month) for (month,) in months] == ["2025-11-01", "2026-10-01", "2026-11-01"]
    assert await world.account("rev.usage") == 3 * ONE_CHARGE


async def test_a_record_of_an_archived_month_is_waived_as_late(world: MeteringWorld) -> None:
    """It touches no wallet; a resend changes nothing; what came in time stays what it was."""
    workspace = await world.money.workspace(10)
    moment = datetime(2026, 8, 15, tzinfo=UTC)
    in_time = world.record(workspace, moment=moment)
    await world.report([in_time])
    await _set_watermark(world, "2026-09-01")
    late = world.record(workspace, moment=moment)
    for _ in range(2):
        answer = await world.report([late, in_time])
        assert not answer.rejected
    assert (await world.money.balance(workspace)).total == 10 * DOLLAR - ONE_CHARGE
    assert await world.rows("SELECT charge_nanos, waived_nanos, waive_reason FROM usage_late") == [
        (0, ONE_CHARGE, usage_record_pb2.WAIVE_REASON_LATE)
    ]
    assert await world.account("rev.waived") == ONE_CHARGE
    assert await world.rows("SELECT kind FROM alarm") == [("record_late",)]
    other = world.record(workspace, moment=moment, request_id=late.request_id, total_ms=1)
    (refused,) = (await world.report([other])).rejected
    assert refused.reason == reasons.ERROR_REASON_RECORD_CONFLICT


async def test_frames_that_never_came_are_alarmed_once(world: MeteringWorld) -> None:
    """A gap, quarantined frames and a range that speaks of too few; a resend counts no more."""
    workspace = await world.money.workspace(10)
    batches = [
        batch([world.record(workspace)], first=1, through=3, other=2),
        batch([world.record(workspace)], first=6, through=8, other=2),
        batch([world.record(workspace)], first=9, through=11, other=1, lost=1),
        batch([world.record(workspace)], first=12, through=14, other=0),
    ]
    answers = await world.send(*batches)
    await world.send(*batches)
    assert [answer.through_sequence for answer in answers] == [3, 8, 11, 14]
    assert await world.rows("SELECT acked_sequence, missing_frames FROM edge_epoch") == [(14, 5)]
    assert await world.rows("SELECT expected, found FROM alarm ORDER BY id") == [
        (4, 6),
        (9, 9),
        (12, 12),
    ]


async def test_usage_of_an_unknown_epoch_is_kept_and_alarmed(world: MeteringWorld) -> None:
    """The usage is real, whoever lost the epoch."""
    workspace = await world.money.workspace(10)
    await world.send(
        batch([world.record(workspace)], first=1, through=1, epoch=9),
        batch([world.record(workspace)], first=2, through=2, epoch=9),
    )
    assert await world.account("rev.usage") == 2 * ONE_CHARGE
    assert await world.rows("SELECT kind FROM alarm") == [("epoch_unknown",)]


async def test_a_batch_that_breaks_its_contract_ends_the_stream(world: MeteringWorld) -> None:
    """A range that ends before it begins is no batch."""
    with pytest.raises(InvalidArgument) as refused:
        await world.send(batch([], first=5, through=4))
    assert refused.value.metadata == {"fields": "first_sequence"}


async def test_many_batches_in_one_stream_are_all_answered_in_order(
    world: MeteringWorld,
) -> None:
    """More than are ever in flight at once."""
    workspace = await world.money.workspace(10)
    batches = [
        batch([world.record(workspace)], first=number, through=number) for number in range(1, 41)
    ]
    answers = await world.send(*batches)
    assert [answer.through_sequence for answer in answers] == list(range(1, 41))
    assert await world.account("rev.usage") == 40 * ONE_CHARGE


async def _set_watermark(world: MeteringWorld, month: str) -> None:
    async with world.money.database.jobs.transaction("partitions") as tx:
        await tx.run("RESET ROLE")
        await tx.run("SET LOCAL ROLE oneapi_owner")
        await tx.run("UPDATE archive_watermark SET month = CAST(:month AS date)", month=month)
        await tx.commit()


async def _terminated_waiting(admin: psycopg.AsyncConnection) -> bool:
    cursor = await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return await cursor.fetchone() is not None


async def _waits(admin: psycopg.AsyncConnection) -> bool:
    """Say whether some session waits for a lock."""
    cursor = await admin.execute(
        "SELECT 1 FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return await cursor.fetchone() is not None
